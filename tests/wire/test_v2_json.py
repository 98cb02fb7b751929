"""simdjson and orjson read the same from the same bytes: whatever differs is left to orjson."""

import json
from typing import Any

import numpy as np
import pytest
import simdjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.errors import BadRequest, ServiceError
from service.wire import arrays, v2, v2_json
from service.wire.datatypes import DATATYPES, Datatype
from tests.wire.tensors import same

JSON_DATATYPES = [datatype for datatype in DATATYPES if datatype.has_json]

NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.integers(-300, 300),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.sampled_from([2**53 + 1, 2**63, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, 10**30, -0.0, 1e39, 5e-324]),
)
ODD = st.one_of(st.booleans(), st.none(), st.text(max_size=3), st.sampled_from(["NaN", "Infinity", "-Infinity"]))
DATA = st.recursive(NUMBERS, lambda inner: st.lists(inner, max_size=4), max_leaves=12)
ANY_DATA = st.recursive(
    NUMBERS | ODD,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=8,
)


def body_of(data: str, shape: object = (1,), datatype: str = "FP32") -> bytes:
    head = json.dumps({"name": "x", "datatype": datatype, "shape": shape})
    return f'{{"inputs": [{head[:-1]}, "data": {data}}}]}}'.encode()


def by_orjson(body: bytes) -> bytes:
    """The same request, but orjson reads it: a key, of no meaning, is there twice."""
    return body.replace(b"{", b'{"": 0, "": 0, ', 1)


def outcome(body: bytes) -> object:
    """What a request is decoded to, or the error's class and text."""
    try:
        return v2.decode_infer(body, None, max_elements=50)
    except ServiceError as error:
        return type(error), error.text


def agree(first: object, second: object) -> bool:
    if not isinstance(first, v2.InferRequest) or not isinstance(second, v2.InferRequest):
        return first == second
    pairs = zip(first.inputs, second.inputs, strict=True)
    rest = [(r.id, r.parameters, r.outputs, r.binary_data_output, r.priority, r.timeout_us) for r in (first, second)]
    return rest[0] == rest[1] and all(
        (a.name, a.datatype) == (b.name, b.datatype) and same(a.array, b.array) for a, b in pairs
    )


def data_of(body: bytes) -> object:
    request: Any = v2_json.parse(body, max_depth=64)
    return request["inputs"][0]["data"]


def test_numbers_are_left_to_simdjson_and_the_rest_is_plain() -> None:
    body = body_of("[[1, 2], [3]]").replace(
        b'"inputs"', b'"parameters": {"a": 1}, "outputs": [{"name": "y"}], "inputs"'
    )
    for kind in (bytes, bytearray, memoryview):
        assert isinstance(data_of(kind(body)), simdjson.Array)
    request: Any = v2_json.parse(body, max_depth=64)
    assert (request["parameters"], request["outputs"]) == ({"a": 1}, [{"name": "y"}])
    assert {key: value for key, value in request["inputs"][0].items() if key != "data"} == {
        "name": "x",
        "datatype": "FP32",
        "shape": [1],
    }


@settings(max_examples=500, deadline=None)
@given(st.lists(DATA, max_size=4), st.sampled_from(JSON_DATATYPES), st.sampled_from([0, 0, 0, 1, -1]))
def test_both_ways_read_the_same_numbers_or_refuse_them_alike(data: object, datatype: Datatype, off: int) -> None:
    """Counts are right, or off by one."""
    text = json.dumps(data)
    count = max(0, len(text.replace("[", "").replace("]", "").replace(",", " ").split()) + off)
    body = body_of(text, [count], datatype.name)
    assert agree(outcome(body), outcome(by_orjson(body)))


@settings(max_examples=500, deadline=None)
@given(ANY_DATA, st.sampled_from(JSON_DATATYPES), st.integers(0, 4))
@example(["a", "ä\0"], DATATYPES[-1], 2)
@example([True, False], DATATYPES[0], 2)
def test_both_ways_refuse_the_same_data(data: object, datatype: Datatype, count: int) -> None:
    body = body_of(json.dumps(data), [count], datatype.name)
    assert agree(outcome(body), outcome(by_orjson(body)))


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_both_ways_agree_on_broken_requests(data: st.DataObject) -> None:
    """Of a body with a few bytes changed, both accept what the other accepts, and read the same."""
    body = bytearray(body_of("[[1.5, -2e3], [3, 40]]", [4]).replace(b"{", b'{"id": "\xc3\xa4\\u00e4", ', 1))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(1, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 2))] = data.draw(
            st.one_of(st.binary(max_size=2), st.sampled_from([b"[", b"]", b"{", b"}", b",", b"-", b"e", b".", b"0"]))
        )
    first, second = outcome(bytes(body)), outcome(by_orjson(bytes(body)))
    if isinstance(first, tuple) and "not valid JSON" in str(first):
        assert "not valid JSON" in str(second)  # at another column
    else:
        assert agree(first, second)


@pytest.mark.parametrize(
    ("text", "dtype", "expected"),
    [
        ("[-0, -0.0]", "f4", [0.0, -0.0]),
        ("[9007199254740993]", "f8", [2.0**53]),
        ("[9007199254740993]", "i8", [2**53 + 1]),
        ("[18446744073709551615, 0]", "u8", [2**64 - 1, 0]),
        ("[18446744073709551615, 1.5]", "f8", [2.0**64, 1.5]),
        ("[18446744073709551616]", "f8", [2.0**64]),
        ("[123456789012345678901234567890]", "f8", [123456789012345678901234567890.0]),
        ("[[[1], 2], [], [[3]]]", "i4", [1, 2, 3]),
        ('["NaN", 1]', "f4", [np.nan, 1]),
        ("[]", "i8", []),
        ("[2.2250738585072011e-308, 1e-400]", "f8", [2.2250738585072011e-308, 0]),
    ],
)
def test_numbers_at_the_edge(text: str, dtype: str, expected: list[Any]) -> None:
    array = v2_json.tensor(
        data_of(body_of(text)),  # type: ignore[arg-type]
        np.dtype(dtype),
        name="data",
        max_elements=9,
        shape=(len(expected),),
    )
    assert same(array, np.array(expected, dtype))


@pytest.mark.parametrize(
    ("text", "datatype", "error"),
    [
        ("[1, 1e39]", "FP32", "data[1] is 1e+39, which is not representable in float32"),
        ("[1, 70000]", "FP16", "data[1] is 70000, which is not representable in float16"),
        ("[1, 1e400]", "FP64", "the body is not valid JSON"),
        ("[1, 256]", "UINT8", "data[1] is 256, which is not representable in uint8"),
        ("[-1, 1]", "UINT64", "data[0] is -1"),
        ("[1, 9223372036854775808]", "INT64", "data[1] is 9223372036854775808"),
        ("[1, 1.0]", "INT64", "data[1] is 1.0, expected an integer"),
        ("[1, true]", "FP32", "data[1] is true"),
        ("[1, null]", "FP32", "data[1] is null"),
        ('[1, "2"]', "FP32", "data[1] is the string '2'"),
        ("[1, {}]", "FP32", "data[1] is an object"),
        ("[1]", "FP32", "data has 1 elements, expected 2"),
        ("[[1, 2], [3]]", "FP32", "data has 3 elements, expected 2"),
    ],
)
def test_what_simdjson_refuses_is_refused_in_the_same_words(text: str, datatype: str, error: str) -> None:
    request = body_of(text, [2], datatype)
    for body in (request, by_orjson(request)):
        with pytest.raises(BadRequest) as caught:
            v2.decode_infer(body, None, max_elements=9)
        assert error in caught.value.text


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xef\xbb\xbf" + body_of("[1]"), body_of("[1]") + b"x", body_of("[1]") + b"\0", body_of("[01]"),
     body_of('["a"]').replace(b'"a"', b'"\xff"'), body_of('["\\ud800"]'),
     body_of("[NaN]"), body_of("[1,]"), body_of("[" * 1030 + "1" + "]" * 1030), body_of("[" * 100_000)],
    ids=lambda body: repr(body[-12:]),
)  # fmt: skip
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="the body is"):
        v2_json.parse(body, max_depth=10**6)


@pytest.mark.parametrize("depth", [1, 33, 1000, 1015, 1018, 1019, 1020])
def test_nesting_that_only_one_of_them_reads_is_read(depth: int) -> None:
    """simdjson stops at 1022 levels, orjson at 1023; three are around `data`."""
    (x,) = v2.decode_infer(body_of("[" * depth + "1" + "]" * depth), None, max_elements=9, max_depth=1100).inputs
    assert x.array.tolist() == [1]


def test_of_a_key_that_is_there_twice_the_last_one_counts() -> None:
    twice = body_of("[1]").replace(b'"data"', b'"data": [2], "data"')
    assert arrays.describe(data_of(twice)) == "a list"  # orjson's
    assert v2.decode_infer(twice, None, max_elements=9).inputs[0].array.tolist() == [1]
    inputs = b'{"inputs": [], ' + body_of("[1]")[1:]
    assert len(v2.decode_infer(inputs, None, max_elements=9).inputs) == 1
    parameters = b'{"parameters": {"a": 1, "a": 2}, ' + body_of("[1]")[1:]
    assert v2.decode_infer(parameters, None, max_elements=9).parameters == {"a": 2}


def test_keys_are_compared_whole() -> None:
    """A NUL does not end a key, and an escape is what it stands for."""
    body = body_of("[1]").replace(b'"data"', b'"data\\u0000": [2], "\\u0064ata"')
    assert isinstance(data_of(body), simdjson.Array)
    assert v2.decode_infer(body, None, max_elements=9).inputs[0].array.tolist() == [1]


@pytest.mark.parametrize(
    "document", ["1", "[]", "null", '{"inputs": {}}', '{"inputs": [1]}', '{"inputs": [[]]}', '{"id": [1]}', "{}"]
)
def test_documents_of_another_form_are_refused_alike(document: str) -> None:
    first = outcome(document.encode())
    assert isinstance(first, tuple)
    if document.startswith("{"):
        assert first == outcome(by_orjson(document.encode()).replace(b"0, }", b"0}"))
