"""Activations are found by their operators and by what they compute; heads, gates and other arithmetic are not."""

import math
from typing import Any

import numpy as np
import onnx
import pytest

from service.activations.expressions import Term, op
from service.engine.patterns import Site, sites
from tests.engine.networks import Formula, network, node

RELU = node("Relu")


def found(*activations: Formula, opset: int = 17, **options: Any) -> list[Site]:
    return sites(onnx.load_model_from_string(network(*activations, opset=opset, **options)).graph, opset)


@pytest.mark.parametrize(
    ("activation", "function", "parameters"),
    [
        (RELU, "relu", {}),
        (node("LeakyRelu", alpha=0.25), "leaky_relu", {"alpha": 0.25}),
        (node("LeakyRelu"), "leaky_relu", {}),
        (node("Elu", alpha=2.0), "elu", {"alpha": 2.0}),
        (node("Selu"), "selu", {}),
        (node("Celu", alpha=0.5), "celu", {"alpha": 0.5}),
        (node("Sigmoid"), "sigmoid", {}),
        (node("Tanh"), "tanh", {}),
        (node("Softplus"), "softplus", {}),
        (node("Softsign"), "softsign", {}),
        (node("HardSigmoid", alpha=0.25, beta=0.5), "hard_sigmoid", {"alpha": 0.25, "beta": 0.5}),
        (node("HardSwish"), "hard_swish", {}),
        (node("ThresholdedRelu", alpha=2.0), "thresholded_relu", {"theta": 2.0}),
        (node("PRelu", 0.5), "prelu", {}),
        (node("Softmax", axis=1), "softmax", {"axis": 1}),
        (node("LogSoftmax", axis=1), "log_softmax", {"axis": 1}),
        (node("Identity"), "identity", {}),
        (node("Clip", 0.0, 6.0), "relu6", {}),
        (node("Clip", 0.0, 3.4e38), "relu", {}),
        (node("Clip", 0.0), "relu", {}),
        (node("Clip", -1.0, 1.0), None, {}),
        (node("Max", 0.0), "relu", {}),
    ],
)
def test_an_operator_is_known_by_its_name(
    activation: Formula, function: str | None, parameters: dict[str, object]
) -> None:
    first, second = found(activation, RELU)
    assert (first.function, dict(first.parameters), len(first.nodes)) == (function, parameters, 1)
    assert second.function == "relu"


@pytest.mark.parametrize(
    ("operator", "opset", "function"), [("Gelu", 20, "gelu"), ("Mish", 18, "mish"), ("Swish", 24, "swish")]
)
def test_younger_operators_too(operator: str, opset: int, function: str) -> None:
    assert [site.function for site in found(node(operator), opset=opset)] == [function]


def test_old_clips_have_their_bounds_as_attributes() -> None:
    clips = node("Clip", min=0.0, max=6.0), node("Clip", min=-1.0, max=1.0)
    assert [site.function for site in found(*clips, opset=6)] == ["relu6", None]


def test_a_group_that_cannot_be_run_by_itself_is_none() -> None:
    """Mish is younger than the operator set; the operator is known all the same."""
    assert [(site.function, len(site.nodes)) for site in found(lambda x: op("Mish", x) * 0.5)] == [("mish", 1)]


def test_constants_may_have_any_number_of_dimensions() -> None:
    """As exporters write them. One that has more than one element is no constant of a function."""

    def shifted(three: np.ndarray) -> list[str | None]:
        return [site.function for site in found(lambda x: x * op("Clip", x + three, 0.0, 6.0) / 6.0)]

    assert shifted(np.full((1, 1, 1, 1), 3.0)) == ["hard_swish"]
    assert shifted(np.full((1, 4, 1, 1), 3.0)) == []


def cube(x: Term) -> Term:
    return x * x * x


GROUPS: dict[str, tuple[Formula, str, dict[str, object]]] = {
    "swish": (lambda x: x * op("Sigmoid", x), "swish", {}),
    "swish, the other way round": (lambda x: op("Sigmoid", x) * x, "swish", {}),
    "quick GELU": (lambda x: x * op("Sigmoid", x * 1.702), "swish", {"beta": 1.702}),
    "GELU": (lambda x: x * 0.5 * (op("Erf", x / math.sqrt(2)) + 1.0), "gelu", {}),
    "GELU, associated otherwise": (lambda x: 0.5 * (x * (1.0 + op("Erf", x * 0.70710678))), "gelu", {}),
    "mish": (lambda x: x * op("Tanh", op("Softplus", x)), "mish", {}),
    "mish, whole": (lambda x: x * op("Tanh", op("Log", op("Exp", x) + 1.0)), "mish", {}),
    "hard swish": (lambda x: x * op("Clip", x + 3.0, 0.0, 6.0) / 6.0, "hard_swish", {}),
    "hard swish by hard sigmoid": (
        lambda x: x * x.graph.add("HardSigmoid", [x], {"alpha": 1 / 6, "beta": 0.5}),
        "hard_swish",
        {},
    ),
    "sigmoid by tanh": (lambda x: (op("Tanh", x * 0.5) + 1.0) * 0.5, "sigmoid", {}),
    "softsign": (lambda x: x / (abs(x) + 1.0), "softsign", {}),
}


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_is_known_by_what_it_computes(name: str) -> None:
    group, function, parameters = GROUPS[name]
    first, second = found(group, RELU)
    assert (first.function, dict(first.parameters)) == (function, parameters)
    assert len(first.nodes) > 1
    assert second.function == "relu"


def test_gelu_by_tanh_is_gelu() -> None:
    """The approximation differs by 5e-4 from the function: the two are told apart."""
    (site,) = found(lambda x: x * 0.5 * (1.0 + op("Tanh", 0.7978845608 * (x + 0.044715 * cube(x)))))
    assert (site.function, dict(site.parameters)) == ("gelu", {"approximate": "tanh"})


def test_places_are_told() -> None:
    model = onnx.load_model_from_string(network(GROUPS["swish"][0], RELU))
    swish, relu = sites(model.graph, 17)
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    assert (makers[swish.before], makers[swish.after]) == ("Conv", "Mul")
    assert (makers[relu.before], makers[relu.after]) == ("Conv", "Relu")
    assert [model.graph.node[place].op_type for place in swish.nodes] == ["Sigmoid", "Mul"]


def test_the_head_is_none() -> None:
    for head in ("Softmax", "Sigmoid", "Relu", None):
        assert [site.function for site in found(RELU, RELU, head=head)] == ["relu", "relu"]


def test_an_activation_before_the_last_layer_counts() -> None:
    assert [site.function for site in found(RELU)] == ["relu"]


def test_a_gate_is_none() -> None:
    """Squeeze and excitation: a sigmoid that is multiplied with the feature maps."""

    def gated(x: Term) -> Term:
        mean = x.graph.add("GlobalAveragePool", [x], {})
        return x * op("Sigmoid", mean)

    assert [site.function for site in found(gated, RELU)] == ["relu"]


def test_other_arithmetic_is_none() -> None:
    assert [site.function for site in found(lambda x: x * 0.5 + 1.0, RELU)] == ["relu"]
    assert [site.function for site in found(lambda x: x + x, lambda x: x * x)] == []


def test_a_long_chain_is_given_up() -> None:
    def chain(x: Term) -> Term:
        for _ in range(20):
            x = x + 1.0
        return x

    assert found(chain) == []


def test_constants_in_nodes_count_as_constants() -> None:
    def by_node(x: Term) -> Term:
        value = onnx.helper.make_node("Constant", [], ["three"], value=onnx.numpy_helper.from_array(np.float32(3.0)))
        x.graph.nodes.append(value)
        return x * op("Clip", x + Term(x.graph, "three"), 0.0, 6.0) / 6.0

    assert [site.function for site in found(by_node)] == ["hard_swish"]


def test_half_precision_is_known_alike() -> None:
    assert [site.function for site in found(GROUPS["swish"][0], GROUPS["hard swish"][0], dtype=np.float16)] == [
        "swish",
        "hard_swish",
    ]


def test_a_bound_that_is_computed_is_none() -> None:
    def clipped(x: Term) -> Term:
        return x.graph.add("Clip", [x, op("Neg", x.graph.constant(-1.0))], {})

    assert [site.function for site in found(clipped)] == [None]
