"""The table of datatypes agrees with NumPy and with ONNX's own names."""

import numpy as np
import pytest

from service.errors import BadRequest
from service.wire import datatypes
from service.wire.datatypes import DATATYPES, Datatype


@pytest.mark.parametrize("datatype", DATATYPES, ids=lambda datatype: datatype.name)
def test_each_datatype_is_found_by_each_of_its_three_names(datatype: Datatype) -> None:
    assert datatypes.by_name(datatype.name) is datatype
    assert datatypes.by_numpy(np.zeros(1, datatype.numpy).dtype) is datatype
    assert datatypes.by_onnx(datatype.onnx) is datatype


@pytest.mark.parametrize(
    ("name", "onnx"),
    [
        ("FP32", "tensor(float)"),
        ("FP64", "tensor(double)"),
        ("FP16", "tensor(float16)"),
        ("BF16", "tensor(bfloat16)"),
        ("BYTES", "tensor(string)"),
    ],
)
def test_onnx_names_that_are_not_numpys(name: str, onnx: str) -> None:
    assert datatypes.by_name(name).onnx == onnx


@pytest.mark.parametrize(
    "name", ["fp32", "FLOAT", "FP128", "bf16", "", "FP32 ", None, 1, ["FP32"], "\ud800", "x" * 9999]
)
def test_an_unknown_name_is_refused_with_the_known_ones(name: object) -> None:
    with pytest.raises(BadRequest, match=r"BOOL, INT8, .*FP32, FP64, BF16, BYTES") as caught:
        datatypes.by_name(name)
    assert len(caught.value.text) < 300


@pytest.mark.parametrize("dtype", [">f4", "c8", "U3", "M8[s]", "S2"])
def test_a_dtype_without_a_datatype_is_refused(dtype: str) -> None:
    with pytest.raises(BadRequest, match="float32"):
        datatypes.by_numpy(np.dtype(dtype))


def test_an_onnx_type_that_cannot_be_sent_is_an_error_of_the_model() -> None:
    with pytest.raises(ValueError, match=r"tensor\(complex64\)"):
        datatypes.by_onnx("tensor(complex64)")


def test_all_but_bf16_may_be_json() -> None:
    assert [datatype.name for datatype in DATATYPES if not datatype.has_json] == ["BF16"]
