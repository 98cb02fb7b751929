"""The open loop: requests leave when they are due, over as many connections as that takes.

A request that finds no connection free opens one. Whatever keeps the client from sending in time is told as its
lateness: what was measured then is the client. Latencies count from when a request was due. One thread with epoll.
"""

import gc
import select
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from loadtests.overload.exchange import Exchange

MOST_CONNECTIONS = 3000
LOOK_S = 0.5
GIVE_UP_S = 30.0
"""After the last request was due: what has no answer then is lost."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that is due at a time, in seconds from the start; `probe` is a health probe, over a new connection."""

    due: float
    message: bytes
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one ended, in seconds from the start of the run.

    Args:
        began: when its first byte was sent.
        answered: when the head of its answer was there.
        status: 0 if it was lost.
        retry: the answer says when to come back.
    """

    due: float
    began: float
    answered: float
    status: int
    probe: bool = False
    retry: bool = False

    @property
    def latency(self) -> float:
        return self.answered - self.due


class OpenLoop:
    """Sends what is due; use it for one run."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._epoll = select.epoll()
        self._free: deque[Exchange] = deque()
        self._busy: dict[int, tuple[Exchange, Arrival]] = {}
        self._start = 0.0
        self._outcomes: list[Outcome] = []

    def run(self, arrivals: Sequence[Arrival]) -> list[Outcome]:
        """All of them, each once, in the order of their ends.

        Args:
            arrivals: by the time when they are due.
        """
        waiting = deque(arrivals)
        last = waiting[-1].due
        with _undisturbed(), self._epoll:
            self._start = time.perf_counter()
            while waiting or self._busy:
                now = time.perf_counter() - self._start
                if now > last + GIVE_UP_S:
                    break
                if waiting and waiting[0].due <= now and len(self._busy) < MOST_CONNECTIONS:
                    self._send(waiting.popleft())
                    self._look(0)
                else:
                    self._look(min(LOOK_S, max(0.0, waiting[0].due - now)) if waiting else LOOK_S)
            self._give_up(waiting)
        return self._outcomes

    def _send(self, arrival: Arrival) -> None:
        exchange = self._free.popleft() if self._free and not arrival.probe else None
        if exchange is None or exchange.ended():
            exchange = Exchange(self._port)
        if exchange.dead:
            self._note(exchange, arrival)
            return
        exchange.send(arrival.message, arrival.due)
        if exchange.done or exchange.dead:
            self._note(exchange, arrival)
            return
        descriptor = exchange.socket.fileno()
        self._busy[descriptor] = exchange, arrival
        self._epoll.register(descriptor, exchange.events)

    def _look(self, seconds: float) -> None:
        for descriptor, _ in self._epoll.poll(seconds):
            exchange, arrival = self._busy[descriptor]
            before = exchange.events
            exchange.go_on()
            if exchange.dead:  # closed, so it is watched no more
                del self._busy[descriptor]
                self._note(exchange, arrival)
            elif exchange.done:
                del self._busy[descriptor]
                self._epoll.unregister(descriptor)
                self._note(exchange, arrival)
            elif exchange.events != before:
                self._epoll.modify(descriptor, exchange.events)

    def _note(self, exchange: Exchange, arrival: Arrival) -> None:
        began, answered = exchange.began - self._start, exchange.answered - self._start
        status = exchange.status if exchange.done else 0
        self._outcomes.append(Outcome(arrival.due, began, answered, status, arrival.probe, exchange.retry))
        if exchange.reusable and not arrival.probe:
            self._free.append(exchange)
        else:
            exchange.close()

    def _give_up(self, unsent: deque[Arrival]) -> None:
        for exchange, arrival in self._busy.values():
            self._outcomes.append(Outcome(arrival.due, exchange.began - self._start, 0.0, 0, arrival.probe))
            exchange.close()
        self._outcomes += [Outcome(arrival.due, 0.0, 0.0, 0, arrival.probe) for arrival in unsent]
        for exchange in self._free:
            exchange.close()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A collection of garbage would count as the server's time."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
