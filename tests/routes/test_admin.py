"""What changes the running service is off without an admin key, and needs it where there is one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.settings import Settings

KEY = "correct horse battery"
ROUTES = (
    "/v2/repository/models/cnn-relu/load",
    "/v2/repository/models/cnn-relu/unload",
    "/v2/trace/setting",
    "/v2/models/relu/trace/setting",
    "/v2/logging",
)
EACH = pytest.mark.parametrize("path", ROUTES)


@pytest.fixture(scope="module")
def guarded(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """An application with an admin key and an empty repository."""
    folder: Path = tmp_path_factory.mktemp("empty")
    changed = Settings(**(settings.model_dump() | {"admin_key": KEY, "repository": folder}))
    with TestClient(create_app(changed), raise_server_exceptions=False) as client:
        yield client


@EACH
def test_without_an_admin_key_it_is_off(client: TestClient, path: str) -> None:
    response = client.post(path, headers={"Authorization": f"Bearer {KEY}"})

    assert response.status_code == 403
    assert "ACTSERVE_ADMIN_KEY" in response.json()["error"]


@EACH
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": f"Basic {KEY}"}, 401),
        ({"Authorization": "Bearer wrong"}, 403),
        ({"Authorization": f"Bearer {KEY}x"}, 403),
        ({"Authorization": f"Bearer {KEY[:-1]}"}, 403),
        ({"X-API-Key": ""}, 403),
        ({"X-API-Key": "é".encode()}, 403),
        ({"X-API-Key": "x" * 10_000}, 403),
    ],
)
def test_no_key_is_401_and_a_wrong_one_403(
    guarded: TestClient, path: str, headers: dict[str, str | bytes], status: int
) -> None:
    response = guarded.post(path, headers=headers)

    assert response.status_code == status
    assert ("www-authenticate" in response.headers) is (status == 401)


@pytest.mark.parametrize(
    "headers", [{"Authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}, {"X-API-Key": KEY}]
)
def test_the_right_key_is_let_in(guarded: TestClient, headers: dict[str, str]) -> None:
    assert guarded.post("/v2/logging", headers=headers).status_code == 200


def test_reading_needs_no_key(client: TestClient) -> None:
    for path in ("/v2/trace/setting", "/v2/models/relu/trace/setting", "/v2/logging"):
        assert client.get(path).status_code == 200


def test_a_short_key_is_refused_at_start_and_an_empty_one_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="at least 8"):
        Settings(admin_key="short")
    monkeypatch.setenv("ACTSERVE_ADMIN_KEY", "")
    assert Settings().admin_key is None


def test_the_key_is_not_shown() -> None:
    assert KEY not in repr(Settings(admin_key=KEY))
