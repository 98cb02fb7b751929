"""Many numbers are read piece by piece, and the same comes of it as of reading all at once."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import ServiceError
from service.wire import arrays, v2, v2_json, v2_pieces
from service.wire.v2_pieces import taken_out


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v2_pieces, "LEAST_BYTES", 20)
    monkeypatch.setattr(v2_pieces, "PIECE_BYTES", 16)


def read(body: bytes) -> object:
    """What a request says, or the error."""
    try:
        request = v2.decode_infer(body, None, max_elements=1000)
    except ServiceError as error:
        return error.text
    tensors = [(t.name, t.datatype.name, t.array.shape, t.array.dtype, repr(t.array.tolist())) for t in request.inputs]
    return request.with_inputs(()), tensors


def as_whole(body: bytes) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(v2_pieces, "LEAST_BYTES", 10**9)
        return read(body)


def body(data: Any, datatype: str = "FP32", **more: Any) -> bytes:
    shape = [len(data)] if isinstance(data, list) else [1]
    return json.dumps({"inputs": [{"name": "x", "datatype": datatype, "shape": shape, "data": data} | more]}).encode()


LONG = [0.5, -1, 2e3, 4, 5, 6.25, 7, 8, 9, 10]

BODIES = {
    "floats": body(LONG),
    "whole numbers": body(list(range(50)), "INT64"),
    "numbers beyond the datatype": body([1, 2, 3, 300, 5, 6, 7, 8, 9], "INT8"),
    "whole numbers beyond 64 bits": body([2**70] * 5, "UINT64"),
    "what is no number": body([*LONG, "NaN", "x"]),
    "not finite": body([*LONG, "NaN"]),
    "nested": body([LONG, LONG], shape=[2, 10]),
    "ragged": body([LONG, [1]], shape=[11]),
    "true and false": body([True, False] * 9, "BOOL"),
    "strings": body(["a]b", "c,d"] * 9, "BYTES"),
    "fewer than the shape says": body(LONG, shape=[11]),
    "more than the shape says": body(LONG, shape=[9]),
    "more than are allowed": body([1] * 1001),
    "no shape": body(LONG, shape=None),
    "two lists": json.dumps(
        {"inputs": [{"name": n, "datatype": "FP64", "shape": [10], "data": LONG} for n in "ab"], "id": "i"}
    ).encode(),
    "a short list and no list beside it": json.dumps(
        {
            "inputs": [
                {"name": n, "datatype": "FP64", "shape": [len(data)], "data": data}
                for n, data in zip("ab", (LONG, [1]), strict=True)
            ],
            "parameters": {"data": 5},
        }
    ).encode(),
    "a key within a list": body(LONG).replace(b"[0.5", b'["data": [0.5'),
    "a list elsewhere": json.dumps({"data": LONG} | json.loads(body(LONG))).encode(),
    "a list where an object is expected": json.dumps({"inputs": [LONG, {"data": LONG}]}).encode(),
    "inputs that are no list": json.dumps({"inputs": {"data": LONG}}).encode(),
    "no object": json.dumps([{"data": LONG}]).encode(),
    "the same key twice": body(LONG).replace(b'"name"', b'"data": [1], "name"'),
    "text that looks like it": json.dumps({"id": '"data":[' + "1," * 20 + "1]"} | json.loads(body([1]))).encode(),
    "a name that looks like it": body(LONG, name='\\"data":[1,2,3,4,5,6,7,8,9,10,11,12,13]'),
    "spaces": body(LONG).replace(b": [", b" :\n\t [ ").replace(b", ", b" , "),
    "an end that is missing": body(LONG)[:-3],
    "no bracket": body(LONG).replace(b"]", b""),
    "a comma too many": body(LONG).replace(b"10]", b"10,]"),
    "commas between nothing": body(LONG).replace(b"4, 5", b"4,, 5"),
    "empty": body([]),
    "a number of very many digits": body(LONG).replace(b"6.25", b"6.25" + b"0" * 100),
    "leading zeros": body(LONG).replace(b"6.25", b"06.25"),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.usefixtures("small_pieces")
def test_it_is_read_as_a_whole_is(name: str) -> None:
    assert read(BODIES[name]) == as_whole(BODIES[name])


@pytest.mark.parametrize("name", ["floats", "whole numbers", "two lists", "spaces"])
@pytest.mark.usefixtures("small_pieces")
def test_what_is_sure_is_read_in_pieces(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the rest is what is parsed as JSON."""
    parsed: list[bytes] = []
    plain = v2_json._parse
    monkeypatch.setattr(v2_json, "_parse", lambda rest: parsed.append(bytes(rest)) or plain(rest))
    monkeypatch.setattr(arrays, "load_json", None)
    assert isinstance(read(BODIES[name]), tuple)
    (rest,) = parsed
    assert b"7" not in rest.replace(v2_pieces._MARK.encode(), b"")


@pytest.mark.usefixtures("small_pieces")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**65), 2**65)), max_size=40),
    st.sampled_from(["FP32", "FP64", "INT64", "UINT8"]),
)
def test_any_numbers_are_the_same(data: list[float], datatype: str) -> None:
    assert read(body(data, datatype)) == as_whole(body(data, datatype))


def test_millions_of_numbers_are_as_they_were_sent() -> None:
    values = np.random.default_rng(5).normal(size=300_000).astype(np.float32)
    sent = arrays.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [300_000], "data": values}]})
    for kind in (bytes, bytearray, memoryview):
        rest, numbers = taken_out(kind(sent))
        assert (len(numbers), len(rest) < 200) == (1, True)
        (tensor,) = v2.decode_infer(memoryview(sent), None, max_elements=10**6).inputs
        np.testing.assert_array_equal(tensor.array, values)


@pytest.mark.parametrize("often", [b'"data":[', b'"data"', b'"data":[]', b'"data":[1,'])
def test_looking_for_lists_takes_no_longer_the_more_there_are(often: bytes) -> None:
    """Each look goes through as much as all of the body: not one for each of two million keys."""
    sent = often * (2**24 // len(often))
    looked: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        plain = v2_pieces._find
        patch.setattr(v2_pieces, "_find", lambda *args: looked.append(1) or plain(*args))
        assert taken_out(sent) == (sent, [])
    assert len(looked) <= 2 * v2_pieces.MAX_KEYS


def test_a_short_list_stays_where_it_is() -> None:
    short = body(LONG)
    assert taken_out(short) == (short, [])


def test_a_large_answer_is_the_same_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any shape, with what is not finite."""
    shapes = ((7,), (1, 7), (3, 1, 5), (2, 9, 2), (9, 2), (2, 0, 20))
    values = [np.arange(np.prod(shape)).reshape(shape).astype(np.float32) / 3 for shape in shapes]
    for each in values[:5]:
        each.flat[4] = np.inf
    whole = [[arrays.dumps(of(each)) for of in (arrays.to_json, arrays.to_json_flat_null)] for each in values]
    longest = [len(arrays.dumps_in_pieces([arrays.to_json(each)])) for each in values]
    assert longest == [1] * len(values)
    monkeypatch.setattr(arrays, "PIECE", 3)
    assert [len(arrays.dumps_in_pieces([arrays.to_json(each)])) > 3 for each in values[:5]] == [True] * 5
    assert whole == [[arrays.dumps(of(each)) for of in (arrays.to_json, arrays.to_json_flat_null)] for each in values]


def test_numbers_that_have_no_comma_for_too_long_are_no_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v2_pieces, "PIECE_BYTES", 4)
    with pytest.raises(ValueError, match="very many digits"):
        list(v2_pieces.Numbers(memoryview(b"1,23456789,0"), b"").pieces())
    assert list(v2_pieces.Numbers(memoryview(b"1,23,4"), b"").pieces()) == [b"[1]", b"[23,4]"]
