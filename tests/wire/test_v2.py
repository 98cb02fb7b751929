"""V2 inference requests in JSON: what is read, and what is refused by its name."""

import json
from typing import Any

import numpy as np
import pytest

from service.errors import BadRequest, PayloadTooLarge
from service.wire import v2
from service.wire.v2 import RequestedOutput

X = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4]}


def decode(request: object, **options: Any) -> v2.InferRequest:
    return v2.decode_infer(json.dumps(request).encode(), None, **{"max_elements": 1000, **options})


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
    assert request.parameters == {"a": 1, "b": 1.5, "c": True, "d": "e"}
    assert (request.binary_data_output, request.priority, request.timeout_us) == (True, 0, None)
    x, y = request.inputs
    assert (x.name, x.datatype.name, x.array.dtype, x.array.tolist()) == ("x", "FP32", np.float32, [[1, 2], [3, 4]])
    assert (y.name, y.array.tolist()) == ("y", ["ä".encode()])
    assert request.outputs == (RequestedOutput("z", False, None), RequestedOutput("w", False, None))


@pytest.mark.parametrize("extra", [{}, {"id": None, "parameters": None, "outputs": None}, {"outputs": []}])
def test_what_is_optional_may_be_absent_or_null(extra: dict[str, object]) -> None:
    request = decode({"inputs": [X], **extra})
    assert (request.id, request.parameters, request.outputs) == (None, {}, None)
    assert (request.binary_data_output, request.priority, request.timeout_us) == (False, 0, None)


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
        ({"inputs": [X, X]}, "input 'x' already exists in request (inputs[1])"),
        ({"inputs": [X] * 65}, "inputs has 65 tensors, expected at most 64"),
        ({"inputs": [X], "outputs": {}}, "outputs is an object"),
        ({"inputs": [X], "outputs": ["z"]}, "outputs[0] is the string 'z'"),
        ({"inputs": [X], "outputs": [{}]}, "outputs[0].name is missing"),
        ({"inputs": [X], "outputs": [{"name": "z"}] * 2}, "output 'z' already exists in request (outputs[1])"),
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
        ({"datatype": "BF16"}, "input 'x': BF16 is not read from JSON: send it as binary data"),
        ({"datatype": 1}, "input 'x': datatype is not a string"),
        ({"shape": None}, "input 'x': shape is missing"),
        ({"shape": {}}, "input 'x': shape is an object"),
        ({"shape": [2.0, 2]}, "input 'x': shape[0] is 2.0"),
        ({"shape": [True, 4]}, "input 'x': shape[0] is true"),
        ({"shape": [-1, 4]}, "input 'x': shape[0] is -1"),
        ({"shape": [2, 3]}, "input 'x': data has 4 elements, expected 6 for shape [2, 3]"),
        ({"shape": [1]}, "input 'x': data has 4 elements, expected 1"),
        ({"data": 5}, "input 'x': data is 5, expected a list"),
        ({"data": {"a": [1]}}, "input 'x': data is an object, expected a list"),
        ({"data": None}, "input 'x': data is missing, and binary_data_size among its parameters too"),
        ({"data": [1, 2, [3, "4"]]}, "input 'x': data[3] is the string '4'"),
        ({"data": [[1, 2], [3, None]]}, "input 'x': data[1][1] is null"),
        ({"data": [1, 2, 3, 1e39]}, "input 'x': data[3] is 1e+39, which is not representable in float32"),
        ({"datatype": "UINT8", "data": [1, 2, 3, 256]}, "input 'x': data[3] is 256"),
        ({"datatype": "BOOL"}, "input 'x': data[0] is 1, expected true or false"),
        ({"parameters": {"binary_data_size": 16}}, "input 'x': data and binary_data_size are both there"),
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
            v2.decode_infer(body[:length], None, max_elements=4)
    assert v2.decode_infer(memoryview(body), None, max_elements=4).id == "ä"


@pytest.mark.parametrize(
    ("parameters", "priority", "timeout_us", "binary", "rest"),
    [
        ({}, 0, None, False, {}),
        ({"priority": 2, "timeout": 5, "binary_data_output": True, "kernel": "exact"}, 2, 5, True, {"kernel": "exact"}),
        ({"timeout": 0}, 0, None, False, {}),
        ({"timeout": 2**64 - 1}, 0, 2**64 - 1, False, {}),
        ({"sequence_id": "a", "sequence_start": True, "sequence_end": False, "headers": "h"}, 0, None, False, {}),
        ({"sequence_id": 7, "tritonic": 1}, 0, None, False, {"tritonic": 1}),
    ],
)
def test_reserved_parameters_are_taken_out(
    parameters: dict[str, Any], priority: int, timeout_us: int | None, binary: bool, rest: dict[str, Any]
) -> None:
    request = decode({"inputs": [X], "parameters": parameters})
    assert (request.priority, request.timeout_us, request.binary_data_output) == (priority, timeout_us, binary)
    assert request.parameters == rest


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"priority": -1}, "priority is -1, expected a non-negative integer"),
        ({"priority": True}, "priority is true, expected an integer"),
        ({"priority": 1.0}, "priority is 1.0"),
        ({"timeout": -1}, "timeout is -1, expected a non-negative integer"),
        ({"timeout": "5"}, "timeout is the string '5', expected an integer"),
        ({"timeout": 1e18}, "timeout is 1e+18"),
        ({"timeout": 2**64}, "timeout is 1.8446744073709552e+19"),
        ({"binary_data_output": "yes"}, "binary_data_output is the string 'yes', expected true or false"),
        ({"binary_data_output": 1}, "binary_data_output is 1"),
        ({"sequence_id": 1.5}, "sequence_id is 1.5, expected an integer or a string"),
        ({"sequence_start": 1}, "sequence_start is 1"),
        ({"headers": 1}, "headers is 1, expected a string"),
        ({"triton_enable_empty_final_response": True}, "names that begin with triton_ are reserved"),
    ],
)
def test_a_reserved_parameter_of_the_wrong_type_is_refused(parameters: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode({"inputs": [X], "parameters": parameters})
    assert caught.value.text.startswith("parameters: ")
    assert text in caught.value.text


@pytest.mark.parametrize(
    ("parameters", "binary", "classification"),
    [(None, False, None), ({}, False, None), ({"binary_data": True}, True, None), ({"unknown": 1}, False, None),
     ({"binary_data": False, "classification": 3}, False, 3), ({"classification": 10**9}, False, 10**9),
     ({"classification": 0}, False, None)],
)  # fmt: skip
def test_what_is_asked_of_an_output(parameters: object, binary: bool, classification: int | None) -> None:
    request = decode({"inputs": [X], "outputs": [{"name": "y", "parameters": parameters}]})
    assert request.outputs == (RequestedOutput("y", binary, classification),)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"binary_data": 1}, "output 'y': binary_data is 1, expected true or false"),
        ({"classification": -1}, "output 'y': classification is -1, expected a non-negative integer"),
        ({"classification": -1}, "classification is -1"),
        ({"classification": True}, "classification is true"),
        ({"classification": "3"}, "classification is the string '3'"),
        ({"classification": 2.0}, "classification is 2.0"),
        ({"shared_memory_region": "r", "classification": 1}, "shared memory is not supported; ask for binary_data"),
        ([], "output 'y': parameters is a list"),
    ],
)
def test_what_cannot_be_asked_of_an_output(parameters: object, text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode({"inputs": [X], "outputs": [{"name": "y", "parameters": parameters}]})
    assert text in caught.value.text


@pytest.mark.parametrize("everything", [False, True])
def test_which_outputs_are_binary(everything: bool) -> None:
    """The request's own flag is for outputs that are not listed."""
    parameters = {"binary_data_output": everything}
    assert decode({"inputs": [X], "parameters": parameters}).is_binary("y") is everything
    outputs = [{"name": "a"}, {"name": "b", "parameters": {"binary_data": True}}]
    request = decode({"inputs": [X], "parameters": parameters, "outputs": outputs})
    assert [request.is_binary(name) for name in "ab"] == [False, True]
