"""The one thread of the process that talks to the GPU.

While ONNX Runtime records a CUDA graph, what any other thread asks of the GPU fails and spoils the recording; and the
graphs that it has recorded belong to the thread that it did so in. So sessions on a GPU are made, run and read in one
thread. Little is lost: the GPU does one thing after the other anyway.

Source: ONNX Runtime, core/providers/cuda/cuda_graph.cc and cuda_execution_provider.cc (a graph works with one thread;
the mode of recording is global).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from threading import get_ident
from typing import TypeVar

T = TypeVar("T")


class Lane:
    """A thread that is there once it is needed; what it is asked for is done in order."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="actserve-gpu", initializer=self._begin)
        self._thread: int | None = None
        self._left: SimpleQueue[Callable[[], object]] = SimpleQueue()
        """What is to be done before the next call."""

    def _begin(self) -> None:
        self._thread = get_ident()

    def call(self, do: Callable[[], T]) -> T:
        """Have it done there, and wait for what comes of it; what it raises is raised here."""
        if get_ident() == self._thread:
            return do()
        return self._executor.submit(self._do, do).result()

    def _do(self, do: Callable[[], T]) -> T:
        while not self._left.empty():
            self._left.get()()
        return do()

    def later(self, do: Callable[..., object], *arguments: object) -> None:
        """Have it done there before the next call; not at all if there is none. It must not raise.

        Finalizers ask for this, and a collection of garbage may call them anywhere: within another executor's `submit`
        too, where to submit here would wait for a lock of the very same thread. A `SimpleQueue` may be put to anywhere.
        """
        self._left.put(partial(do, *arguments))


GPU = Lane()
"""Of the process."""
