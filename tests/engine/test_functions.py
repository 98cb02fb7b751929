"""Activation sessions are built once for each set of parameters, kept within bounds, and checked against the data."""

import numpy as np
import pytest

from service.activations.catalogue import find
from service.engine.functions import Functions
from service.engine.runtime.device import Device
from service.engine.vitals import resident_bytes
from service.errors import BadRequest
from tests.engine.making import in_threads


@pytest.fixture
def engine() -> Functions:
    return Functions(Device.cpu(), threads=1, capacity=3)


def test_the_same_parameters_share_a_session(engine: Functions) -> None:
    row = find("elu")
    x = np.array([-1.0, 1.0], np.float32)
    first = engine.apply(row, row.bind({"alpha": 2}), x, "exact")
    second = engine.apply(row, row.bind({"alpha": 2.0}), x, "exact")

    np.testing.assert_array_equal(first, second)
    assert len(engine._sessions) == 1


def test_the_cache_is_bounded_and_drops_the_least_recently_used(engine: Functions) -> None:
    row = find("elu")
    x = np.zeros(1, np.float32)
    for alpha in (1.0, 2.0, 3.0, 1.0, 4.0):
        engine.apply(row, row.bind({"alpha": alpha}), x, "exact")

    kept = {dict(key[1])["alpha"] for key in engine._sessions}
    assert kept == {1.0, 3.0, 4.0}


def test_tensors_as_parameters_are_told_apart_by_shape_and_content(engine: Functions) -> None:
    row = find("prelu")
    x = np.full((2, 2), -1.0, np.float32)
    for slope, expected in (([0.5, 0.25], [[-0.5, -0.25]] * 2), ([[0.5], [0.25]], [[-0.5] * 2, [-0.25] * 2])):
        computed = engine.apply(row, row.bind({"slope": slope}), x, "exact")
        np.testing.assert_array_equal(computed, expected)


@pytest.mark.parametrize("shape", [(), (0,), (0, 4), (4, 0), (1,), (2, 3, 4, 5)])
@pytest.mark.parametrize("name", ["relu", "softmax"])
def test_any_shape_comes_back(engine: Functions, name: str, shape: tuple[int, ...]) -> None:
    row = find(name)
    x = np.ones(shape, np.float32)
    if name == "softmax" and shape == ():
        with pytest.raises(BadRequest, match="axis"):
            engine.apply(row, row.bind({}), x, "exact")
        return
    for derivative in (False, True):
        computed = engine.apply(row, row.bind({}), x, "exact", derivative=derivative)
        assert (computed.shape, computed.dtype) == (shape, np.float32)


@pytest.mark.parametrize(
    ("name", "given", "shape", "text"),
    [
        ("softmax", {"axis": 2}, (2, 2), "parameter 'axis': got 2, but the data has shape [2, 2]"),
        ("softmax", {"axis": -3}, (2, 2), "got -3"),
        ("prelu", {"slope": [1, 2, 3]}, (2, 2), "shape [3] does not broadcast to the data's [2, 2]"),
        ("prelu", {"slope": [[[1]]]}, (2, 2), "shape [1, 1, 1] does not broadcast"),
    ],
)
def test_parameters_that_do_not_fit_the_data_are_refused(
    engine: Functions, name: str, given: dict[str, object], shape: tuple[int, ...], text: str
) -> None:
    row = find(name)
    with pytest.raises(BadRequest) as refusal:
        engine.apply(row, row.bind(given), np.zeros(shape, np.float32), "exact")
    assert text in refusal.value.text


def test_a_dtype_that_the_native_operator_lacks_is_refused_with_what_to_do() -> None:
    engine = Functions(Device.cpu(), threads=1, capacity=3)
    row = find("elu")
    with pytest.raises(BadRequest, match=r"no native kernel \(Elu\) for float64 on the cpu; use kernel 'exact'"):
        engine.apply(row, row.bind({}), np.zeros(1), "native")


def test_threads_may_ask_at_once(engine: Functions) -> None:
    """More functions than the cache holds, from four threads: every answer is right."""
    x = np.linspace(-3, 3, 7)
    names = ["sigmoid", "tanh", "softplus", "softsign", "mish"]
    wrong: list[str] = []

    def work(_: int) -> None:
        for name in names * 4:
            row = find(name)
            computed = engine.apply(row, row.bind({}), x, "exact")
            if not np.allclose(computed, row.reference(x, row.bind({})), rtol=1e-12):
                wrong.append(name)

    in_threads(work)
    assert not wrong
    assert len(engine._sessions) <= 3


def test_a_large_parameter_is_used_and_not_kept(engine: Functions) -> None:
    """A cache of 256 slopes as large as the data would have no bound worth the name."""
    row = find("prelu")
    slope = [0.5] * 5000
    computed = engine.apply(row, row.bind({"slope": slope}), np.full(5000, -1.0, np.float32), "exact")

    assert np.all(computed == -0.5)
    assert not engine._sessions


def test_functions_keep_no_memory_of_large_tensors() -> None:
    """Each set of parameters is a session of its own."""
    functions = Functions(Device.cpu(), threads=1, capacity=100)
    x = np.ones(9 * 2**20, np.float32)
    row = find("leaky_relu")
    before = resident_bytes() or 0
    for alpha in np.linspace(0.1, 0.6, 6):
        functions.apply(row, row.bind({"alpha": float(alpha)}), x, "native")
    assert (resident_bytes() or 0) - before < 2 * x.nbytes
