"""V2 inference answers: what is written is read again, and binary outputs are not copied."""

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from service.errors import BadRequest
from service.wire import v2, v2_answer
from service.wire.datatypes import Datatype
from service.wire.v2_answer import Encoded, OutputTensor
from tests.wire.tensors import CASES, Case, Tensor, random_tensors, same


def encode(*outputs: OutputTensor, **options: Any) -> Encoded:
    return v2_answer.encode_infer("m", "1", outputs, **{"id": None, **options})


def split(encoded: Encoded) -> tuple[dict[str, Any], bytes]:
    body = b"".join(encoded.chunks)
    length = len(body) if encoded.header_bytes is None else encoded.header_bytes
    return json.loads(body[:length]), body[length:]


def sent_back(encoded: Encoded) -> Tensor:
    """Read an answer's only output as a request's only input."""
    answer, rest = split(encoded)
    header = json.dumps({"inputs": answer["outputs"]}).encode()
    length = len(header) if encoded.header_bytes is not None else None
    (x,) = v2.decode_infer(header + rest, length, max_elements=1000).inputs
    return x.array


def test_an_answer_is_written() -> None:
    encoded = encode(
        OutputTensor("y", np.array([[1, np.nan]], np.float32), False),
        OutputTensor("h", np.array(0.1, np.float16), False),
        OutputTensor("s", np.array([b"ab"], object), False),
        id="42",
        parameters={"p": 1},
    )
    assert (encoded.header_bytes, len(encoded.chunks)) == (None, 1)
    assert json.loads(encoded.chunks[0]) == {
        "id": "42",
        "model_name": "m",
        "model_version": "1",
        "parameters": {"p": 1},
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [1.0, None]},
            {"name": "h", "datatype": "FP16", "shape": [], "data": [0.1]},
            {"name": "s", "datatype": "BYTES", "shape": [1], "data": ["ab"]},
        ],
    }
    assert split(encode())[0] == {"model_name": "m", "model_version": "1", "outputs": []}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.datatype} {case.raw.hex()}")
def test_each_case_is_written_as_bytes_and_as_json(case: Case) -> None:
    answer, rest = split(encode(OutputTensor("x", case.array, True)))
    described = {"name": "x", "datatype": case.datatype, "shape": list(case.array.shape)}
    assert answer["outputs"] == [described | {"parameters": {"binary_data_size": len(case.raw)}}]
    assert rest == case.raw
    if case.data is not None:
        answer, rest = split(encode(OutputTensor("x", case.array, False)))
        assert (answer["outputs"], rest) == ([described | {"data": case.data}], b"")


def test_binary_and_json_outputs_are_mixed_in_their_order() -> None:
    one, empty = np.array([1], np.int16), np.zeros((0, 2), np.float32)
    encoded = encode(
        OutputTensor("a", one, True),
        OutputTensor("b", one, False),
        OutputTensor("c", empty, True),
        OutputTensor("d", one + 1, True),
    )
    answer, rest = split(encoded)
    assert rest == b"\1\0\2\0"
    sizes = [output.get("parameters", {}).get("binary_data_size") for output in answer["outputs"]]
    assert sizes == [2, None, 0, 2]
    assert [len(chunk) for chunk in encoded.chunks[1:]] == [2, 2]


def test_an_empty_binary_output_alone_needs_no_header() -> None:
    """As in Triton, which sends the header only where bytes follow."""
    encoded = encode(OutputTensor("x", np.zeros((0, 2), np.float32), True))
    assert (encoded.header_bytes, len(encoded.chunks)) == (None, 1)


@settings(max_examples=300, deadline=None)
@given(random_tensors())
def test_a_binary_output_sent_back_keeps_every_bit(tensor: tuple[Datatype, Tensor]) -> None:
    assert same(sent_back(encode(OutputTensor("x", tensor[1], True))), tensor[1])


@settings(max_examples=200, deadline=None)
@given(random_tensors(json_only=True))
def test_a_json_output_sent_back_is_the_same(tensor: tuple[Datatype, Tensor]) -> None:
    assert same(sent_back(encode(OutputTensor("x", tensor[1], False))), tensor[1])


@pytest.mark.parametrize(
    "array",
    [np.arange(6, dtype=np.float32).reshape(2, 3).T, np.arange(6, dtype=">f4")[::2], np.array(5, ">i8")],
    ids=["transposed", "big-endian and strided", "big-endian scalar"],
)
def test_what_is_not_contiguous_or_not_little_endian_is_made_so(array: Tensor) -> None:
    native = array.astype(array.dtype.newbyteorder("="))
    assert same(sent_back(encode(OutputTensor("x", array, True))), native)
    assert same(sent_back(encode(OutputTensor("x", array, False))), native)


def test_strings_of_onnx_runtime_are_written_too() -> None:
    array = np.array(["ä", ""], object)
    assert split(encode(OutputTensor("x", array, True)))[1] == b"\2\0\0\0\xc3\xa4\0\0\0\0"


def test_a_binary_output_is_a_view() -> None:
    array = np.zeros((1 << 20,), np.float32)
    tracemalloc.start()
    try:
        encoded = encode(OutputTensor("x", array, True))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000
    assert np.shares_memory(np.frombuffer(encoded.chunks[1], np.uint8), array)


@pytest.mark.parametrize(("array", "text"), [(CASES[12].array, "'x' is BF16"), (CASES[14].array, "not UTF-8")])
def test_what_json_cannot_hold_is_refused(array: Tensor, text: str) -> None:
    with pytest.raises(BadRequest, match=text):
        encode(OutputTensor("x", array, False))


def test_an_answer_that_is_known_is_written_alike_and_another_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known by all that the JSON says: names, version, datatypes, shapes, sizes."""
    monkeypatch.setattr(v2_answer, "_KNOWN", {})
    monkeypatch.setattr(v2_answer, "MAX_KNOWN", 2)
    first, other = np.arange(4, dtype=np.float32), np.arange(4, dtype=np.float32).reshape(2, 2)
    tensors = [
        OutputTensor("x", first, True),
        OutputTensor("x", first + 1, True),
        OutputTensor("x", other, True),
        OutputTensor("y", first, True),
        OutputTensor("x", first.astype(np.int32), True),
        OutputTensor("x", np.array([b"ab", b""], object), True),
        OutputTensor("x", np.array([b"abc", b""], object), True),
    ]
    found = [split(encode(tensor)) for tensor in tensors]
    with_id = [split(encode(tensor, id="7")) for tensor in tensors]

    assert [rest for _, rest in found] == [rest for _, rest in with_id]
    assert [{"id": "7"} | answer for answer, _ in found] == [answer for answer, _ in with_id]
    assert len(v2_answer._KNOWN) <= 2
