"""A request is what HTTP says."""

from loadtests.local.http import Request, as_http

REQUEST = Request("/v2/models/cnn/infer", {"Content-Type": "application/json"}, b'{"inputs":[]}')


def test_a_request_is_http() -> None:
    head, _, body = as_http("127.0.0.1:80", REQUEST).partition(b"\r\n\r\n")

    assert head.split(b"\r\n") == [
        b"POST /v2/models/cnn/infer HTTP/1.1",
        b"Host: 127.0.0.1:80",
        b"Content-Type: application/json",
        b"Content-Length: 13",
    ]
    assert body == REQUEST.body
