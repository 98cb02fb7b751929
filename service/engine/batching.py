"""Merges the requests that wait for a model into runs.

A batch is cut when there is a free slot to run it in, from what waits at that moment: so a lone request leaves at once,
and the busier the model is, the more wait, and the larger the batches get. No timer is needed; a delay can be set.

What counts is rows, not requests. A caller that has gone is skipped. Requests whose shapes cannot be merged wait in
lines of their own, and the line of the oldest request comes first. A batch that fails is halved until the bad request
fails alone. A request that waits too long is dropped when its time is over, whatever runs meanwhile; one that would, by
the pace of the model, is not taken at all.

A run that is expected to be short is made here and now, in the event loop's thread. To hand it to another one and back
takes longer than the run of a small CNN, and while the other waits for the interpreter's lock this one has to give it
up. On a CPU nothing is lost: the processors are busy either way. So if a row is short, no more are merged than make a
short run. What is longer, or of unknown length, goes elsewhere.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import TypeAlias

from service.engine import callers
from service.engine.callers import NEVER
from service.engine.model import Execution
from service.engine.pace import Pace
from service.engine.rules import Rules
from service.engine.tickets import Batch, Feeds, Outcome, Run, Ticket, parts
from service.errors import QueueFull, Stopping, TooLongAWait

Elsewhere: TypeAlias = Callable[[Callable[[], list[Outcome]]], Awaitable[list[Outcome]]]
"""Calls in another thread, and gives back what comes of it."""

LOWEST = 2**64
"""The place of a request without a priority: behind all that have one. 1 is the highest, as in Triton."""

PUNCTUAL = 0.8
"""What is expected to wait for more than this share of its time is not taken: it might come too late."""

GRAIN_NS = 10_000_000
"""Least time between two looks for requests that are too late: each goes through all that wait."""


_Line: TypeAlias = list[tuple[int, int, Ticket]]
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
    _running: dict[asyncio.Task[None], Batch] = field(default_factory=dict, init=False)
    _woken: asyncio.Handle | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)
    _pace: Pace = field(default_factory=Pace, init=False)
    _leaving: tuple[int, int] | None = field(default=None, init=False)
    """How many rows left their line last, and when; None unless others could have left it next."""
    _first_due_ns: int = field(default=NEVER, init=False)
    """Before this nothing that waits is too late."""
    _look_ns: int = field(default=NEVER, init=False)
    """When it is looked for what is."""

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
            QueueFull, ModelUnavailable: it is not taken. One without a priority is not, if what waits is known to take
                longer than it may wait; one with a priority goes before that.
        """
        if self._closed:
            raise Stopping()
        if self.waiting_rows + rows > self.rules.max_queue_size and self.waiting_rows:
            raise QueueFull(f"Exceeds maximum queue size: {self.waiting_rows} rows wait")
        ticket = self._ticket(run, feeds, rows, timeout_us)
        if self.waiting_rows * self._pace.row_ns > PUNCTUAL * (ticket.due_ns - ticket.arrived_ns) and not priority:
            raise self._too_long_a_wait()
        if ticket.due_ns < self._first_due_ns:
            self._first_due_ns = ticket.due_ns
        line = self._lines.setdefault(self._key(feeds), [])
        heapq.heappush(line, (priority or LOWEST, next(self._numbers), ticket))
        self.waiting_rows += rows
        if self._woken is None or self.rules.max_queue_delay_microseconds:
            self._wake()
        return ticket.answer

    def _ticket(self, run: Run, feeds: Feeds, rows: int, timeout_us: int | None) -> Ticket:
        now = self.clock()
        limit_us = self.rules.default_timeout_microseconds if timeout_us is None else timeout_us
        timeout_ns = now + limit_us * 1000 if limit_us else NEVER
        caller = callers.current()
        due_ns = timeout_ns if timeout_ns < caller.deadline_ns else caller.deadline_ns  # `min` takes longer
        answer = asyncio.get_running_loop().create_future()
        numbers = 0
        for array in feeds.values():
            numbers += array.size
        return Ticket(run, feeds, rows, numbers, now, timeout_ns, due_ns, answer, caller)

    def _too_long_a_wait(self) -> TooLongAWait:
        wait_s = self.waiting_rows * self._pace.row_ns / 1e9
        text = f"{self.waiting_rows} rows wait, which take about {wait_s:.3g} s: longer than this one may"
        return TooLongAWait(text, wait_s)

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
        """Fill the free slots, and see to it that what does not fit is not forgotten."""
        self._woken = None
        self._fill()
        if not self._lines and not self._running:
            self._first_due_ns = NEVER
        elif self._first_due_ns < self._look_ns:
            self._look_at(self._first_due_ns)

    def _fill(self) -> None:
        while len(self._running) < self.rules.count:
            batch = self._batch()
            if not batch.tickets:
                return
            if self._pace.number_ns * batch.numbers <= self.short_ns:
                self._hand_out(batch, batch.run())
                if self._lines and self._woken is None:
                    self._wake()  # and not at once: the loop has other work too
                return
            # In a context of its own: this one is that of one of the requests, whose client may leave.
            task = asyncio.get_running_loop().create_task(self._answer(batch), context=Context())
            self._running[task] = batch
            task.add_done_callback(self._done)

    async def _answer(self, batch: Batch) -> None:
        try:
            outcomes = await self.elsewhere(batch.run)
        except Exception as error:  # it could not be run at all; nobody must wait for ever
            outcomes = [(batch.tickets, error)]
        self._hand_out(batch, outcomes)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        if self._lines:
            self._wake()

    def _look_at(self, moment_ns: int) -> None:
        """Look then for what is too late; a look that was to be later finds nothing new."""
        now = self.clock()
        self._look_ns = max(moment_ns, now + GRAIN_NS)
        asyncio.get_running_loop().call_later((self._look_ns - now) / 1e9, self._look, self._look_ns)

    def _look(self, moment_ns: int) -> None:
        """Drop what is too late, in line or in a batch that waits for a thread."""
        if moment_ns != self._look_ns:
            return  # another look was set for an earlier moment
        self._look_ns = NEVER
        now = self.clock()
        for line in self._lines.values():
            line[:] = [place for place in line if place[2].waits(now)]
            heapq.heapify(line)
        self._drop_empty_lines()
        self.waiting_rows = sum(ticket.rows for ticket in self._in_line())
        in_batches = (ticket for batch in self._running.values() if not batch.begun for ticket in batch.tickets)
        still = itertools.chain(self._in_line(), (ticket for ticket in in_batches if ticket.waits(now)))
        self._first_due_ns = min((ticket.due_ns for ticket in still), default=NEVER)
        if self._first_due_ns != NEVER:
            self._look_at(self._first_due_ns)

    def _in_line(self) -> Iterator[Ticket]:
        return (ticket for line in self._lines.values() for _, _, ticket in line)

    def _batch(self) -> Batch:
        """Take what fits into one run from the line whose turn it is; nothing if none waits, or all may wait on."""
        now = self.clock()
        line = self._next_line(now)
        batch: list[Ticket] = []
        numbers, rows, limit = 0, 0, self._most_rows(line[0][2]) if line else 0
        while line and (not batch or rows + line[0][2].rows <= limit):
            ticket = heapq.heappop(line)[2]
            self.waiting_rows -= ticket.rows
            if ticket.waits(now):
                batch.append(ticket)
                rows += ticket.rows
                numbers += ticket.numbers
        self._drop_empty_lines()
        if self._leaving:
            self._pace.left(self._leaving[0], now - self._leaving[1])
        self._leaving = (rows, now) if rows and self._lines else None
        return Batch(batch, numbers)

    def _most_rows(self, first: Ticket) -> int:
        """Of a run: as many as can be run here, if any can; more would have to go elsewhere, and take as long a row."""
        most, row_ns = self.rules.max_batch_size, self._pace.number_ns * first.numbers / (first.rows or 1)
        return min(most, max(1, int(self.short_ns / row_ns))) if 0 < row_ns <= self.short_ns else most

    def _next_line(self, now: int) -> _Line | None:
        """The first, by its head, of the lines that may not wait for more; if all may, wake up when one no longer may.

        Callers that left and requests that are too late leave the heads of the lines.
        """
        for line in self._lines.values():
            while line and not line[0][2].waits(now):
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

    def _hand_out(self, batch: Batch, outcomes: Sequence[Outcome]) -> None:
        for tickets, result in outcomes:
            if isinstance(result, Exception):
                for ticket in tickets:
                    ticket.fail(result)
                continue
            numbers = batch.numbers if len(outcomes) == 1 else sum([ticket.numbers for ticket in tickets])
            self._pace.ran(result.infer_ns, numbers)
            for ticket, part in zip(tickets, parts(tickets, result), strict=True):
                if not ticket.answer.done():
                    ticket.answer.set_result(part)
