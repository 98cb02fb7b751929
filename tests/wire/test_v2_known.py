"""A binary request that was read before is read the same when it comes again, and errors stay errors."""

import gc
import json
import weakref
from typing import Any

import numpy as np
import pytest

from service.errors import BadRequest, PayloadTooLarge
from service.wire import v2, v2_known
from service.wire.v2_request import InferRequest
from tests.wire.tensors import CASES, Case, binary_input, request, same


@pytest.fixture(autouse=True)
def _unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v2_known, "_KNOWN", {})


def decode(head: bytes, tail: bytes, max_elements: int = 1000) -> InferRequest:
    return v2.decode_infer(head + tail, len(head), max_elements=max_elements)


def head_of(x: np.ndarray[Any, Any], **members: Any) -> bytes:
    size = {"binary_data_size": x.nbytes}
    item = {"name": "x", "datatype": "FP32", "shape": list(x.shape), "parameters": size}
    return json.dumps({"inputs": [item]} | members).encode()


X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize("case", CASES)
def test_every_datatype_is_read_the_same_again(case: Case) -> None:
    body, header_bytes = request(binary_input(case.datatype, case.array.shape, len(case.raw)), raw=case.raw)
    first, second = (v2.decode_infer(body, header_bytes, max_elements=1000).inputs for _ in range(2))

    assert first[0].datatype == second[0].datatype
    assert same(first[0].array, second[0].array)


def test_what_comes_again_has_its_own_numbers_and_all_else_of_the_first() -> None:
    members = {
        "id": "7",
        "parameters": {"alpha": 0.5, "priority": 2, "timeout": 9, "binary_data_output": True},
        "outputs": [{"name": "y", "parameters": {"classification": 2}}],
    }
    head = head_of(X, **members)
    first, second = decode(head, X.tobytes()), decode(head, (X + 1).tobytes())

    assert len(v2_known._KNOWN) == 1
    assert second.inputs[0].array.tolist() == (X + 1).tolist()
    for name in ("id", "parameters", "outputs", "binary_data_output", "priority", "timeout_us"):
        assert getattr(first, name) == getattr(second, name)


def test_several_tensors_lie_one_behind_the_other() -> None:
    names = {"a": X, "b": X[:1].astype(np.float64), "c": np.zeros((0, 4), np.int8)}
    kinds = {"a": "FP32", "b": "FP64", "c": "INT8"}
    items = [
        {"name": n, "datatype": kinds[n], "shape": list(x.shape), "parameters": {"binary_data_size": x.nbytes}}
        for n, x in names.items()
    ]
    head, tail = json.dumps({"inputs": items}).encode(), b"".join(x.tobytes() for x in names.values())
    for _ in range(2):
        for tensor in decode(head, tail).inputs:
            np.testing.assert_array_equal(tensor.array, names[tensor.name])


@pytest.mark.parametrize("tail", [X.tobytes()[:-1], X.tobytes() + b"x", b""])
def test_another_number_of_bytes_is_refused_as_at_first(tail: bytes) -> None:
    head = head_of(X)
    with pytest.raises(BadRequest) as unknown:
        decode(head, tail)
    decode(head, X.tobytes())
    with pytest.raises(BadRequest) as known:
        decode(head, tail)
    assert known.value.text == unknown.value.text


def test_another_limit_is_another_request() -> None:
    head = head_of(X)
    decode(head, X.tobytes())
    with pytest.raises(PayloadTooLarge):
        decode(head, X.tobytes(), max_elements=5)


def test_a_byte_of_bool_is_checked_each_time() -> None:
    item = {"name": "x", "datatype": "BOOL", "shape": [1], "parameters": {"binary_data_size": 1}}
    head = json.dumps({"inputs": [item]}).encode()
    decode(head, b"\1")
    with pytest.raises(BadRequest, match="expected 0 or 1 for BOOL"):
        decode(head, b"\2")


def test_numbers_in_the_json_are_not_remembered() -> None:
    head = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1.5]}]}).encode()
    for _ in range(2):
        assert decode(head, b"").inputs[0].array.tolist() == [1.5]
    assert v2_known._KNOWN == {}


def test_long_json_is_read_each_time() -> None:
    head = head_of(X, id="x" * v2_known.MAX_JSON_BYTES)
    for _ in range(2):
        decode(head, X.tobytes())
    assert v2_known._KNOWN == {}


def test_there_is_a_bound_to_what_is_remembered() -> None:
    for number in range(v2_known.MAX_KNOWN + 3):
        decode(head_of(X, id=str(number)), X.tobytes())
    assert len(v2_known._KNOWN) == 3


def test_no_body_is_kept() -> None:
    class Body(bytearray):
        pass

    head = head_of(X)
    body = Body(head + X.tobytes())
    gone = weakref.ref(body)
    v2.decode_infer(memoryview(body), len(head), max_elements=1000)
    del body
    gc.collect()
    assert gone() is None
    assert len(v2_known._KNOWN) == 1
