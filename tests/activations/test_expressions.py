"""The compositions that ONNX lacks are accurate in float64."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper

from models import accuracy
from service.activations import expressions
from service.activations.expressions import Graph, Term
from service.engine.runtime.device import Device
from service.engine.runtime.session import Session

mp = accuracy.mp
DOUBLE = np.dtype(np.float64)


def evaluate(formula: Callable[[Term], Term], x: NDArray[np.float64]) -> NDArray[np.float64]:
    graph = Graph(DOUBLE, DOUBLE)
    graph.add_output(formula(Term(graph, "x")), "y")
    ports = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(DOUBLE), None) for name in "xy"]
    proto = helper.make_graph(graph.nodes, "g", ports[:1], ports[1:], initializer=list(graph.constants.values()))
    opset = helper.make_opsetid("", expressions.OPSET)
    model = helper.make_model(proto, opset_imports=[opset], ir_version=expressions.IR_VERSION)
    return Session.load(model.SerializeToString(), Device.cpu()).run({"x": x})["y"]


def ulps(computed: NDArray[np.float64], true: Callable[[object], object], x: NDArray[np.float64]) -> float:
    with mp.workprec(200):
        truth = accuracy.Truth.of([true(mp.mpf(v)) for v in x.tolist()])
    return float(accuracy.distances(computed, truth)[0].max())


SMALL = np.concatenate([np.geomspace(1e-300, 1.0, 500), np.linspace(0.01, 3.0, 500)])


@pytest.mark.parametrize(
    ("formula", "true", "x", "limit"),
    [
        (expressions.expm1, mp.expm1, np.concatenate([SMALL, -SMALL]), 3.0),
        (expressions.expm1, mp.expm1, np.linspace(-800.0, 700.0, 1001), 3.0),
        (expressions.log1p, mp.log1p, SMALL, 3.0),
    ],
    ids=["expm1 near 0", "expm1 far out", "log1p"],
)
def test_compositions_do_not_cancel(
    formula: Callable[[Term], Term], true: Callable[[object], object], x: NDArray[np.float64], limit: float
) -> None:
    assert ulps(evaluate(formula, x), true, x) <= limit


def test_the_products_error_makes_it_exact() -> None:
    """0.2·x − fl(0.2·x), to a few parts in 10^16 of itself."""
    x = np.random.default_rng(0).normal(0, 1e3, 1000)
    error = evaluate(lambda t: expressions.product_error(0.2, t, 0.2 * t), x)

    with mp.workprec(200):
        expected = [float(mp.mpf(0.2) * mp.mpf(v) - mp.mpf(0.2 * v)) for v in x.tolist()]
    np.testing.assert_allclose(error, expected, rtol=1e-12, atol=1e-30)


def test_the_tails_coefficients_are_those_that_the_method_gives() -> None:
    np.testing.assert_allclose(expressions.NORMAL_TAIL, accuracy.normal_tail(), rtol=1e-15)


def test_the_normal_tail_is_accurate_to_the_end() -> None:
    """Φ(−a) for a up to 37.5, where it is 4e-308, within 4 ULP."""
    x = np.linspace(0.0, 37.5, 2001)

    def tail(a: Term) -> Term:
        decaying, ratio = expressions.normal_tail(a)
        return decaying * ratio

    assert ulps(evaluate(tail, x), lambda a: mp.erfc(a / mp.sqrt(2)) / 2, x) <= 4.0


def test_equal_constants_are_stored_once() -> None:
    graph = Graph(DOUBLE, DOUBLE)
    x = Term(graph, "x")
    _ = (x + 1.0) * (x - 1.0)
    assert len(graph.constants) == 1


def test_a_named_tensor_keeps_its_name() -> None:
    graph = Graph(DOUBLE, DOUBLE)
    weight = graph.initializer(np.zeros((2, 2)), "conv1.weight")
    assert (weight.name, graph.constants[b"conv1.weight"].name) == ("conv1.weight", "conv1.weight")
