"""Small convolutional networks, written with ONNX's helper, whose activations are to be found and changed."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import helper

from service.activations.expressions import Graph, Term

Formula = Callable[[Term], Term]

CHANNELS = 4


def network(*activations: Formula, opset: int = 17, dtype: Any = np.float32, head: str | None = "Softmax") -> bytes:
    """From `x` [N, 4, 5, 5] to `y` [N, 3]: a convolution before each activation, a mean, a linear layer, the head."""
    dtype = np.dtype(dtype)
    graph, random = Graph(dtype, dtype), np.random.default_rng(0)
    x = Term(graph, "x")
    for layer, activation in enumerate(activations):
        weight = random.standard_normal((CHANNELS, CHANNELS, 3, 3)).astype(dtype)
        x = graph.add("Conv", [x, graph.initializer(weight, f"weight{layer}")], {"pads": [1, 1, 1, 1]})
        x = activation(x)
    x = graph.add("Flatten", [graph.add("GlobalAveragePool", [x], {})], {"axis": 1})
    last = graph.initializer(random.standard_normal((CHANNELS, 3)).astype(dtype), "last")
    x = graph.add("Gemm", [x, last], {})
    graph.add_output(graph.add(head, [x], {}) if head else x, "y")
    return serialised(graph, opset)


def serialised(graph: Graph, opset: int, shape: Sequence[int | str] = ("N", CHANNELS, 5, 5)) -> bytes:
    element = helper.np_dtype_to_tensor_dtype(graph.compute)
    proto = helper.make_graph(
        graph.nodes,
        "network",
        [helper.make_tensor_value_info("x", element, list(shape))],
        [helper.make_tensor_value_info("y", element, None)],
        initializer=list(graph.constants.values()),
    )
    made = helper.make_model(proto, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(made.SerializeToString())


def node(operator: str, *more: Any, **attributes: Any) -> Formula:
    """An activation of one operator; `more` are constants."""
    return lambda x: x.graph.add(operator, [x, *(x.graph.constant(value) for value in more)], attributes)
