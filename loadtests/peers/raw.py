"""ONNX Runtime alone: a process a core, one thread each, the same input again and again, no server."""

import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from loadtests.peers.served import Model

WARM_UP_RUNS = 20
WAIT_S = 60
"""For all processes to be ready."""

_all_ready: Barrier


@dataclass(frozen=True, slots=True)
class Raw:
    """What all processes did together, and how long one run took in the median."""

    rows_per_s: float
    run_us: float


def measure(path: Path, array: NDArray[np.float32], processes: int, seconds: float) -> Raw:
    """Run the model on `array` in each process for so long, all at the same time."""
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of other threads
    job = (str(path), array, seconds)
    with context.Pool(processes, _share, (context.Barrier(processes),)) as pool:
        times = pool.starmap(_run, [job] * processes, chunksize=1)
    return Raw(
        sum(len(own) * len(array) / sum(own) for own in times),
        median(time_s for own in times for time_s in own) * 1e6,
    )


def _share(barrier: Barrier) -> None:
    """A barrier can only be inherited, not sent with a job."""
    global _all_ready
    _all_ready = barrier


def _run(path: str, array: NDArray[np.float32], seconds: float) -> list[float]:
    """Seconds of each run."""
    model = Model(path)
    for _ in range(WARM_UP_RUNS):
        model.run(array)
    times = []
    _all_ready.wait(WAIT_S)
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        model.run(array)
        times.append(time.perf_counter() - start)
    return times
