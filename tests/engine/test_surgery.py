"""Copies of a graph: what goes in and out of each activation is told, and any function can take their place."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from service.activations.catalogue import ACTIVATIONS
from service.engine.patterns import sites
from service.engine.runtime.device import Device
from service.engine.runtime.session import Session
from service.engine.surgery import opset, swapped, tapped
from service.errors import BadRequest
from tests.engine.networks import Formula, network, node

RELU = node("Relu")


def parsed(*activations: Formula, **options: object) -> onnx.ModelProto:
    return onnx.load_model_from_string(network(*activations, **options))  # type: ignore[arg-type]


def run(model: onnx.ModelProto, x: np.ndarray) -> dict[str, np.ndarray]:
    return Session.load(model.SerializeToString(), Device.cpu()).run({"x": x})


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((2, 4, 5, 5)).astype(np.float32)


def test_what_goes_in_and_out_is_told_and_nothing_else_changes(x: np.ndarray) -> None:
    model = parsed(RELU, lambda x: x * x.graph.add("Sigmoid", [x], {}))
    untouched = model.SerializeToString()
    places = sites(model.graph, 17)
    plain, found = run(model, x), run(tapped(model, places), x)

    assert list(found) == ["y", *(name for site in places for name in (site.before, site.after))]
    np.testing.assert_allclose(found["y"], plain["y"], rtol=1e-6)
    relu, swish = places
    np.testing.assert_array_equal(found[relu.after], np.maximum(found[relu.before], 0))
    before = found[swish.before].astype(np.float64)
    np.testing.assert_allclose(found[swish.after], before / (1 + np.exp(-before)), rtol=1e-5, atol=1e-6)
    assert model.SerializeToString() == untouched


def test_a_tensor_that_is_an_output_already_is_told_once(x: np.ndarray) -> None:
    model = parsed(RELU)
    (site,) = sites(model.graph, 17)
    once = tapped(model, [site])
    assert [port.name for port in tapped(once, [site]).graph.output] == [port.name for port in once.graph.output]


@pytest.mark.parametrize("name", [row.name for row in ACTIVATIONS.values()])
def test_every_function_can_take_the_place(x: np.ndarray, name: str) -> None:
    row = ACTIVATIONS[name]
    model = parsed(lambda x: x * x.graph.add("Sigmoid", [x], {}), RELU)
    places = sites(model.graph, 17)
    edited = swapped(model, places, row)
    found = run(tapped(edited, places), x)

    values = row.bind({} if row.elementwise else {"axis": 1})
    for site in places:
        wanted = row.reference(found[site.before].astype(np.float64), values)
        np.testing.assert_allclose(found[site.after], wanted, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(run(edited, x)["y"].sum(axis=1), 1, rtol=1e-5)  # the head is as it was


def test_what_was_put_in_is_found_again() -> None:
    model = parsed(RELU, RELU)
    for name in ("elu", "swish", "gelu", "mish", "relu6"):
        edited = swapped(model, sites(model.graph, 17), ACTIVATIONS[name])
        assert [site.function for site in sites(edited.graph, 17)] == [name, name]


def test_the_same_function_again_changes_nothing(x: np.ndarray) -> None:
    model = parsed(RELU, RELU)
    edited = swapped(model, sites(model.graph, 17), ACTIVATIONS["relu"])
    np.testing.assert_array_equal(run(edited, x)["y"], run(model, x)["y"])


def test_constants_have_the_models_dtype(x: np.ndarray) -> None:
    model = parsed(RELU, dtype=np.float16)
    edited = swapped(model, sites(model.graph, 17), ACTIVATIONS["mish"])
    edited = swapped(edited, sites(edited.graph, 17), ACTIVATIONS["leaky_relu"])
    edited = swapped(edited, sites(edited.graph, 17), ACTIVATIONS["gelu"])
    assert {tensor.data_type for tensor in edited.graph.initializer} == {TensorProto.FLOAT16}
    assert run(edited, x.astype(np.float16))["y"].dtype == np.float16


def test_a_younger_operator_is_taken_where_the_model_has_it() -> None:
    model = parsed(RELU, opset=20)
    assert opset(model) == 20
    edited = swapped(model, sites(model.graph, 20), ACTIVATIONS["gelu"])
    assert "Gelu" in [node.op_type for node in edited.graph.node]


def test_an_operator_that_is_too_young_is_refused() -> None:
    model = parsed(RELU, opset=13)
    with pytest.raises(BadRequest, match=r"uses ONNX operator set 13, and hard_swish \(HardSwish\) needs 14"):
        swapped(model, sites(model.graph, 13), ACTIVATIONS["hard_swish"])
