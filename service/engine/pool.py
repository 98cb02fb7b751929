"""Threads for the work that must not hold up the event loop: decoding, running models, encoding."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timed(Generic[T]):
    """A result, how long the call waited for a thread, and how long it ran, in milliseconds."""

    result: T
    queue_ms: float
    run_ms: float


class Pool:
    """A fixed number of threads; calls beyond it wait their turn.

    Args:
        threads: as many as there are processors: the work is arithmetic, more threads would only share them.
    """

    def __init__(self, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="actserve")

    async def run(self, call: Callable[[], T]) -> Timed[T]:
        """Run the call in a thread; what it raises is raised here."""
        submitted = time.perf_counter()

        def timed() -> Timed[T]:
            started = time.perf_counter()
            result = call()
            return Timed(result, (started - submitted) * 1e3, (time.perf_counter() - started) * 1e3)

        return await asyncio.get_running_loop().run_in_executor(self._executor, timed)

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)
