"""The same request bytes get the same answer from the service and from a real Triton.

Names, shapes, datatypes, values and the error's status are compared; an error's words are not. Where the service differs
on purpose, `DIFFERENCES` has both statuses, and docs/protocol.md the reason.
"""

import gzip
import http.client
import json
import math
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

JSON = {"Content-Type": "application/json"}
ECHO = "/v2/models/echo_fp32/infer"


@dataclass(frozen=True)
class Case:
    path: str
    body: bytes = b""
    headers: dict[str, str] | None = None
    method: str = "POST"


def infer(name: str, *inputs: dict[str, Any], outputs: list[dict[str, Any]] | None = None, **members: Any) -> Case:
    request = {"inputs": list(inputs), **members} | ({} if outputs is None else {"outputs": outputs})
    return Case(f"/v2/models/{name}/infer", json.dumps(request).encode(), JSON)


def tensor(name: str, datatype: str, shape: list[Any], data: Any = None, **parameters: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
    return made | ({} if data is None else {"data": data}) | ({"parameters": parameters} if parameters else {})


def binary(name: str, request: dict[str, Any], *tensors: bytes, length: int | None = None, **headers: str) -> Case:
    head = json.dumps(request).encode()
    size = str(len(head) if length is None else length)
    return Case(
        f"/v2/models/{name}/infer", head + b"".join(tensors), {"Inference-Header-Content-Length": size} | headers
    )


FLOATS = struct.pack("<3f", 1.5, -2.0, float("inf"))
X3 = tensor("x", "FP32", [1, 3], [1, 2.5, -3])
X3_BINARY = {"inputs": [tensor("x", "FP32", [1, 3], binary_data_size=12)]}
AB = [tensor(name, "INT32", [1, 16], list(range(16))) for name in "ab"]
STRINGS = struct.pack("<I", 3) + b"abc" + struct.pack("<I", 0)
CLASSES = {"name": "y", "parameters": {"classification": 2}}

CASES: dict[str, Case] = {
    "json": infer("echo_fp32", X3),
    "nested json": infer("echo_fp32", tensor("x", "FP32", [2, 2], [[1, 2], [3, 4]])),
    "oddly nested json": infer("echo_fp32", tensor("x", "FP32", [2, 2], [[1], [2, 3, 4]])),
    "id": infer("echo_fp32", X3, id="forty-two"),
    "unknown parameters": infer("echo_fp32", X3, parameters={"mine": 1, "other": "x", "third": True}),
    "empty tensor": infer("echo_fp32", tensor("x", "FP32", [1, 0], [])),
    "two inputs": infer("add_sub", *AB),
    "two inputs in another order": infer("add_sub", *AB[::-1]),
    "one output of two": infer("add_sub", *AB, outputs=[{"name": "difference"}]),
    "outputs in another order": infer("add_sub", *AB, outputs=[{"name": "difference"}, {"name": "total"}]),
    "int64 extremes": infer("echo_int64", tensor("x", "INT64", [1, 2], [-(2**63), 2**63 - 1])),
    "bool": infer("echo_bool", tensor("x", "BOOL", [1, 2], [True, False])),
    "strings": infer("echo_bytes", tensor("x", "BYTES", [1, 2], ["caf\u00e9", ""])),
    "binary in": binary("echo_fp32", X3_BINARY, FLOATS),
    "binary in and out": binary("echo_fp32", X3_BINARY | {"parameters": {"binary_data_output": True}}, FLOATS),
    "binary output of json": infer("echo_fp32", X3, outputs=[{"name": "y", "parameters": {"binary_data": True}}]),
    "request flag does not reach listed outputs": infer(
        "echo_fp32", X3, outputs=[{"name": "y"}], parameters={"binary_data_output": True}
    ),
    "binary strings": binary(
        "echo_bytes",
        {"inputs": [tensor("x", "BYTES", [1, 2], binary_data_size=11)], "outputs": [{"name": "y"}]},
        STRINGS,
    ),
    "json and binary": binary(
        "add_sub", {"inputs": [AB[0], tensor("b", "INT32", [1, 16], binary_data_size=64)]}, bytes(64)
    ),
    "raw": binary("echo_fp32", {}, FLOATS, length=0),
    "classification": infer("labelled", tensor("x", "FP32", [2, 4], [0.1, 3, -1, 2, 9, 8, 7, 6]), outputs=[CLASSES]),
    "classification of more than there are": infer(
        "labelled",
        tensor("x", "FP32", [1, 4], [4, 3, 2, 1]),
        outputs=[{"name": "y", "parameters": {"classification": 9}}],
    ),
    "gzip": Case(ECHO, gzip.compress(infer("echo_fp32", X3).body), JSON | {"Content-Encoding": "gzip"}),
    "deflate": Case(ECHO, zlib.compress(infer("echo_fp32", X3).body), JSON | {"Content-Encoding": "deflate"}),
    "metadata": Case("/v2/models/add_sub", method="GET"),
    "metadata of a version": Case("/v2/models/add_sub/versions/1", method="GET"),
    "live": Case("/v2/health/live", method="GET"),
    "ready": Case("/v2/health/ready", method="GET"),
    "model ready": Case("/v2/models/add_sub/ready", method="GET"),
    "trace settings": Case("/v2/trace/setting", method="GET"),
    "trace settings of a model": Case("/v2/models/add_sub/trace/setting", method="GET"),
    "logging settings": Case("/v2/logging", method="GET"),
    # What is wrong
    "unknown model": infer("nothing", X3),
    "unknown version": Case("/v2/models/add_sub/versions/7", method="GET"),
    "unknown path": Case("/v2/nothing", method="GET"),
    "wrong method": Case("/v2", method="PUT"),
    "unknown input": infer("echo_fp32", tensor("z", "FP32", [1, 3], [1, 2, 3])),
    "missing input": infer("add_sub", AB[0]),
    "wrong datatype": infer("echo_fp32", tensor("x", "FP64", [1, 3], [1, 2, 3])),
    "wrong shape": infer("labelled", tensor("x", "FP32", [1, 3], [1, 2, 3])),
    "wrong rank": infer("labelled", tensor("x", "FP32", [4], [1, 2, 3, 4])),
    "unknown output": infer("echo_fp32", X3, outputs=[{"name": "q"}]),
    "output named twice": infer("echo_fp32", X3, outputs=[{"name": "y"}, {"name": "y"}]),
    "header longer than the body": binary("echo_fp32", X3_BINARY, length=9999),
    "too few bytes": binary("echo_fp32", X3_BINARY, FLOATS[:-1]),
    "too many bytes": binary("echo_fp32", X3_BINARY, FLOATS + b"!"),
    "size and shape disagree": binary(
        "echo_fp32", {"inputs": [tensor("x", "FP32", [1, 3], binary_data_size=8)]}, FLOATS[:8]
    ),
    "data and size": binary(
        "echo_fp32", {"inputs": [tensor("x", "FP32", [1, 3], [1, 2, 3], binary_data_size=12)]}, FLOATS
    ),
    "shared memory": infer(
        "echo_fp32", tensor("x", "FP32", [1, 3], shared_memory_region="r", shared_memory_byte_size=12)
    ),
    "reserved parameter": infer("echo_fp32", X3, parameters={"triton_enable": True}),
    "statistics of an unknown model": Case("/v2/models/nothing/stats", method="GET"),
    "not json": Case(ECHO, b"x", JSON),
    "no inputs": Case(ECHO, b"{}", JSON),
    "too few elements": infer("echo_fp32", tensor("x", "FP32", [1, 3], [1, 2])),
    "a string for a number": infer("echo_fp32", tensor("x", "FP32", [1, 3], [1, 2, "3"])),
    "negative shape": infer("echo_fp32", tensor("x", "FP32", [1, -3], [1, 2, 3])),
    "unknown encoding": Case(ECHO, b"{}", JSON | {"Content-Encoding": "br"}),
    "batch too large": infer("echo_fp32", tensor("x", "FP32", [9, 1], [0] * 9)),
    "model not ready": Case("/v2/models/nothing/ready", method="GET"),
    "non-finite answer as json": binary("echo_fp32", X3_BINARY | {"outputs": [{"name": "y"}]}, FLOATS),
}

DIFFERENCES: dict[str, tuple[int, int]] = {  # ours, Triton's
    "not json": (400, 500),
    "no inputs": (400, 500),
    "too few elements": (400, 500),
    "a string for a number": (400, 500),
    "negative shape": (400, 500),
    "unknown encoding": (415, 501),
    "batch too large": (200, 400),
    "model not ready": (404, 400),
    "non-finite answer as json": (200, 200),
}


def ask(address: str, case: Case) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request(case.method, case.path, case.body or None, case.headers or {})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, content


def comparable(case: str, status: int, headers: dict[str, str], content: bytes) -> object:
    """What must be equal: of an error that it is one, of an answer everything but who gave it."""
    if status != 200:
        return "error" in json.loads(content)
    if CASES[case].path.startswith("/v2/health") or case == "model ready":
        return None  # Triton's body is empty, the specification's is JSON
    length = headers.get("inference-header-content-length")
    head = json.loads(content[: int(length)] if length else content)
    if "platform" in head:
        head["platform"] = "any"  # it names the backend
    return head, content[int(length) :] if length else b""


@pytest.mark.parametrize("case", CASES)
def test_both_answer_alike(our_address: str, triton_address: str, case: str) -> None:
    ours, theirs = ask(our_address, CASES[case]), ask(triton_address, CASES[case])

    if case in DIFFERENCES:
        assert (ours[0], theirs[0]) == DIFFERENCES[case], (ours[2], theirs[2])
    else:
        assert ours[0] == theirs[0], (ours[2], theirs[2])
        assert comparable(case, *ours) == comparable(case, *theirs)


def test_non_finite_numbers_are_null_where_triton_writes_no_json(our_address: str, triton_address: str) -> None:
    case = CASES["non-finite answer as json"]
    theirs = ask(triton_address, case)[2]

    assert json.loads(ask(our_address, case)[2])["outputs"][0]["data"] == [1.5, -2.0, None]
    assert b"Infinity" in theirs
    assert math.inf in json.loads(theirs)["outputs"][0]["data"]  # Python's parser takes what no browser does


def test_every_difference_is_explained() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "protocol.md").read_text()
    explained = set(re.findall(r"^\| ([^|]+?) \| \d+ \| \d+ \|", page, re.MULTILINE))
    assert explained == set(DIFFERENCES)
