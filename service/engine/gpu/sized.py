"""A model's runs on a GPU, in a few sizes that were all tried before it is served.

A run of a size that was not seen before makes ONNX Runtime and cuDNN look for memory and for a way to run it. So a
batch is filled up to the next of a few sizes, and what comes of the filling is cut off: the rows are independent.

Of the ways to run a size the fastest is taken, if it gives what a plain run gives:

* `plain`: ONNX Runtime copies from ordinary memory to the device, and back to memory that it takes anew.
* `bound`: through memory that is made once (`service.engine.gpu.staging`).
* `graph`: that too, and what a run asks of the GPU was recorded once as a CUDA graph, and is asked for at once.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np

from service.engine import trying
from service.engine.gpu.memory import Resident
from service.engine.gpu.staging import Row, Runs, Staging
from service.engine.runtime.session import NO_GRAPH, Session, Tensor
from service.errors import ServiceError

log = logging.getLogger("actserve.gpu")

Way: TypeAlias = Literal["plain", "bound", "graph"]

MAX_BYTES = 64 * 2**20
"""Of all inputs and outputs of one run; larger ones are run plainly and are not filled up."""

TRIED_RUNS = 7
"""Of each way and size. The fastest of them counts: the first still prepare, and other work only makes one slower."""
TRIED_NS = 100_000_000
"""After which no more are made; then they take so long that little else counts."""

TOLERANCE = 1e-4
"""Between two ways, by an output's largest value: for one size cuDNN may choose another algorithm each time."""


def sizes(most_rows: int, row_bytes: int) -> tuple[int, ...]:
    """Powers of two up to the most rows of a run, and that number; as far as they take no more than `MAX_BYTES`."""
    powers = {2**power for power in range(most_rows.bit_length())} | {most_rows}
    return tuple(sorted(size for size in powers if size * row_bytes <= MAX_BYTES))


class Sized:
    """One model's runs, one at a time; callable from several threads. To make it takes some runs of every size.

    Args:
        session: of a model whose rows are independent.
        inputs, outputs: a row of each.
        most_rows: of one run.
        resident: what is on the device already.
        wanted: the fastest way, or one of them wherever it works.
        clock: nanoseconds.

    Attributes:
        ways: by the sizes that are run, how.

    Raises:
        ModelFailed: it does not run on random numbers.
        DeviceFailed: there is not enough memory, or the device does not work.
    """

    def __init__(
        self,
        session: Session,
        inputs: Sequence[Row],
        outputs: Sequence[Row],
        most_rows: int,
        resident: Resident,
        *,
        wanted: Literal["auto", "bound", "plain"] = "auto",
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._session = session
        self._inputs = inputs
        self._clock = clock
        self._lane = resident.lane
        self._runs: dict[int, Runs] = {}
        self.ways: dict[int, Way] = {}
        found = sizes(most_rows, sum(row.bytes for row in (*inputs, *outputs)))
        if not found:
            return
        self._lane.call(lambda: self._prepare(found, Staging(inputs, outputs, found[-1], resident), wanted))

    def _prepare(self, found: Sequence[int], staging: Staging, wanted: str) -> None:
        session = self._session
        for graph, size in enumerate(found, start=1):
            candidates = ways(session, staging, size, graph)
            way = self._fastest(size, candidates, wanted)
            self.ways[size], self._runs[size] = way, candidates[way]

    def run(self, feeds: Mapping[str, Tensor], rows: int) -> tuple[dict[str, Tensor], int]:
        """The outputs for the rows, and how many rows the run had.

        Raises:
            ModelFailed, RunStopped, DeviceFailed: as `Session.run`.
        """
        size = next((size for size in self._runs if size >= rows), None)
        if size is None:
            return self._session.run(feeds), rows
        return self._lane.call(lambda: self._runs[size](feeds, rows)), size

    def _fastest(self, size: int, candidates: Mapping[Way, Runs], chosen: str) -> Way:
        feeds = {row.name: trying.numbers((size, *row.shape), row.dtype) for row in self._inputs}
        wanted = candidates["plain"](feeds, size)
        times: dict[Way, int] = {}
        for way, runs in candidates.items():
            try:
                found = self._tried(runs, feeds, size, wanted)
            except ServiceError as error:
                log.warning("runs of %d rows cannot be %s: %s", size, way, error)
                continue
            if found is None:
                log.warning("runs of %d rows give other numbers when they are %s; so they are not", size, way)
            else:
                times[way] = found
        allowed = [way for way in times if chosen in ("auto", way)]
        return min(allowed, key=times.__getitem__) if allowed else "plain"

    def _tried(self, runs: Runs, feeds: Mapping[str, Tensor], rows: int, wanted: Mapping[str, Tensor]) -> int | None:
        """The nanoseconds of the fastest of some runs; None if one gives something else."""
        times: list[int] = []
        while len(times) < TRIED_RUNS and sum(times) < TRIED_NS:
            started = self._clock()
            outputs = runs(feeds, rows)
            times.append(self._clock() - started)
            if not all(trying.is_close(outputs[name], array, TOLERANCE) for name, array in wanted.items()):
                return None
        return min(times)


def ways(session: Session, staging: Staging, size: int, graph: int) -> dict[Way, Runs]:
    """Every way in which a session can be run with so many rows.

    Args:
        graph: as `Session.bind`.
    """
    found: dict[Way, Runs] = {"plain": _plain(session, size), "bound": staging.runs(session, size, NO_GRAPH)}
    if session.captures:
        found["graph"] = staging.runs(session, size, graph)
    return found


def _plain(session: Session, size: int) -> Runs:
    def run(feeds: Mapping[str, Tensor], rows: int) -> dict[str, Tensor]:
        outputs = session.run({name: _filled_up(array, size) for name, array in feeds.items()})
        return {name: array[:rows] for name, array in outputs.items()}

    return run


def _filled_up(array: Tensor, rows: int) -> Tensor:
    if len(array) == rows:
        return array
    filled = np.zeros((rows, *array.shape[1:]), array.dtype)
    filled[: len(array)] = array
    return filled
