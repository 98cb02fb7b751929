"""Threads for the work that must not hold up the event loop: decoding, running models, encoding."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from service.engine import callers
from service.errors import DeadlineExceeded

T = TypeVar("T")


class Pool:
    """A fixed number of threads, for one event loop; calls beyond it wait their turn.

    Args:
        threads: as many as there are processors: the work is arithmetic, more threads would only share them.
    """

    def __init__(self, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="actserve")
        self._threads = threads
        self._under_way = 0

    async def run(self, call: Callable[[], T]) -> T:
        """Run the call in a thread; what it raises is raised here.

        Raises:
            ClientLeft, DeadlineExceeded: whoever asked for it left while it waited for a thread, or its time was over.
        """
        caller = callers.current()
        begun = False

        def if_wanted() -> T:
            nonlocal begun
            caller.check()
            begun = True
            return call()

        future = asyncio.get_running_loop().run_in_executor(self._executor, if_wanted)
        self._under_way += 1
        try:
            if self._under_way > self._threads and caller.deadline_ns != callers.NEVER:
                return await _in_time(future, caller.deadline_ns, lambda: begun)
            return await future
        finally:
            self._under_way -= 1

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)


async def _in_time(future: asyncio.Future[T], deadline_ns: int, begun: Callable[[], bool]) -> T:
    """What comes of a call that waits for a thread; if it still does at the deadline, it is dropped there and then."""
    late = False

    def drop() -> None:
        nonlocal late
        late = not begun()
        if late:
            future.cancel()

    left_s = (deadline_ns - time.perf_counter_ns()) / 1e9
    timer = asyncio.get_running_loop().call_later(max(0.0, left_s), drop)
    try:
        return await future
    except asyncio.CancelledError:
        if late:
            raise DeadlineExceeded() from None
        raise
    finally:
        timer.cancel()
