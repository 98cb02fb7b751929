"""Threads for the work that must not hold up the event loop: decoding, running models, encoding."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from service.engine import callers
from service.errors import ClientLeft

T = TypeVar("T")


class Pool:
    """A fixed number of threads; calls beyond it wait their turn.

    Args:
        threads: as many as there are processors: the work is arithmetic, more threads would only share them.
    """

    def __init__(self, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="actserve")

    async def run(self, call: Callable[[], T]) -> T:
        """Run the call in a thread; what it raises is raised here.

        Raises:
            ClientLeft: whoever asked for it left while it waited for a thread.
        """
        left = callers.current()

        def unless_left() -> T:
            if left():
                raise ClientLeft()
            return call()

        return await asyncio.get_running_loop().run_in_executor(self._executor, unless_left)

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)
