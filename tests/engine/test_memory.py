"""Freed memory is kept where the C library can be told so, and elsewhere nothing happens."""

import ctypes
import subprocess
import sys
from collections.abc import Callable

import pytest

from service.engine.memory import keep_large_blocks

FAULTS = """
import resource
import numpy as np
from service.engine.memory import keep_large_blocks

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(2**20, np.float32)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

plain = faults()
kept = keep_large_blocks()
faults()
print(kept, faults() * 4 < plain)
"""


def test_blocks_of_megabytes_are_used_again() -> None:
    """A page of 4 KiB is a fault each time that it is taken anew: 20 times 1,024 of them."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    kept, fewer = done.stdout.split()
    assert kept == fewer


@pytest.mark.parametrize("fault", [OSError, TypeError])
def test_without_such_a_library_nothing_happens(monkeypatch: pytest.MonkeyPatch, fault: type[Exception]) -> None:
    def none(name: str | None) -> Callable[..., int]:
        raise fault

    monkeypatch.setattr(ctypes, "CDLL", none)
    assert not keep_large_blocks()


def test_a_library_without_the_function_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not keep_large_blocks()
