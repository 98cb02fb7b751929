"""The one thread of the process that talks to the GPU.

While ONNX Runtime records a CUDA graph, what any other thread asks of the GPU fails and spoils the recording; and the
graphs that it has recorded belong to the thread that it did so in. So sessions on a GPU are made, run and read in one
thread. Little is lost: the GPU does one thing after the other anyway.

Source: ONNX Runtime, core/providers/cuda/cuda_graph.cc and cuda_execution_provider.cc (a graph works with one thread;
the mode of recording is global).
"""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import get_ident
from typing import TypeVar

T = TypeVar("T")


class Lane:
    """A thread that is there once it is needed; what it is asked for is done in order."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="actserve-gpu", initializer=self._begin)
        self._thread: int | None = None

    def _begin(self) -> None:
        self._thread = get_ident()

    def call(self, do: Callable[[], T]) -> T:
        """Have it done there, and wait for what comes of it; what it raises is raised here."""
        if get_ident() == self._thread:
            return do()
        return self._executor.submit(do).result()

    def later(self, do: Callable[..., object], *arguments: object) -> None:
        """Have it done there some time; not at all once the process ends."""
        with contextlib.suppress(RuntimeError):
            self._executor.submit(do, *arguments)


GPU = Lane()
"""Of the process."""
