"""V2 inference requests and answers in JSON."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.errors import BadRequest, PayloadTooLarge
from service.wire import v2
from service.wire.datatypes import DATATYPES, Datatype

X = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4]}


def decode(request: object, **options: Any) -> v2.InferRequest:
    return v2.decode_infer(json.dumps(request).encode(), **{"max_elements": 1000, **options})


def test_a_full_request_is_read() -> None:
    request = decode(
        {
            "id": "42",
            "parameters": {"a": 1, "b": 1.5, "c": True, "d": "e", "binary_data_output": True},
            "inputs": [X, {**X, "name": "y", "datatype": "BYTES", "shape": [1], "data": ["ä"], "parameters": {"k": 1}}],
            "outputs": [{"name": "z", "parameters": {"binary_data": False}}, {"name": "w"}],
            "unknown": [None],
        }
    )
    assert request.id == "42"
    assert request.parameters == {"a": 1, "b": 1.5, "c": True, "d": "e", "binary_data_output": True}
    x, y = request.inputs
    assert (x.name, x.datatype.name, x.array.dtype, x.array.tolist()) == ("x", "FP32", np.float32, [[1, 2], [3, 4]])
    assert (y.name, y.array.tolist()) == ("y", ["ä".encode()])
    assert request.outputs == (v2.RequestedOutput("z", {"binary_data": False}), v2.RequestedOutput("w", {}))


@pytest.mark.parametrize("extra", [{}, {"id": None, "parameters": None, "outputs": None}, {"outputs": []}])
def test_what_is_optional_may_be_absent_or_null(extra: dict[str, object]) -> None:
    request = decode({"inputs": [X], **extra})
    assert (request.id, request.parameters, request.outputs) == (None, {}, None)


@pytest.mark.parametrize(
    ("shape", "data"),
    [([2, 2], [[1, 2], [3, 4]]), ([4], [[1, 2], [3, 4]]), ([2, 2], [[1, 2, 3], [4]]), ([1, 4], [1, [2, [3, 4]]])],
)
def test_data_is_flattened_in_row_major_order(shape: list[int], data: object) -> None:
    (x,) = decode({"inputs": [{**X, "shape": shape, "data": data}]}).inputs
    assert (list(x.array.shape), x.array.ravel().tolist()) == (shape, [1, 2, 3, 4])


@pytest.mark.parametrize(("shape", "data"), [([0, 4], []), ([0], [[]]), ([], [7])])
def test_empty_tensors_and_scalars_are_read(shape: list[int], data: object) -> None:
    (x,) = decode({"inputs": [{**X, "shape": shape, "data": data}]}).inputs
    assert list(x.array.shape) == shape


def test_fp16_is_read_from_numbers() -> None:
    (x,) = decode({"inputs": [{**X, "datatype": "FP16", "data": [0.1, 1, -65504, "NaN"]}]}).inputs
    assert x.array.dtype == np.float16
    assert np.array_equal(x.array.ravel(), np.array([0.1, 1, -65504, np.nan], np.float16), equal_nan=True)


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (None, "the request is null, expected an object"),
        ([], "the request is a list"),
        ({}, "inputs is empty or missing"),
        ({"inputs": []}, "inputs is empty"),
        ({"inputs": X}, "inputs is an object, expected a list"),
        ({"inputs": [1]}, "inputs[0] is 1, expected an object"),
        ({"inputs": [X, X]}, "inputs[1]: the name 'x' is there already"),
        ({"inputs": [X] * 65}, "inputs has 65 tensors, expected at most 64"),
        ({"inputs": [X], "outputs": {}}, "outputs is an object"),
        ({"inputs": [X], "outputs": ["z"]}, "outputs[0] is the string 'z'"),
        ({"inputs": [X], "outputs": [{}]}, "outputs[0].name is missing"),
        ({"inputs": [X], "outputs": [{"name": "z"}] * 2}, "outputs[1]: the name 'z' is there already"),
        ({"inputs": [X], "outputs": [{"name": str(i)} for i in range(65)]}, "outputs has 65"),
        ({"inputs": [X], "outputs": [{"name": "z", "parameters": {"shared_memory_region": "r"}}]}, "shared memory"),
        ({"inputs": [X], "id": 5}, "id is 5, expected a string"),
        ({"inputs": [X], "id": {}}, "id is an object"),
        ({"inputs": [X], "id": "i" * 1025}, "id has 1025 characters, expected at most 1024"),
        ({"inputs": [X], "parameters": []}, "parameters is a list, expected an object"),
        ({"inputs": [X], "parameters": {"p": None}}, "parameters: 'p' is null"),
        ({"inputs": [X], "parameters": {"p": [1]}}, "parameters: 'p' is a list"),
    ],
)
def test_a_malformed_request_is_refused(request_: object, text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode(request_)
    assert text in caught.value.text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": None}, "inputs[0].name is missing"),
        ({"name": ""}, "inputs[0].name is the string ''"),
        ({"name": 1}, "inputs[0].name is 1"),
        ({"datatype": "fp32"}, "input 'x': datatype is 'fp32', expected one of BOOL"),
        ({"datatype": "BF16"}, "input 'x': datatype is 'BF16'"),
        ({"datatype": 1}, "input 'x': datatype is not a string"),
        ({"shape": None}, "input 'x': shape is null"),
        ({"shape": [2.0, 2]}, "input 'x': shape[0] is 2.0"),
        ({"shape": [True, 4]}, "input 'x': shape[0] is true"),
        ({"shape": [-1, 4]}, "input 'x': shape[0] is -1"),
        ({"shape": [2, 3]}, "input 'x': data has 4 elements, expected 6 for shape [2, 3]"),
        ({"shape": [1]}, "input 'x': data has 4 elements, expected 1"),
        ({"data": 5}, "input 'x': data is 5, expected a list"),
        ({"data": None}, "input 'x': data is null"),
        ({"data": [1, 2, [3, "4"]]}, "input 'x': data[3] is the string '4'"),
        ({"data": [[1, 2], [3, None]]}, "input 'x': data[1][1] is null"),
        ({"data": [1, 2, 3, 1e39]}, "input 'x': data[3] is 1e+39, which is not representable in float32"),
        ({"datatype": "UINT8", "data": [1, 2, 3, 256]}, "input 'x': data[3] is 256"),
        ({"datatype": "BOOL"}, "input 'x': data[0] is 1, expected true or false"),
        ({"parameters": {"binary_data_size": 16}}, "input 'x': parameters: binary_data_size: binary tensors are not"),
        ({"parameters": {"shared_memory_region": "r"}}, "input 'x': parameters: shared_memory_region"),
        ({"parameters": 1}, "input 'x': parameters is 1"),
    ],
)
def test_a_malformed_input_is_refused_by_its_name(change: dict[str, object], text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode({"inputs": [{**X, **change}]})
    assert text in caught.value.text


@pytest.mark.parametrize("key", ["name", "datatype", "shape", "data"])
def test_a_missing_member_is_named(key: str) -> None:
    with pytest.raises(BadRequest, match=f"{key} is missing"):
        decode({"inputs": [{k: v for k, v in X.items() if k != key}]})


@pytest.mark.parametrize("shape", [[2**32, 2**33], [2**4, 2**60 + 2], [1001]])
def test_too_many_elements_are_too_large(shape: list[int]) -> None:
    with pytest.raises(PayloadTooLarge, match="input 'x': shape"):
        decode({"inputs": [{**X, "shape": shape}]})


def test_an_error_does_not_echo_a_long_name() -> None:
    with pytest.raises(BadRequest) as caught:
        decode({"inputs": [{**X, "name": "n" * 100_000, "data": []}]})
    assert len(caught.value.text) < 300


def test_every_prefix_of_a_request_is_refused() -> None:
    body = json.dumps({"id": "ä", "inputs": [X], "outputs": [{"name": "z"}]}, ensure_ascii=False).encode()
    for length in range(len(body)):
        with pytest.raises(BadRequest):
            v2.decode_infer(body[:length], max_elements=4)
    assert v2.decode_infer(memoryview(body), max_elements=4).id == "ä"


def test_an_answer_is_written() -> None:
    outputs = [
        ("y", np.array([[1, np.nan]], np.float32)),
        ("h", np.array(0.1, np.float16)),
        ("s", np.array([b"ab"], object)),
    ]
    assert json.loads(v2.encode_infer("m", "1", outputs, "42")) == {
        "id": "42",
        "model_name": "m",
        "model_version": "1",
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [1.0, None]},
            {"name": "h", "datatype": "FP16", "shape": [], "data": [0.1]},
            {"name": "s", "datatype": "BYTES", "shape": [1], "data": ["ab"]},
        ],
    }
    assert "id" not in json.loads(v2.encode_infer("m", "1", [], None))


@st.composite
def tensors(draw: st.DrawFn) -> tuple[Datatype, np.ndarray[Any, Any]]:
    datatype = draw(st.sampled_from(DATATYPES))
    shape = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
    if datatype.name == "BYTES":
        text = st.text(st.characters(exclude_categories=["Cs"])).map(str.encode)
        return datatype, draw(hnp.arrays(object, shape, elements=text))
    elements = {"allow_nan": False, "allow_infinity": False} if datatype.name.startswith("FP") else None
    return datatype, draw(hnp.arrays(datatype.numpy, shape, elements=elements))


@settings(max_examples=200, deadline=None)
@given(tensors())
def test_an_output_sent_back_as_an_input_is_the_same(tensor: tuple[Datatype, np.ndarray[Any, Any]]) -> None:
    datatype, array = tensor
    answer = json.loads(v2.encode_infer("m", "1", [("x", array)], None))
    (x,) = decode({"inputs": answer["outputs"]}).inputs
    assert x.datatype is datatype
    assert (x.array.dtype, x.array.shape, x.array.tolist()) == (array.dtype, array.shape, array.tolist())
