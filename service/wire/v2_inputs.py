"""The input tensors of a V2 request: from JSON, from the bytes after the JSON, or from a body that is nothing else.

Binary tensors are read-only views into the body, without a copy, if they are aligned there. If not they are copied,
which costs 0.25 µs for 12 kB and 0.6 ms for 16 MiB. ONNX Runtime takes the address as it is: on x86-64 every operator
that was tried gave the right answer at every offset, but ReduceSum of FP64 gave other last bits, and C++ promises
nothing (onnxruntime 1.31.1, 2026-11).

Source: KServe Open Inference Protocol V2, and Triton's binary tensor data extension.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import simdjson

from service.errors import BadRequest, quoted
from service.wire import arrays, datatypes, v2_json, v2_parameters
from service.wire.arrays import Array, describe
from service.wire.datatypes import Datatype
from service.wire.v2_pieces import Numbers

_PREFIX_BYTES = 4  # the length before each element of BYTES


@dataclass(frozen=True, slots=True)
class InputTensor:
    name: str
    datatype: Datatype
    array: Array


@dataclass(frozen=True, slots=True)
class RawInput:
    """What a raw request has to know of a model's input.

    Attributes:
        shape: of one item, so without the batch dimension if there is one; None where any length goes.
        batched: the model has a batch dimension, before `shape`.
    """

    name: str
    datatype: Datatype
    shape: tuple[int | None, ...]
    batched: bool


class Tail:
    """The bytes after the JSON, taken tensor by tensor."""

    __slots__ = ("_rest",)

    def __init__(self, rest: memoryview) -> None:
        self._rest = rest

    def take(self, size: int, at: str) -> memoryview:
        missing = size - len(self._rest)
        if missing > 0:
            raise BadRequest(f"unexpected size for {at}, expecting {missing} additional bytes after the JSON")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def close(self) -> None:
        if self._rest:
            raise BadRequest(f"unexpected additional input data: {len(self._rest)} bytes after the last tensor")


def read_input(item: Mapping[str, object], name: str, tail: Tail, *, max_elements: int) -> InputTensor:
    """Read one member of `inputs`; what is binary is taken from `tail`."""
    at = f"input {quoted(name[:80])}"
    size, data = v2_parameters.of_input(item.get("parameters"), at), item.get("data")
    for key in ("datatype", "shape"):
        if item.get(key) is None:
            raise BadRequest(f"{at}: {key} is missing")
    try:
        datatype = datatypes.by_name(item["datatype"])
    except BadRequest as exc:
        raise BadRequest(f"{at}: {exc.text}") from exc
    shape = arrays.check_shape(item["shape"], name=f"{at}: shape", max_elements=max_elements)
    if size is None:
        return InputTensor(name, datatype, _from_json(data, datatype, shape, at, max_elements))
    if data is not None:
        raise BadRequest(f"{at}: data and binary_data_size are both there, expected one of them")
    return InputTensor(name, datatype, _from_bytes(size, datatype, shape, at, tail))


def _from_json(data: object, datatype: Datatype, shape: tuple[int, ...], at: str, max_elements: int) -> Array:
    if data is None:
        raise BadRequest(f"{at}: data is missing, and binary_data_size among its parameters too")
    if not isinstance(data, list | simdjson.Array | Numbers):
        raise BadRequest(f"{at}: data is {describe(data)}, expected a list")
    if not datatype.has_json:
        raise BadRequest(f"{at}: {datatype.name} is not read from JSON: send it as binary data, with binary_data_size")
    return v2_json.tensor(data, datatype.numpy, name=f"{at}: data", max_elements=max_elements, shape=shape)


def _from_bytes(size: int, datatype: Datatype, shape: tuple[int, ...], at: str, tail: Tail) -> Array:
    if datatype.name != "BYTES":
        expected = math.prod(shape) * datatype.numpy.itemsize
        if size != expected:
            what = f"{expected} for {datatype.name} {quoted(list(shape))}"
            raise BadRequest(f"input byte size mismatch for {at}. Expected {what}, got {size}")
        return _numbers(tail.take(size, at), datatype, at).reshape(shape)
    return _texts(tail.take(size, at), math.prod(shape), at).reshape(shape)


def _numbers(raw: memoryview, datatype: Datatype, at: str) -> Array:
    if datatype.name == "BOOL":
        octets = np.frombuffer(raw, np.uint8)
        strange = octets > 1
        if strange.any():
            index = int(strange.argmax())
            raise BadRequest(f"{at}: byte {index} is {octets[index]}, expected 0 or 1 for BOOL")
        return octets.view(np.bool_)
    return view(raw, datatype)


def view(raw: memoryview, datatype: Datatype) -> Array:
    """Look at bytes as numbers, little-endian; a copy only if they are not aligned."""
    stored = np.frombuffer(raw, datatype.numpy.newbyteorder("<"))
    return stored if stored.flags.aligned and stored.dtype.isnative else stored.astype(datatype.numpy)


def _texts(raw: memoryview, count: int, at: str) -> Array:
    """Read BYTES: each element is its length (32 bits, little-endian) and as many bytes."""
    if count * _PREFIX_BYTES > len(raw):  # before anything is allocated for `count`
        raise BadRequest(f"{at}: {len(raw)} bytes cannot hold {count} elements of BYTES")
    found = np.empty(count, np.object_)
    start = 0
    for index in range(count):
        first = start + _PREFIX_BYTES
        end = first + int.from_bytes(raw[start:first], "little")
        if first > len(raw) or end > len(raw):
            length = f"its length is {end - first}" if first <= len(raw) else "its length is cut off"
            raise BadRequest(f"{at}: element {index} of {count} goes beyond the end: {length}")
        found[index] = bytes(raw[first:end])
        start = end
    if start != len(raw):
        raise BadRequest(f"{at}: {len(raw) - start} bytes are left after {count} elements of BYTES")
    return found


def read_raw(raw: memoryview, port: RawInput, *, max_elements: int) -> InputTensor:
    """Read a body that is one tensor and nothing else."""
    at = f"input {quoted(port.name)}"
    batch = (1,) if port.batched else ()
    if port.datatype.name == "BYTES":
        if None in port.shape or math.prod(cast("tuple[int, ...]", port.shape)) != 1:
            text = f"For BYTE datatype raw input {quoted(port.name)}, the model must have input shape [1]"
            raise BadRequest(text)
        array = np.empty(1, np.object_)
        array[0] = bytes(raw)
        return InputTensor(port.name, port.datatype, array.reshape(batch + cast("tuple[int, ...]", port.shape)))
    shape = arrays.check_shape(list(batch + _deduced(len(raw), port)), name=f"{at}: shape", max_elements=max_elements)
    return InputTensor(port.name, port.datatype, _numbers(raw, port.datatype, at).reshape(shape))


def _deduced(size: int, port: RawInput) -> tuple[int, ...]:
    if port.shape.count(None) > 1:
        reason = "there are more than one variable-sized dimension"
        raise BadRequest(f"The shape of the raw input {quoted(port.name)} can not be deduced because {reason}")
    unit = math.prod(dim for dim in port.shape if dim is not None) * port.datatype.numpy.itemsize
    length, rest = divmod(size, unit) if unit else (0, size)
    variable = None in port.shape
    if rest or (not variable and size != unit):
        shown = f"{port.datatype.name} {[-1 if dim is None else dim for dim in port.shape]}"
        expected = f"a multiple of {unit}" if variable else f"{unit}"
        raise BadRequest(
            f"input {quoted(port.name)}: the raw request has {size} bytes, expected {expected} for {shown}"
        )
    return tuple(length if dim is None else dim for dim in port.shape)
