"""Hostile JSON and tensors: a short reason, and the next request is answered as ever.

The numbers J01, T05 … are those of the catalogue of bad input.
"""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.routes.sending import JSON, POST_ROUTES, infer, refused_safely, send

pytestmark = pytest.mark.usefixtures("golden")

NOT_JSON = {
    "J01 empty": b"",
    "J03 truncated": b'{"data": [1, ',
    "J03 trailing": b'{"data": 1} x',
    "J03 two": b'{"data": 1}{"data": 1}',
    "J03 single quotes": b"{'data': 1}",
    "J03 comment": b'{"data": 1 /* one */}',
    "J03 trailing comma": b'{"data": [1,]}',
    "J03 NUL": b'{"data": 1\0}',
    "J05 NaN": b'{"data": NaN}',
    "J05 Infinity": b'{"data": -Infinity}',
    "J06 too large": b'{"data": 1e999}',
    "J07 deep lists": b'{"data": ' + b"[" * 200_000,
    "J07 deep closed lists": b'{"data": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "J07 deep objects": b'{"a":' * 100_000,
    "J09 5000 digits": b'{"data": ' + b"9" * 5000 + b"}",
    "J10 invalid UTF-8": b'{"data": "\xff"}',
    "J10 overlong UTF-8": b'{"data": "\xc0\xaf"}',
    "J11 UTF-16": '{"data": 1}'.encode("utf-16"),
    "J11 UTF-32": '{"data": 1}'.encode("utf-32"),
    "J12 byte order mark": b'\xef\xbb\xbf{"data": 1}',
    "J13 lone surrogate": b'{"data": "\\ud800"}',
    "J13 lone surrogate as name": b'{"\\udfff": 1}',
    "random": bytes(range(256)) * 100,
}
NO_REQUEST = {
    "J02 null": b"null",
    "J02 list": b"[]",
    "J02 number": b"1",
    "J02 string": b'"x"',
    "J02 true": b"true",
    "no members": b"{}",
    "J15 long string": b'{"data": "' + b"x" * 900_000 + b'", "inputs": "' + b"x" * 900_000 + b'"}',
    "J15 emoji": json.dumps({"data": "😀" * 1000, "inputs": "😀" * 1000}, ensure_ascii=False).encode(),
    "J20 many names": b"{" + b",".join(b'"%d": 1' % i for i in range(100_000)) + b"}",
    "names of quotes": b'{"' + b'\\"' * 5000 + b'": 1, "inputs": 1}',
}


@pytest.mark.parametrize("path", POST_ROUTES)
@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in NOT_JSON.items()])
def test_what_is_not_json_is_refused(client: TestClient, path: str, body: bytes) -> None:
    text = refused_safely(send(client, path, body, JSON), 400)
    assert text.startswith(
        ("the body is not valid JSON: ", "the body is empty: expected JSON", "the JSON is nested more")
    )


@pytest.mark.parametrize("path", POST_ROUTES)
@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in NO_REQUEST.items()])
def test_json_that_is_no_request_is_refused(client: TestClient, path: str, body: bytes) -> None:
    refused_safely(send(client, path, body, JSON), 400)


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"data": 1, "colour": 1}, id="J16 unknown"),
        pytest.param({"data": 1, "a\0b": 1}, id="NUL in a name"),
        pytest.param({"data": [[1], [1, 2]]}, id="T10 ragged"),
        pytest.param({"data": [1, [2]]}, id="T10 mixed depth"),
        pytest.param({"data": ["1.5"]}, id="T15 string"),
        pytest.param({"data": [None]}, id="T15 null"),
        pytest.param({"data": [True]}, id="T15 boolean"),
        pytest.param({"data": [{}]}, id="T15 object"),
        pytest.param({"data": ["nan"]}, id="T15 another NaN"),
        pytest.param({"data": [1e39]}, id="T17 float32"),
        pytest.param({"data": [70_000], "dtype": "float16"}, id="T17 float16"),
        pytest.param({"data": [1], "dtype": "f4"}, id="T13"),
        pytest.param({"data": [1], "dtype": None}, id="T13 null"),
        pytest.param({"data": [1], "shape": "x"}, id="T04 string"),
        pytest.param({"data": [1], "shape": [1.0]}, id="T04 float"),
        pytest.param({"data": [1], "shape": [True]}, id="T04 boolean"),
        pytest.param({"data": [1], "shape": [[1]]}, id="T04 nested"),
        pytest.param({"data": [1, 2], "shape": [-1, -2]}, id="T05"),
        pytest.param({"data": [1], "shape": [10**30]}, id="T07 30 digits"),
        pytest.param({"data": [1], "shape": [1] * 70}, id="T08"),
        pytest.param({"data": [1, 2, 3], "shape": [2, 2]}, id="T09"),
        pytest.param({"data": [1], "kernel": "fast"}, id="kernel"),
        pytest.param({"data": [1], "derivative": 1}, id="derivative"),
        pytest.param({"data": [1], "parameters": []}, id="T23"),
        pytest.param({"data": [1], "parameters": {"\0": 1}}, id="NUL in a parameter"),
    ],
)
def test_a_wrong_body_for_an_activation_is_refused(client: TestClient, members: dict[str, Any]) -> None:
    refused_safely(client.post("/v1/activations/relu", json=members), 400)


@pytest.mark.parametrize(
    "slope", ["[" * 900 + "1" + "]" * 900, "[" + "[" * 900 + "]" * 900 + ",1" * 100_000 + "]", '["a"]']
)
def test_a_hostile_parameter_is_refused(client: TestClient, slope: str) -> None:
    body = f'{{"data": [1], "parameters": {{"slope": {slope}}}}}'.encode()
    refused_safely(send(client, "/v1/activations/prelu", body, JSON), 400)


GOOD = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        pytest.param({"inputs": []}, 400, id="T01 empty"),
        pytest.param({"inputs": {}}, 400, id="T01 object"),
        pytest.param({"inputs": [1]}, 400, id="T01 numbers"),
        pytest.param({"inputs": [GOOD, GOOD]}, 400, id="T02 twice"),
        pytest.param({"inputs": [GOOD, GOOD | {"name": "z"}]}, 400, id="T02 unknown"),
        pytest.param({"name": "z"}, 400, id="T02 wrong name"),
        pytest.param({"name": "😀" * 100_000}, 400, id="T02 long name"),
        pytest.param({"name": ""}, 400, id="no name"),
        pytest.param({"inputs": [GOOD | {"name": str(i)} for i in range(10_000)]}, 400, id="J20 inputs"),
        pytest.param({"outputs": [{"name": "q"}]}, 400, id="T03 unknown"),
        pytest.param({"outputs": [{"name": "y"}, {"name": "y"}]}, 400, id="T03 twice"),
        pytest.param({"outputs": [{"name": str(i)} for i in range(10_000)]}, 400, id="J20 outputs"),
        *(
            pytest.param({"outputs": [{"name": "y", "parameters": {"classification": k}}]}, 400, id=f"T25 {k!r}")
            for k in (-1, "2", 1.5, True, 2**64)
        ),
        pytest.param({"outputs": [{"name": "y", "parameters": {"binary_data": 1}}]}, 400, id="binary_data"),
        pytest.param({"outputs": [{"name": "y", "parameters": {"shared_memory_region": "a"}}]}, 400, id="T24 output"),
        pytest.param({"shape": None}, 400, id="T04 null"),
        pytest.param({"shape": [1.0, 2]}, 400, id="T04 float"),
        pytest.param({"shape": [True, 2]}, 400, id="T04 boolean"),
        pytest.param({"shape": [-1, -2]}, 400, id="T05"),
        pytest.param({"shape": [2**4, 2**60 + 2]}, 413, id="T07"),
        pytest.param({"shape": [2**63]}, 413, id="T07 2**63"),
        pytest.param({"shape": [1] * 70}, 400, id="T08"),
        pytest.param({"shape": [1, 3]}, 400, id="T09 too few"),
        pytest.param({"shape": [1, 1]}, 400, id="T09 too many"),
        pytest.param({"shape": [2]}, 400, id="T11 rank"),
        pytest.param({"datatype": "fp32"}, 400, id="T13 lower case"),
        pytest.param({"datatype": "BF16"}, 400, id="T13 BF16"),
        pytest.param({"datatype": 32}, 400, id="T13 number"),
        pytest.param({"datatype": "FP64"}, 400, id="T14"),
        pytest.param({"data": ["1.5", 1]}, 400, id="T15 string"),
        pytest.param({"data": [None, 1]}, 400, id="T15 null"),
        pytest.param({"data": [True, 1]}, 400, id="T15 boolean"),
        pytest.param({"datatype": "INT64", "data": [1.9, 1]}, 400, id="T16 fraction"),
        pytest.param({"datatype": "UINT8", "data": [300, 1]}, 400, id="T16 range"),
        pytest.param({"datatype": "BOOL", "data": [2, "false"]}, 400, id="T16 boolean"),
        pytest.param({"data": [1e39, 1]}, 400, id="T17"),
        pytest.param({"parameters": {"shared_memory_region": "a"}}, 400, id="T24"),
        pytest.param({"parameters": {"binary_data_size": 8}}, 400, id="binary without a body"),
        pytest.param({"request": {"parameters": 1}}, 400, id="T23"),
        pytest.param({"request": {"parameters": {"binary_data_output": "yes"}}}, 400, id="T23 string"),
        pytest.param({"request": {"parameters": {"timeout": "5"}}}, 400, id="T23 timeout"),
        pytest.param({"request": {"parameters": {"priority": True}}}, 400, id="T23 priority"),
        pytest.param({"request": {"parameters": {"kernel": "fast"}}}, 400, id="kernel"),
        pytest.param({"request": {"parameters": {"alpha": 1}}}, 400, id="alpha"),
        pytest.param({"request": {"id": "x" * 10**6}}, 400, id="J17 long"),
        pytest.param({"request": {"id": 1}}, 400, id="J17 number"),
    ],
)
def test_a_wrong_inference_request_is_refused(client: TestClient, change: dict[str, Any], status: int) -> None:
    lists = {key: change.pop(key) for key in ("inputs", "outputs") if key in change}
    request = {"inputs": [GOOD | change]} | lists | change.get("request", {})
    refused_safely(client.post("/v2/models/relu/infer", json=request), status)


@pytest.mark.parametrize("missing", ["name", "datatype", "shape", "data"])
def test_a_missing_member_of_an_input_is_named(client: TestClient, missing: str) -> None:
    tensor = {key: value for key, value in GOOD.items() if key != missing}
    text = refused_safely(infer(client, "relu", tensor), 400)
    assert f"{missing} is missing" in text


def test_the_last_of_two_equal_names_counts(client: TestClient) -> None:
    """J04, as documented."""
    response = send(client, "/v1/activations/relu", b'{"data": 1, "data": 2}', JSON)
    assert response.json()["data"] == 2.0
