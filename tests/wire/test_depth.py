"""The nesting of JSON, without reading it: judged against a reader that counts."""

import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.errors import BadRequest
from service.wire.depth import check_depth

VALUES = st.recursive(
    st.none() | st.floats(allow_nan=False) | st.text('[]{}\\"ab', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('[{\\"', max_size=3), inner, max_size=3),
    max_leaves=12,
)


def depth(value: object) -> int:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth, inner), default=0)
    return 0


def is_refused(body: bytes | bytearray | memoryview, limit: int) -> bool:
    try:
        check_depth(body, limit)
    except BadRequest:
        return True
    return False


@given(VALUES, st.integers(0, 4))
@example(["]", []], 1)
def test_what_is_deeper_is_refused_and_nothing_else(value: object, limit: int) -> None:
    body = json.dumps(value).encode()
    for form in (body, bytearray(body), memoryview(body)):
        assert is_refused(form, limit) is (depth(value) > limit)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b"[" * 200_000 + b"]" * 200_000,
        b'{"a":' * 100_000,
        b'{"b": "' + b"\\\\" * 1000 + b'", "a": ' + b"[" * 65,
        b'"' + b'\\"' * 1000 + b'"' + b"[" * 65,
        b'["' + b"]" * 1000 + b'",' + b"[" * 65,
        b'["' + b"]" * 2**18 + b'",' + b"[" * 65,
        b'{"}": 1, "a": ' + b"[" * 65,
    ],
    ids=range(8),
)
def test_hostile_nesting_is_refused_before_it_is_parsed(body: bytes) -> None:
    with pytest.raises(BadRequest, match="the JSON is nested more than 64 levels deep"):
        check_depth(body, 64)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 64,
        b"]" * 1000 + b"[" * 64,
        b"[[1]," * 0 + b"[" + b",".join([b"[1, 2]"] * 10_000) + b"]",
        b'"' + b"[" * 10_000 + b'"',
        b'"' + b'\\"[' * 10_000 + b'"',
        b'"' + b"[" * 10_000,
        b"",
    ],
    ids=range(7),
)
def test_what_only_looks_deep_is_let_through(body: bytes) -> None:
    assert not is_refused(body, 64)


def test_strings_of_quotes_and_brackets_take_linear_time() -> None:
    """Eight times the length, not sixty-four times the time: a pattern that went back would take minutes."""
    times = []
    for count in (20_000, 160_000):
        body = b'"' + b'\\"[' * count
        started = time.process_time()
        check_depth(body, 64)
        times.append(time.process_time() - started)
    assert times[1] < 40 * times[0] + 0.5
