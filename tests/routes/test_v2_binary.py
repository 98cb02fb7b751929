"""/v2/…/infer with tensors as bytes: in every datatype, mixed with JSON, raw, and hostile."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from service.wire.datatypes import DATATYPES
from tests.routes.sending import LENGTH, answered, infer_bytes, read_binary, refused, refused_safely
from tests.wire.tensors import CASES, Case, Tensor, binary_input, random_tensors, request

PAIR = np.array([[1.0, -2.0]], "<f4").tobytes()
BINARY = {"binary_data": True}


def body(members: dict[str, Any], raw: bytes = b"") -> tuple[bytes, int]:
    header = json.dumps(members).encode()
    return header + raw, len(header)


def echo(datatype: str) -> str:
    return f"echo_{datatype.lower()}"


def as_bytes(datatype: str, array: Tensor) -> bytes:
    """The protocol's bytes, written without the service's help."""
    if datatype == "BYTES":
        return b"".join(len(item).to_bytes(4, "little") + item for item in array.ravel())
    return array.tobytes()


MATRICES = [case for case in CASES if case.array.size and b"\xff\xfe" not in case.raw]


@pytest.mark.parametrize("case", MATRICES, ids=lambda case: case.datatype)
@pytest.mark.parametrize("spaces", range(9))
def test_every_datatype_comes_back_bit_for_bit(plain_client: TestClient, case: Case, spaces: int) -> None:
    """B09, B10: as bytes in and out, NaNs and all, wherever in the body the tensor begins."""
    shape = [1, case.array.size]
    sent, length = request(binary_input(case.datatype, shape, len(case.raw)), raw=case.raw, spaces=spaces)
    answer, found = read_binary(infer_bytes(plain_client, echo(case.datatype), *with_binary_outputs(sent, length)))

    assert found == {"y": case.raw}
    assert (answer["outputs"][0]["datatype"], answer["outputs"][0]["shape"]) == (case.datatype, shape)


def with_binary_outputs(sent: bytes, length: int) -> tuple[bytes, int]:
    """The same request, asking for every output as bytes."""
    more = b', "parameters": {"binary_data_output": true}}'
    header = sent[:length].rstrip()
    blanks = sent[len(header) : length]
    made = header[:-1] + more + blanks
    return made + sent[length:], len(made)


@pytest.mark.parametrize("case", [case for case in MATRICES if case.data is not None], ids=lambda case: case.datatype)
def test_bytes_in_and_json_out_and_the_other_way(plain_client: TestClient, case: Case) -> None:
    assert case.data is not None
    shape = [1, case.array.size]
    sent, length = request(binary_input(case.datatype, shape, len(case.raw)), raw=case.raw)
    (output,) = answered(infer_bytes(plain_client, echo(case.datatype), sent, length))["outputs"]
    assert output == {"name": "y", "datatype": case.datatype, "shape": shape, "data": case.data}

    as_json = {"name": "x", "datatype": case.datatype, "shape": shape, "data": case.data}
    sent, _ = body({"inputs": [as_json], "parameters": {"binary_data_output": True}})
    assert read_binary(infer_bytes(plain_client, echo(case.datatype), sent))[1] == {"y": case.raw}


@settings(max_examples=150, deadline=None)
@given(random_tensors())
def test_any_tensor_comes_back_bit_for_bit(plain_client: TestClient, drawn: Any) -> None:
    datatype, array = drawn[0].name, drawn[1]
    if datatype == "BYTES":
        array = np.array([item.hex().encode() for item in array.ravel()], object)  # ONNX's strings are UTF-8
    raw, shape = as_bytes(datatype, array), [1, array.size]
    sent = with_binary_outputs(*request(binary_input(datatype, shape, len(raw)), raw=raw))
    answer, found = read_binary(infer_bytes(plain_client, echo(datatype), *sent))
    assert (answer["outputs"][0]["shape"], found["y"]) == (shape, raw)


def test_there_is_a_model_of_every_datatype(plain_client: TestClient) -> None:
    for datatype in DATATYPES:
        metadata = answered(plain_client.get(f"/v2/models/{echo(datatype.name)}"))
        assert metadata["inputs"] == [{"name": "x", "datatype": datatype.name, "shape": [-1, -1]}]


TOTAL_A = {"name": "a", "datatype": "FP32", "shape": [1, 2]}
TOTAL_B = {"name": "b", "datatype": "FP32", "shape": [1, 2]}
EIGHT = {"parameters": {"binary_data_size": 8}}


@pytest.mark.parametrize(
    ("inputs", "raw"),
    [
        ([TOTAL_A | EIGHT, TOTAL_B | {"data": [10, 20]}], PAIR),
        ([TOTAL_A | {"data": [10, 20]}, TOTAL_B | EIGHT], PAIR),
        ([TOTAL_B | EIGHT, TOTAL_A | EIGHT], PAIR + np.array([10, 20], "<f4").tobytes()),
    ],
    ids=["first", "second", "both"],
)
def test_json_and_bytes_are_mixed_in_the_order_of_the_inputs(
    plain_client: TestClient, inputs: list[dict[str, Any]], raw: bytes
) -> None:
    (output,) = answered(infer_bytes(plain_client, "total", *body({"inputs": inputs}, raw)))["outputs"]
    assert output["data"] == [11.0, 18.0]


IMAGE = np.zeros((1, 3, 32, 32), np.float32)
PICTURE = {"name": "image", "datatype": "FP32", "shape": [1, 3, 32, 32], "parameters": {"binary_data_size": 12288}}


@pytest.mark.parametrize(
    ("members", "binary"),
    [
        ({}, []),
        ({"parameters": {"binary_data_output": False}}, []),
        ({"parameters": {"binary_data_output": True}}, ["logits", "probabilities"]),
        ({"parameters": {"binary_data_output": True}, "outputs": []}, ["logits", "probabilities"]),
        ({"parameters": {"binary_data_output": True}, "outputs": [{"name": "logits"}]}, []),
        ({"outputs": [{"name": "probabilities", "parameters": BINARY}, {"name": "logits"}]}, ["probabilities"]),
        (
            {"outputs": [{"name": "probabilities", "parameters": BINARY}, {"name": "logits", "parameters": BINARY}]},
            ["probabilities", "logits"],
        ),
    ],
)
def test_outputs_are_bytes_as_each_is_asked_for(client: TestClient, members: dict[str, Any], binary: list[str]) -> None:
    """B13: a listed output goes by its own word alone; the bytes follow in the order of the list."""
    response = infer_bytes(client, "cnn-relu", *body({"inputs": [PICTURE]} | members, IMAGE.tobytes()))
    plain = answered(infer_bytes(client, "cnn-relu", *body({"inputs": [PICTURE]}, IMAGE.tobytes())))["outputs"]
    values = {output["name"]: output["data"] for output in plain}
    answer, found = read_binary(response)

    assert list(found) == binary
    assert [output["name"] for output in answer["outputs"]] == [o["name"] for o in members.get("outputs") or plain]
    for output in answer["outputs"]:
        name = output["name"]
        got = np.frombuffer(found[name], "<f4") if name in found else np.array(output["data"])
        assert got.astype(np.float32).tolist() == np.array(values[name], np.float32).tolist()


def test_numbers_that_are_not_finite_stay_what_they_are_in_bytes(plain_client: TestClient) -> None:
    raw = np.array([np.nan, np.inf, -np.inf], "<f4").tobytes()
    sent = with_binary_outputs(*request(binary_input("FP32", [1, 3], 12), raw=raw))
    assert read_binary(infer_bytes(plain_client, "echo_fp32", *sent))[1] == {"y": raw}


def test_an_empty_output_as_bytes_says_so_and_has_none(plain_client: TestClient) -> None:
    sent = with_binary_outputs(*request(binary_input("FP32", [0, 3], 0)))
    answer, found = read_binary(infer_bytes(plain_client, "echo_fp32", *sent))
    assert (found, answer["outputs"][0]["shape"]) == ({"y": b""}, [0, 3])


def test_bf16_is_only_read_and_written_as_bytes(plain_client: TestClient) -> None:
    raw = bytes.fromhex("803f00c0")
    sent, length = request(binary_input("BF16", [1, 2], 4), raw=raw)
    assert "BF16" in refused(infer_bytes(plain_client, "echo_bf16", sent, length), 400)
    assert read_binary(infer_bytes(plain_client, "echo_bf16", *with_binary_outputs(sent, length)))[1] == {"y": raw}


# --- raw requests -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "raw", "shape"),
    [
        ("echo_fp32", bytes(12), [1, 3]),
        ("echo_int64", b"", [1, 0]),
        ("cube", bytes(240), [1, 3, 4, 5]),
        ("grow", bytes(4), [1]),
        ("scalar", bytes(4), []),
    ],
)
def test_a_raw_body_is_the_models_only_input(plain_client: TestClient, name: str, raw: bytes, shape: list[int]) -> None:
    """Header length 0: the shape is deduced, and every output comes as bytes."""
    answer, found = read_binary(infer_bytes(plain_client, name, raw, 0))
    assert list(found) == ["y"]
    assert answer["outputs"][0]["shape"] == shape
    assert "id" not in answer


def test_a_raw_picture_is_classified(client: TestClient) -> None:
    _, found = read_binary(infer_bytes(client, "cnn-relu", IMAGE.tobytes(), 0))
    plain = answered(infer_bytes(client, "cnn-relu", *body({"inputs": [PICTURE]}, IMAGE.tobytes())))["outputs"]
    expected = {output["name"]: np.array(output["data"], "<f4").tobytes() for output in plain}
    assert found == expected


# --- hostile ----------------------------------------------------------------------------------------------------------

GOOD, GOOD_LENGTH = request(binary_input("FP32", [1, 2], 8), raw=PAIR)


@settings(max_examples=300, deadline=None)
@given(length=st.one_of(st.integers(0, len(GOOD) + 1), st.integers(), st.text(st.characters(max_codepoint=127))))
def test_any_length_of_the_json_is_200_or_400(client: TestClient, length: object) -> None:
    """Only the right one is 200; 0 is a raw request, which an activation's two free dimensions do not allow."""
    text = str(length)
    if text.isprintable():  # else it is no header
        response = infer_bytes(client, "relu", GOOD, text)
        right = text.strip().isdigit() and int(text) == GOOD_LENGTH
        assert response.status_code == (200 if right else 400), response.text


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_any_changed_byte_is_answered_without_a_fault_of_ours(client: TestClient, place: int, change: int) -> None:
    changed = bytearray(GOOD)
    changed[place] ^= change
    response = infer_bytes(client, "relu", bytes(changed), GOOD_LENGTH)
    if response.status_code != 200:
        refused_safely(response, 400, 413)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 220))
def test_any_bytes_are_refused(client: TestClient, sent: bytes, length: int) -> None:
    refused_safely(infer_bytes(client, "relu", sent, length), 400)
    refused_safely(infer_bytes(client, "relu", sent), 400)


def test_a_length_header_says_nothing_where_no_infer_is(client: TestClient) -> None:
    for path in ("/v2/repository/index", "/v1/activations/relu"):
        response = client.post(path, json={"data": 1}, headers={LENGTH: "-1"})
        assert response.status_code == 200
