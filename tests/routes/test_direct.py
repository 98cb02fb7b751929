"""The short way gives the answers of the long way, takes only what is ordinary, and is taken for that."""

import asyncio
import json
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from service.routes.direct import Direct, read
from tests.routes.sending import LENGTH, infer_bytes, tensor

INFER = json.dumps({"inputs": [tensor(np.array([[-1.0, 2.0]], np.float32))], "id": "7"}).encode()
"""For relu."""


class Untaken(Exception):
    """The request went the long way."""


async def long_way(scope: Scope, receive: Receive, send: Send) -> None:
    raise Untaken


def asked(path: str, *, method: str = "POST", query: str = "", **headers: str) -> Scope:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": raw}


def sent(scope: Scope, *messages: Message, max_bytes: int = 1000, state: object = None) -> list[Message]:
    """What is answered to a request whose body comes in these messages."""
    coming, answered = list(messages), []

    async def receive() -> Message:
        return coming.pop(0)

    async def send(message: Message) -> None:
        answered.append(message)

    asyncio.run(Direct(long_way, max_bytes)({**scope, "state": {"services": state}}, receive, send))
    return answered


@pytest.mark.parametrize(
    "scope",
    [
        {"type": "lifespan"},
        asked("/v2/models/relu/infer", method="GET", content_length="2"),
        asked("/v2/models/relu", content_length="2"),
        asked("/v2/models/relu/infer/", content_length="2"),
        asked("/v2/models/a/b/infer", content_length="2"),
        asked("/v2/models/relu/infer", query="a=1", content_length="2"),
        asked("/v2/models/relu/infer"),
        asked("/v2/models/relu/infer", content_length="1001"),
        asked("/v2/models/relu/infer", content_length="-2"),
        asked("/v2/models/relu/infer", content_length="²"),
        asked("/v2/models/relu/infer", content_length="9" * 5000),
        asked("/v2/models/relu/infer", content_length="2", content_encoding="gzip"),
        asked("/v1/models/cnn-relu/predict", content_length="2"),
        asked("/v1/models/cnn-relu/predict", content_length="2", content_type="application/json"),
        asked("/v1/models/cnn-relu/predict", query="top_k=1", content_length="2", content_type="image/png"),
    ],
)
def test_what_is_not_ordinary_goes_the_long_way(scope: Scope) -> None:
    with pytest.raises(Untaken):
        sent(scope)


@pytest.mark.parametrize(
    "scope",
    [
        asked("/v2/models/relu/infer", content_length="2"),
        asked("/v2/models/relu/versions/1/infer", content_length="1000"),
        asked("/v1/models/cnn-relu/predict", content_length="2", content_type="image/png"),
    ],
)
def test_of_a_client_that_has_left_nothing_is_answered(scope: Scope) -> None:
    assert sent(scope, {"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}) == []


def test_a_fault_of_ours_is_an_answer_without_our_insides() -> None:
    """It has no services, and a whole body."""
    start, body = sent(asked("/v2/models/relu/infer", content_length="2"), {"type": "http.request", "body": b"{}"})
    assert (start["status"], body["body"]) == (500, b'{"error":"internal error"}')


def test_a_body_in_pieces_is_read_whole() -> None:
    pieces: list[Message] = [
        {"type": "http.request", "body": b"ab", "more_body": True},
        {"type": "http.request", "body": b"c", "more_body": True},
        {"type": "http.request", "body": b""},
    ]

    async def receive() -> Message:
        return pieces.pop(0)

    assert bytes(asyncio.run(read(receive, 3, 2))) == b"abc"


@pytest.mark.parametrize("tail", [0, 1, 2, 163, 64])
def test_what_follows_the_json_of_a_body_in_pieces_is_aligned(tail: int) -> None:
    pieces: list[Message] = [
        {"type": "http.request", "body": bytes(100), "more_body": True},
        {"type": "http.request", "body": bytes(400)},
    ]

    async def receive() -> Message:
        return pieces.pop(0)

    body = asyncio.run(read(receive, 500, tail))
    numbers = np.frombuffer(body[tail : tail + 64], np.float64)
    assert (len(body), numbers.flags.aligned) == (500, True)


def both_ways(client: TestClient, path: str, body: bytes, **headers: str) -> tuple[Any, Any]:
    """Status, headers and body of the answers by the short way, and by the long one, which a query asks for."""
    query = "?top_k=3" if path.endswith("predict") else "?any=1"
    short, long = (client.post(path + q, content=body, headers=headers | {"X-Request-ID": "one"}) for q in ("", query))
    for answer in (short, long):
        answer.headers.pop("content-length")
    return ((r.status_code, dict(r.headers), without_times(r.content)) for r in (short, long))  # type: ignore[return-value]


def without_times(content: bytes) -> object:
    try:
        answer = json.loads(content)
    except ValueError:
        return content
    answer.pop("timing_ms", None)
    return answer


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/models/relu/infer", INFER),
        ("/v2/models/relu/versions/1/infer", INFER),
        ("/v2/models/relu/versions/2/infer", INFER),
        ("/v2/models/reluu/infer", INFER),
        ("/v2/models/cnn-relu/infer", INFER),
        ("/v2/models/relu/infer", b""),
        ("/v2/models/relu/infer", b"{"),
        ("/v2/models/r%C3%A9lu/infer", INFER),
        ("/v1/models/cnn-rela/predict", b"x"),
        ("/v1/models/cnn-relu/predict", b"no picture"),
    ],
)
def test_both_ways_lead_to_the_same_answer(client: TestClient, path: str, body: bytes) -> None:
    short, long = both_ways(client, path, body, **{"content-type": "image/png"})
    assert short == long


def test_both_ways_see_the_same_in_a_picture(client: TestClient, horse: bytes) -> None:
    short, long = both_ways(client, "/v1/models/cnn-relu/predict", horse, **{"content-type": "image/jpeg"})
    assert short == long
    assert short[0] == 200


def test_a_large_tensor_comes_back_whole(client: TestClient) -> None:
    """It is sent in pieces, as it is."""
    x = np.random.default_rng(0).standard_normal((1, 300_000)).astype(np.float32)
    size = {"binary_data_size": x.nbytes}
    head = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": list(x.shape), "parameters": size}],
        "parameters": {"binary_data_output": True},
    }
    text = json.dumps(head).encode()
    response = infer_bytes(client, "relu", text + x.tobytes(), len(text), **{"accept-encoding": "identity"})
    tail = response.content[int(response.headers[LENGTH]) :]

    assert int(response.headers["content-length"]) == len(response.content)
    np.testing.assert_array_equal(np.frombuffer(tail, np.float32), np.maximum(x, 0).ravel())
