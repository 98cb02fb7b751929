"""Merges the requests that wait for a model into runs.

A batch is cut when there is a free slot to run it in, from what waits at that moment: so a lone request leaves at once,
and the busier the model is, the more wait, and the larger the batches get. No timer is needed; a delay can be set.

What counts is rows, not requests. A caller that has gone is skipped. Requests whose shapes cannot be merged wait in
lines of their own, and the line of the oldest request comes first. A batch that fails is halved until the bad request
fails alone.

A run that is expected to be short is made here and now, in the event loop's thread. To hand it to another one and back
takes longer than the run of a small CNN, and while the other waits for the interpreter's lock this one has to give it
up. On a CPU nothing is lost: the processors are busy either way. So if a row is short, no more are merged than make a
short run. What is longer, or of unknown length, goes elsewhere.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from service.engine import callers
from service.engine.callers import Left
from service.engine.model import Execution
from service.engine.rules import Rules
from service.engine.session import Tensor
from service.errors import ClientLeft, ModelUnavailable, QueueFull, QueueTimeout

Feeds: TypeAlias = Mapping[str, Tensor]

Run: TypeAlias = Callable[[Feeds, bool], Execution]
"""A model: its inputs, and whether they are several requests', so that its outputs must have as many rows."""

Result: TypeAlias = Execution | Exception
Elsewhere: TypeAlias = Callable[[Callable[[], "list[Outcome]"]], Awaitable["list[Outcome]"]]
"""Calls in another thread, and gives back what comes of it."""

LOWEST = 2**64
"""The place of a request without a priority: behind all that have one. 1 is the highest, as in Triton."""


@dataclass(eq=False, slots=True)
class _Ticket:
    """A request that waits."""

    run: Run
    feeds: Feeds
    rows: int
    arrived_ns: int
    deadline_ns: int | None
    answer: asyncio.Future[Execution]
    left: Left

    def fail(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


Outcome: TypeAlias = tuple[Sequence[_Ticket], Result]
"""The requests of one run, and what came of it."""

_Line: TypeAlias = list[tuple[int, int, _Ticket]]
"""A heap: by priority, then by arrival."""


@dataclass(eq=False, slots=True)
class Batcher:
    """The requests of one version of a model; for one event loop, in whose thread all its methods are called.

    Args:
        elsewhere: where long runs are made.
        short_ns: up to this expected length a run is made here.
        clock: nanoseconds.
    """

    rules: Rules
    elsewhere: Elsewhere
    short_ns: float = 0.0
    clock: Callable[[], int] = time.perf_counter_ns
    waiting_rows: int = field(default=0, init=False)
    _lines: dict[object, _Line] = field(default_factory=dict, init=False)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count, init=False)
    _running: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _woken: asyncio.Handle | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)
    _row_ns: float = field(default=float("inf"), init=False)

    def submit(
        self, run: Run, feeds: Feeds, rows: int, *, priority: int = 0, timeout_us: int | None = None
    ) -> asyncio.Future[Execution]:
        """Put a request in line; the future's result is its part of a run, or what kept it from being run.

        Args:
            run: the model, the same for all requests.
            feeds: inputs that the model takes, each of `rows` rows.
            priority: 1 is the highest; 0 is none.
            timeout_us: how long it may wait, 0 for ever; None for what the rules say.

        Raises:
            QueueFull, ModelUnavailable: it is not taken.
        """
        if self._closed:
            raise ModelUnavailable("the server is stopping")
        if self.waiting_rows + rows > self.rules.max_queue_size and self.waiting_rows:
            raise QueueFull(f"Exceeds maximum queue size: {self.waiting_rows} rows wait")
        loop = asyncio.get_running_loop()
        now = self.clock()
        limit_us = self.rules.default_timeout_microseconds if timeout_us is None else timeout_us
        ticket = _Ticket(
            run,
            feeds,
            rows,
            now,
            now + limit_us * 1000 if limit_us else None,
            loop.create_future(),
            callers.current(),
        )
        line = self._lines.setdefault(self._key(feeds), [])
        heapq.heappush(line, (priority or LOWEST, next(self._numbers), ticket))
        self.waiting_rows += rows
        if self._woken is None or self.rules.max_queue_delay_microseconds:
            self._wake()
        return ticket.answer

    @property
    def waiting(self) -> int:
        """Requests in line."""
        return sum(map(len, self._lines.values()))

    async def close(self) -> None:
        """Take no more requests, and return when all that wait have been answered."""
        self._closed = True
        while self._running or self._lines:
            self._cut()
            await asyncio.wait(self._running) if self._running else await asyncio.sleep(0)

    def _key(self, feeds: Feeds) -> object:
        """Requests of one key can be merged."""
        return tuple([array.shape[1:] for array in feeds.values()]) if self.rules.max_batch_size else None

    def _wake(self, delay_s: float = 0.0) -> None:
        """Cut in the loop's next round, when all that was read in this one is in line; or after a delay."""
        loop = asyncio.get_running_loop()
        if self._woken is not None:
            self._woken.cancel()
        self._woken = loop.call_later(delay_s, self._cut) if delay_s else loop.call_soon(self._cut)

    def _cut(self) -> None:
        """Fill the free slots."""
        self._woken = None
        while len(self._running) < self.rules.count:
            batch = self._batch()
            if not batch:
                return
            if self._row_ns * sum(ticket.rows for ticket in batch) <= self.short_ns:
                self._hand_out(_outcomes(batch))
                if self._lines and self._woken is None:
                    self._wake()  # and not at once: the loop has other work too
                return
            # In a context of its own: this one is that of one of the requests, whose client may leave.
            task = asyncio.get_running_loop().create_task(self._answer(batch), context=Context())
            self._running.add(task)
            task.add_done_callback(self._done)

    async def _answer(self, batch: Sequence[_Ticket]) -> None:
        try:
            outcomes = await self.elsewhere(lambda: _outcomes(batch))
        except Exception as error:  # it could not be run at all; nobody must wait for ever
            outcomes = [([ticket], error) for ticket in batch]
        self._hand_out(outcomes)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._lines:
            self._wake()

    def _batch(self) -> list[_Ticket]:
        """Take what fits into one run from the line whose turn it is; nothing if none waits, or all may wait on."""
        now = self.clock()
        line = self._next_line(now)
        batch: list[_Ticket] = []
        rows, limit = 0, self._most_rows()
        while line and (not batch or rows + line[0][2].rows <= limit):
            ticket = heapq.heappop(line)[2]
            self.waiting_rows -= ticket.rows
            if self._is_due(ticket, now):
                batch.append(ticket)
                rows += ticket.rows
        self._drop_empty_lines()
        return batch

    def _most_rows(self) -> int:
        """Of a run: as many as can be run here, if any can; more would have to go elsewhere, and take as long a row."""
        most = self.rules.max_batch_size
        return min(most, max(1, int(self.short_ns / self._row_ns))) if 0 < self._row_ns <= self.short_ns else most

    def _next_line(self, now: int) -> _Line | None:
        """The first, by its head, of the lines that may not wait for more; if all may, wake up when one no longer may.

        Callers that left and requests that are too late leave the heads of the lines.
        """
        for line in self._lines.values():
            while line and not self._is_due(line[0][2], now):
                self.waiting_rows -= heapq.heappop(line)[2].rows
        self._drop_empty_lines()
        lefts = []
        for line in sorted(self._lines.values(), key=lambda line: line[0][:2]):
            left_s = self._left_s(line, now)
            if left_s <= 0:
                return line
            lefts.append(left_s)
        if lefts:
            self._wake(min(lefts))
        return None

    def _left_s(self, line: _Line, now: int) -> float:
        """How long a line may wait for more."""
        delay_us = self.rules.max_queue_delay_microseconds
        if not delay_us or self._closed:
            return 0.0
        rows = sum(ticket.rows for _, _, ticket in line)
        if rows >= self.rules.max_batch_size or rows in self.rules.preferred_batch_size:
            return 0.0
        oldest = min(ticket.arrived_ns for _, _, ticket in line)
        return delay_us / 1e6 - (now - oldest) / 1e9

    def _drop_empty_lines(self) -> None:
        for key in [key for key, line in self._lines.items() if not line]:
            del self._lines[key]

    def _is_due(self, ticket: _Ticket, now: int) -> bool:
        if ticket.answer.done():
            return False
        if ticket.left():
            ticket.fail(ClientLeft())
            return False
        if ticket.deadline_ns is not None and now > ticket.deadline_ns:
            waited = (now - ticket.arrived_ns) // 1000
            ticket.fail(QueueTimeout(f"Request timeout expired: it waited {waited} µs"))
            return False
        return True

    def _hand_out(self, outcomes: Sequence[Outcome]) -> None:
        for batch, result in outcomes:
            if isinstance(result, Exception):
                batch[0].fail(result)
                continue
            measured = result.infer_ns / max(1, result.rows)
            self._row_ns = measured if self._row_ns == float("inf") else 0.8 * self._row_ns + 0.2 * measured
            for ticket, part in zip(batch, _parts(batch, result), strict=True):
                if not ticket.answer.done():
                    ticket.answer.set_result(part)


def _outcomes(batch: Sequence[_Ticket]) -> list[Outcome]:
    """Run a batch, in halves if it fails; callers that have left are not run for."""
    batch = [ticket for ticket in batch if not ticket.answer.done()]
    if not batch:
        return []
    try:
        return [(batch, batch[0].run(_merged(batch), len(batch) > 1))]
    except Exception as error:
        if len(batch) == 1:
            return [(batch, error)]
        middle = len(batch) // 2
        return _outcomes(batch[:middle]) + _outcomes(batch[middle:])


def _merged(batch: Sequence[_Ticket]) -> Feeds:
    """The inputs of all requests, one below the other."""
    if len(batch) == 1:
        return batch[0].feeds
    return {name: np.concatenate([ticket.feeds[name] for ticket in batch]) for name in batch[0].feeds}


def _parts(batch: Sequence[_Ticket], whole: Execution) -> Iterator[Execution]:
    """Each request's part: its own rows, as views; the run is counted with the first."""
    if len(batch) == 1:
        yield whole.after(whole.started_ns - batch[0].arrived_ns)
        return
    start = 0
    for ticket in batch:
        rows = {name: array[start : start + ticket.rows] for name, array in whole.outputs.items()}
        sizes = () if start else whole.batch_sizes
        queue_ns = whole.started_ns - ticket.arrived_ns
        yield Execution(rows, ticket.rows, sizes, whole.infer_ns, whole.started_ns, queue_ns)
        start += ticket.rows
