"""Q: queries and headers that are wrong, or mean nothing here."""

from tests.hostile.answering import HORSE
from tests.hostile.cases import ADMIN, Answer, Case, get, post, short
from tests.hostile.heads import APPLY, INFER
from tests.routes.sending import JPEG, JSON

PREDICT, CURVE = "/v1/models/cnn-relu/predict", "/v1/activations/relu/curve"
LOAD = "/v2/repository/models/cnn-relu/load"
VALUES = ("-1", "0", "1001", "1e9", "abc", "1.5", "", "%00", "%D9%A1", "NaN", "0x1", "1" * 5000)
WRONG = {
    **{f"Q01 top_k={value[:20]}": f"top_k={value}" for value in VALUES},
    "Q01 twice": "top_k=1&top_k=2",
    "Q01 no value": "top_k",
    "Q02 3000 parameters": "&".join(f"a{i}=1" for i in range(3000)),
    "Q03 %00": "%00=1",
    "Q03 %ff": "%ff=%c0%ae",
    "Q03 %0a": "a%0ab=1",
    "Q03 emoji": "%F0%9F%98%80=1",
    "Q03 a value of %0a": "a=%0a%0d%1b",
    "Q04 unknown": "verbose=1",
    "Q04 20 kB": "x" * 20_000,
}
APPLIED = b'{"data":[-1,1]}'
IGNORED = {
    "Q05 request id of 10 kB": b"X-Request-ID: " + b"x" * 10_000,
    "Q05 request id that is not ASCII": "X-Request-ID: ünï".encode(),
    "Q05 request id with %0d%0a": b"X-Request-ID: a%0d%0aSet-Cookie: b",
    "Q06 Accept-Encoding": b"Accept-Encoding: gzip;q=nonsense",
    "Q08 Forwarded-For": b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example",
    "Q08 Forwarded": b"Forwarded: for=6.6.6.6;host=evil.example;proto=https",
    "Q09 traceparent": b"traceparent: 00-zz-zz-zz",
    "Q09 traceparent of 5 kB": b"traceparent: " + b"0" * 5000,
    "Q10 Range": b"Range: bytes=0-1",
    "Q10 many Ranges": b"Range: bytes=" + b"0-1," * 2000 + b"0-1",
    "Q10 If-Match": b'If-Match: "x"',
}


def _applied(answer: Answer) -> bool:
    """The answer as ever, with nothing of the header that was sent."""
    sent_back = any("evil" in value or "\x1b" in value or "%0d" in value for value in answer.headers.values())
    own_id = answer.headers.get("x-request-id", "")
    return (
        b'"data":[0.0,1.0]' in answer.body
        and not sent_back
        and len(own_id) <= 64
        and "set-cookie" not in answer.headers
    )


def keys(path: str, status: tuple[int, ...], prefix: str = "Q07") -> list[Case]:
    """What is no key, on a route that asks for one."""
    wrong = {
        "no scheme": ["Authorization: correct horse battery"],
        "Bearer alone": ["Authorization: Bearer"],
        "Bearer and a blank": ["Authorization: Bearer "],
        "Bearer of 20 kB": [b"Authorization: Bearer " + b"x" * 20_000],
        "Basic": ["Authorization: Basic YTpi"],
        "not ASCII": ["Authorization: Bearer clé"],
        "bytes": [b"Authorization: Bearer \xff\xfe"],
        "X-API-Key": ["X-API-Key: x"],
        "empty X-API-Key": ["X-API-Key: "],
        "two headers": ["Authorization: Bearer a", "Authorization: Bearer b"],
        "in the query": [],
    }
    return [
        Case(f"{prefix} {name} {path}", post(path if headers else f"{path}?api_key=x", b"{}", JSON, *headers), status)
        for name, headers in wrong.items()
    ]  # fmt: skip


CASES = [
    *(Case(f"{name} {PREDICT}", post(f"{PREDICT}?{query}", HORSE, JPEG), (400,)) for name, query in WRONG.items()),
    *(Case(f"{name} {APPLY}", post(f"{APPLY}?{query}", HORSE, JPEG), (400,)) for name, query in WRONG.items()),
    *(Case(f"{name} {CURVE}", get(f"{CURVE}?{query}"), (400,)) for name, query in WRONG.items()),
    Case("Q02 a path and query of 40 kB", get(f"{CURVE}?{'x' * 40_000}"), (400, 431)),
    *(Case(name, post(APPLY, APPLIED, JSON, header), (200,), holds=_applied) for name, header in IGNORED.items()),
    *(
        Case(f"Q06 Accept {short(accept)}", post(APPLY, APPLIED, JSON, f"Accept: {accept}"), (406,), "Accept is ")
        for accept in ("text/html", "application/json;q=0", "nonsense", "*/*;q=nan", "x" * 5000)
    ),
    *keys(LOAD, (401, 403)),
    Case("Q07 a key that is the admin's, with more", post(LOAD, b"{}", JSON, ADMIN + "x"), (403,)),
]  # fmt: skip

KEYS = [case for path in (INFER, APPLY, PREDICT) for case in keys(path, (401, 403), "Q07 of the API,")]
"""For a server that asks for keys everywhere."""
