"""The application as a whole: what no single route answers for."""

import asyncio
import gzip
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message

from service.app import create_app
from service.engine.runtime.device import DeviceUnavailable, why_not_cuda
from service.logs import LOGGER
from service.routes.traffic import LEFT
from service.settings import Settings


def test_a_fault_of_ours_is_an_answer_without_our_insides(settings: Settings) -> None:
    """The client gets 500 and a fixed text, and the service goes on."""
    app = create_app(settings)

    @app.get("/fault")
    async def fault() -> None:
        raise RuntimeError("secret /srv/path")

    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/fault")

        assert (answer.status_code, answer.json()) == (500, {"error": "internal error"})
        assert client.get("/v2/health/live").status_code == 200


@pytest.mark.parametrize(
    "begun", [b"", b'{"data": ', gzip.compress(b"x", mtime=0)[:9]], ids=["nothing", "json", "gzip"]
)
@pytest.mark.parametrize("encoding", [b"identity", b"gzip"])
@pytest.mark.parametrize("path", ["/v1/activations/relu", "/v2/models/relu/infer", "/v2/repository/index"])
def test_a_client_that_leaves_before_its_body_is_here_is_no_fault_of_ours(
    client: TestClient, caplog: pytest.LogCaptureFixture, path: str, encoding: bytes, begun: bytes
) -> None:
    """Nothing is raised to the server, which would log it, and nothing is logged here."""
    messages: list[Message] = [{"type": "http.request", "body": begun, "more_body": True}, {"type": "http.disconnect"}]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"content-encoding", encoding)]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
    LOGGER.addHandler(caplog.handler)
    try:
        asyncio.run(client.app(scope | {"state": dict(client.app_state)}, receive, send))
    finally:
        LOGGER.removeHandler(caplog.handler)

    assert sent[0]["status"] == LEFT
    assert caplog.records == []


@pytest.mark.skipif(why_not_cuda() is None, reason="there is a GPU here")
def test_the_application_does_not_start_on_another_device_than_asked_for(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"device": "cuda"}))
    with pytest.raises(DeviceUnavailable), TestClient(app):
        pass


def test_the_root_is_the_page(client: TestClient) -> None:
    assert client.get("/").headers["content-type"] == "text/html; charset=utf-8"


def test_settings_are_frozen(settings: Settings) -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]
