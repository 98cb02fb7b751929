"""Finds the activations inside an ONNX graph.

An activation is known by its operator, or by what it computes: exporters write swish, mish, GELU and others as a
handful of elementwise nodes. Such a group, which computes one tensor from one other tensor and constants, is run on
some numbers and compared with the functions of the catalogue.

Only *hidden* activations count: those that a layer with weights comes after. What comes after the last of these is the
output head; and what is multiplied with another tensor is a gate. Both are left alone.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from service.activations.catalogue import ACTIVATIONS

WEIGHTED = frozenset(
    ("Conv", "ConvTranspose", "Gemm", "MatMul", "ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul")
)
"""Operators of layers with weights."""

OPERATORS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "Relu": ("relu", {}),
    "LeakyRelu": ("leaky_relu", {"alpha": "alpha"}),
    "Elu": ("elu", {"alpha": "alpha"}),
    "Selu": ("selu", {"alpha": "alpha", "gamma": "gamma"}),
    "Celu": ("celu", {"alpha": "alpha"}),
    "Sigmoid": ("sigmoid", {}),
    "Tanh": ("tanh", {}),
    "Softplus": ("softplus", {}),
    "Softsign": ("softsign", {}),
    "HardSigmoid": ("hard_sigmoid", {"alpha": "alpha", "beta": "beta"}),
    "HardSwish": ("hard_swish", {}),
    "Gelu": ("gelu", {"approximate": "approximate"}),
    "Mish": ("mish", {}),
    "Swish": ("swish", {"alpha": "beta"}),
    "ThresholdedRelu": ("thresholded_relu", {"alpha": "theta"}),
    "Softmax": ("softmax", {"axis": "axis"}),
    "LogSoftmax": ("log_softmax", {"axis": "axis"}),
    "Identity": ("identity", {}),
}
"""By operator: the function, and which of its parameters each attribute is."""

CLIPS: Mapping[tuple[float | None, ...], str] = {(0.0, 6.0): "relu6", (0.0, math.inf): "relu"}
"""Functions that a Clip is, by its bounds."""

ELEMENTWISE = frozenset(
    {"Add", "Sub", "Mul", "Div", "Neg", "Abs", "Pow", "Sqrt", "Exp", "Log", "Erf", "Min", "Max", "Clip", "Reciprocal"}
    | {operator for operator, (function, _) in OPERATORS.items() if ACTIVATIONS[function].elementwise}
)
"""Of what a group may consist."""

MOST_NODES = 12
"""Of a group; GELU with tanh has 9."""

CANDIDATES: Sequence[tuple[str, Mapping[str, object]]] = (
    *((row.name, {}) for row in ACTIVATIONS.values() if row.elementwise and row.name != "identity"),
    ("gelu", {"approximate": "tanh"}),
)
"""What a group may be."""

GRID = np.concatenate([np.linspace(-6, 6, 49), [-30.0, 30.0]]).astype(np.float32)
GRID64 = GRID.astype(np.float64)
TOLERANCE = 1e-4

LARGEST = 1e30
"""A bound beyond it is none: exporters write the largest float32 for it."""


@dataclass(frozen=True, slots=True)
class Site:
    """A place where an activation is applied.

    Attributes:
        function: its name in the catalogue; None for what is not there, as a clip at other bounds.
        parameters: those that the graph gives it; the others are the catalogue's defaults.
        before, after: the tensors.
        nodes: places in the graph's list of what computes it, the last one `after`.
    """

    function: str | None
    parameters: Mapping[str, object]
    before: str
    after: str
    nodes: tuple[int, ...]


class _Wiring:
    """Who makes and who takes each tensor of a graph, and which are constants of one element."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.makers: dict[str, int] = {}
        self.takers: dict[str, list[int]] = {}
        constants = {tensor.name: tensor for tensor in graph.initializer}
        for place, node in enumerate(graph.node):
            self.makers |= {name: place for name in node.output if name}
            for name in node.input:
                self.takers.setdefault(name, []).append(place)
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
                constants[node.output[0]] = node.attribute[0].t
        self.constants: dict[str, NDArray[Any]] = {
            name: numpy_helper.to_array(tensor) for name, tensor in constants.items() if math.prod(tensor.dims) == 1
        }


def sites(graph: onnx.GraphProto, opset: int) -> list[Site]:
    """The hidden activations, in the graph's order."""
    wiring = _Wiring(graph)
    hidden = _before_weights(wiring)
    found = [site for site in _all(wiring, opset) if site.after in hidden and not _is_gate(wiring, site)]
    return sorted(found, key=lambda site: site.nodes[-1])


def _all(wiring: _Wiring, opset: int) -> Iterator[Site]:
    """Groups first: what is a part of one is none by itself."""
    taken: set[int] = set()
    for place in reversed(range(len(wiring.graph.node))):  # the end of a group comes before what is in it
        site = _group(wiring, place, opset)
        if site is not None and not taken & set(site.nodes):
            taken |= set(site.nodes)
            yield site
    for place in range(len(wiring.graph.node)):
        site = None if place in taken else _operator(wiring, place)
        if site is not None:
            yield site


def _operator(wiring: _Wiring, place: int) -> Site | None:
    node = wiring.graph.node[place]
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type == "Clip":
        bounds = tuple(_bound(wiring, node, given, index, name) for index, name in ((1, "min"), (2, "max")))
        function = CLIPS.get(bounds)
        return Site(function, {}, node.input[0], node.output[0], (place,))
    if node.op_type == "PRelu":
        return Site("prelu", {}, node.input[0], node.output[0], (place,))
    if node.op_type not in OPERATORS or not node.input or node.input[0] in wiring.constants:
        return None
    function, names = OPERATORS[node.op_type]
    parameters: dict[str, object] = {
        names[key]: value.decode() if isinstance(value, bytes) else value
        for key, value in given.items()
        if key in names
    }
    return Site(function, parameters, node.input[0], node.output[0], (place,))


def _group(wiring: _Wiring, last: int, opset: int) -> Site | None:
    """The smallest group that ends here and is a function of the catalogue."""
    node = wiring.graph.node[last]
    if node.op_type not in ELEMENTWISE:
        return None
    inside: list[int] = [last]
    while len(inside) <= MOST_NODES:
        open_ends = _inputs(wiring, inside)
        if len(open_ends) == 1 and (len(inside) > 1 or node.op_type not in OPERATORS):
            before = next(iter(open_ends))
            function = _recognised(wiring, sorted(inside), before, node.output[0], opset)
            if function is not None:
                return Site(*function, before, node.output[0], tuple(sorted(inside)))
        nearest = max((wiring.makers.get(name, -1) for name in open_ends), default=-1)
        if nearest < 0 or wiring.graph.node[nearest].op_type not in ELEMENTWISE:
            return None
        inside.append(nearest)
    return None


def _inputs(wiring: _Wiring, inside: Sequence[int]) -> set[str]:
    """The tensors that a group of nodes takes from outside, without constants."""
    made = {name for place in inside for name in wiring.graph.node[place].output}
    taken = {name for place in inside for name in wiring.graph.node[place].input if name}
    return taken - made - wiring.constants.keys()


def _recognised(
    wiring: _Wiring, inside: Sequence[int], before: str, after: str, opset: int
) -> tuple[str, Mapping[str, object]] | None:
    """The function that the group computes; None if it is none of the catalogue's."""
    computed = _computed(wiring, inside, before, after, opset)
    if computed is None:
        return None
    for name, parameters in CANDIDATES:
        row = ACTIVATIONS[name]
        if _alike(computed, row.reference(GRID64, row.bind(parameters))):
            return name, parameters
    return _swish(computed)


def _swish(computed: NDArray[Any]) -> tuple[str, Mapping[str, object]] | None:
    """x·σ(βx) with another β than 1: the quick GELU, for one."""
    share = float(computed[GRID64 == 1.0][0])
    if not 0.5 < share < 1.0:
        return None
    beta = round(math.log(share / (1 - share)), 4)
    row = ACTIVATIONS["swish"]
    return ("swish", {"beta": beta}) if _alike(computed, row.reference(GRID64, row.bind({"beta": beta}))) else None


def _computed(wiring: _Wiring, inside: Sequence[int], before: str, after: str, opset: int) -> NDArray[Any] | None:
    """What the group makes of the grid; None if it cannot be run by itself."""
    # Here, because it takes 12 MB and a tenth of a second, and few look into a network.
    from onnx.reference import ReferenceEvaluator

    nodes = [wiring.graph.node[place] for place in inside]
    names = {name for node in nodes for name in node.input} & wiring.constants.keys()
    constants = [numpy_helper.from_array(wiring.constants[name].astype(np.float32), name) for name in names]
    ports = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in (before, after)]
    graph = helper.make_graph(nodes, "group", ports[:1], ports[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    with np.errstate(all="ignore"):
        try:
            (found,) = ReferenceEvaluator(model).run(None, {before: GRID})
        except Exception:  # the evaluator raises nearly anything for what it does not know
            return None
    # A constant of one element may have any number of dimensions, which it then gives the outcome.
    return found.reshape(-1) if isinstance(found, np.ndarray) and found.size == GRID.size else None


def _alike(computed: NDArray[Any], wanted: NDArray[Any]) -> bool:
    return bool(np.allclose(computed, wanted, rtol=TOLERANCE, atol=TOLERANCE))


def _bound(wiring: _Wiring, node: onnx.NodeProto, given: Mapping[str, Any], index: int, name: str) -> float | None:
    """A bound of a Clip: an attribute in old operator sets, an input since; None if it is no constant."""
    infinite = -math.inf if name == "min" else math.inf
    if name in given:
        value = float(given[name])
    elif len(node.input) > index and node.input[index]:
        if node.input[index] not in wiring.constants:
            return None
        value = float(wiring.constants[node.input[index]].item())
    else:
        return infinite
    return infinite if abs(value) > LARGEST else value


def _before_weights(wiring: _Wiring) -> set[str]:
    """The tensors that a layer with weights comes after, however far."""
    reached: set[str] = set()
    for node in reversed(wiring.graph.node):
        if node.op_type in WEIGHTED or reached & set(node.output):
            reached |= set(node.input)
    return reached


def _is_gate(wiring: _Wiring, site: Site) -> bool:
    """Whether all that is done with the output is to multiply it with another tensor, as in squeeze-and-excitation."""
    takers = [wiring.graph.node[place] for place in wiring.takers.get(site.after, [])]
    others = [[n for n in node.input if n != site.after and n not in wiring.constants] for node in takers]
    return bool(takers) and all(node.op_type == "Mul" and other for node, other in zip(takers, others, strict=True))
