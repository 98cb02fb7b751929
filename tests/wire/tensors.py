"""Tensors as NumPy has them, as bytes and as JSON: one table for both directions, and random ones."""

import json
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.wire import datatypes
from service.wire.datatypes import DATATYPES, Datatype

Tensor = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """`data` None: not to be had in JSON."""

    datatype: str
    array: Tensor
    raw: bytes
    data: list[Any] | None


def _case(datatype: str, values: Any, raw: str, data: list[Any] | None) -> Case:
    return Case(datatype, np.array(values, datatypes.by_name(datatype).numpy), bytes.fromhex(raw), data)


def _bits(datatype: str, bits: list[int], raw: str) -> Case:
    """Numbers given by their bits: NaNs, which JSON would not keep."""
    kind = datatypes.by_name(datatype).numpy
    return Case(datatype, np.array(bits, f"u{kind.itemsize}").view(kind), bytes.fromhex(raw), None)


CASES = [
    _case("BOOL", [[True, False, True]], "01 00 01", [True, False, True]),
    _case("INT8", [-128, 127], "80 7f", [-128, 127]),
    _case("INT16", [[-2], [258]], "feff 0201", [-2, 258]),
    _case("INT32", -(2**31), "00000080", [-(2**31)]),
    _case("INT64", [2**53 + 1, -1], "01000000 00002000 ffffffff ffffffff", [2**53 + 1, -1]),
    _case("UINT8", [[[255]]], "ff", [255]),
    _case("UINT16", [513], "0102", [513]),
    _case("UINT32", [2**32 - 1], "ffffffff", [2**32 - 1]),
    _case("UINT64", [2**64 - 1, 2**63], "ffffffffffffffff 0000000000000080", [2**64 - 1, 2**63]),
    _case("FP16", [1, -2], "003c 00c0", [1.0, -2.0]),
    _case("FP32", [[1.5, -0.0], [0.1, 3e38]], "0000c03f 00000080 cdcccc3d e6b1617f", [1.5, -0.0, 0.1, 3e38]),
    _case("FP64", [0.1], "9a9999999999b93f", [0.1]),
    _case("BF16", [1, -2], "803f 00c0", None),
    _case("BYTES", [b"", b"\xc3\xa4\0"], "00000000 03000000 c3a400", ["", "ä\0"]),
    _case("BYTES", [[b"\xff\xfe"]], "02000000 fffe", None),
    _case("FP32", np.zeros((0, 4)), "", []),
    _case("BYTES", np.zeros((2, 0)), "", []),
    _bits("FP16", [0x7E01, 0xFC00], "017e 00fc"),
    _bits("FP32", [0x7F800001, 0xFFC12345], "0100807f 4523c1ff"),
    _bits("FP64", [0x7FF0000000000001], "010000000000f07f"),
    _bits("BF16", [0x7F81, 0xFFC1, 0x8000], "817f c1ff 0080"),
]


def same(first: Tensor, second: Tensor) -> bool:
    """Equal in dtype, shape and every bit."""
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    return first.tolist() == second.tolist() if first.dtype == object else first.tobytes() == second.tobytes()


def binary_input(datatype: str, shape: Any, size: object, name: str = "x") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape), "parameters": {"binary_data_size": size}}


def request(*inputs: object, raw: bytes = b"", spaces: int = 0) -> tuple[bytes, int]:
    """A body with binary tensors, and the length of its JSON."""
    header = json.dumps({"inputs": inputs}).encode() + b" " * spaces
    return header + raw, len(header)


@st.composite
def random_tensors(draw: st.DrawFn, *, json_only: bool = False) -> tuple[Datatype, Tensor]:
    """Of every datatype; with every bit pattern, or only such as JSON can hold."""
    datatype = draw(st.sampled_from([datatype for datatype in DATATYPES if datatype.has_json or not json_only]))
    shape = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
    if datatype.name == "BYTES":
        texts = st.text(st.characters(exclude_categories=["Cs"])).map(str.encode) if json_only else st.binary()
        return datatype, draw(hnp.arrays(object, shape, elements=texts))
    if datatype.numpy == ml_dtypes.bfloat16:
        return datatype, draw(hnp.arrays(np.uint16, shape)).view(datatype.numpy)
    elements = {"allow_nan": False, "allow_infinity": False} if json_only and datatype.numpy.kind == "f" else None
    return datatype, draw(hnp.arrays(datatype.numpy, shape, elements=elements))
