"""How long something takes, and where: the device that is checked, and runs of a model on it in each of the ways."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from models.gpu.findings import Goal
from service.engine.gpu.host import HostMemory
from service.engine.gpu.memory import CudaMemory, Memory, Resident
from service.engine.gpu.sized import Way, ways
from service.engine.gpu.staging import Row, Runs, Staging
from service.engine.runtime.device import Device
from service.engine.runtime.precision import Precision, opened

REPOSITORY = Path("models/repository")
WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Here:
    """What is checked.

    Attributes:
        memory: the device's; of the host where there is no GPU, so that all is tried all the same.
        seconds: for one figure.
    """

    device: Device
    memory: Memory
    seconds: float

    @classmethod
    def of(cls, device: Device, seconds: float) -> "Here":
        """As the service would.

        Raises:
            FileNotFoundError: there is a GPU and not NVIDIA's runtime library.
        """
        if device.kind == "cpu":
            return cls(device, HostMemory(), seconds)
        memory = CudaMemory.load()
        if memory is None:
            raise FileNotFoundError("NVIDIA's runtime library libcudart is not there")
        return cls(device, memory, seconds)

    @property
    def on_gpu(self) -> bool:
        return self.device.kind == "cuda"

    def judged(self, text: str, holds: bool, note: str) -> Goal:
        """A goal of the GPU's, of which a CPU can say nothing.

        Args:
            note: what was measured.
        """
        if not self.on_gpu:
            return Goal(text, "not measured", f"no GPU here; on the CPU: {note}")
        return Goal(text, "yes" if holds else "no", note)


def models() -> dict[str, bytes]:
    """The served models' files, by name."""
    return {path.parts[-3]: path.read_bytes() for path in sorted(REPOSITORY.glob("*/1/model.onnx"))}


def timed(run: Callable[[], object], seconds: float) -> float:
    """Seconds of one call, the median of as many as fit."""
    for _ in range(WARM_UP):
        run()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not times:
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return median(times)


def runs(content: bytes, here: Here, rows: int, precision: Precision) -> dict[Way, Runs]:
    """Runs of a CNN with so many rows, by how they are made."""
    session, _ = opened(content, here.device, precision, "model", captures=True)
    inputs, outputs = (
        [Row(spec.name, np.dtype(np.float32), tuple(d or 1 for d in (spec.shape or ())[1:])) for spec in specs]
        for specs in (session.inputs, session.outputs)
    )
    return ways(session, Staging(inputs, outputs, rows, Resident(here.memory)), rows, graph=1)


def images(rows: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((rows, 3, 32, 32)).astype(np.float32)
