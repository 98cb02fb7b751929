"""How long something takes, and where: the device that is checked, and runs of a model on it in each of the ways."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from service.engine.gpu.host import HostMemory
from service.engine.gpu.memory import CudaMemory, Memory, Resident
from service.engine.gpu.staging import Row, Runs, Staging
from service.engine.runtime.device import Device
from service.engine.runtime.precision import Precision, opened
from service.engine.runtime.session import NO_GRAPH, Session

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


def row_of(session: Session) -> tuple[list[Row], list[Row]]:
    """A row of each input and output of a CNN."""
    inputs, outputs = (
        [Row(s.name, np.dtype(np.float32), tuple(d or 1 for d in (s.shape or ())[1:])) for s in specs]
        for specs in (session.inputs, session.outputs)
    )
    return inputs, outputs


@contextmanager
def ways(content: bytes, here: Here, rows: int, precision: Precision) -> Iterator[dict[str, Runs]]:
    """Runs of a CNN with so many rows, by how they are made."""
    session, _ = opened(content, here.device, precision, "model", captures=True)
    staging = Staging(*row_of(session), rows, Resident(here.memory))
    found: dict[str, Runs] = {
        "plain": lambda feeds, _: session.run(feeds),
        "bound": staging.runs(session, rows, NO_GRAPH),
    }
    if session.captures:
        found["graph"] = staging.runs(session, rows, 1)
    yield found


def images(rows: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((rows, 3, 32, 32)).astype(np.float32)
