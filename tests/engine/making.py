"""Small models, and repositories of them on disk."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from service.engine import repository
from service.engine.model import Model
from service.engine.overrides import Overrides
from service.engine.repository import Repository
from service.engine.session import Device

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


def put(folder: Path, name: str, version: str, content: bytes) -> Path:
    """Write a version as a deployment should: elsewhere on the file system, then renamed in."""
    made = folder / ".made" / version
    made.mkdir(parents=True)
    (made / "model.onnx").write_bytes(content)
    (folder / name).mkdir(exist_ok=True)
    made.rename(folder / name / version)
    (folder / ".made").rmdir()
    return folder / name / version / "model.onnx"


def load(folder: Path, reserved: tuple[str, ...] = (), max_batch_size: int = 1024) -> Repository:
    return repository.load(folder, Device.cpu(), threads=1, reserved=reserved, max_batch_size=max_batch_size)


def ones(rows: int = 1) -> dict[str, np.ndarray]:
    return {"x": np.ones((rows, 3), np.float32)}


def answer(found: Repository, name: str = "m", version: str | None = None) -> float:
    """What the model of `plain` makes of 1."""
    return float(found.find(name, version).run(ones())["y"][0, 0])


Load = Callable[[Path, int, Overrides], Model]
