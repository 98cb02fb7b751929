"""V2 requests with binary tensors behind the JSON, and raw requests; names like B05 are those of the design's table."""

import contextlib
import json
import tracemalloc
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from onnx import TensorProto, helper

from service.errors import BadRequest, PayloadTooLarge, ServiceError
from service.wire import datatypes, v2
from service.wire.datatypes import Datatype
from service.wire.v2_inputs import RawInput
from tests.wire.tensors import CASES, Case, Tensor, binary_input, random_tensors, request, same

FP32 = np.arange(6, dtype=np.float32).reshape(2, 3)


def decode(body: bytes | memoryview, header_bytes: int | None, max_elements: int = 1000) -> Tensor:
    (x,) = v2.decode_infer(body, header_bytes, max_elements=max_elements).inputs
    return x.array


def of(case: Case, **changes: Any) -> dict[str, Any]:
    return {**binary_input(case.datatype, case.array.shape, len(case.raw)), **changes}


def refused(body: bytes, header_bytes: int | None) -> str:
    with pytest.raises(BadRequest) as caught:
        v2.decode_infer(body, header_bytes, max_elements=1000)
    return caught.value.text


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.datatype} {case.raw.hex()}")
class TestEachCase:
    @pytest.mark.parametrize("spaces", range(17))
    def test_is_read_at_every_offset(self, case: Case, spaces: int) -> None:
        body, header_bytes = request(of(case), raw=case.raw, spaces=spaces)
        array = decode(body, header_bytes)
        assert same(array, case.array)
        assert array.flags.aligned
        assert array.flags.c_contiguous

    def test_is_read_from_json(self, case: Case) -> None:
        item = {"name": "x", "datatype": case.datatype, "shape": case.array.shape, "data": case.data}
        if case.data is not None:
            assert same(decode(json.dumps({"inputs": [item]}).encode(), None), case.array)

    def test_is_refused_at_every_other_length(self, case: Case) -> None:
        body, header_bytes = request(of(case), raw=case.raw)
        for length in range(len(body)):
            refused(body[:length], min(header_bytes, length))
        refused(body[:-1], header_bytes)
        for extra in (b"\0", b" ", case.raw or b"{}"):
            assert f"unexpected additional input data: {len(extra)} bytes" in refused(body + extra, header_bytes)

    def test_is_refused_with_any_other_size(self, case: Case) -> None:
        for size in {0, 1, len(case.raw) - 1, len(case.raw) + 1} - {-1, len(case.raw)}:
            body, header_bytes = request(of(case, parameters={"binary_data_size": size}), raw=case.raw[:size] + b"\0")
            assert "input 'x'" in refused(body, header_bytes)


@settings(max_examples=300, deadline=None)
@given(random_tensors())
def test_random_tensors_keep_every_bit(tensor: tuple[Datatype, Tensor]) -> None:
    datatype, array = tensor
    raw = array.tobytes()
    if datatype.name == "BYTES":
        raw = b"".join(len(text).to_bytes(4, "little") + text for text in array.ravel().tolist())
    body, header_bytes = request(binary_input(datatype.name, array.shape, len(raw)), raw=raw)
    assert same(decode(body, header_bytes), array)


def test_mixed_inputs_are_taken_in_their_order() -> None:
    inputs = [
        binary_input("INT16", [2], 4, "a"),
        {"name": "b", "datatype": "FP32", "shape": [2], "data": [1.5, "NaN"]},
        binary_input("BYTES", [1], 5, "c"),
        binary_input("FP64", [0], 0, "d"),
        binary_input("FP32", [1], 4, "e"),
    ]
    body, header_bytes = request(*inputs, raw=b"\1\0\2\0" + b"\1\0\0\0c" + b"\0\0\x80\x3f")
    for whole in (body, memoryview(body)):
        a, b, c, d, e = (tensor.array for tensor in v2.decode_infer(whole, header_bytes, max_elements=9).inputs)
        assert (a.tolist(), c.tolist(), d.shape, e.tolist()) == ([1, 2], [b"c"], (0,), [1.0])
        assert np.array_equal(b, [1.5, np.nan], equal_nan=True)


def aligned(array: Tensor, offset: int = 0) -> tuple[bytes, int]:
    """A body whose tensor begins at a multiple of 16 in memory, and `offset` behind it."""
    item = binary_input("FP32", array.shape, array.nbytes)
    for spaces in range(offset, 32):
        body, header_bytes = request(item, raw=array.tobytes(), spaces=spaces)
        if np.frombuffer(body, np.uint8).ctypes.data % 16 == (offset - header_bytes) % 16:
            return body, header_bytes
    raise AssertionError


def test_an_aligned_tensor_is_a_read_only_view_into_the_body() -> None:
    body, header_bytes = aligned(FP32)
    array = decode(body, header_bytes)
    assert np.shares_memory(array, np.frombuffer(body, np.uint8))
    assert not array.flags.writeable


@pytest.mark.parametrize("offset", [1, 2, 3])
def test_a_tensor_that_is_not_aligned_is_copied(offset: int) -> None:
    body, header_bytes = aligned(FP32, offset)
    array = decode(body, header_bytes)
    assert not np.shares_memory(array, np.frombuffer(body, np.uint8))
    assert same(array, FP32)


def test_b14_64_mb_are_read_without_memory() -> None:
    big = np.arange(1 << 24, dtype=np.float32)
    body, header_bytes = aligned(big)
    tracemalloc.start()
    try:
        array = decode(body, header_bytes, max_elements=1 << 24)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000
    assert array.tobytes() == big.tobytes()


def test_onnx_runtime_gets_the_same_answer_at_every_offset() -> None:
    """ReduceSum of FP64 gives other last bits for a tensor that is not aligned: hence the copy."""
    ports = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in "xy"]
    graph = helper.make_graph([helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)], "sum", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    array = np.random.default_rng(0).standard_normal(4001)
    sums = set()
    for spaces in range(16):
        item = binary_input("FP64", array.shape, array.nbytes)
        body, header_bytes = request(item, raw=array.tobytes(), spaces=spaces)
        sums.add(float(session.run(None, {"x": decode(body, header_bytes, max_elements=5000)})[0]))
    assert len(sums) == 1


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [["-1"], ["abc"], [""], ["1e3"], ["+5"], [" 5"], ["0x5"], ["５"], ["5 "], ["5\n"], ["9" * 19], ["x" * 9999],
     ["5", "5"], ["5", "6"], ["5, 5"]],
    ids=lambda values: repr(values)[:20],
)  # fmt: skip
def test_b01_a_header_that_is_no_length_is_refused(values: list[str]) -> None:
    with pytest.raises(BadRequest, match="Inference-Header-Content-Length is") as caught:
        v2.header_length(values)
    assert len(caught.value.text) < 300


@pytest.mark.parametrize(("values", "length"), [([], None), (["0"], 0), (["005"], 5), (["99999999999"], 99999999999)])
def test_b01_a_header_that_is_a_length_is_read(values: list[str], length: int | None) -> None:
    assert v2.header_length(values) == length


@pytest.mark.parametrize("header_bytes", [-1, 99999999999])
def test_b01_a_length_outside_the_body_is_refused(header_bytes: int) -> None:
    body, real = request(of(CASES[0]), raw=CASES[0].raw)
    assert f"is {header_bytes}, expected 0…{len(body)}" in refused(body, header_bytes)
    for wrong in range(len(body) + 2):
        if wrong != real:
            refused(body, wrong)


def test_b02_header_and_tensors_must_agree() -> None:
    item = {"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}
    body, header_bytes = request(item)
    assert decode(body, header_bytes).tolist() == [1]
    assert "unexpected additional input data" in refused(body + b"    ", header_bytes)
    body, header_bytes = request(binary_input("FP32", [1], 4), raw=bytes(4))
    assert "the body is not valid JSON" in refused(body, None)
    assert "expecting 4 additional bytes after the JSON" in refused(body[:header_bytes], None)
    body, header_bytes = request(binary_input("FP32", [0], 0))
    assert decode(body, None).shape == (0,)


@pytest.mark.parametrize(("raw", "missing"), [(b"", 8), (bytes(1), 7), (bytes(7), 1)])
def test_b04_too_few_bytes_are_refused_with_the_number_that_is_missing(raw: bytes, missing: int) -> None:
    body, header_bytes = request(binary_input("FP32", [1], 4), binary_input("FP32", [1], 4, "y"), raw=raw)
    name, count = ("x", 4 - len(raw)) if len(raw) < 4 else ("y", missing)
    expected = f"unexpected size for input '{name}', expecting {count} additional bytes"
    assert expected in refused(body, header_bytes)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (-4, "binary_data_size is -4, expected a non-negative integer"),
        (4.0, "binary_data_size is 4.0, expected a non-negative integer"),
        ("4", "binary_data_size is the string '4'"),
        (True, "binary_data_size is true"),
        (2**63, f"input byte size mismatch for input 'x'. Expected 4 for FP32 [1], got {2**63}"),
        (2**64, "binary_data_size is 1.8446744073709552e+19"),
        (3, "Expected 4 for FP32 [1], got 3"),
        (8, "Expected 4 for FP32 [1], got 8"),
        (0, "Expected 4 for FP32 [1], got 0"),
    ],
)
def test_b05_a_size_that_is_not_the_shapes_is_refused(size: object, text: str) -> None:
    body, header_bytes = request(binary_input("FP32", [1], size), raw=bytes(4))
    answer = refused(body, header_bytes)
    assert "input 'x'" in answer
    assert text in answer


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"data": [1]}, "data and binary_data_size are both there, expected one"),
        ({"parameters": {"shared_memory_region": "r", "binary_data_size": 4}}, "shared memory is not supported"),
        ({"parameters": {}}, "data is missing, and binary_data_size"),
    ],
)
def test_b06_a_tensor_has_one_source(change: dict[str, object], text: str) -> None:
    body, header_bytes = request({**binary_input("FP32", [1], 4), **change}, raw=bytes(4))
    assert text in refused(body, header_bytes)


@pytest.mark.parametrize(
    ("count", "raw", "text"),
    [
        (1, b"\5\0\0\0abcd", "element 0 of 1 goes beyond the end: its length is 5"),
        (1, b"\xff\xff\xff\xffabcd", "element 0 of 1 goes beyond the end: its length is 4294967295"),
        (2, b"\4\0\0\0abcd", "element 1 of 2 goes beyond the end: its length is cut off"),
        (2, b"\3\0\0\0abcd", "element 1 of 2 goes beyond the end: its length is cut off"),
        (3, b"\4\0\0\0abcd", "8 bytes cannot hold 3 elements"),
        (1, b"\3\0\0\0abcd", "1 bytes are left after 1 elements"),
        (1, b"\0\0\0\0\0\0\0\0", "4 bytes are left after 1 elements"),
        (0, b"\0\0\0\0", "4 bytes are left after 0 elements"),
        (1000, b"", "0 bytes cannot hold 1000 elements"),
    ],
)
def test_b07_bytes_with_wrong_lengths_are_refused(count: int, raw: bytes, text: str) -> None:
    body, header_bytes = request(binary_input("BYTES", [count], len(raw)), raw=raw)
    assert f"input 'x': {text}" in refused(body, header_bytes)


@pytest.mark.parametrize("byte", [2, 255])
def test_b08_a_bool_that_is_neither_0_nor_1_is_refused(byte: int) -> None:
    body, header_bytes = request(binary_input("BOOL", [3], 3), raw=bytes([1, 0, byte]))
    assert f"input 'x': byte 2 is {byte}, expected 0 or 1 for BOOL" in refused(body, header_bytes)


def test_b11_json_that_is_cut_in_a_character_is_refused() -> None:
    body = request(binary_input("BOOL", [1], 1, "ä"), raw=b"\1")[0].replace(b"\\u00e4", "ä".encode())
    cut = body.index("ä".encode()) + 1
    assert "the body is not valid JSON" in refused(body, cut)


@pytest.mark.parametrize("shape", [[2**32, 2**33], [2**4, 2**60 + 2], [1001], [0, 2**62]])
def test_a_shape_that_is_too_large_is_refused_before_it_is_multiplied(shape: list[int]) -> None:
    body, header_bytes = request(binary_input("FP32", shape, 0))
    with pytest.raises(PayloadTooLarge, match="input 'x': shape"):
        v2.decode_infer(body, header_bytes, max_elements=1000)


# --- raw requests -----------------------------------------------------------------------------------------------------


def raw(
    body: bytes, datatype: str, shape: tuple[int | None, ...], batched: bool = False, max_elements: int = 1000
) -> v2.InferRequest:
    port = RawInput("x", datatypes.by_name(datatype), shape, batched)
    return v2.raw_infer(body, [port], model_name="m", max_elements=max_elements)


@pytest.mark.parametrize(
    ("datatype", "shape", "batched", "length", "expected"),
    [
        ("FP32", (2, 3), False, 24, (2, 3)),
        ("FP32", (2, 3), True, 24, (1, 2, 3)),
        ("FP32", (None,), True, 24, (1, 6)),
        ("FP32", (None, 3), False, 24, (2, 3)),
        ("FP32", (2, None, 3), True, 24, (1, 2, 1, 3)),
        ("FP32", (None,), False, 0, (0,)),
        ("FP32", (None, 0), False, 0, (0, 0)),
        ("BOOL", (), False, 1, ()),
        ("BF16", (None,), False, 4, (2,)),
    ],
)
def test_a_raw_request_is_one_tensor(
    datatype: str, shape: tuple[int | None, ...], batched: bool, length: int, expected: tuple[int, ...]
) -> None:
    body = bytes([1] * length)
    asked = raw(body, datatype, shape, batched)
    (x,) = asked.inputs
    assert (x.name, x.datatype.name, x.array.shape, x.array.tobytes()) == ("x", datatype, expected, body)
    assert (asked.id, asked.parameters, asked.outputs, asked.priority, asked.timeout_us) == (None, {}, None, 0, None)
    assert asked.is_binary("y")


@pytest.mark.parametrize(("shape", "batched", "expected"), [((1,), False, (1,)), ((1,), True, (1, 1)), ((), False, ())])
@pytest.mark.parametrize("body", [b"", b"\xff\0", "ä".encode() * 100])
def test_a_raw_request_of_bytes_is_one_element(
    shape: tuple[int, ...], batched: bool, expected: tuple[int, ...], body: bytes
) -> None:
    (x,) = raw(body, "BYTES", shape, batched).inputs
    assert (x.array.shape, x.array.ravel().tolist()) == (expected, [body])


@pytest.mark.parametrize(
    ("datatype", "shape", "length", "text"),
    [
        ("FP32", (None, None), 4, "The shape of the raw input 'x' can not be deduced because there are more than one"),
        ("BYTES", (2,), 4, "For BYTE datatype raw input 'x', the model must have input shape [1]"),
        ("BYTES", (None,), 4, "For BYTE datatype raw input 'x', the model must have input shape [1]"),
        ("FP32", (2,), 7, "input 'x': the raw request has 7 bytes, expected 8 for FP32 [2]"),
        ("FP32", (2,), 16, "input 'x': the raw request has 16 bytes, expected 8 for FP32 [2]"),
        ("FP32", (2, None), 12, "has 12 bytes, expected a multiple of 8 for FP32 [2, -1]"),
        ("FP32", (0, None), 4, "has 4 bytes, expected a multiple of 0"),
        ("FP32", (0,), 4, "has 4 bytes, expected 0"),
        ("BOOL", (None,), 7, "byte 0 is 7, expected 0 or 1"),
    ],
)
def test_b03_a_raw_request_that_does_not_fit_is_refused(
    datatype: str, shape: tuple[int | None, ...], length: int, text: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        raw(bytes([7] * length), datatype, shape, batched=True)
    assert text in caught.value.text


@pytest.mark.parametrize("count", [0, 2])
def test_b03_a_raw_request_is_for_models_of_one_input(count: int) -> None:
    port = RawInput("x", datatypes.by_name("FP32"), (1,), False)
    text = f"Raw request must only have 1 input (found 1) to be deduced but got {count} inputs in 'm' model"
    with pytest.raises(BadRequest) as caught:
        v2.raw_infer(b"", [port] * count, model_name="m", max_elements=9)
    assert text in caught.value.text


def test_a_raw_request_with_too_many_elements_is_too_large() -> None:
    with pytest.raises(PayloadTooLarge, match="input 'x': shape"):
        raw(bytes(40), "FP32", (None,), max_elements=9)


def test_no_bytes_make_anything_but_a_service_error() -> None:
    body, header_bytes = request(*(of(case, name=str(number)) for number, case in enumerate(CASES)))
    body += b"".join(case.raw for case in CASES)
    assert len(v2.decode_infer(body, header_bytes, max_elements=9).inputs) == len(CASES)
    random = np.random.default_rng(0)
    for _ in range(500):
        broken = bytearray(body)
        for place in random.integers(0, len(body), 3):
            broken[place] = random.integers(256)
        with contextlib.suppress(ServiceError):
            v2.decode_infer(bytes(broken), header_bytes, max_elements=9)
