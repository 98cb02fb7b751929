"""The application as a whole: what no single route answers for."""

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.engine.session import DeviceUnavailable, why_not_cuda
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


@pytest.mark.skipif(why_not_cuda() is None, reason="there is a GPU here")
def test_the_application_does_not_start_on_another_device_than_asked_for(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"device": "cuda"}))
    with pytest.raises(DeviceUnavailable), TestClient(app):
        pass


def test_the_root_leads_to_the_documentation(client: TestClient) -> None:
    assert client.get("/", follow_redirects=False).headers["location"] == "/docs"


def test_settings_are_frozen(settings: Settings) -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]
