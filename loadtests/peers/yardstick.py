"""The CNN that all servers run: of one size for good, so that results can be compared over the years.

The packaged networks are trained anew now and then, and grow; the larger a network, the more alike all servers look.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

SIDE, CLASSES = 32, 10
STAGES = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (64, 1))
"""(output channels, stride) of each 3×3 convolution; 9.9 million multiply-adds for a picture."""
SEED = 2
OPSET, IR_VERSION = 17, 8
PREPROCESSING = {
    "size": [SIDE, SIDE],
    "color": "RGB",
    "scale": 1 / 255,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "layout": "NCHW",
}


@dataclass(slots=True)
class _Graph:
    """Nodes and weights so far; a weight's deviation keeps the size of what goes through (He et al., 2015)."""

    nodes: list[NodeProto] = field(default_factory=list)
    weights: list[TensorProto] = field(default_factory=list)
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(SEED))

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def draw(self, name: str, shape: tuple[int, ...]) -> str:
        deviation = math.sqrt(2 / math.prod(shape[1:]))
        return self.keep(name, self.random.standard_normal(shape, np.float32) * np.float32(deviation))

    def keep(self, name: str, array: NDArray[np.float32]) -> str:
        self.weights.append(numpy_helper.from_array(array, name))
        return name


def write(path: Path) -> Path:
    """The network as ONNX: `image` float32 [N, 3, 32, 32] → `logits` and `probabilities` [N, 10]."""
    graph = _Graph()
    x, channels = "image", 3
    for number, (width, stride) in enumerate(STAGES, start=1):
        weight = graph.draw(f"weight{number}", (width, channels, 3, 3))
        bias = graph.keep(f"bias{number}", np.zeros(width, np.float32))
        shape = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [stride, stride]}
        x = graph.add("Relu", [graph.add("Conv", [x, weight, bias], f"conv{number}", **shape)], f"relu{number}")
        channels = width
    mean = graph.add("Flatten", [graph.add("GlobalAveragePool", [x], "mean")], "features", axis=1)
    head = [graph.draw("head", (CLASSES, channels)), graph.keep("offset", np.zeros(CLASSES, np.float32))]
    graph.add("Softmax", [graph.add("Gemm", [mean, *head], "logits", transB=1)], "probabilities", axis=-1)
    onnx.save(_model(graph), path)
    return path


def _model(graph: _Graph) -> onnx.ModelProto:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", CLASSES]) for name in ("logits", "probabilities")
    ]
    proto = helper.make_graph(graph.nodes, "yardstick", [image], outputs, graph.weights)
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(proto, opset_imports=[opset], ir_version=IR_VERSION, producer_name="actserve")
    properties = {
        "kind": "classifier",
        "labels": json.dumps([str(number) for number in range(CLASSES)]),
        "preprocessing": json.dumps(PREPROCESSING),
    }
    helper.set_model_props(model, properties)
    return model
