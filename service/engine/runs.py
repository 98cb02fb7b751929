"""The runs of all sessions of this process: which are under way, and whether the device still works.

Whoever watches them can tell one that hangs to stop.
"""

import re
from threading import get_ident
from typing import Protocol

DEVICE_FAILURE = re.compile(r"\b(?:CUDA|CUDNN|CUBLAS|CUBLASLT|CUFFT|CURAND|CUSOLVER) failure \d+")
"""How ONNX Runtime tells that a call of the GPU's libraries failed."""
OUT_OF_MEMORY = re.compile(r"out of memory|ALLOC_FAILED", re.IGNORECASE)
"""Such a failure passes: a smaller run, or a later one, may fit."""


class Stoppable(Protocol):
    """Options of one run, of ONNX Runtime: once `terminate` is true the run ends with an error at its next node."""

    terminate: bool


class Runs:
    """Callable from several threads at once: each method is one step for the interpreter."""

    def __init__(self) -> None:
        self._under_way: dict[Stoppable, int] = {}
        self.device_failures = 0
        """How many runs in a row have failed for the device's fault; a GPU's broken context fails every one."""

    def begin(self, options: Stoppable) -> None:
        """A run begins in this thread."""
        self._under_way[options] = get_ident()

    def end(self, options: Stoppable) -> None:
        del self._under_way[options]

    def under_way(self) -> dict[Stoppable, int]:
        """Each run, and the thread that it is in."""
        return self._under_way.copy()

    def is_device_failure(self, text: str) -> bool:
        """Whether an error's text tells of a device that no longer works; if so it is counted."""
        if not DEVICE_FAILURE.search(text) or OUT_OF_MEMORY.search(text):
            return False
        self.device_failures += 1
        return True


RUNS = Runs()
"""Of the process: sessions are made in many places, and one device is all of theirs."""
