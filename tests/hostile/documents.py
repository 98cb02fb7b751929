"""J: bodies that are no JSON, or no request."""

import gzip
import json
import zlib
from collections.abc import Callable

import numpy as np

from tests.hostile.cases import ADMIN, Answer, Case, post, short
from tests.hostile.heads import APPLY, INFER, LIMIT_BYTES
from tests.routes.sending import JSON, NPY, POST_ROUTES, to_npy

INDEX, LOAD = "/v2/repository/index", "/v2/repository/models/cnn-relu/load"
ALL_ROUTES = (*POST_ROUTES, "/v1/models/cnn-relu/inspect", "/v1/compare/models", "/v1/compare/activations")
CONTROL = (INDEX, LOAD, "/v2/trace/setting", "/v2/models/relu/trace/setting", "/v2/logging")
GOOD_INFER = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [-1, 2]}]}'

NOT_JSON = {
    "J03 truncated": b'{"data": [1, ',
    "J03 trailing": b'{"data": 1} x',
    "J03 two": b'{"data": 1}{"data": 1}',
    "J03 single quotes": b"{'data': 1}",
    "J03 comment": b'{"data": 1 /* one */}',
    "J03 trailing comma": b'{"data": [1,]}',
    "J03 NUL": b'{"data": 1\0}',
    "J05 NaN": b'{"data": NaN}',
    "J05 Infinity": b'{"data": -Infinity}',
    "J06 too large": b'{"data": 1e999}',
    "J09 5000 digits": b'{"data": ' + b"9" * 5000 + b"}",
    "J10 invalid UTF-8": b'{"data": "\xff"}',
    "J10 overlong UTF-8": b'{"data": "\xc0\xaf"}',
    "J11 UTF-16": '{"data": 1}'.encode("utf-16"),
    "J11 UTF-32": '{"data": 1}'.encode("utf-32"),
    "J12 byte order mark": b'\xef\xbb\xbf{"data": 1}',
    "J13 lone surrogate": b'{"data": "\\ud800"}',
    "J13 lone surrogate as name": b'{"\\udfff": 1}',
    "J03 random": bytes(range(256)) * 100,
}

DEEP = {
    "J07 5000 open lists": b'{"data": ' + b"[" * 5000,
    "J07 200000 open lists": b'{"data": ' + b"[" * 200_000,
    "J07 1100 lists": b'{"data": ' + b"[" * 1100 + b"]" * 1100 + b"}",
    "J07 5000 lists": b'{"data": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "J07 100000 objects": b'{"a":' * 100_000,
}
DEEPER_THAN_ALLOWED = {
    "J07 120 lists": b'{"data": ' + b"[" * 120 + b"1" + b"]" * 120 + b"}",
    "J07 120 objects": b'{"data": ' + b'{"a":' * 120 + b"1" + b"}" * 120 + b"}",
    "J07 65 lists in what is ignored": GOOD_INFER[:-1] + b', "more": ' + b"[" * 65 + b"]" * 65 + b"}",
}

NO_REQUEST = {
    "J02 null": b"null",
    "J02 list": b"[]",
    "J02 number": b"1",
    "J02 string": b'"x"',
    "J02 true": b"true",
    "J02 no members": b"{}",
    "J15 long string": b'{"data": "' + b"x" * 900_000 + b'", "inputs": "' + b"x" * 900_000 + b'"}',
    "J15 emoji": json.dumps({"data": "😀" * 1000, "inputs": "😀" * 1000}, ensure_ascii=False).encode(),
    "J20 100000 names": b"{" + b",".join(b'"%d": 1' % i for i in range(100_000)) + b"}",
    "J20 names that collide": b"{" + b",".join(b'"%d": 1' % (i * (2**61 - 1)) for i in range(50_000)) + b"}",
    "J16 names of quotes": b'{"' + b'\\"' * 5000 + b'": 1, "inputs": 1}',
}


def _everywhere(bodies: dict[str, bytes], text: str = "", **more: float) -> list[Case]:
    return [
        Case(f"{name} {path}", post(path, body), (400,), text, cpu_seconds=more.get("cpu_seconds", 1.0))
        for name, body in bodies.items()
        for path in ALL_ROUTES
    ]


# --- Content-Encoding -------------------------------------------------------------------------------------------------

PACKED = gzip.compress(GOOD_INFER)
BROKEN_GZIP = {
    "empty": b"",
    "plain": GOOD_INFER,
    "deflate": zlib.compress(GOOD_INFER),
    "truncated": PACKED[:-1],
    "header alone": PACKED[:10],
    "wrong checksum": PACKED[:-8] + bytes(8),
    "trailing": PACKED + b"x",
    "second member": PACKED * 2,
    "another method": PACKED.replace(b"\x08", b"\x07", 1),
}


def bomb(encoding: str) -> bytes:
    """A megabyte that would be a gigabyte: a block of zeros, a thousand times over. Its end is never looked at."""
    machine = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    start = machine.compress(b"") + machine.flush(zlib.Z_FULL_FLUSH)
    block = machine.compress(bytes(2**20)) + machine.flush(zlib.Z_FULL_FLUSH)
    return start + block * 1024


BOMBS = {encoding: bomb(encoding) for encoding in ("gzip", "deflate")}


def _names_encodings(answer: Answer) -> bool:
    return answer.headers.get("accept-encoding") == "gzip, deflate"


def encoded(path: str, body: bytes, encoding: str) -> tuple[bytes, ...]:
    sent: tuple[bytes, ...] = post(path, body, JSON, f"Content-Encoding: {encoding}")
    return sent


ENCODED = [
    *(
        Case(f"J18 {short(encoding)} {path}", encoded(path, gzip.compress(PACKED), encoding), (415,),
             "expected gzip or deflate", holds=_names_encodings)
        for encoding in ("br", "gzip, gzip", "deflate, gzip", "zstd", "gzip;q=1", "*", "x" * 5000)
        for path in (*POST_ROUTES, INDEX)
    ),
    Case("J18 two headers", post(INFER, PACKED, JSON, *["Content-Encoding: gzip"] * 2), (415,), "'gzip, gzip'"),
    *(
        Case(f"J19 {name} {path}", encoded(path, body, "gzip"), (400,))
        for name, body in BROKEN_GZIP.items()
        for path in (*POST_ROUTES, INDEX)
    ),
    *(
        Case(f"J19 {encoding} bomb {path}", encoded(path, body, encoding), (413,),
             f"more than {LIMIT_BYTES} bytes when decompressed")
        for encoding, body in BOMBS.items()
        for path in (*POST_ROUTES, INDEX)
    ),
]  # fmt: skip

# --- what is answered, as documented ----------------------------------------------------------------------------------


def _data_is(value: float) -> Callable[[Answer], bool]:
    return lambda answer: bool(json.loads(answer.body)["data"] == value)


def _output_is(*values: float) -> Callable[[Answer], bool]:
    return lambda answer: bool(json.loads(answer.body)["outputs"][0]["data"] == list(values))


def _id_is(text: str) -> Callable[[Answer], bool]:
    return lambda answer: bool(json.loads(answer.body)["id"] == text)


def _with_id(value: object) -> bytes:
    return json.dumps({"id": value} | json.loads(GOOD_INFER)).encode()


ANSWERED = [
    Case("J04 data twice", post(APPLY, b'{"data": 1, "data": 2}'), (200,), holds=_data_is(2.0)),
    Case("J04 inputs twice", post(INFER, b'{"inputs": 1, ' + GOOD_INFER[1:]), (200,), holds=_output_is(0.0, 2.0)),
    Case("J04 shape twice", post(INFER, GOOD_INFER.replace(b'"shape"', b'"shape": [7], "shape"')), (200,),
         holds=_output_is(0.0, 2.0)),
    *(
        Case(f"J14 {short(kind)} {path}", post(path, b'{"data": 1}', kind), (415,), "content type")
        for kind in ("", "json", "text/plain", "application/json/x", b"\xff\xfe", "x" * 5000,
                     "application/vnd.bentoml+pickle", "application/python-pickle")
        for path in POST_ROUTES[:2]
    ),
    *(
        Case(f"J14 {short(kind)} {INFER}", post(INFER, GOOD_INFER, kind), (200,), holds=_output_is(0.0, 2.0))
        for kind in (None, "text/plain", b"\xff\xfe", "application/json; charset=utf-16")
    ),
    Case("J14 charset utf-16", post(APPLY, b'{"data": 1}', "application/json; charset=utf-16"), (200,),
         holds=_data_is(1.0)),
    Case("J14 slow to match", post(APPLY, b'{"data": 1}', 'application/x-www-form-urlencoded; !="' + "\\" * 10_000),
         (415,), cpu_seconds=0.1),
    Case("J14 pickled objects in .npy", post(APPLY, to_npy(np.array([{"a": 1}], object)), NPY), (400,),
         "the .npy dtype is"),
    Case("J16 unknown member of /v2", post(INFER, GOOD_INFER[:-1] + b', "colour": 1}'), (200,),
         holds=_output_is(0.0, 2.0)),
    Case("J16 unknown member of /v1", post(APPLY, b'{"data": 1, "colour": 1}'), (400,), "unknown member 'colour'"),
    Case("J16 NUL in a member's name", post(APPLY, json.dumps({"data": 1, "a\0b": 1}).encode()), (400,)),
    Case("J17 empty", post(INFER, _with_id("")), (200,), holds=lambda answer: b'"id"' not in answer.body),
    Case("J17 line end", post(INFER, _with_id("a\nb\x1b[31m")), (200,), holds=_id_is("a\nb\x1b[31m")),
    *(
        Case(f"J17 {short(value, 10)}", post(INFER, _with_id(value)), (400,), "id ")
        for value in ("x" * 10**6, 1, {}, [], True)
    ),
]  # fmt: skip

# --- control ----------------------------------------------------------------------------------------------------------


def _control(name: str, path: str, body: bytes, *statuses: int) -> Case:
    return Case(f"{name} {path}", post(path, body, JSON, ADMIN), statuses)


CONTROLLED = [
    *(_control(name, path, body, 400) for name, body in NOT_JSON.items() for path in CONTROL),
    *(_control(name, path, body, 400) for name, body in NO_REQUEST.items() if name.startswith("J02") and body != b"{}"
      for path in CONTROL),
    *(_control(name, path, body, 400, 413) for name, body in DEEP.items() for path in CONTROL),
    _control("J08 250000 deep", INDEX, b'{"ready": ' + b"[" * 250_000 + b"]" * 250_000 + b"}", 413),
    _control("J08 30000 deep", INDEX, b'{"ready": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", 400),
    _control("J16 ready is no boolean", INDEX, b'{"ready": 1}', 400),
    _control("J16 a file to log to", "/v2/logging", b'{"log_file": "/tmp/x"}', 501),
    _control("J16 a file to trace to", "/v2/trace/setting", b'{"trace_file": "/tmp/x"}', 400, 501),
    _control("J16 a rate of text", "/v2/trace/setting", b'{"trace_rate": "x"}', 400),
]  # fmt: skip

CASES = [
    *(Case(f"J01 empty {path}", post(path), (400,), "the body is empty: expected JSON") for path in ALL_ROUTES),
    *_everywhere(NOT_JSON, "the body is not valid JSON: "),
    *_everywhere(DEEP, cpu_seconds=0.1),
    *_everywhere(DEEPER_THAN_ALLOWED, cpu_seconds=0.1),
    *_everywhere(NO_REQUEST),
    *ENCODED,
    *ANSWERED,
    *CONTROLLED,
]
