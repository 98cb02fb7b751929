"""What the servers are asked to do: the model, the requests made for it, and the right answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import orjson
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image

from loadtests.local.http import Request
from loadtests.local.servers import ROOT, Read, Server
from loadtests.peers import bodies
from loadtests.peers.served import Model

SEED = 1
BATCH = 32
MILLION, THOUSANDS = 1_000_000, 100_000
PACKAGED = ROOT / "models" / "repository" / "cnn-relu" / "1" / "model.onnx"
PICTURE = ROOT / "service" / "web" / "samples" / "horse.jpg"
RELU_OPSET, RELU_IR = 17, 8


@dataclass(frozen=True, slots=True)
class Work:
    """One request that is sent again and again over so many connections, and what its answer must be."""

    request: Request
    connections: int
    expected: Mapping[str, NDArray[np.generic]]
    read: Read = bodies.outputs

    def check(self, server: Server) -> None:
        server.check(self.request, self.read, self.expected)


@dataclass(frozen=True, slots=True)
class Works:
    """All of them. `jpeg` is None where the model does not say how a picture becomes its input."""

    models: Mapping[str, Path]
    rows: NDArray[np.float32]
    one_binary: Work
    one_json: Work
    batch: Work
    relu_binary: Work
    relu_json: Work
    jpeg: Work | None

    @property
    def of_both(self) -> list[Work]:
        """What Triton does too."""
        return [self.one_binary, self.one_json, self.relu_binary, self.relu_json]

    @property
    def all(self) -> list[Work]:
        return [*self.of_both, self.batch, *([self.jpeg] if self.jpeg else [])]


def prepare(model: Path, folder: Path) -> Works:
    """Make the requests, and compute their answers with ONNX Runtime.

    Args:
        model: with one float32 input, whose first axis is free and whose others are fixed.
        folder: where the ONNX file for ReLU is written.
    """
    shape, name = _input(model)
    random = np.random.default_rng(SEED)
    rows = random.standard_normal((BATCH, *shape), np.float32)
    one, numbers = rows[:1], random.standard_normal((1, MILLION), np.float32)
    runtime = Model(str(model))
    right_one, right_batch = runtime.run(one), runtime.run(rows)
    fewer = numbers[:, :THOUSANDS]
    return Works(
        models={"cnn": model, "relu": _relu(folder / "relu.onnx")},
        rows=rows,
        one_binary=Work(bodies.binary("cnn", name, one), 32, right_one),
        one_json=Work(bodies.as_json("cnn", name, one), 32, right_one),
        batch=Work(bodies.binary("cnn", name, rows), 4, right_batch),
        relu_binary=Work(bodies.binary("relu", "x", numbers), 4, {"y": np.maximum(numbers, 0)}),
        relu_json=Work(bodies.as_json("relu", "x", fewer), 4, {"y": np.maximum(fewer, 0)}),
        jpeg=_jpeg(model, runtime),
    )


def _input(model: Path) -> tuple[list[int], str]:
    (port,) = onnx.load(model, load_external_data=False).graph.input
    return [dimension.dim_value for dimension in port.type.tensor_type.shape.dim[1:]], port.name


def _relu(path: Path) -> Path:
    """The operator alone, on any two axes: what our built-in function `relu` is, for servers that want a file."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", [x], [y])
    opset = helper.make_opsetid("", RELU_OPSET)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=RELU_IR), path)
    return path


def _jpeg(model: Path, runtime: Model) -> Work | None:
    """Only for a picture of the model's own size: its pixels are the input then, however one resizes."""
    properties = {entry.key: entry.value for entry in onnx.load(model, load_external_data=False).metadata_props}
    if "preprocessing" not in properties:
        return None
    steps = orjson.loads(properties["preprocessing"])
    with Image.open(PICTURE) as picture:
        pixels = np.asarray(picture.convert(steps["color"]), np.float32)
    if list(pixels.shape[:2]) != steps["size"]:
        return None
    scaled = (pixels * steps["scale"] - np.array(steps["mean"])) / np.array(steps["std"])
    array = scaled.transpose(2, 0, 1)[None].astype(np.float32)
    expected = {"probabilities": runtime.run(array)["probabilities"]}
    request = bodies.jpeg("cnn", PICTURE.read_bytes())
    return Work(request, 32, expected, lambda _, body: {"probabilities": bodies.probabilities(body)})
