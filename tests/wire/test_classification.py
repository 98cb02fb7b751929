"""The classification extension agrees with sorting everything."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.errors import BadRequest
from service.wire.classification import classify
from tests.wire.tensors import Tensor

LABELS = ["ant", "bee", "", "cät"]


@pytest.mark.parametrize(
    ("array", "k", "labels", "batched", "expected"),
    [
        (np.array([0.1, 0.2, 0.3, 0.975], np.float32), 1, LABELS, False, ["0.975000:3:cät"]),
        (np.array([[0, 1, 2, 3, 9]], np.int64), 4, LABELS, True, [["9:4", "3:3:cät", "2:2", "1:1:bee"]]),
        (np.array([5, 5, 5], np.uint8), 2, None, False, ["5:0", "5:1"]),
        (np.array([1, 5, 0, 5, 5], np.int8), 3, None, False, ["5:1", "5:3", "5:4"]),
        (np.array([[2, 1], [1, 2]], np.int16), 9, None, True, [["2:0", "1:1"], ["2:1", "1:0"]]),
        (np.array([[2, 1], [1, 3]], np.int16), 2, None, False, ["3:3", "2:0"]),
        (np.array([[[1, 2], [4, 3]]], np.float64), 2, None, True, [["4.000000:2", "3.000000:3"]]),
        (np.array([np.nan, -np.inf, np.inf, -0.0]), 4, None, False, ["inf:2", "-0.000000:3", "nan:0", "-inf:1"]),
        (np.array([2**64 - 1, 0], np.uint64), 2, None, False, ["18446744073709551615:0", "0:1"]),
        (np.array([-(2**63), 2**63 - 1]), 2, None, False, ["9223372036854775807:1", "-9223372036854775808:0"]),
        (np.array(7, np.int32), 3, None, False, ["7:0"]),
        (np.array([7, 8], np.int32), 3, None, True, [["7:0"], ["8:0"]]),
        (np.zeros((2, 0), np.float32), 3, None, True, [[], []]),
        (np.zeros((0, 3), np.float32), 2, None, True, np.zeros((0, 2)).tolist()),
        (np.zeros(0, np.float32), 2, None, False, []),
    ],
)
def test_what_is_written(
    array: Tensor, k: int, labels: list[str] | None, batched: bool, expected: list[object]
) -> None:
    found = classify(array, k, labels, batched=batched)
    assert found.dtype == object
    assert [[text.decode() for text in row] if batched else row.decode() for row in found] == expected


@settings(max_examples=200, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.int8, np.uint64]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.integers(0, 3),
    ),
    st.integers(1, 14),
)
def test_many_ties_are_answered_in_the_order_of_their_places(array: Tensor, k: int) -> None:
    places = [sorted(range(len(row)), key=lambda place, row=row: (-int(row[place]), place))[:k] for row in array]
    found = classify(array, k, None, batched=True)
    assert [[int(text.split(b":")[1]) for text in row] for row in found] == places


@pytest.mark.parametrize("values", [np.zeros(1_000_000, np.float32), np.arange(1_000_000, dtype=np.float32)])
def test_a_million_elements_are_quick(values: Tensor) -> None:
    started = time.perf_counter()
    assert classify(values[np.newaxis], 5, None, batched=True).shape == (1, 5)
    assert time.perf_counter() - started < 2  # about 0.01 s; the limit is loose for a busy machine


@pytest.mark.parametrize("dtype", ["bool", "float16", "bfloat16", "object"])
def test_other_datatypes_are_refused(dtype: str) -> None:
    with pytest.raises(BadRequest, match="class result not available for output due to unsupported type"):
        classify(np.zeros(1, dtype), 1, None, batched=False)


@pytest.mark.parametrize(
    ("shape", "k", "batched"), [((1_000_001,), 1, False), ((1, 1_000_001), 1, True), ((1001, 1000), 1000, True)]
)
def test_too_many_elements_or_classes_are_refused(shape: tuple[int, ...], k: int, batched: bool) -> None:
    with pytest.raises(BadRequest, match="too large"):
        classify(np.zeros(shape, np.int8), k, None, batched=batched)


def test_the_limit_is_of_one_item() -> None:
    assert classify(np.zeros((2, 1_000_000), np.int8), 1, None, batched=True).tolist() == [[b"0:0"], [b"0:0"]]
