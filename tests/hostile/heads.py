"""H: what goes wrong below JSON: request lines, headers, lengths, chunks, methods. Slow clients are in `slow.py`."""

from tests.hostile.cases import ADMIN, HOST, Answer, Case, get, head, post
from tests.routes.sending import JSON

INFER, APPLY, LIVE = "/v2/models/relu/infer", "/v1/activations/relu", "/v2/health/live"
BODY = b'{"data": 1}'
LINE = b"GET /v2/health/live HTTP/1.1\r\n"
LIMIT_BYTES = 4 * 2**20
"""The server's `max_body_bytes` in these tests."""


def get_with(*lines: bytes) -> tuple[bytes]:
    """A request for a page, of these header lines and a Host."""
    return (LINE + HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n",)


def post_with(*lines: bytes, body: bytes = BODY) -> tuple[bytes]:
    """A function applied, of these header lines and a Host."""
    fields = b"".join(line + b"\r\n" for line in (b"Content-Type: application/json", *lines))
    return (b"POST /v1/activations/relu HTTP/1.1\r\n" + HOST + fields + b"\r\n" + body,)


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def refused(name: str, sent: tuple[bytes, ...], *statuses: int) -> Case:
    """By the parser of HTTP, which cannot go on after it."""
    return Case(name, sent, statuses or (400,), closes=True)


def _allows_post(answer: Answer) -> bool:
    return answer.headers.get("allow") == "POST" and _same_origin(answer)


def _same_origin(answer: Answer) -> bool:
    return not [name for name in answer.headers if name.startswith("access-control")]


def _stays_here(answer: Answer) -> bool:
    return "location" not in answer.headers


CHUNKED = b"Transfer-Encoding: chunked"
TOO_LONG = (f"Content-Length: {LIMIT_BYTES + 1}",)

PARSED = [
    refused("H01 TLS on the plain port", (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),)),
    refused("H02 HTTP/2 preface", (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",)),
    refused("H03 HTTP/9.9", (LINE.replace(b"1.1", b"9.9") + HOST + b"\r\n",), 400, 505),
    Case("H04 HTTP/1.0 without Host", (LINE.replace(b"1.1", b"1.0") + b"\r\n",), (200,), closes=True),
    refused("H05 no Host", (LINE + b"\r\n",)),
    refused("H06 two Hosts", (LINE + HOST + b"Host: evil\r\n\r\n",)),
    refused("H06 the same Host twice", (LINE + HOST * 2 + b"\r\n",)),
    refused("H08 space in a name", get_with(b"X Y: 1")),
    refused("H08 space before the colon", get_with(b"X-Y : 1")),
    refused("H08 NUL in a value", get_with(b"X: a\0b")),
    refused("H08 CR in a value", get_with(b"X: a\rb")),
    refused("H09 folded line", get_with(b"X: a", b" b")),
    refused("H10 line feeds alone", (LINE.replace(b"\r", b"") + b"Host: a\n\n",)),
    refused("H11 two lengths", post_with(b"Content-Length: 11", b"Content-Length: 12")),
    refused("H12 a length twice", post_with(b"Content-Length: 11", b"Content-Length: 11")),
    *(
        refused(f"H13 {text.decode()}", post_with(b"Content-Length: " + text))
        for text in (b"-3", b"+11", b"0xb", b"11,11", b"9" * 23)
    ),
    refused("H14 length and chunks", post_with(b"Content-Length: 11", CHUNKED, body=chunked(BODY))),
    refused("H14 chunks and length", post_with(CHUNKED, b"Content-Length: 11", body=chunked(BODY))),
    *(
        refused(f"H15 {coding.decode()}", post_with(b"Transfer-Encoding: " + coding, body=chunked(BODY)), 400, 501)
        for coding in (b"gzip", b"identity", b"chunked, chunked", b"chunked, identity")
    ),
    refused("H16 size ZZ", post_with(CHUNKED, body=b"ZZ\r\n")),
    refused("H16 negative size", post_with(CHUNKED, body=b"-1\r\n")),
    refused("H16 no line end", post_with(CHUNKED, body=b"1\r\nxy\r\n")),
    refused("H37 UTF-8 in the path", (LINE.replace(b"live", "é".encode()) + HOST + b"\r\n",)),
    refused("H33 BREW", (head("BREW", INFER),)),
    refused("H35 authority in the path", get("@evil.example")),
    refused("Q05 request id with ANSI", get_with(b"X-Request-ID: \x1b[31mred")),
    refused("M03 control character in the boundary", post_with(b"Content-Type: multipart/form-data; boundary=\x01")),
]
"""What is no HTTP."""

GOOD = post(APPLY, BODY)
BROKEN = (head("POST", APPLY, "Content-Type: application/json", "Content-Length: 12", *TOO_LONG),)

SIZES = [
    Case(
        "H18 chunk extension of 100 kB",
        post_with(CHUNKED, b"Connection: close", body=b"b;" + b"x" * 100_000 + b"\r\n" + BODY + b"\r\n0\r\n\r\n"),
        (200, 400),
        closes=True,
    ),
    *(
        Case(f"H20 10 TB announced {path}", (head("POST", path, f"Content-Length: {10 * 2**40}", *kind),), (413,),
             "the body has 10995116277760 bytes", closes=True)
        for path in (INFER, APPLY, "/v2/repository/index", "/nothing")
        for kind in ([f"Content-Type: {JSON}"],)
    ),
    *(
        Case(f"H21 one byte too long {path}", (head("POST", path, *TOO_LONG), bytes(LIMIT_BYTES + 1)), (413,),
             f"at most {LIMIT_BYTES} bytes", closes=True, may_be_cut=True)
        for path in (INFER, APPLY)
    ),
    *(
        Case(
            f"H21 one byte too long in chunks {path}",
            (head("POST", path, CHUNKED, f"Content-Type: {JSON}"), chunked(*[bytes(2**20)] * 4, b"x")),
            (413,),
            "at most",
            closes=True,
            may_be_cut=True,
        )
        for path in (INFER, APPLY)
    ),
    *(
        Case(f"H22 too long, expecting 100 {path}", (head("POST", path, *TOO_LONG, "Expect: 100-continue"),), (413,),
             closes=True)
        for path in (INFER, APPLY)
    ),
    Case("H24 longer than announced", (*post_with(b"Content-Length: 11", body=BODY + b"and more"),), (200, 400),
         before=None, closes=True),
    Case("H28 40 MB of headers", (LINE, *[b"X-Header: " + b"x" * 1000 + b"\r\n"] * 40_000), (431,), closes=True,
         may_be_cut=True),
    Case("H28 40 MB header", (LINE + b"X: ", *[b"x" * 2**20] * 40), (431,), closes=True, may_be_cut=True),
    Case("H28 20 MB path", (b"GET /", *[b"x" * 2**20] * 20), (414, 431), closes=True, may_be_cut=True),
    Case("H29 1000 headers", get_with(*(b"X%d: 12345" % i for i in range(1000))), (431,), closes=True),
    Case("Q12 cookies of 64 kB", get_with(b"Cookie: " + b"a" * 2**16), (431,), closes=True),
]  # fmt: skip
"""What is too much, and what is not as long as it says."""

ODD = [
    Case("H07 Host is a path", get(LIVE), (200,)),
    *(
        Case(f"H07 Host {host.decode()[:20]} changes no right",
             (b"POST /v2/repository/models/cnn-relu/load HTTP/1.1\r\nHost: " + host
              + b"\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",), (400, 401, 431))
        for host in (b"a/../v2/health/live", b"localhost/v2/health/live?x=", b"", b"x" * 10_000)
    ),
    Case("H32 20 in a row", (b"".join(GOOD).replace(b"Connection: close\r\n", b"") * 20,), (200,), before=19),
    *(
        Case(f"H33 {method}", (head(method, INFER, "Origin: http://evil"),), (405,), "Method Not Allowed",
             holds=_allows_post)
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "GET", "TRACE")
    ),
    refused("H33 CONNECT", (head("CONNECT", "localhost:80"),), 400, 404, 405),
    Case("H34 OPTIONS *", (head("OPTIONS", "*", "Origin: http://evil"),), (400, 404, 405), holds=_same_origin),
    Case("H34 preflight", (head("OPTIONS", INFER, "Origin: http://evil", "Access-Control-Request-Method: POST"),),
         (405,), holds=_same_origin),
    Case("H35 absolute path", get("http://evil.example/v2/health/live"), (200, 400, 404), holds=_stays_here),
    Case("H35 two slashes and a host", get("//evil.example/v2/health/live"), (400, 404), holds=_stays_here),
    Case("H36 WebSocket", (head("GET", LIVE).replace(b"Connection: close", b"Connection: Upgrade\r\nUpgrade: websocket"
         b"\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),), (200, 400, 404, 426)),
    Case("H36 h2c", (head("GET", LIVE).replace(b"Connection: close", b"Connection: Upgrade, HTTP2-Settings\r\n"
         b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"),), (200, 400, 404, 426)),
    *(
        Case(f"H38 {path}", get(path), (404,), "Not Found", holds=_stays_here)
        for path in ("/V1/models", "/v1/models/", "//v2//models", "/v2/models/", "/v2/models/relu/infer/", "/V2")
    ),
    Case("Q11 length 0 and a body", (*post(INFER, b""), b"{}"), (400,), "the body is empty"),
    Case("R10 a load without a key", post("/v2/repository/models/cnn-relu/load", b"{}"), (401,)),
    Case("R10 an unload with another key", post("/v2/repository/models/cnn-relu/unload", b"{}", JSON, ADMIN + "x"),
         (403,)),
]  # fmt: skip
"""What is HTTP, and not what we are here for."""

CASES = [*PARSED, *SIZES, *ODD]
