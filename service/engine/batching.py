"""Merges the requests that wait for a model into runs.

A batch is cut when there is a free slot to run it in, from what waits at that moment: so a lone request leaves at once,
and the busier the model is, the more wait, and the larger the batches get. No timer is needed; a delay can be set.

What counts is rows, not requests. A caller that has gone is skipped. Requests whose shapes cannot be merged wait in
lines of their own, and the line of the oldest request comes first. A batch that fails is halved until the bad request
fails alone.

Everything here happens in the event loop's thread, but for the run itself, whose place is a callable's to choose.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from service.engine.session import Tensor
from service.errors import ModelUnavailable, QueueFull, QueueTimeout

Feeds: TypeAlias = Mapping[str, Tensor]
Outputs: TypeAlias = Mapping[str, Tensor]
Run: TypeAlias = Callable[[Feeds], Outputs]
Place: TypeAlias = Callable[[Callable[[], Outputs]], Awaitable[Outputs]]
"""Calls and gives back what comes of it: in a thread, or here and now."""

LOWEST = 2**32
"""The priority of a request that has none: after all that have one. 1 is the highest, as in Triton."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How a model's requests are merged.

    Attributes:
        max_rows: of one run; a request that has more is run alone. 0: nothing is merged.
        slots: runs at a time.
        max_waiting_rows: a request that would make it more is refused.
        max_delay_s: how long the oldest request may wait for others while a slot is free.
        preferred_rows: with a delay: of these sizes a batch leaves before it.
    """

    max_rows: int
    slots: int = 1
    max_waiting_rows: int = 8192
    max_delay_s: float = 0.0
    preferred_rows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A request's part of a run; its outputs are views of the run's.

    Attributes:
        batch_rows: of the run.
        first: the request is the first of its batch, for counting runs.
    """

    outputs: Outputs
    batch_rows: int
    first: bool
    queue_ns: int
    run_ns: int


@dataclass(eq=False, slots=True)
class _Ticket:
    """A request that waits."""

    feeds: Feeds
    rows: int
    priority: int
    arrived_ns: int
    deadline_ns: int | None
    answer: asyncio.Future[Answer]

    def fail(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


_Line: TypeAlias = list[tuple[int, int, _Ticket]]
"""A heap: by priority, then by arrival."""


@dataclass(eq=False, slots=True)
class Batcher:
    """The requests of one version of a model; for one event loop.

    Args:
        run: the model.
        place: where it runs.
        clock: nanoseconds.
    """

    run: Run
    place: Place
    rules: Rules
    clock: Callable[[], int] = time.perf_counter_ns
    waiting_rows: int = field(default=0, init=False)
    _lines: dict[object, _Line] = field(default_factory=dict, init=False)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count, init=False)
    _running: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _woken: asyncio.Handle | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)

    async def submit(self, feeds: Feeds, rows: int, *, priority: int = 0, deadline_ns: int | None = None) -> Answer:
        """Wait for the request's part of a run.

        Args:
            feeds: inputs that the model takes, each of `rows` rows.
            priority: 1 is the highest; 0 is none.
            deadline_ns: by `clock`; a request that still waits then is refused.

        Raises:
            QueueFull, QueueTimeout, ModelUnavailable: it was not run.
            Exception: what the model raised for this request.
        """
        if self._closed:
            raise ModelUnavailable("the server is stopping")
        if self.waiting_rows + rows > self.rules.max_waiting_rows and self.waiting_rows:
            raise QueueFull(f"Exceeds maximum queue size: {self.waiting_rows} rows wait")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        ticket = _Ticket(feeds, rows, priority or LOWEST, self.clock(), deadline_ns, answer)
        heapq.heappush(self._lines.setdefault(self._key(feeds), []), (ticket.priority, next(self._numbers), ticket))
        self.waiting_rows += rows
        self._wake()
        return await answer

    async def close(self) -> None:
        """Take no more requests, and return when all that wait have been answered."""
        self._closed = True
        while self._running or any(self._lines.values()):
            self._cut()
            await asyncio.wait(self._running) if self._running else await asyncio.sleep(0)

    def _key(self, feeds: Feeds) -> object:
        """Requests of one key can be merged."""
        if not self.rules.max_rows:
            return None
        return tuple((name, array.dtype, array.shape[1:]) for name, array in sorted(feeds.items()))

    def _wake(self, delay_s: float = 0.0) -> None:
        """Cut once what has been read in this round of the loop is in line."""
        loop = asyncio.get_running_loop()
        if delay_s:
            self._woken = self._woken or loop.call_later(delay_s, self._cut)
            return
        if self._woken is not None:
            self._woken.cancel()
        self._woken = loop.call_soon(self._cut)

    def _cut(self) -> None:
        """Fill the free slots."""
        self._woken = None
        while len(self._running) < self.rules.slots:
            line = self._next_line()
            if line is None:
                return
            batch = self._batch(line)
            if batch is None:
                return
            task = asyncio.get_running_loop().create_task(self._answer(batch))
            self._running.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if any(self._lines.values()):
            self._wake()

    def _next_line(self) -> _Line | None:
        """The line whose head is to be served first; callers that left and requests that are too late leave it."""
        now = self.clock()
        for key in list(self._lines):
            line = self._lines[key]
            while line and not self._is_due(line[0][2], now):
                self.waiting_rows -= heapq.heappop(line)[2].rows
            if not line:
                del self._lines[key]
        return min(self._lines.values(), key=lambda line: line[0][:2], default=None)

    def _is_due(self, ticket: _Ticket, now: int) -> bool:
        if ticket.answer.done():
            return False
        if ticket.deadline_ns is not None and now > ticket.deadline_ns:
            waited = (now - ticket.arrived_ns) // 1000
            ticket.fail(QueueTimeout(f"Request timeout expired: it waited {waited} µs"))
            return False
        return True

    def _batch(self, line: _Line) -> list[_Ticket] | None:
        """Take from the head of a line what fits into one run; None if it may wait for more."""
        if self._may_wait(line):
            return None
        now, batch, rows = self.clock(), [heapq.heappop(line)[2]], 0
        rows = batch[0].rows
        while line:
            ticket = line[0][2]
            if self._is_due(ticket, now):
                if not self.rules.max_rows or rows + ticket.rows > self.rules.max_rows:
                    break
                batch.append(ticket)
                rows += ticket.rows
            else:
                self.waiting_rows -= ticket.rows
            heapq.heappop(line)
        self.waiting_rows -= rows
        return batch

    def _may_wait(self, line: _Line) -> bool:
        if not self.rules.max_delay_s or self._closed:
            return False
        rows = sum(ticket.rows for _, _, ticket in line)
        if rows >= self.rules.max_rows or rows in self.rules.preferred_rows:
            return False
        oldest = min(ticket.arrived_ns for _, _, ticket in line)
        left_s = self.rules.max_delay_s - (self.clock() - oldest) / 1e9
        if left_s <= 0:
            return False
        self._wake(left_s)
        return True

    async def _answer(self, batch: Sequence[_Ticket]) -> None:
        """Run a batch and give each request its part; halve it if it fails."""
        batch = [ticket for ticket in batch if not ticket.answer.done()]
        if not batch:
            return
        started = self.clock()
        try:
            feeds = _merged([ticket.feeds for ticket in batch])
            outputs = await self.place(lambda: self.run(feeds))
        except Exception as error:
            if len(batch) == 1:
                batch[0].fail(error)
                return
            middle = len(batch) // 2
            await self._answer(batch[:middle])
            await self._answer(batch[middle:])
            return
        _hand_out(batch, outputs, started, self.clock() - started)


def _merged(feeds: Sequence[Feeds]) -> Feeds:
    if len(feeds) == 1:
        return feeds[0]
    return {name: np.concatenate([each[name] for each in feeds]) for name in feeds[0]}


def _hand_out(batch: Sequence[_Ticket], outputs: Outputs, started: int, run_ns: int) -> None:
    total, start = sum(ticket.rows for ticket in batch), 0
    for ticket in batch:
        if not ticket.answer.done():
            alone = len(batch) == 1
            part = outputs if alone else {n: array[start : start + ticket.rows] for n, array in outputs.items()}
            ticket.answer.set_result(Answer(part, total, not start, started - ticket.arrived_ns, run_ns))
        start += ticket.rows
