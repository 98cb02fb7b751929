"""When and where the work of requests is done: soon in the event loop, in a thread, or in a run with others' rows.

Handing work to a thread and back takes longer than most of the work here: a tensor of some thousand numbers is decoded,
run and encoded in less. So short work is done in the loop, and only what is long goes to the threads of the pool; what
is short is the caller's to say, but for runs of models, which the batcher measures.

Much short work is long: a hundred requests that come at once would each be decoded in the same round of the loop, and
nobody else would be heard meanwhile. So once a round has spent some milliseconds on it, requests that have not begun
wait in line, and one of them begins in each round: the first are answered first, not all at the end.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from weakref import WeakKeyDictionary

from service.engine import callers
from service.engine.batching import Batcher
from service.engine.model import Execution, Model
from service.engine.pool import Pool
from service.engine.rules import Rules
from service.engine.runtime.device import Device
from service.engine.runtime.session import Tensor

T = TypeVar("T")

SHORT_RUN_NS = 10_000_000
"""A run that is expected to take less is made in the event loop, on the CPU: the processor would be as busy with it in
a thread. On a GPU it only waits for the run, and the loop has better to do."""


ROUND_NS = 5_000_000
"""Of short work in one round of the event loop; the last of it may take longer."""


@dataclass(slots=True)
class Scheduler:
    """For one event loop, in whose thread all its methods are called."""

    pool: Pool
    device: Device
    short_run_ns: int = SHORT_RUN_NS
    _spent_ns: int = field(default=0, init=False)
    """On short work, in this round of the event loop."""
    _line: deque[asyncio.Future[None]] = field(default_factory=deque, init=False)
    """Of requests that have not begun."""
    _batchers: "WeakKeyDictionary[Model, Batcher]" = field(default_factory=WeakKeyDictionary, init=False)

    async def work(self, call: Callable[[], T], *, short: bool) -> T:
        """Call here, or in a thread."""
        if not short:
            callers.current().begun = True
            return await self.pool.run(call)
        await self.turn()
        started = time.perf_counter_ns()
        try:
            return call()
        finally:
            self.spent(time.perf_counter_ns() - started)

    async def turn(self) -> None:
        """Wait until the request whose task this is may begin; one that has goes on at once.

        Raises:
            ClientLeft, DeadlineExceeded: meanwhile its client left, or its time was over.
        """
        caller = callers.current()
        if caller.begun:
            return
        caller.begun = True
        if self._spent_ns <= ROUND_NS and not self._line:
            return
        place = asyncio.get_running_loop().create_future()
        self._line.append(place)
        since = time.perf_counter_ns()
        await place
        caller.waited_ns = time.perf_counter_ns() - since
        caller.check()

    def spent(self, ns: int) -> None:
        """Count what was done in this round."""
        if not self._spent_ns:
            asyncio.get_running_loop().call_soon(self._next_round)
        self._spent_ns += ns

    def _next_round(self) -> None:
        self._spent_ns = 0
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_result(None)
                break
        if self._line:
            self.spent(1)

    def submit(
        self, model: Model, feeds: Mapping[str, Tensor], *, priority: int = 0, timeout_us: int | None = None
    ) -> Awaitable[Execution]:
        """Run a model on a request's inputs, together with those of others.

        Args:
            feeds: what the model's `check` lets through.
            priority: 1 is the highest; 0 is none.
            timeout_us: how long the request may wait; None for what the model's rules say.

        Raises:
            QueueFull, ModelUnavailable: the request is not taken. The rest, and QueueTimeout, is raised when awaited.
        """
        batcher = self._batchers.get(model)
        if batcher is None:
            batcher = self._batchers[model] = self._batcher(model.rules)
        ordered = model.ordered(feeds)
        return batcher.submit(model.execute, ordered, model.rows(ordered), priority=priority, timeout_us=timeout_us)

    def _batcher(self, rules: Rules) -> Batcher:
        return Batcher(rules, self.pool.run, self.short_run_ns if self.device.kind == "cpu" else 0)

    def waiting(self) -> list[tuple[Model, int, int]]:
        """Each model that has been asked, how many requests wait for it, and how many rows they have."""
        return [(model, batcher.waiting, batcher.waiting_rows) for model, batcher in self._batchers.items()]

    async def close(self) -> None:
        """Answer all that wait, and take no more."""
        for batcher in list(self._batchers.values()):
            await batcher.close()
        await asyncio.to_thread(self.pool.close)  # a call that hangs must not hang the loop too
