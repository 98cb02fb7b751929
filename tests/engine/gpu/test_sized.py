"""Runs in a few sizes, filled up, through memory that is made once; in the fastest of the ways that give the same.

ONNX Runtime binds memory of the host as it does a GPU's, so all but the GPU itself is real here.
"""

import ctypes
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytest
from onnx import helper

from service.engine.gpu.host import HostMemory
from service.engine.gpu.memory import Resident
from service.engine.gpu.sized import MAX_BYTES, TRIED_RUNS, Sized, sizes
from service.engine.gpu.staging import Row
from service.engine.runtime.device import Device
from service.engine.runtime.session import NO_GRAPH, Place, Session
from service.errors import DeviceFailed, ModelFailed
from tests.engine.making import in_threads, node, plain, serialised

ROW = np.dtype(np.float32)
INPUT, OUTPUT = [Row("x", ROW, (3,))], [Row("y", ROW, (3,))]


@pytest.mark.parametrize(
    ("most", "row_bytes", "expected"),
    [
        (1, 4, (1,)),
        (8, 4, (1, 2, 4, 8)),
        (6, 4, (1, 2, 4, 6)),
        (64, MAX_BYTES // 16, (1, 2, 4, 8, 16)),
        (64, MAX_BYTES + 1, ()),
    ],
)
def test_sizes_are_powers_of_two_and_the_largest(most: int, row_bytes: int, expected: tuple[int, ...]) -> None:
    assert sizes(most, row_bytes) == expected


class Ticking:
    """A clock that says of each run how long it took: nanoseconds by the way, which are tried in this order."""

    def __init__(self, *per_way: int) -> None:
        self._times = self._readings(per_way)

    def __call__(self) -> int:
        return next(self._times)

    def _readings(self, per_way: tuple[int, ...]) -> Iterator[int]:
        while True:
            for ns in per_way:
                for _ in range(TRIED_RUNS):
                    yield 0
                    yield ns


def sized(session: Any, *per_way: int, most: int = 4, memory: HostMemory | None = None) -> Sized:
    resident = Resident(memory or HostMemory())
    return Sized(session, INPUT, OUTPUT, most, resident, clock=Ticking(*per_way))


def real() -> Session:
    return Session.load(plain(add=1.0), Device.cpu())


def x(rows: int) -> np.ndarray:
    return np.arange(3.0 * rows, dtype=np.float32).reshape(rows, 3)


@pytest.mark.parametrize(("per_way", "way"), [((1, 2), "plain"), ((2, 1), "bound")])
@pytest.mark.parametrize(("rows", "size"), [(0, 1), (1, 1), (2, 2), (3, 4), (4, 4)])
def test_a_batch_is_filled_up_to_the_next_size_and_cut_off_again(
    rows: int, size: int, per_way: tuple[int, int], way: str
) -> None:
    runs = sized(real(), *per_way)
    outputs, run = runs.run({"x": x(rows)}, rows)

    np.testing.assert_array_equal(outputs["y"], x(rows) + 1)
    assert (run, runs.ways) == (size, dict.fromkeys((1, 2, 4), way))


def test_more_rows_than_the_largest_size_are_run_as_they_are() -> None:
    outputs, size = sized(real(), 2, 1).run({"x": x(5)}, 5)
    np.testing.assert_array_equal(outputs["y"], x(5) + 1)
    assert size == 5


def test_rows_too_large_for_any_size_are_run_as_they_are() -> None:
    row = [Row("x", ROW, (MAX_BYTES,))]
    runs = Sized(real(), row, OUTPUT, 4, Resident(HostMemory()))
    assert runs.run({"x": x(2)}, 2)[1] == 2
    assert runs.ways == {}


def test_only_the_rows_that_were_sent_are_copied() -> None:
    memory = HostMemory()
    runs = sized(real(), 2, 1, memory=memory)
    memory.copies.clear()
    runs.run({"x": x(3)}, 3)
    assert memory.copies == [("to device", 36), ("to host", 36)]


def test_outputs_are_the_callers_own() -> None:
    runs = sized(real(), 2, 1)
    first, _ = runs.run({"x": x(2)}, 2)
    runs.run({"x": -x(2)}, 2)
    np.testing.assert_array_equal(first["y"], x(2) + 1)


def test_an_array_that_is_on_the_device_is_not_sent_again() -> None:
    memory = HostMemory()
    resident = Resident(memory)
    runs = Sized(real(), INPUT, OUTPUT, 4, resident, clock=Ticking(2, 1))
    array = x(3)
    with resident.keep([array]):
        runs.run({"x": array}, 3)
        memory.copies.clear()
        kept, _ = runs.run({"x": array}, 3)
        copied, _ = runs.run({"x": array.copy()}, 3)
    assert [what for what, _ in memory.copies] == ["within", "to host", "to device", "to host"]
    np.testing.assert_array_equal(kept["y"], copied["y"])
    assert resident.of(array) is None


def test_an_array_that_is_not_contiguous_is_kept_all_the_same() -> None:
    resident = Resident(HostMemory())
    runs = Sized(real(), INPUT, OUTPUT, 4, resident, clock=Ticking(2, 1))
    array = np.asfortranarray(x(3))
    with resident.keep([array]):
        np.testing.assert_array_equal(runs.run({"x": array}, 3)[0]["y"], x(3) + 1)


def test_many_threads_get_their_own_rows() -> None:
    runs = sized(real(), 2, 1)
    wrong: list[int] = []

    def work(seed: int) -> None:
        for rows in (1, 2, 3, 4) * 10:
            sent = x(rows) + seed
            if not np.array_equal(runs.run({"x": sent}, rows)[0]["y"], sent + 1):
                wrong.append(seed)

    in_threads(work)
    assert not wrong


@dataclass
class Faked:
    """A session that adds 1, with CUDA graphs; some ways of it can be made to fail or to be wrong.

    Attributes:
        bound: what runs with fixed memory do, by whether they are graphs.
        graphs: the numbers that were asked for.
    """

    bound: Mapping[bool, Callable[[], float]] = field(default_factory=dict)
    captures: bool = True
    graphs: list[int] = field(default_factory=list)
    noise: float = 0.0

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.noise *= -2
        return {"y": feeds["x"] + 1 + self.noise}

    def bind(
        self, device: str, inputs: Mapping[str, Place], outputs: Mapping[str, Place], *, graph: int
    ) -> Callable[[], None]:
        assert device == "cpu"
        if graph != NO_GRAPH:
            self.graphs.append(graph)
        ready = real().bind(device, inputs, outputs)

        def run() -> None:
            wrong = self.bound.get(graph != NO_GRAPH, lambda: 0.0)()
            ready()
            if wrong:
                ctypes.memset(outputs["y"].address, 0x41, 4)

        return run


def fails() -> float:
    raise ModelFailed("CUDA graphs are not for this model")


def broken() -> float:
    raise DeviceFailed("the device that the model runs on does not work")


def wrong() -> float:
    return 1.0


@pytest.mark.parametrize(
    ("faults", "per_way", "way"),
    [
        ({}, (3, 2, 1), "graph"),
        ({}, (3, 1, 2), "bound"),
        ({}, (1, 2, 3), "plain"),
        ({True: wrong}, (3, 2, 1), "bound"),
        ({False: wrong}, (3, 2, 1), "graph"),
        ({False: wrong, True: wrong}, (3, 2, 1), "plain"),
    ],
)
def test_the_fastest_way_that_gives_the_same_is_taken(
    faults: Mapping[bool, Callable[[], float]], per_way: tuple[int, int, int], way: str
) -> None:
    assert sized(Faked(faults), *per_way, most=1).ways == {1: way}


@pytest.mark.parametrize("fault", [fails, broken])
def test_a_way_that_fails_is_not_taken_and_the_log_says_why(
    fault: Callable[[], float], caplog: pytest.LogCaptureFixture
) -> None:
    runs = sized(Faked({True: fault}), 3, 2, most=1)
    assert runs.ways == {1: "bound"}
    assert "runs of 1 rows cannot be graph: " in caplog.text


def test_a_way_that_gives_other_numbers_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    sized(Faked({True: wrong}), 3, 2, 1, most=1)
    assert "runs of 1 rows give other numbers when they are graph; so they are not" in caplog.text


def test_each_size_has_a_graph_of_its_own() -> None:
    """ONNX Runtime does not look whether a number is used again for another size. 0 is its own."""
    session = Faked()
    sized(session, 3, 2, 1)
    assert session.graphs == [1, 2, 3]


def test_without_graphs_there_are_two_ways() -> None:
    session = Faked(captures=False)
    assert sized(session, 3, 2).ways == dict.fromkeys((1, 2, 4), "bound")
    assert session.graphs == []


@pytest.mark.parametrize(("wanted", "way"), [("plain", "plain"), ("bound", "bound"), ("auto", "graph")])
def test_a_way_may_be_asked_for(wanted: Literal["auto", "bound", "plain"], way: str) -> None:
    resident = Resident(HostMemory())
    runs = Sized(Faked(), INPUT, OUTPUT, 4, resident, wanted=wanted, clock=Ticking(3, 2, 1))  # type: ignore[arg-type]
    assert set(runs.ways.values()) == {way}


def test_a_way_that_was_asked_for_and_does_not_work_is_not_taken() -> None:
    resident = Resident(HostMemory())
    runs = Sized(Faked({False: fails}), INPUT, OUTPUT, 1, resident, wanted="bound")  # type: ignore[arg-type]
    assert runs.ways == {1: "plain"}


def test_a_model_that_never_gives_the_same_is_run_plainly() -> None:
    assert set(sized(Faked(noise=1.0), 3, 2, 1).ways.values()) == {"plain"}


@pytest.mark.parametrize("dtype", [np.int64, np.bool_, np.float16])
def test_inputs_may_be_of_any_kind_of_number(dtype: type) -> None:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    session = Session.load(serialised(node("Identity"), element=element), Device.cpu())
    rows = [Row("x", np.dtype(dtype), (3,))], [Row("y", np.dtype(dtype), (3,))]
    runs = Sized(session, *rows, 4, Resident(HostMemory()), clock=Ticking(2, 1))
    sent = np.array([[1, 0, 1]] * 3, dtype)
    np.testing.assert_array_equal(runs.run({"x": sent}, 3)[0]["y"], sent)
    assert set(runs.ways.values()) == {"bound"}
