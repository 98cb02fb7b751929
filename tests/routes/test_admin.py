"""What changes the running service is off without an admin key, and needs it where there is one."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.settings import Settings
from tests.routes.conftest import KEY, application

ROUTES = (
    "/v2/repository/models/cnn-relu/load",
    "/v2/repository/models/cnn-relu/unload",
    "/v2/trace/setting",
    "/v2/models/relu/trace/setting",
    "/v2/logging",
)
EACH = pytest.mark.parametrize("path", ROUTES)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """An application with an admin key and an empty repository."""
    with application(admin_key=KEY, repository=tmp_path_factory.mktemp("empty")) as client:
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
        ({"X-API-Key": ""}, 401),
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
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer {KEY}"},
        {"Authorization": f"Bearer  {KEY} "},
        {"X-API-Key": KEY},
        {"Authorization": "Basic x", "X-API-Key": KEY},
    ],
)
def test_the_right_key_is_let_in(guarded: TestClient, headers: dict[str, str]) -> None:
    assert guarded.post("/v2/logging", headers=headers).status_code == 200


def test_a_key_may_have_any_letters(tmp_path_factory: pytest.TempPathFactory) -> None:
    with application(admin_key="schlüsselbund", repository=tmp_path_factory.mktemp("empty")) as client:
        for key, status in (("schlüsselbund", 200), ("schlusselbund", 403)):
            assert client.post("/v2/logging", headers={b"x-api-key": key.encode()}).status_code == status


def test_the_key_comes_before_everything_else(guarded: TestClient) -> None:
    """Without it nothing is told of models or of what is wrong with the body."""
    for path in ("/v2/models/nothing/trace/setting", "/v2/repository/models/nothing/load", "/v2/logging"):
        assert guarded.post(path, content=b"{").status_code == 401


def test_what_changes_the_service_asks_for_the_key_and_nothing_else_does(client: TestClient) -> None:
    """By the documentation, which is made from the routes themselves."""
    paths: dict[str, Any] = client.get("/openapi.json").json()["paths"]
    guarded = {
        path.format(name=name)
        for path, methods in paths.items()
        for name in ("cnn-relu", "relu")
        if any("security" in operation for operation in methods.values())
    }
    assert guarded >= set(ROUTES)
    assert {path.replace("cnn-relu", "relu") for path in guarded} == {
        path.replace("cnn-relu", "relu") for path in ROUTES
    }
    asked = [
        method for path, methods in paths.items() for method, operation in methods.items() if "security" in operation
    ]
    assert asked == ["post"] * 5


def test_reading_needs_no_key(client: TestClient) -> None:
    for path in ("/v2/trace/setting", "/v2/models/relu/trace/setting", "/v2/logging"):
        assert client.get(path).status_code == 200


def test_an_empty_key_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTSERVE_ADMIN_KEY", "")
    assert Settings().admin_key is None


def test_the_key_is_not_shown() -> None:
    assert KEY not in repr(Settings(admin_key=KEY))
