"""The Open Inference Protocol V2's inference answer: JSON, and behind it the bytes of the outputs that are binary.

Source: KServe Open Inference Protocol V2, inference_rest.md; Triton's binary tensor data extension.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from service.errors import BadRequest, quoted
from service.wire import arrays, datatypes
from service.wire.arrays import Array, DType
from service.wire.datatypes import Datatype

COPIED_BYTES = 2**12
"""Up to here bytes are copied: a view takes longer."""
MAX_KNOWN = 512
"""JSON texts kept; when there are more all are forgotten."""

_KNOWN: dict[object, bytes] = {}
"""The JSON of answers without a number in it, by all that it says: the same model mostly answers the same way."""


@dataclass(frozen=True, slots=True)
class OutputTensor:
    name: str
    array: Array
    binary: bool


@dataclass(frozen=True, slots=True)
class Encoded:
    """The body of an answer, in pieces.

    Attributes:
        header_bytes: for Inference-Header-Content-Length, length of the JSON, which comes first; None if no bytes
            follow it, and the header must not be sent.
        chunks: binary outputs are views of their arrays, not copies.
    """

    header_bytes: int | None
    chunks: list[bytes | memoryview]


def encode_infer(
    model_name: str,
    model_version: str,
    outputs: Sequence[OutputTensor],
    *,
    id: str | None,
    parameters: Mapping[str, object] | None = None,
) -> Encoded:
    """Write the answer; in JSON `data` is flat in row-major order, non-finite numbers are null.

    Raises:
        BadRequest: an output was asked for as JSON that JSON cannot hold: BF16, or BYTES that are not UTF-8.
    """
    if id is None and not parameters and all(output.binary for output in outputs):
        return _binary(model_name, model_version, outputs)
    answer: dict[str, object] = {} if id is None else {"id": id}
    answer |= {"model_name": model_name, "model_version": model_version}
    if parameters:
        answer["parameters"] = parameters
    described, pieces = [], []
    for output in outputs:
        content: Mapping[str, object]
        if output.binary:
            piece = _to_bytes(output.array)
            pieces.append(piece)
            content = {"parameters": {"binary_data_size": len(piece)}}
        else:
            content = {"data": _to_json(output)}
        described.append(_described(output.name, output.array.dtype, output.array.shape, content))
    return _encoded(arrays.dumps_in_pieces(answer | {"outputs": described}), pieces)


def _binary(model_name: str, model_version: str, outputs: Sequence[OutputTensor]) -> Encoded:
    pieces = [_to_bytes(output.array) for output in outputs]
    sizes = map(len, pieces)
    facts = [(o.name, o.array.dtype, o.array.shape, size) for o, size in zip(outputs, sizes, strict=True)]
    key = (model_name, model_version, *facts)
    header = _KNOWN.get(key)
    if header is None:
        described = [
            _described(name, dtype, shape, {"parameters": {"binary_data_size": size}})
            for name, dtype, shape, size in facts
        ]
        header = arrays.dumps({"model_name": model_name, "model_version": model_version, "outputs": described})
        if len(_KNOWN) >= MAX_KNOWN:
            _KNOWN.clear()
        _KNOWN[key] = header
    return _encoded([header], pieces)


def _described(name: str, dtype: DType, shape: tuple[int, ...], content: Mapping[str, object]) -> Mapping[str, object]:
    return {"name": name, "datatype": _datatype(dtype).name, "shape": shape, **content}


def _encoded(header: list[bytes], pieces: Sequence[bytes | memoryview]) -> Encoded:
    behind = [piece for piece in pieces if piece]
    return Encoded(sum(map(len, header)) if behind else None, [*header, *behind])


def _datatype(dtype: DType) -> Datatype:
    return datatypes.by_numpy(dtype.newbyteorder("="))


def _to_json(output: OutputTensor) -> object:
    if not _datatype(output.array.dtype).has_json:
        raise BadRequest(f"output {quoted(output.name)} is BF16, which is not written as JSON: ask for binary_data")
    return arrays.to_json_flat_null(output.array)


def _to_bytes(array: Array) -> bytes | memoryview:
    """Return the elements in row-major order, little-endian; of many a view if they are so already."""
    if array.dtype.kind == "O":
        texts = [value if isinstance(value, bytes) else str(value).encode() for value in array.ravel()]
        return b"".join(part for text in texts for part in (len(text).to_bytes(4, "little"), text))
    if array.nbytes <= COPIED_BYTES and array.dtype.isnative and sys.byteorder == "little":
        return array.tobytes()
    ordered = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    return ordered.reshape(-1).view(np.uint8).data
