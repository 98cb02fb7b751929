"""Arrays survive JSON and .npy bit for bit; whatever NumPy would convert silently is refused."""

import io
import json
import math
import time
import tracemalloc
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.errors import BadRequest, PayloadTooLarge
from service.wire import arrays
from service.wire.arrays import Array

MANY = 1_000_000
F16, F32, F64 = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)
I64, U8, BOOL, BYTES = np.dtype(np.int64), np.dtype(np.uint8), np.dtype(np.bool_), np.dtype(np.object_)

FLOATS = st.sampled_from([F16, F32, F64])
NUMBERS = st.one_of(FLOATS, hnp.boolean_dtypes(), hnp.integer_dtypes(endianness="="), hnp.unsigned_integer_dtypes())
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def read(data: object, dtype: np.dtype[Any] = F32, **options: Any) -> Array:
    return arrays.from_json(data, dtype, name="data", **{"max_elements": MANY, **options})


def same(first: Array, second: Array) -> bool:
    """Equal in dtype, shape and bits, except that one NaN is like another."""
    return (
        first.dtype == second.dtype
        and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
        and (first.dtype.kind != "f" or np.array_equal(np.signbit(first[first == 0]), np.signbit(second[second == 0])))
    )


# --- JSON -------------------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(hnp.arrays(NUMBERS, SHAPES))
def test_json_keeps_every_number_and_the_shape(array: Array) -> None:
    text = arrays.dumps(arrays.to_json(array))
    shape = None if array.size else array.shape  # [] cannot say (0, 4)
    assert same(read(arrays.parse_json(text, max_depth=64), array.dtype, shape=shape), array)


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(FLOATS, SHAPES, elements={"allow_nan": False, "allow_infinity": False}))
def test_flat_json_keeps_every_number(array: Array) -> None:
    text = arrays.dumps(arrays.to_json_flat_null(array))
    assert same(read(arrays.parse_json(text, max_depth=64), array.dtype, shape=array.shape), array)


def test_every_float16_is_printed_with_the_fewest_digits_that_read_back() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    text = arrays.dumps(arrays.to_json(halves))
    assert same(read(arrays.parse_json(text, max_depth=64), F16), halves)
    printed = arrays.parse_json(text, max_depth=64)
    assert isinstance(printed, list)
    finite = [(p, h) for p, h in zip(printed, halves, strict=True) if np.isfinite(h)]
    assert all(p == float(str(h)) for p, h in finite)


@pytest.mark.parametrize("bits", [0x15AE43FD, 0x95AE43FD])
def test_the_float32_whose_shortest_decimal_is_misread_is_written_longer(bits: int) -> None:
    """7.038531e-26, read by way of float64, is the next float32."""
    array = np.array([bits], np.uint32).view(np.float32)
    assert same(read(arrays.parse_json(arrays.dumps(arrays.to_json(array)), max_depth=64)), array)


def test_a_signalling_nan_is_a_nan() -> None:
    array = np.array([0x7F800001, 0x15AE43FD], np.uint32).view(np.float32)
    assert arrays.dumps(arrays.to_json(array)) == b'["NaN",7.038530691851209e-26]'
    assert arrays.dumps(arrays.to_json(np.array([0x7C01], np.uint16).view(np.float16))) == b'["NaN"]'


@pytest.mark.parametrize(
    ("array", "nested", "flat"),
    [
        (np.array(0.1, F32), "0.1", "[0.1]"),
        (np.array(0.1, F16), "0.1", "[0.1]"),
        (np.array(2, I64), "2", "[2]"),
        (np.array([[0.1], [65504]], F16), "[[0.1],[65500.0]]", "[0.1,65500.0]"),
        (
            np.array([[1, np.nan], [np.inf, -np.inf]], F32),
            '[[1.0,"NaN"],["Infinity","-Infinity"]]',
            "[1.0,null,null,null]",
        ),
        (np.array(np.nan, F16), '"NaN"', "[null]"),
        (np.array([[1, 2], [3, 4]], F64).T, "[[1.0,3.0],[2.0,4.0]]", "[1.0,3.0,2.0,4.0]"),
        (np.array([1.5], ">f4"), "[1.5]", "[1.5]"),
        (np.zeros((2, 0), F32), "[[],[]]", "[]"),
        (np.array([True, False]), "[true,false]", "[true,false]"),
        (np.array([0.1, np.nan], F32), '[0.1,"NaN"]', "[0.1,null]"),
    ],
)
def test_what_is_written(array: Array, nested: str, flat: str) -> None:
    assert arrays.dumps(arrays.to_json(array)).decode() == nested
    assert arrays.dumps(arrays.to_json_flat_null(array)).decode() == flat


def test_bytes_are_written_as_strings() -> None:
    array = np.array([["ä\0".encode(), b""]], dtype=object)
    assert arrays.dumps(arrays.to_json_flat_null(array)) == '["ä\\u0000",""]'.encode()
    with pytest.raises(BadRequest, match="not UTF-8"):
        arrays.to_json_flat_null(np.array([b"\xff"], dtype=object))


@pytest.mark.parametrize(
    ("data", "dtype", "expected"),
    [
        (5, F32, np.array(5, F32)),
        ([], F32, np.zeros(0, F32)),
        ([[], []], F32, np.zeros((2, 0), F32)),
        ([[[]]], I64, np.zeros((1, 1, 0), I64)),
        ([1, 2.5, "NaN", "-Infinity"], F16, np.array([1, 2.5, np.nan, -np.inf], F16)),
        ([2**53 + 1], F32, np.array([2**53], F32)),
        ([2**64 - 1, -(2**63)], F64, np.array([2.0**64, -(2.0**63)], F64)),
        ([1e-60, -0.0], F32, np.array([0, -0.0], F32)),
        ([3.4028235e38, 3.4028235677973362e38], F32, np.full(2, np.finfo(F32).max)),  # the second rounds down
        ([[True], [False]], BOOL, np.array([[True], [False]])),
        ([0, 255], U8, np.array([0, 255], U8)),
        (["ä", "\0"], BYTES, np.array(["ä".encode(), b"\0"], object)),
    ],
)
def test_what_is_read(data: object, dtype: np.dtype[Any], expected: Array) -> None:
    assert same(read(data, dtype), expected)


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        ([1, 2, 3, 4], (2, 2)),
        ([[1, 2, 3, 4]], (2, 2)),
        ([[1], [2], [3], [4]], (4,)),
        ([[1, 2, 3], [4]], (2, 2)),
        ([1, [2, [3]], [], [4]], (1, 4, 1)),
        ([[[1, 2], [3, 4]]], (2, 2)),
    ],
)
def test_data_with_a_shape_may_be_nested_in_any_way(data: object, shape: tuple[int, ...]) -> None:
    assert same(read(data, shape=shape), np.array([1, 2, 3, 4], F32).reshape(shape))


@pytest.mark.parametrize(
    ("data", "dtype", "text"),
    [
        (["1.5"], F32, "data[0] is the string '1.5'"),
        ([["NaN", "nan"]], F32, "data[0][1] is the string 'nan'"),
        (["Infinity"], I64, "data[0] is the string 'Infinity', expected an integer in -9223372036854775808…"),
        ([[1, 2], [3, None]], F32, "data[1][1] is null, expected a number"),
        ([1, True], F32, "data[1] is true"),
        ([{}], F32, "data[0] is an object"),
        (None, F32, "data is null"),
        ({"a": 1}, F32, "data is an object"),
        ([1e39], F32, "data[0] is 1e+39, which is not representable in float32"),
        ([0, -1e39], F32, "data[1] is -1e+39"),
        ([[0], [70000]], F16, "data[1][0] is 70000, which is not representable in float16"),
        ([3.4028235677973366e38], F32, "not representable in float32"),
        ([1, 1.9], I64, "data[1] is 1.9, expected an integer"),
        ([1.0], I64, "data[0] is 1.0"),
        ([True], I64, "data[0] is true"),
        ([0, 300], U8, "data[1] is 300, which is not representable in uint8: expected 0…255"),
        ([-1], U8, "data[0] is -1"),
        ([2**63], I64, "data[0] is 9223372036854775808"),
        ([1e20], I64, "data[0] is"),
        ([2], BOOL, "data[0] is 2, expected true or false"),
        (["false"], BOOL, "data[0] is the string 'false'"),
        ([0], BYTES, "data[0] is 0, expected a string"),
        ([None], BYTES, "data[0] is null"),
        (["\ud800"], BYTES, "data[0] is not valid Unicode"),
        ([[1, 2], [3]], F32, "data is ragged: data[1] is a list of 1, but data[0] is a list of 2"),
        ([[1], 2], F32, "data is ragged: data[1] is 2, but data[0] is a list of 1"),
        ([1, [2]], F32, "data is ragged: data[1] is a list of 1, but data[0] is 1"),
        ([[[1], [2]], [[3], []]], F32, "data[1][1] is a list of 0, but data[0][0] is a list of 1"),
        ([[], [1]], F32, "data[1] is a list of 1, but data[0] is a list of 0"),
    ],
)
def test_a_wrong_element_is_refused_where_it_is(data: object, dtype: np.dtype[Any], text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(data, dtype)
    assert text in caught.value.text


@pytest.mark.parametrize("value", ["x" * MANY, ["x" * MANY], [["x"] * 100_000, 1]])
def test_an_error_does_not_echo_what_was_sent(value: object) -> None:
    with pytest.raises(BadRequest) as caught:
        read(value)
    assert len(caught.value.text) < 300


@pytest.mark.parametrize(("data", "shape"), [([1, 2, 3], (2, 2)), ([1], ()), ([], (1,)), ([1], (0,)), ([1, [2]], (3,))])
def test_a_count_that_is_not_the_shapes_is_refused_with_both(data: list[object], shape: tuple[int, ...]) -> None:
    if shape == ():
        assert read(data, shape=shape).shape == ()
        return
    with pytest.raises(BadRequest, match=rf"data has \d elements, expected {math.prod(shape)} for shape"):
        read(data, shape=shape)


def nested(depth: int, inner: object) -> object:
    for _ in range(depth):
        inner = [inner]
    return inner


def test_32_levels_are_read_and_33_are_refused() -> None:
    assert read(nested(32, 1)).shape == (1,) * 32
    for depth in (33, 1000):
        with pytest.raises(BadRequest, match="32"):
            read(nested(depth, 1))


def test_data_with_a_shape_may_be_nested_as_deep_as_json() -> None:
    """Deeper than Python's stack, in a regular nesting and in others."""
    deep = nested(1023, 1)
    assert read(deep, shape=(1,)).tolist() == [1]
    assert read([0, deep, [2, 3], 4], shape=(5,)).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(BadRequest, match="the string 'x'"):
        read(nested(1023, "x"), shape=(1,))


def test_more_elements_than_allowed_are_too_large() -> None:
    assert read([[1, 2]], max_elements=2).size == 2
    with pytest.raises(PayloadTooLarge, match="data has 3 elements, expected at most 2"):
        read([1, 2, 3], max_elements=2)


def test_deep_neighbours_do_not_make_many_elements_slow() -> None:
    """Undone level by level, this would copy every element 31 times."""
    data: list[object] = [nested(31, 1), *range(300_000)]
    started = time.perf_counter()
    assert read(data, shape=(300_001,)).size == 300_001
    assert time.perf_counter() - started < 2  # about 0.05 s; the limit is loose for a busy machine


@pytest.mark.parametrize("shape", [[], [0], [2, 0, 3], [1] * 32, [1000, 1000]])
def test_shapes_that_are_accepted(shape: list[int]) -> None:
    assert arrays.check_shape(shape, name="shape", max_elements=MANY) == tuple(shape)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (None, "shape is null, expected a list"),
        ("3", "shape is the string '3'"),
        (3, "shape is 3"),
        ({}, "shape is an object"),
        ([1.0], "shape[0] is 1.0"),
        ([2, True], "shape[1] is true"),
        ([None], "shape[0] is null"),
        ([[1]], "shape[0] is a list"),
        (["1"], "shape[0] is the string '1'"),
        ([2, -5], "shape[1] is -5, expected a non-negative integer"),
        ([1] * 70, "70 dimensions, expected at most 32"),
    ],
)
def test_shapes_that_are_refused(shape: object, text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        arrays.check_shape(shape, name="shape", max_elements=MANY)
    assert text in caught.value.text


@pytest.mark.parametrize(
    "shape", [[2**4, 2**60 + 2], [2**2, 2**62], [2**32, 2**33], [2**63], [0, 2**62], [2**62, 0], [1000, 1001]]
)
def test_a_shape_whose_product_would_wrap_is_too_large(shape: list[int]) -> None:
    with pytest.raises(PayloadTooLarge, match="elements"):
        arrays.check_shape(shape, name="shape", max_elements=MANY)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"{'a': 1}", b"[1,]", b"1 2", b"[1] //", b"NaN", b"[Infinity]", b"1e999", b"9" * 5000, b'"\xff"',
     b'"\xc0\xaf"', b"\xef\xbb\xbf1", b'"\\ud800"', "1".encode("utf-16"), b"\0", b"[" * 100_000, b'{"a":' * 100_000],
    ids=lambda body: repr(body[:12]),
)  # fmt: skip
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="the body is") as caught:
        arrays.parse_json(body, max_depth=10**6)
    assert len(caught.value.text) < 300


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_prefix_of_a_json_body_is_refused(kind: Any) -> None:
    body = json.dumps({"data": [[1.5, "NaN"], [2, "ä"]]}).encode()
    for length in range(len(body)):
        with pytest.raises(BadRequest):
            arrays.parse_json(kind(body[:length]), max_depth=64)
    assert arrays.parse_json(kind(body), max_depth=64) == json.loads(body)


# --- .npy -------------------------------------------------------------------------------------------------------------


def npy(header: str | bytes, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    raw = header.encode() if isinstance(header, str) else header
    return b"\x93NUMPY" + version + len(raw).to_bytes(2 if version == b"\1\0" else 4, "little") + raw + data


def saved(array: Array, version: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version, allow_pickle=False)
    return buffer.getvalue()


@settings(max_examples=200, deadline=None)
@given(
    hnp.arrays(hnp.floating_dtypes(sizes=(16, 32, 64)), SHAPES),
    st.booleans(),
    st.sampled_from([(1, 0), (2, 0)]),
    st.sampled_from([bytes, bytearray, memoryview]),
)
def test_npy_keeps_every_bit(array: Array, fortran: bool, version: tuple[int, int], kind: Any) -> None:
    stored = np.asfortranarray(array) if fortran and array.ndim else array
    got = arrays.read_npy(kind(saved(stored, version)), max_elements=MANY)
    assert got.dtype.isnative
    assert got.flags.c_contiguous
    assert (got.shape, got.tobytes()) == (array.shape, array.astype(array.dtype.newbyteorder("="), "C").tobytes())
    assert arrays.read_npy(arrays.write_npy(got), max_elements=MANY).tobytes() == got.tobytes()


@pytest.mark.parametrize("bits", [0x7F800001, 0xFFC12345, 0x00000001])
@pytest.mark.parametrize("order", ["<", ">"])
def test_npy_keeps_the_payload_of_a_nan_in_either_byte_order(bits: int, order: str) -> None:
    array = np.array([bits], f"{order}u4").view(f"{order}f4")
    got = arrays.read_npy(arrays.write_npy(array), max_elements=1)
    assert got.view(np.uint32).tolist() == [bits]


def test_npy_of_version_3_and_of_other_writers_is_read() -> None:
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"
    for body in (
        npy(header, bytes(8), b"\3\0"),
        npy('{"shape":(2,),"fortran_order":False,"descr":"<f4"}', bytes(8)),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': ( 1 , 2 )}" + " " * 9000 + "\n", bytes(8)),
    ):
        assert arrays.read_npy(body, max_elements=2).sum() == 0


@pytest.mark.parametrize("array", [np.zeros((2, 3), F32), np.array(1.0), np.zeros((0, 3), F16)])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_an_npy_body_is_refused_at_every_other_length(array: Array, version: tuple[int, int]) -> None:
    body = saved(array, version)
    for wrong in (*(body[:length] for length in range(len(body))), body + b"\0"):
        with pytest.raises(BadRequest):
            arrays.read_npy(wrong, max_elements=MANY)


HOSTILE_HEADERS = [
    "",
    "{}",
    "[]",
    "1",
    "{" * 5000,
    "(" * 5000,
    "{'descr': '<f4', 'fortran_order': False}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': True}",
    "{'descr': '<f4', 'descr': '<f4', 'shape': (2,)}",
    "{'descr': '<f4', 'fortran_order': False, 'fortran_order': (2,)}",
    "{'descr': '<f4', 'fortran_order': 'no', 'shape': (2,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': '(2,)'}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': [2]}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2.0,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1 1, 2 2)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1 2)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (\uff12,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1," * 33 + ")}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)" + " " * 9000,
    "{'descr': True, 'fortran_order': False, 'shape': (2,)}",
    "{'descr': (2,), 'fortran_order': False, 'shape': (2,)}",
    "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}",
    "{'descr': '<i8', 'fortran_order': False, 'shape': (1,)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
    "{'descr': '', 'fortran_order': False, 'shape': (1,)}",
    "{'descr': '\\d', 'fortran_order': False, 'shape': (1or 2,)}",
    b"\xff" * 100,
    " " * 20_000,
]


@pytest.mark.parametrize("header", HOSTILE_HEADERS, ids=lambda header: repr(header)[:70])
@pytest.mark.parametrize("version", [b"\1\0", b"\2\0", b"\3\0"])
def test_a_hostile_npy_header_is_refused(header: str | bytes, version: bytes) -> None:
    started = time.perf_counter()
    with pytest.raises(BadRequest, match="npy"):
        arrays.read_npy(npy(header, bytes(8), version), max_elements=MANY)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("shape", ["(4294967296, 4294967296)", "(9999999999999999999,)", "(0, 4611686018427387904)"])
def test_a_huge_npy_shape_is_refused_without_memory_for_it(shape: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLarge):
            arrays.read_npy(npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"), max_elements=MANY)
        assert tracemalloc.get_traced_memory()[1] < MANY
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "array", [np.arange(3), np.array([True]), np.array(["a"]), np.zeros(2, "c8"), np.zeros(1, "f4,i4")]
)
def test_an_npy_dtype_that_is_not_a_float_is_refused_with_a_way_out(array: Array) -> None:
    with pytest.raises(BadRequest, match=r"dtype|header"):
        arrays.read_npy(arrays.write_npy(array), max_elements=MANY)
    with pytest.raises(BadRequest, match="astype"):
        arrays.read_npy(arrays.write_npy(np.arange(3)), max_elements=MANY)


def test_pickled_objects_are_neither_read_nor_written() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(BadRequest, match="dtype"):
        arrays.read_npy(buffer.getvalue(), max_elements=MANY)


@pytest.mark.parametrize(
    "body", [b"", b"\x93NUMP", b"\x93NUMPX\1\0", b"\x93NUMPY\4\0", b"PK\3\4", b"\x93NUMPY\2\0\xff\xff\xff\xff"]
)
def test_what_is_not_npy_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="npy"):
        arrays.read_npy(body, max_elements=MANY)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize(
    ("item", "most", "text"),
    [
        (b'{"":0}', arrays.MAX_MEMBERS, "131072 members"),
        (b"{}", arrays.MAX_MEMBERS, "131072 objects"),
        (b"[]", arrays.MAX_MEMBERS - 1, "131072 lists"),
        (b"0", arrays.MAX_VALUES + 1, "262144 values"),
        (b'""', arrays.MAX_VALUES + 1, "262144 values"),
    ],
    ids=["members", "objects", "lists", "numbers", "texts"],
)
def test_what_a_parser_takes_long_for_is_refused(kind: Any, item: bytes, most: int, text: str) -> None:
    """Three million keys would hold up everybody for seconds."""
    body = kind(b"[" + (item + b",") * (most - 1) + item + b"]")
    assert len(cast("list[object]", arrays.parse_json(body, max_depth=9))) == most
    with pytest.raises(PayloadTooLarge, match=f"the JSON has more than {text}"):
        arrays.parse_json(kind(b"[" + (item + b",") * most + item + b"]"), max_depth=9)


def test_a_very_long_text_is_refused() -> None:
    most = arrays.MAX_TEXT_BYTES
    assert arrays.parse_json(b'"%s"' % (b"a" * (most - 2)), max_depth=9) == "a" * (most - 2)
    with pytest.raises(
        PayloadTooLarge, match=f"the JSON has {most + 1} bytes, at most {most} are read: send images as"
    ):
        arrays.parse_json(b'"%s"' % (b"a" * (most - 1)), max_depth=9)


def test_what_is_no_json_is_not_written() -> None:
    with pytest.raises(TypeError, match="object"):
        arrays.dumps({"a": object()})
