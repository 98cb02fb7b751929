"""When and where the work of requests is done: at once in the event loop, in a thread, or in a run with others' rows.

Handing work to a thread and back takes longer than most of the work here: a tensor of some thousand numbers is decoded,
run and encoded in less. So short work is done in the loop, and only what is long goes to the threads of the pool; what
is short is the caller's to say, but for runs of models, which the batcher measures.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from weakref import WeakKeyDictionary

from service.engine.batching import Batcher
from service.engine.model import Execution, Model
from service.engine.pool import Pool
from service.engine.rules import Rules
from service.engine.session import Device, Tensor

T = TypeVar("T")

SHORT_RUN_NS = 5_000_000
"""A run that is expected to take less is made in the event loop, on the CPU: the processor would be as busy with it in
a thread. On a GPU it only waits for the run, and the loop has better to do."""


@dataclass(slots=True)
class Scheduler:
    """For one event loop, in whose thread all its methods are called."""

    pool: Pool
    device: Device
    short_run_ns: int = SHORT_RUN_NS
    _batchers: "WeakKeyDictionary[Model, Batcher]" = field(default_factory=WeakKeyDictionary, init=False)

    async def work(self, call: Callable[[], T], *, short: bool) -> T:
        """Call here, or in a thread."""
        return call() if short else await self.pool.run(call)

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
