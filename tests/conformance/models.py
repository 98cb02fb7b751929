"""Tiny ONNX models for the conformance suite: what they compute is known without running them."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

ELEMENTS = {
    "BOOL": TensorProto.BOOL,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BF16": TensorProto.BFLOAT16,
    "BYTES": TensorProto.STRING,
}
"""V2 datatypes and ONNX element types."""

LABELS = ["zero", "one", "two", "three"]


def model(nodes: list[onnx.NodeProto], inputs: list[str], outputs: list[str], element: int, width: int | None) -> bytes:
    """A graph over tensors [N, width] of one element type."""
    ports = [helper.make_tensor_value_info(name, element, ["N", width]) for name in inputs + outputs]
    graph = helper.make_graph(nodes, "g", ports[: len(inputs)], ports[len(inputs) :])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def echo(datatype: str) -> bytes:
    """y = x."""
    return model([helper.make_node("Identity", ["x"], ["y"])], ["x"], ["y"], ELEMENTS[datatype], None)


def labelled() -> bytes:
    """y = x, four columns with labels."""
    plain = model([helper.make_node("Identity", ["x"], ["y"])], ["x"], ["y"], TensorProto.FLOAT, 4)
    proto = onnx.load_from_string(plain)
    helper.set_model_props(proto, {"labels": str(LABELS).replace("'", '"')})
    return bytes(proto.SerializeToString())


def add_sub() -> bytes:
    """Triton's `simple`: total = a + b, difference = a − b, sixteen columns of INT32."""
    nodes = [helper.make_node("Add", ["a", "b"], ["total"]), helper.make_node("Sub", ["a", "b"], ["difference"])]
    return model(nodes, ["a", "b"], ["total", "difference"], TensorProto.INT32, 16)


def write(folder: Path) -> None:
    """A repository of them: `echo_fp32`, …, `labelled`, `add_sub`, and `versions` 1 and 2 (y = −x)."""
    negative = model([helper.make_node("Neg", ["x"], ["y"])], ["x"], ["y"], TensorProto.FLOAT, None)
    files = {f"echo_{name.lower()}/1": echo(name) for name in ELEMENTS}
    files |= {"labelled/1": labelled(), "add_sub/1": add_sub(), "versions/1": echo("FP32"), "versions/2": negative}
    for place, content in files.items():
        path = folder / place / "model.onnx"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
