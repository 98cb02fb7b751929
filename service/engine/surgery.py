"""Edits copies of an ONNX graph: every activation as an output, or another function in their place.

The edited graph is for a second session. The one that serves is left alone: an activation that is an output cannot be
fused with the convolution before it.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, shape_inference

from service.activations.activation import Activation
from service.activations.expressions import Graph, Term
from service.engine.patterns import Site
from service.errors import BadRequest


def opset(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that the model uses."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)


def tapped(model: onnx.ModelProto, sites: Sequence[Site]) -> onnx.ModelProto:
    """A copy with what goes into each activation, and what comes out of it, as further outputs of the graph."""
    edited = _copy(model)
    known = {port.name for port in (*edited.graph.input, *edited.graph.output)}
    for name in dict.fromkeys(name for site in sites for name in (site.before, site.after)):
        if name not in known:
            edited.graph.output.append(onnx.ValueInfoProto(name=name))
    return edited


def swapped(model: onnx.ModelProto, sites: Sequence[Site], row: Activation) -> onnx.ModelProto:
    """A copy with the function, at its default parameters, in the place of all these activations.

    Raises:
        BadRequest: its operator is younger than the model's operator set.
    """
    version = opset(model)
    formula = row.by_operators_of(version)
    if formula is None:
        raise BadRequest(
            f"the model uses ONNX operator set {version}, and {row.name} ({row.onnx_op}) needs {row.since_opset}"
        )
    values = row.in_network()
    edited = _copy(model)
    types = _types(model)
    unused = _unused_prefix(model)
    added: dict[int, list[onnx.NodeProto]] = {}
    for number, site in enumerate(sites):
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(types.get(site.before, TensorProto.FLOAT)))
        graph = Graph(dtype, dtype)
        graph.add_output(formula(Term(graph, "x"), values), "y")
        prefix = f"{unused}{number}/"
        names = {"x": site.before, "y": site.after}
        for node in graph.nodes:
            node.name = prefix + node.name
            node.input[:] = [names.get(name, prefix + name) for name in node.input]
            node.output[:] = [names.get(name, prefix + name) for name in node.output]
        for constant in graph.constants.values():
            constant.name = prefix + constant.name
            edited.graph.initializer.append(constant)
        added[site.nodes[-1]] = list(graph.nodes)
    nodes = [new for place, node in enumerate(model.graph.node) for new in added.get(place, [node])]
    del edited.graph.node[:]
    edited.graph.node.extend(nodes)
    return edited


def _unused_prefix(model: onnx.ModelProto) -> str:
    """What no name in the graph begins with."""
    graph, prefix = model.graph, "swapped"
    names = {name for node in graph.node for name in (node.name, *node.output)} | {t.name for t in graph.initializer}
    while any(name.startswith(prefix) for name in names):
        prefix += "_"
    return prefix


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    edited = onnx.ModelProto()
    edited.CopyFrom(model)
    return edited


def _types(model: onnx.ModelProto) -> dict[str, int]:
    """Element types of the tensors, as far as they can be told without running the model."""
    inferred = shape_inference.infer_shapes(model).graph
    return {
        info.name: info.type.tensor_type.elem_type
        for info in (*inferred.input, *inferred.value_info, *inferred.output)
        if info.type.tensor_type.elem_type
    }
