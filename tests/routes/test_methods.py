"""HEAD is answered as GET without the body; a method that a path lacks is refused with those that it has."""

import asyncio
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from service.routes.methods import Head
from tests.routes.sending import refused

GET_PATHS = (
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/relu/ready",
    "/v2/models/cnn-relu/ready",
    "/v2/models/cnn-relu/versions/1/ready",
    "/v2/models/cnn-relu",
    "/v2/logging",
    "/v1/models",
    "/v1/activations/relu",
    "/v1/claims",
    "/v1/claims/relu-dies/figure",
    "/openapi.json",
    "/docs",
)


@pytest.mark.parametrize("path", GET_PATHS)
def test_head_is_get_without_the_body(client: TestClient, path: str) -> None:
    get, head = (ask(path, headers={"X-Request-ID": "one"}) for ask in (client.get, client.head))
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers == get.headers  # the length too is that of GET's body


@pytest.mark.parametrize(("path", "status"), [("/v2/models/nothing/ready", 404), ("/nothing", 404)])
def test_head_has_the_status_of_get(client: TestClient, path: str, status: int) -> None:
    assert client.get(path).status_code == client.head(path).status_code == status
    assert client.head(path).content == b""


def test_head_of_a_model_that_is_not_served_is_503(plain_client: TestClient) -> None:
    assert plain_client.head("/v2/models/broken/ready").status_code == 503


def test_no_byte_of_a_body_is_handed_to_the_server(client: TestClient) -> None:
    """TestClient, and every real server, would hide it: so without them, and in pieces."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["method"] == "GET"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is to be read")

    scope: dict[str, Any] = {"type": "http", "method": "HEAD"}
    asyncio.run(Head(app)(scope, receive, send))

    assert scope["method"] == "HEAD"
    assert [message.get("body") for message in sent] == [None, b"", b""]
    assert [message.get("more_body", False) for message in sent] == [False, True, False]


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v2/health/ready", "GET, HEAD"),
        ("/v2/models/relu", "GET, HEAD"),
        ("/v2/models/stats", "GET, HEAD"),
        ("/v2/models/relu/infer", "POST"),
        ("/v2/repository/index", "POST"),
        ("/v2/trace/setting", "GET, HEAD, POST"),
        ("/v2/models/relu/trace/setting", "GET, HEAD, POST"),
        ("/v2/logging", "GET, HEAD, POST"),
        ("/v1/activations/relu", "GET, HEAD, POST"),
        ("/v1/activations/relu/curve", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
    ],
)
def test_a_refused_method_is_told_all_that_are_allowed(client: TestClient, path: str, allow: str) -> None:
    response = client.delete(path)
    assert refused(response, 405) == "Method Not Allowed"
    assert response.headers["allow"] == allow


def test_head_of_what_is_only_posted_to_is_405(client: TestClient) -> None:
    response = client.head("/v2/models/relu/infer")
    assert (response.status_code, response.headers["allow"], response.content) == (405, "POST", b"")
