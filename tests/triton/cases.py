"""Requests as bytes, each sent to the service and to a real Triton with the same models."""

import gzip
import json
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

JSON = {"Content-Type": "application/json"}
ADMIN_KEY = "conformance-key"
ADMIN = {"X-API-Key": ADMIN_KEY}
"""Ours asks for it; Triton ignores a header that it does not know."""
ECHO = "/v2/models/echo_fp32/infer"


@dataclass(frozen=True)
class Case:
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"


def get(path: str) -> Case:
    return Case(path, method="GET")


def post(path: str, content: object, **headers: str) -> Case:
    return Case(path, json.dumps(content).encode(), JSON | headers)


def infer(name: str, *inputs: dict[str, Any], outputs: list[dict[str, Any]] | None = None, **members: Any) -> Case:
    request = {"inputs": list(inputs), **members} | ({} if outputs is None else {"outputs": outputs})
    return post(f"/v2/models/{name}/infer", request)


def tensor(name: str, datatype: str, shape: Any, data: Any = None, **parameters: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
    return made | ({} if data is None else {"data": data}) | ({"parameters": parameters} if parameters else {})


def binary(name: str, request: dict[str, Any], *tensors: bytes, length: str | None = None) -> Case:
    head = json.dumps(request).encode()
    headers = {"Inference-Header-Content-Length": str(len(head)) if length is None else length}
    return Case(f"/v2/models/{name}/infer", head + b"".join(tensors), headers)


def raw(name: str, body: bytes) -> Case:
    return Case(f"/v2/models/{name}/infer", body, {"Inference-Header-Content-Length": "0"})


def x(*data: Any, datatype: str = "FP32", **parameters: Any) -> dict[str, Any]:
    """The input x of one row."""
    return tensor("x", datatype, [1, len(data)], list(data), **parameters)


def y(**parameters: Any) -> list[dict[str, Any]]:
    """The output y, asked for."""
    return [{"name": "y", "parameters": parameters} if parameters else {"name": "y"}]


def echoed(datatype: str, values: np.ndarray) -> Case:
    """Binary in and out, for every bit of a datatype."""
    content = values.tobytes()
    asked = {"inputs": [tensor("x", datatype, list(values.shape), binary_data_size=len(content))]}
    return binary(f"echo_{datatype.lower()}", asked | {"outputs": y(binary_data=True)}, content)


FLOATS = struct.pack("<3f", 1.5, -2.0, 0.25)
NOT_FINITE = struct.pack("<3f", float("nan"), float("inf"), -0.0)
X3 = x(1, 2.5, -3)
X3_BINARY = {"inputs": [tensor("x", "FP32", [1, 3], binary_data_size=12)]}
AB = [tensor(name, "INT32", [1, 16], list(range(16))) for name in "ab"]
STRINGS = struct.pack("<I", 3) + b"abc" + struct.pack("<I", 0)
NUMPY = {f"{kind}{bits}": np.dtype(f"{kind}{bits}") for kind in ("int", "uint") for bits in (8, 16, 32, 64)}

CASES: dict[str, Case] = {
    # Tensors as JSON
    "json": infer("echo_fp32", X3),
    "json without a content type": Case(ECHO, infer("echo_fp32", X3).body),
    "json of another content type": Case(ECHO, infer("echo_fp32", X3).body, {"Content-Type": "text/plain"}),
    "nested json": infer("echo_fp32", tensor("x", "FP32", [2, 2], [[1, 2], [3, 4]])),
    "oddly nested json": infer("echo_fp32", tensor("x", "FP32", [2, 2], [[1], [2, 3, 4]])),
    "empty tensor": infer("echo_fp32", tensor("x", "FP32", [1, 0], [])),
    "no rows": infer("echo_fp32", tensor("x", "FP32", [0, 3], [])),
    "int64 extremes": infer("echo_int64", x(-(2**63), 2**63 - 1, datatype="INT64")),
    "uint64 extremes": infer("echo_uint64", x(0, 2**64 - 1, datatype="UINT64")),
    "fp64 extremes": infer("echo_fp64", x(5e-324, 1.7976931348623157e308, datatype="FP64")),
    "fp32 fractions": infer("echo_fp32", x(0.1, 1 / 3, 3.4028235e38, 1e-45)),
    "bool": infer("echo_bool", x(True, False, datatype="BOOL")),
    "strings": infer("echo_bytes", x("café", "", "\0", datatype="BYTES")),
    "strings escaped": Case(
        "/v2/models/echo_bytes/infer",
        b'{"inputs":[{"name":"x","datatype":"BYTES","shape":[1,1],"data":["\\ud83d\\ude00"]}]}',
    ),
    # Members of the request
    "id": infer("echo_fp32", X3, id="forty-two"),
    "empty id": infer("echo_fp32", X3, id=""),
    "unknown parameters": infer("echo_fp32", X3, parameters={"mine": 1, "other": "x", "third": True}),
    "unknown members": infer("echo_fp32", X3 | {"unknown": [1]}, unknown={"a": 1}),
    "priority and timeout": infer("echo_fp32", X3, parameters={"priority": 1, "timeout": 60_000_000}),
    "no parameters": infer("echo_fp32", X3, parameters={}),
    "two inputs": infer("add_sub", *AB),
    "two inputs in another order": infer("add_sub", *AB[::-1]),
    "no outputs listed": infer("add_sub", *AB, outputs=[]),
    "one output of two": infer("add_sub", *AB, outputs=[{"name": "difference"}]),
    "outputs in another order": infer("add_sub", *AB, outputs=[{"name": "difference"}, {"name": "total"}]),
    "by version": Case("/v2/models/echo_fp32/versions/1/infer", infer("echo_fp32", X3).body, JSON),
    "with a query": Case(ECHO + "?verbose=1", infer("echo_fp32", X3).body, JSON),
    # Binary tensors
    "binary in": binary("echo_fp32", X3_BINARY, FLOATS),
    "binary in and out": binary("echo_fp32", X3_BINARY | {"parameters": {"binary_data_output": True}}, FLOATS),
    "binary output of json": infer("echo_fp32", X3, outputs=y(binary_data=True)),
    "request flag does not reach listed outputs": infer(
        "echo_fp32", X3, outputs=y(), parameters={"binary_data_output": True}
    ),
    "one output binary, one json": infer(
        "add_sub", *AB, outputs=[{"name": "total"}, {"name": "difference", "parameters": {"binary_data": True}}]
    ),
    "binary tensor without bytes": binary(
        "echo_fp32", {"inputs": [tensor("x", "FP32", [1, 0], binary_data_size=0)], "outputs": y(binary_data=True)}
    ),
    "length header on json alone": binary("echo_fp32", {"inputs": [X3]}),
    "binary not finite": binary("echo_fp32", X3_BINARY | {"outputs": y(binary_data=True)}, NOT_FINITE),
    "binary strings": binary(
        "echo_bytes", {"inputs": [tensor("x", "BYTES", [1, 2], binary_data_size=11)], "outputs": y()}, STRINGS
    ),
    "binary strings both ways": binary(
        "echo_bytes",
        {"inputs": [tensor("x", "BYTES", [1, 2], binary_data_size=11)], "outputs": y(binary_data=True)},
        STRINGS,
    ),
    "json and binary": binary(
        "add_sub", {"inputs": [AB[0], tensor("b", "INT32", [1, 16], binary_data_size=64)]}, bytes(64)
    ),
    "bool as binary": echoed("BOOL", np.array([[True, False]])),
    "fp16": echoed("FP16", np.array([[1.5, -np.inf, 65504, 6e-8]], np.float16)),
    "fp64": echoed("FP64", np.array([[np.pi, 5e-324, -np.inf]])),
    **{
        f"{name} extremes as binary": echoed(name.upper(), np.array([[np.iinfo(d).min, np.iinfo(d).max]], d))
        for name, d in NUMPY.items()
    },
    "raw": raw("echo_fp32", FLOATS),
    "raw string": raw("echo_bytes", b"abc"),
    # Classification
    "classification": infer(
        "labelled", tensor("x", "FP32", [2, 4], [0.1, 3, -1, 2, 9, 8, 7, 6]), outputs=y(classification=2)
    ),
    "classification of more than there are": infer("labelled", x(4, 3, 2, 1), outputs=y(classification=9)),
    "classification as binary": infer("labelled", x(4, 3, 2, 1), outputs=y(classification=2, binary_data=True)),
    "classification of integers without labels": infer(
        "add_sub", *AB, outputs=[{"name": "total", "parameters": {"classification": 3}}]
    ),
    "classification of large and small floats": infer("labelled", x(1e10, 1e-10, -0.5, 0), outputs=y(classification=4)),
    # Compression
    "gzip": Case(ECHO, gzip.compress(infer("echo_fp32", X3).body, mtime=0), JSON | {"Content-Encoding": "gzip"}),
    "deflate": Case(ECHO, zlib.compress(infer("echo_fp32", X3).body), JSON | {"Content-Encoding": "deflate"}),
    "gzip of binary": Case(
        ECHO,
        gzip.compress(binary("echo_fp32", X3_BINARY, FLOATS).body, mtime=0),
        binary("echo_fp32", X3_BINARY).headers | {"Content-Encoding": "gzip"},
    ),
    "gzip wanted": Case(ECHO, infer("echo_fp32", X3).body, {"Accept-Encoding": "gzip"}),
    "deflate wanted": Case(ECHO, infer("echo_fp32", X3).body, {"Accept-Encoding": "deflate, gzip;q=0.5"}),
    "deflate wanted, binary": Case(
        ECHO, infer("echo_fp32", X3, outputs=y(binary_data=True)).body, {"Accept-Encoding": "deflate"}
    ),
    "an encoding wanted that nobody has": Case(ECHO, infer("echo_fp32", X3).body, {"Accept-Encoding": "br"}),
    # What the server says of itself
    "metadata": get("/v2/models/add_sub"),
    "metadata of a version": get("/v2/models/add_sub/versions/1"),
    "server": get("/v2"),
    "configuration": get("/v2/models/labelled/config"),
    "statistics": get("/v2/models/labelled/stats"),
    "live": get("/v2/health/live"),
    "ready": get("/v2/health/ready"),
    "model ready": get("/v2/models/add_sub/ready"),
    "version ready": get("/v2/models/add_sub/versions/1/ready"),
    "trace settings": get("/v2/trace/setting"),
    "trace settings of a model": get("/v2/models/add_sub/trace/setting"),
    "trace settings changed": post("/v2/models/labelled/trace/setting", {"trace_rate": "7"}, **ADMIN),
    "trace settings cleared": post("/v2/models/labelled/trace/setting", {"trace_rate": None}, **ADMIN),
    "unknown trace setting": post("/v2/trace/setting", {"nonsense": "1"}, **ADMIN),
    "logging settings": get("/v2/logging"),
    "logging settings changed": post("/v2/logging", {"log_warning": False}, **ADMIN),
    "logging settings changed back": post("/v2/logging", {"log_warning": True}, **ADMIN),
    "unknown logging setting": post("/v2/logging", {"nonsense": 1}, **ADMIN),
    "load": post("/v2/repository/models/add_sub/load", {}, **ADMIN),
    "load without a body": Case("/v2/repository/models/add_sub/load", b"", ADMIN),
    "unload": post("/v2/repository/models/echo_int8/unload", {"parameters": {"unload_dependents": False}}, **ADMIN),
    # A model, input or output that is not there
    "unknown model": infer("nothing", X3),
    "unknown model's metadata": get("/v2/models/nothing"),
    "unknown model's configuration": get("/v2/models/nothing/config"),
    "unknown model ready": get("/v2/models/nothing/ready"),
    "unknown model's statistics": get("/v2/models/nothing/stats"),
    "unknown model's trace settings": get("/v2/models/nothing/trace/setting"),
    "unknown version": get("/v2/models/add_sub/versions/7"),
    "unknown version's inference": Case("/v2/models/echo_fp32/versions/7/infer", infer("echo_fp32", X3).body, JSON),
    "unloaded model": infer("echo_int8", x(1, datatype="INT8")),
    "unloaded model's metadata": get("/v2/models/echo_int8"),
    "unloaded model ready": get("/v2/models/echo_int8/ready"),
    "a version that is no number": get("/v2/models/add_sub/versions/one"),
    "unknown path": get("/v2/nothing"),
    "path with a slash at its end": get("/v2/health/live/"),
    "wrong method": Case("/v2", method="PUT"),
    "inference with GET": get(ECHO),
    "load of an unknown model": post("/v2/repository/models/nothing/load", {}, **ADMIN),
    "unload of an unknown model": post("/v2/repository/models/nothing/unload", {}, **ADMIN),
    "load with an unknown parameter": post("/v2/repository/models/add_sub/load", {"parameters": {"a": "b"}}, **ADMIN),
    "unknown input": infer("echo_fp32", tensor("z", "FP32", [1, 3], [1, 2, 3])),
    "one input too many": infer("echo_fp32", X3, tensor("z", "FP32", [1, 3], [1, 2, 3])),
    "missing input": infer("add_sub", AB[0]),
    "input given twice": infer("echo_fp32", X3, X3),
    "unknown output": infer("echo_fp32", X3, outputs=[{"name": "q"}]),
    "output asked for twice": infer("echo_fp32", X3, outputs=y() + y()),
    # Tensors that do not fit
    "wrong datatype": infer("echo_fp32", x(1, 2, 3, datatype="FP64")),
    "wrong shape": infer("labelled", x(1, 2, 3)),
    "wrong rank": infer("labelled", tensor("x", "FP32", [4], [1, 2, 3, 4])),
    "different batches": infer("add_sub", AB[0], tensor("b", "INT32", [2, 16], [0] * 32)),
    "batch too large": infer("echo_fp32", tensor("x", "FP32", [9, 1], [0] * 9)),
    "too few elements": infer("echo_fp32", tensor("x", "FP32", [1, 3], [1, 2])),
    "too many elements": infer("echo_fp32", tensor("x", "FP32", [1, 3], [1, 2, 3, 4])),
    "a string for a number": infer("echo_fp32", x(1, 2, "3")),
    "null for a number": infer("echo_fp32", x(1, 2, None)),
    "true for a number": infer("echo_fp32", x(1, 2, True)),
    "a number for a bool": infer("echo_bool", x(1, 0, datatype="BOOL")),
    "a number for a string": infer("echo_bytes", x(1, datatype="BYTES")),
    "a fraction for an integer": infer("echo_int64", x(1.5, datatype="INT64")),
    "a float for an integer": infer("echo_int64", x(1.0, datatype="INT64")),
    "too large for uint8": infer("echo_uint8", x(256, datatype="UINT8")),
    "negative for uint8": infer("echo_uint8", x(-1, datatype="UINT8")),
    "too large for int64": infer("echo_int64", x(2**63, datatype="INT64")),
    "too large for fp32": infer("echo_fp32", x(1e39)),
    "fp16 as json": infer("echo_fp16", x(1.5, datatype="FP16")),
    "NaN as a bare word": infer("echo_fp32", x(float("nan"))),
    "a scalar for data": infer("echo_fp32", tensor("x", "FP32", [1, 1], 1)),
    "an object for data": infer("echo_fp32", tensor("x", "FP32", [1, 1], {"a": 1})),
    "neither data nor size": infer("echo_fp32", tensor("x", "FP32", [1, 1])),
    "unknown datatype": infer("echo_fp32", x(1, datatype="FP8")),
    "datatype in small letters": infer("echo_fp32", x(1, datatype="fp32")),
    "negative shape": infer("echo_fp32", tensor("x", "FP32", [1, -3], [1, 2, 3])),
    "fraction in the shape": infer("echo_fp32", tensor("x", "FP32", [1, 1.5], [1])),
    "shape beyond 64 bits": infer("echo_fp32", tensor("x", "FP32", [2**62, 2**62], [1])),
    "shape missing": infer("echo_fp32", {"name": "x", "datatype": "FP32", "data": [1]}),
    "datatype missing": infer("echo_fp32", {"name": "x", "shape": [1, 1], "data": [1]}),
    "name missing": infer("echo_fp32", {"datatype": "FP32", "shape": [1, 1], "data": [1]}),
    # Requests that are none
    "not json": Case(ECHO, b"x", JSON),
    "json cut short": Case(ECHO, infer("echo_fp32", X3).body[:-2], JSON),
    "json and more": Case(ECHO, infer("echo_fp32", X3).body + b"x", JSON),
    "an array": Case(ECHO, b"[]", JSON),
    "no body": Case(ECHO, b"", JSON),
    "no inputs": Case(ECHO, b"{}", JSON),
    "inputs no list": Case(ECHO, b'{"inputs": {}}', JSON),
    "an input no object": Case(ECHO, b'{"inputs": [1]}', JSON),
    "id a number": infer("echo_fp32", X3, id=1),
    "a parameter an object": infer("echo_fp32", X3, parameters={"a": {}}),
    "a parameter null": infer("echo_fp32", X3, parameters={"a": None}),
    "reserved parameter": infer("echo_fp32", X3, parameters={"triton_enable": True}),
    "priority negative": infer("echo_fp32", X3, parameters={"priority": -1}),
    "binary_data_output a string": infer("echo_fp32", X3, parameters={"binary_data_output": "yes"}),
    "binary_data a string": infer("echo_fp32", X3, outputs=y(binary_data="yes")),
    "classification of none": infer("labelled", x(4, 3, 2, 1), outputs=y(classification=0)),
    "classification a string": infer("labelled", x(4, 3, 2, 1), outputs=y(classification="2")),
    "shared memory": infer(
        "echo_fp32", tensor("x", "FP32", [1, 3], shared_memory_region="r", shared_memory_byte_size=12)
    ),
    "data and size": binary(
        "echo_fp32", {"inputs": [tensor("x", "FP32", [1, 3], [1, 2, 3], binary_data_size=12)]}, FLOATS
    ),
    # Bytes that do not fit
    "header longer than the body": binary("echo_fp32", X3_BINARY, length="9999"),
    "header length negative": binary("echo_fp32", X3_BINARY, FLOATS, length="-1"),
    "header length no number": binary("echo_fp32", X3_BINARY, FLOATS, length="abc"),
    "header length too short": binary("echo_fp32", X3_BINARY, FLOATS, length="10"),
    "too few bytes": binary("echo_fp32", X3_BINARY, FLOATS[:-1]),
    "no bytes": binary("echo_fp32", X3_BINARY),
    "too many bytes": binary("echo_fp32", X3_BINARY, FLOATS + b"!"),
    "size and shape disagree": binary(
        "echo_fp32", {"inputs": [tensor("x", "FP32", [1, 3], binary_data_size=8)]}, FLOATS[:8]
    ),
    "size negative": binary("echo_fp32", {"inputs": [tensor("x", "FP32", [1, 3], binary_data_size=-12)]}, FLOATS),
    "size without the header": infer("echo_fp32", tensor("x", "FP32", [1, 3], binary_data_size=12)),
    "strings cut short": binary(
        "echo_bytes", {"inputs": [tensor("x", "BYTES", [1, 2], binary_data_size=10)]}, STRINGS[:-1]
    ),
    "strings too few": binary("echo_bytes", {"inputs": [tensor("x", "BYTES", [1, 3], binary_data_size=11)]}, STRINGS),
    "strings too many": binary("echo_bytes", {"inputs": [tensor("x", "BYTES", [1, 1], binary_data_size=11)]}, STRINGS),
    "raw with two inputs": raw("add_sub", bytes(128)),
    "raw of a part of an element": raw("echo_fp32", FLOATS[:-1]),
    "raw of another length": raw("labelled", bytes(12)),
    "raw without a body": raw("echo_fp32", b""),
    "gzip that is none": Case(ECHO, b"{}", JSON | {"Content-Encoding": "gzip"}),
    "gzip cut short": Case(
        ECHO, gzip.compress(infer("echo_fp32", X3).body, mtime=0)[:-9], JSON | {"Content-Encoding": "gzip"}
    ),
    "unknown encoding": Case(ECHO, b"{}", JSON | {"Content-Encoding": "br"}),
    "non-finite answer as json": binary("echo_fp32", X3_BINARY | {"outputs": y()}, NOT_FINITE),
    # Settings that do not fit
    "index with no object": post("/v2/repository/index", [], **ADMIN),
    "trace rate a number": post("/v2/trace/setting", {"trace_rate": 1}, **ADMIN),
    "trace rate no number": post("/v2/trace/setting", {"trace_rate": "x"}, **ADMIN),
    "trace level unknown": post("/v2/trace/setting", {"trace_level": ["LOUD"]}, **ADMIN),
    "log file": post("/v2/logging", {"log_file": "/tmp/x"}, **ADMIN),
    "log format unknown": post("/v2/logging", {"log_format": "xml"}, **ADMIN),
    "log info a number": post("/v2/logging", {"log_info": 1}, **ADMIN),
    "logging not json": Case("/v2/logging", b"{", ADMIN),
    "register shared memory": post("/v2/systemsharedmemory/region/r/register", {"key": "k", "byte_size": 1}),
    "shared memory status": get("/v2/systemsharedmemory/status"),
    "cuda shared memory status": get("/v2/cudasharedmemory/status"),
    "unregister all shared memory": Case("/v2/systemsharedmemory/unregister"),
    "unregister a region": Case("/v2/systemsharedmemory/region/r/unregister"),
    # Last, since Triton's process ends at it
    "classification of strings": infer("echo_bytes", x("a", "b", datatype="BYTES"), outputs=y(classification=1)),
}
