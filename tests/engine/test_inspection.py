"""What goes into an activation and comes out of it, in numbers that can be checked by hand."""

import math

import numpy as np
import pytest

from service.engine import inspection
from service.engine.functions import Functions
from service.engine.inspection import BINS, Layer, layer, sheet
from service.engine.patterns import Site
from service.engine.runtime.device import Device
from service.errors import BadRequest


@pytest.fixture(scope="module")
def functions() -> Functions:
    return Functions(Device.cpu(), threads=1, capacity=32)


def site(function: str | None, **parameters: object) -> Site:
    return Site(function, parameters, "in", "out", (0,))


BEFORE = np.array([[[[-2.0, 1.0], [3.0, -4.0]], [[-1.0, -1.0], [-1.0, -5.0]]]], np.float32)
"""One picture, two channels of 2×2; the second is never above 0."""


@pytest.fixture(scope="module")
def relu(functions: Functions) -> Layer:
    return layer(site("relu"), BEFORE, np.maximum(BEFORE, 0), functions)


def test_relu(relu: Layer) -> None:
    assert (relu.name, relu.function, relu.parameters, relu.shape, relu.channels) == ("out", "relu", {}, [2, 2, 2], 2)
    assert relu.zeros == 6 / 8
    assert relu.dead == [1]
    assert relu.saturated == 6 / 8
    assert relu.mean_share == pytest.approx((4 / 8) ** 2 / (10 / 8))


def test_spreads(relu: Layer) -> None:
    assert (relu.before.min, relu.before.max, relu.before.mean) == (-5, 3, -10 / 8)
    assert relu.before.std == pytest.approx(BEFORE.std())
    assert (relu.after.min, relu.after.max, relu.after.mean) == (0, 3, 0.5)
    histogram = relu.before.histogram
    assert (histogram.low, histogram.high, len(histogram.counts), sum(histogram.counts)) == (-5, 3, BINS, 8)
    assert (histogram.counts[0], histogram.counts[-1]) == (1, 1)


@pytest.mark.parametrize(
    ("function", "parameters", "inputs", "saturated"),
    [
        ("sigmoid", {}, [0.0, 5.0, 7.0, -7.0], 0.5),  # the slope at 5 is 2.7 % of 1/4
        ("tanh", {}, [0.0, 2.0, 4.0, -4.0], 0.5),
        ("identity", {}, [0.0, 100.0, -100.0, 1.0], 0.0),
        ("leaky_relu", {"alpha": 0.01}, [-1.0, 1.0, -2.0, 2.0], 0.0),  # 1 % is not below 1 %
        ("leaky_relu", {"alpha": 0.005}, [-1.0, 1.0, -2.0, 2.0], 0.5),
        ("elu", {"alpha": 1.0}, [-10.0, -1.0, 1.0, 2.0], 0.25),
        ("elu", {"alpha": 100.0}, [-10.0, -1.0, 1.0, 2.0], 0.25),  # of 100: at −1 the slope is 37, above 0 it is 1
        ("relu6", {}, [-1.0, 1.0, 7.0, 2.0], 0.5),
    ],
)
def test_saturated_is_where_the_slope_is_a_hundredth_of_the_steepest(
    functions: Functions, function: str, parameters: dict[str, object], inputs: list[float], saturated: float
) -> None:
    before = np.array(inputs, np.float32).reshape(1, 1, 4)
    assert layer(site(function, **parameters), before, before, functions).saturated == saturated


def test_softmax_has_its_own_steepest(functions: Functions) -> None:
    """Its slope is p·(1 − p): where one channel has all, it is 0."""
    before = np.array([[[0.0, 50.0], [0.0, 0.0]]], np.float32)  # two channels at two places
    after = np.exp(before) / np.exp(before.astype(np.float64)).sum(axis=1, keepdims=True)
    found = layer(site("softmax", axis=1), before, after.astype(np.float32), functions)
    assert found.saturated == 0.5
    assert found.dead == []
    assert layer(site("log_softmax", axis=1), before, before, functions).saturated == 0.25


@pytest.mark.parametrize(("function", "parameters"), [(None, {}), ("prelu", {}), ("elu", {"alpha": 1e6})])
def test_of_what_the_catalogue_does_not_take_saturation_is_not_known(
    functions: Functions, function: str | None, parameters: dict[str, object]
) -> None:
    found = layer(site(function, **parameters), BEFORE, BEFORE, functions)
    assert (found.function, found.parameters, found.saturated) == (function, None, None)


def test_nothing_but_zeros(functions: Functions) -> None:
    found = layer(site("relu"), -np.ones((1, 3, 2), np.float32), np.zeros((1, 3, 2), np.float32), functions)
    assert (found.zeros, found.dead, found.mean_share) == (1.0, [0, 1, 2], None)
    assert (found.after.histogram.low, found.after.histogram.high) == (0, 0)
    assert found.after.histogram.counts[BINS // 2] == 6 == sum(found.after.histogram.counts)


def test_what_is_not_finite_shows_and_breaks_nothing(functions: Functions) -> None:
    after = np.array([[[np.inf, np.nan, 1.0, 2.0]]], np.float32)
    found = layer(site("relu"), after, after, functions)
    assert math.isnan(found.after.mean)
    assert sum(found.after.histogram.counts) == 2
    nothing = np.full((1, 1, 2), np.nan, np.float32)
    assert sum(layer(site("relu"), nothing, nothing, functions).after.histogram.counts) == 0


@pytest.mark.parametrize("shape", [(4,), (), (0, 3, 2)])
def test_other_shapes_are_refused(functions: Functions, shape: tuple[int, ...]) -> None:
    tensor = np.zeros(shape, np.float32)
    with pytest.raises(BadRequest, match=r"expected \[N, channels, …\]"):
        layer(site("relu"), tensor, tensor, functions)


def test_feature_maps_lie_in_a_square_with_gaps() -> None:
    maps = np.arange(3 * 2 * 2, dtype=np.float32).reshape(3, 2, 2)
    page = sheet(maps)[:, :, 0]
    assert page.shape == (5, 5)
    np.testing.assert_array_equal(page[:2, :2], maps[0])
    np.testing.assert_array_equal(page[:2, 3:], maps[1])
    np.testing.assert_array_equal(page[3:, :2], maps[2])
    assert np.isnan(page[2]).all()
    assert np.isnan(page[3:, 3:]).all()


def test_large_maps_are_thinned_out_and_many_cut_short() -> None:
    assert sheet(np.zeros((1, 130, 20), np.float32)).shape == (44, 7, 1)
    assert sheet(np.zeros((300, 1, 1), np.float32)).shape == (31, 31, 1)
    assert sheet(np.zeros((1, 64, 64), np.float32)).shape == (64, 64, 1)


def test_the_steepest_slopes_are_known() -> None:
    known = {"sigmoid": 0.25, "tanh": 1.0, "relu": 1.0, "swish": 1.0998, "gelu": 1.1289, "mish": 1.0885}
    for name, steepest in known.items():
        assert inspection._steepest(name, ()) == pytest.approx(steepest, abs=1e-4)
