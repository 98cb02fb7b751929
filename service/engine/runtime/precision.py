"""Models with their arithmetic in float16, by the converter that ONNX Runtime carries."""

import logging
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import onnx
from onnx import GraphProto, NodeProto, TensorProto, helper

from service.engine.runtime.device import Device
from service.engine.runtime.session import Session
from service.errors import ModelUnavailable

log = logging.getLogger("actserve.repository")

Precision: TypeAlias = Literal["float32", "float16"]

HEAD = {"Identity", "Flatten", "Gemm", "Mul", "Softmax", "LogSoftmax", "Sigmoid"}
"""Operators that stay in float32 at the end of a model: they cost little there, and probabilities of 11 bits would not
add up to 1."""


def opened(
    content: bytes, device: Device, wanted: Precision, name: str, *, threads: int = 1, captures: bool = False
) -> tuple[Session, Precision]:
    """A session, and its precision: what cannot be converted is run as it is, and the log says so.

    Args:
        name: the model's, for the log.

    Raises:
        ModelUnavailable: as `Session.load`.
    """
    if wanted == "float16":
        try:
            return Session.load(to_float16(content), device, threads=threads, captures=captures), "float16"
        except ModelUnavailable as error:
            log.warning("%s is not run in float16: %s", name, error)
    return Session.load(content, device, threads=threads, captures=captures), "float32"


def to_float16(content: bytes) -> bytes:
    """The same model with weights and arithmetic in float16, but for its last layer; inputs and outputs stay float32.

    Raises:
        ModelUnavailable: the converter fails on it; says how.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16  # only where it is asked for

    model = onnx.load_model_from_string(content)
    outputs, constants = list(model.graph.output), list(model.graph.initializer)
    head = _head(model.graph)
    if len(head) == len(model.graph.node):
        raise ModelUnavailable("it has nothing but a last layer")
    _take_off(model.graph, head)
    try:
        converted: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise ModelUnavailable(f"the converter fails on it: {error}") from error
    converted.graph.initializer.extend(_own_constants(head, constants))
    converted.graph.node.extend(head)
    _replace(converted.graph.output, outputs)
    return bytes(converted.SerializeToString())


def _head(graph: GraphProto) -> list[NodeProto]:
    """The last nodes, as far as they are of `HEAD`, in the graph's order."""
    needed: set[str] = set()  # by the nodes that are not of the head
    head: list[NodeProto] = []
    for node in reversed(graph.node):
        if node.op_type in HEAD and not needed & set(node.output):
            head.insert(0, node)
        else:
            needed |= set(node.input)
    return head


def _take_off(graph: GraphProto, head: Sequence[NodeProto]) -> None:
    """Leave the other nodes, whose outputs are what the head reads, and what of the model's outputs is theirs."""
    body = [node for node in graph.node if node not in head]
    made = {name for node in body for name in node.output}
    kept = [output for output in graph.output if output.name in made]
    between = sorted((_read(head) & made) - {output.name for output in kept})
    read = _read(body)
    constants = [tensor for tensor in graph.initializer if tensor.name in read]
    _replace(graph.node, body)
    _replace(graph.initializer, constants)
    _replace(graph.output, [*kept, *(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in between)])


def _own_constants(head: Sequence[NodeProto], constants: Sequence[TensorProto]) -> list[TensorProto]:
    """What the head reads of the constants, in names of its own: the body may read the same, in float16."""
    own = []
    for tensor in constants:
        if tensor.name in _read(head):
            name = f"{tensor.name} (float32)"
            for node in head:
                _replace(node.input, [name if given == tensor.name else given for given in node.input])
            copy = TensorProto()
            copy.CopyFrom(tensor)
            copy.name = name
            own.append(copy)
    return own


def _read(nodes: Sequence[NodeProto]) -> set[str]:
    return {name for node in nodes for name in node.input}


def _replace(field: Any, by: Sequence[Any]) -> None:
    """Change a repeated field of a protobuf, to which nothing can be assigned."""
    del field[:]
    field.extend(by)
