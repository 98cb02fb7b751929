"""The V2 datatypes, each with its NumPy dtype and its ONNX Runtime type: one table, three ways to look things up.

Nothing is converted here. NumPy has no BF16 of its own: the dtype is that of `ml_dtypes`, which ONNX uses too.
"""

from dataclasses import dataclass

import ml_dtypes
import numpy as np

from service.errors import BadRequest, quoted


@dataclass(frozen=True, slots=True)
class Datatype:
    """One kind of tensor element; `numpy` is in native byte order, BYTES are Python `bytes` objects."""

    name: str
    numpy: np.dtype[np.generic]
    onnx: str

    @property
    def has_json(self) -> bool:
        """Whether JSON may hold it: BF16 travels as bytes only, as in Triton."""
        return self.name != "BF16"


DATATYPES: tuple[Datatype, ...] = tuple(
    Datatype(name, np.dtype(kind), f"tensor({onnx})")
    for name, kind, onnx in (
        ("BOOL", np.bool_, "bool"),
        ("INT8", np.int8, "int8"),
        ("INT16", np.int16, "int16"),
        ("INT32", np.int32, "int32"),
        ("INT64", np.int64, "int64"),
        ("UINT8", np.uint8, "uint8"),
        ("UINT16", np.uint16, "uint16"),
        ("UINT32", np.uint32, "uint32"),
        ("UINT64", np.uint64, "uint64"),
        ("FP16", np.float16, "float16"),
        ("FP32", np.float32, "float"),
        ("FP64", np.float64, "double"),
        ("BF16", ml_dtypes.bfloat16, "bfloat16"),
        ("BYTES", np.object_, "string"),
    )
)

_BY_NAME = {datatype.name: datatype for datatype in DATATYPES}
_BY_NUMPY = {datatype.numpy: datatype for datatype in DATATYPES}
_BY_ONNX = {datatype.onnx: datatype for datatype in DATATYPES}


def by_name(name: object) -> Datatype:
    """Find a datatype by its V2 name, which is case-sensitive."""
    found = _BY_NAME.get(name) if isinstance(name, str) else None
    if found is None:
        shown = quoted(name[:80]) if isinstance(name, str) else "not a string"
        raise BadRequest(f"datatype is {shown}, expected one of {', '.join(_BY_NAME)}")
    return found


def by_numpy(dtype: np.dtype[np.generic]) -> Datatype:
    """Find the datatype of a native NumPy dtype."""
    if dtype not in _BY_NUMPY:
        raise BadRequest(f"dtype {dtype} has no V2 datatype, expected one of {', '.join(map(str, _BY_NUMPY))}")
    return _BY_NUMPY[dtype]


def by_onnx(onnx: str) -> Datatype:
    """Find the datatype of an ONNX Runtime type such as `tensor(float)`.

    Raises:
        ValueError: the model uses a type that cannot be sent; this is found at load, not by a request.
    """
    if onnx not in _BY_ONNX:
        raise ValueError(f"ONNX type {onnx!r} has no V2 datatype, expected one of {', '.join(_BY_ONNX)}")
    return _BY_ONNX[onnx]
