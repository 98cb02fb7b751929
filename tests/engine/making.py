"""Small models, and repositories of them on disk."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from service.engine import repository
from service.engine.model import Model
from service.engine.overrides import Overrides
from service.engine.repository import Repository
from service.engine.runtime.device import Device

Shape = Sequence[int | str | None]


def serialised(
    *nodes: onnx.NodeProto,
    inputs: Shape | None = ("N", 3),
    outputs: Shape | None = ("N", 3),
    element: int = TensorProto.FLOAT,
    constants: Sequence[onnx.TensorProto] = (),
) -> bytes:
    """A model of one input x and one output y."""
    x, y = (helper.make_tensor_value_info(n, element, shape) for n, shape in (("x", inputs), ("y", outputs)))
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    opset = helper.make_opsetid("", 17)
    made: bytes = helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
    return made


def node(op: str, *inputs: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs or ("x",), ["y"], **attributes)


def plain(add: float = 0.0, element: int = TensorProto.FLOAT, shape: Shape = ("N", 3)) -> bytes:
    """y = x + add."""
    constant = helper.make_tensor("c", element, [], [add])
    return serialised(node("Add", "x", "c"), inputs=shape, outputs=shape, element=element, constants=[constant])


def classifier(labels: Sequence[str], *, kind: str = "classifier", temperature: float = 1.0, classes: int = 1) -> bytes:
    """Of pictures `image` [N, 3, 2, 2], as the trainer exports one: `logits` and `probabilities` [N, classes].

    Each logit is the mean of the red channel, so that a picture of one value has that logit.
    """
    float32 = TensorProto.FLOAT
    image, *outputs = (
        helper.make_tensor_value_info(name, float32, shape)
        for name, shape in (("image", ["N", 3, 2, 2]), ("logits", ["N", classes]), ("probabilities", ["N", classes]))
    )
    head = helper.make_tensor("head", float32, [3, classes], [1.0] * classes + [0.0] * (2 * classes))
    factor = helper.make_tensor("factor", float32, [], [1 / temperature])
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["mean"]),
        helper.make_node("Gemm", ["mean", "head"], ["logits"]),
        helper.make_node("Mul", ["logits", "factor"], ["calibrated"]),
        helper.make_node("Sigmoid" if classes == 1 else "Softmax", ["calibrated"], ["probabilities"]),
    ]
    graph = helper.make_graph(nodes, "g", [image], outputs, [head, factor])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    how = {"size": [2, 2], "color": "RGB", "scale": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3, "layout": "NCHW"}
    described = {"labels": list(labels), "preprocessing": how, "card": {"validation_accuracy": 0.95}}
    properties = {name: json.dumps(value) for name, value in described.items()}
    helper.set_model_props(made, {"kind": kind, "activation": "relu"} | properties)
    content: bytes = made.SerializeToString()
    return content


def put(folder: Path, name: str, version: str, content: bytes) -> Path:
    """Write a version as a deployment should: elsewhere on the file system, then renamed in."""
    made = folder / ".made" / version
    made.mkdir(parents=True)
    (made / "model.onnx").write_bytes(content)
    (folder / name).mkdir(exist_ok=True)
    made.rename(folder / name / version)
    (folder / ".made").rmdir()
    return folder / name / version / "model.onnx"


def in_threads(work: Callable[[int], object], count: int = 4) -> None:
    """Call it with each number in a thread of its own, all at once; what one raises is raised here."""
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(work, range(count)))


def load(folder: Path, **options: Any) -> Repository:
    """A repository on one thread of the CPU; options are those of `repository.load`."""
    return repository.load(folder, Device.cpu(), threads=1, **options)


def ones(rows: int = 1) -> dict[str, np.ndarray]:
    return {"x": np.ones((rows, 3), np.float32)}


def answer(found: Repository, name: str = "m", version: str | None = None) -> float:
    """What the model of `plain` makes of 1."""
    return float(found.find(name, version).run(ones())["y"][0, 0])


Load = Callable[[Path, int, Overrides], Model]


def counting() -> bytes:
    """y = x + n, by a loop of n = max(x) rounds: an endless one, as far as anybody waits, if a client asks for 1e15."""
    scalar, bool_ = TensorProto.FLOAT, TensorProto.BOOL
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["v", "one"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", bool_, []),
            helper.make_tensor_value_info("v", scalar, None),
        ],
        [helper.make_tensor_value_info("on", bool_, []), helper.make_tensor_value_info("w", scalar, None)],
    )
    return serialised(
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["n"], to=TensorProto.INT64),
        helper.make_node("Loop", ["n", "true", "x"], ["y"], body=body),
        constants=[helper.make_tensor("true", bool_, [], [True]), helper.make_tensor("one", scalar, [], [1.0])],
    )
