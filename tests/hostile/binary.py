"""B: tensors as bytes behind the JSON, and lengths that lie."""

import gzip
import json
from typing import Any

import numpy as np

from tests.hostile.cases import Answer, Case, post, short
from tests.hostile.heads import INFER
from tests.routes.sending import LENGTH
from tests.wire.tensors import binary_input, request

PAIR = np.array([[1.0, -2.0]], "<f4").tobytes()
GOOD, GOOD_LENGTH = request(binary_input("FP32", [1, 2], 8), raw=PAIR)
PLAIN = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, -2]}]}'


def binary(model: str, body: bytes, length: object = None, *headers: str) -> Any:
    """A request with the length of its JSON, and as tritonclient does without a content type."""
    more = [] if length is None else [f"{LENGTH}: {length}"]
    return post(f"/v2/models/{model}/infer", body, None, *more, *headers)


def _sized(name: str, size: Any, raw: bytes) -> Case:
    return Case(name, binary("relu", *request(binary_input("FP32", [1, 2], size), raw=raw)), (400,))


def _texts(raw: bytes, count: int = 1) -> Case:
    sent = binary("echo_bytes", *request(binary_input("BYTES", [1, count], len(raw)), raw=raw))
    return Case(f"B07 {count} in {short(raw)}", sent, (400,))


def _is_relu(answer: Answer) -> bool:
    return bool(json.loads(answer.body)["outputs"][0]["data"] == [1.0, 0.0])


def _asking(*outputs: Any) -> tuple[bytes, int]:
    header = json.dumps({"inputs": [binary_input("FP32", [1, 2], 8)], "outputs": outputs}).encode()
    return header + PAIR, len(header)


CASES = [
    *(
        Case(f"B01 {short(value)}", post(INFER, b"{}", None, f"{LENGTH}: {value}"), (400,),
             "the header Inference-Header-Content-Length is ")
        for value in ("-1", "", "abc", "1e3", "+5", "0x5", "５", "3", "99999999999", "9" * 30, "1" * 5000)
    ),
    Case("B01 twice", post(INFER, b"{}", None, f"{LENGTH}: 2", f"{LENGTH}: 2"), (400,), "is there 2 times"),
    Case("B02 no binary inputs", binary("relu", PLAIN, len(PLAIN)), (200,), holds=_is_relu),
    Case("B02 a size and no length", binary("relu", GOOD), (400,)),
    Case("B02 a size and no bytes", binary("relu", GOOD[:GOOD_LENGTH]), (400,)),
    *(
        Case(f"B03 {text[:24]}", binary(model, raw, 0), (400,), text)
        for model, raw, text in (
            ("total", bytes(8), "Raw request must only have 1 input (found 1) to be deduced but got 2 inputs"),
            ("relu", bytes(8), "The shape of the raw input 'x' can not be deduced because"),
            ("echo_fp32", bytes(3), "the raw request has 3 bytes, expected a multiple of 4"),
            ("wide", bytes(63), "the raw request has 63 bytes, expected 64"),
            ("wide", bytes(128), "the raw request has 128 bytes, expected 64"),
            ("echo_bytes", b"x", "For BYTE datatype raw input 'x', the model must have input shape [1]"),
        )
    ),
    _sized("B04 too few bytes", 8, PAIR[:-1]),
    _sized("B04 no bytes", 8, b""),
    _sized("B04 too many bytes", 8, PAIR + b"x"),
    _sized("B05 size 0", 0, b""),
    _sized("B05 half the size", 4, PAIR),
    _sized("B05 twice the size", 16, PAIR * 2),
    _sized("B05 no multiple", 7, PAIR[:7]),
    *(_sized(f"B05 {short(size)}", size, PAIR) for size in (-8, 8.0, "8", True, None, 2**63, 2**64)),
    Case("B06 data and a size",
         binary("relu", *request(binary_input("FP32", [1, 2], 8) | {"data": [1, 2]}, raw=PAIR)), (400,)),
    *(_texts(bytes.fromhex(raw))
      for raw in ("ffffffff", "05000000 6162", "010000", "00000000 00000000", "01000000 ff", "01000000 80", "")),
    _texts(b"\x01\0\0\0a", 2),
    Case("B08 2 for a boolean",
         binary("echo_bool", *request(binary_input("BOOL", [1, 2], 2), raw=b"\1\2")), (400,)),
    Case("B11 cut in a character", binary("relu", '{"id": "é"}'.encode(), 9), (400,)),
    *(
        Case(f"B12 {length}", binary("relu", gzip.compress(PLAIN), length, "Content-Encoding: gzip"), (400,),
             f"expected 0…{len(PLAIN)}, the length of the body")
        for length in (len(PLAIN) + 1, 100 * len(PLAIN), 10**17)
    ),
    Case("B13 unknown output", binary("relu", *_asking({"name": "z", "parameters": {"binary_data": True}})), (400,)),
    *(Case(f"B04 cut at {end}", binary("relu", GOOD[:end], GOOD_LENGTH), (400,)) for end in range(len(GOOD))),
]  # fmt: skip
