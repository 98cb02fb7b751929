"""Keys: with them nobody gets anything without one, by any route; what a key may do, and how often."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts
from starlette.testclient import TestClient

from service.app import create_app
from service.routes import admission, quota
from service.routes.keys import ADMIN, InvalidKeys, Keys
from service.settings import Settings
from tests.routes.conftest import application

FIRST, SECOND, MASTER = "first-of-the-keys", "second-of-the-keys", "the-admin-of-all"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(scope="module")
def guarded(empty: Path) -> Iterator[TestClient]:
    with application(repository=empty, api_keys=f"{FIRST}, {SECOND}", admin_key=MASTER) as client:
        yield client


def routes() -> set[tuple[str, str]]:
    """Method and path of every route, with a name for each part of a path that varies."""
    app = create_app(Settings(device="cpu", threads=1))
    return {
        (method, re.sub(r"\{[^}]*\}", "relu", route.path or ""))
        for route in iter_route_contexts(app.routes)
        for method in route.methods or ()
    }


OPEN = {"/v2/health/live", "/v2/health/ready", "/", "/docs", "/openapi.json", "/docs/relu", "/web/relu"}
OPEN_FORMS = {"/web/samples/relu.jpg"}


def test_every_route_needs_a_key_but_those_that_are_named_here(guarded: TestClient) -> None:
    found = routes()
    assert len(found) > 40
    for method, path in found:
        status = guarded.request(method, path).status_code
        if path in OPEN | OPEN_FORMS:
            assert status in (200, 404), path
        else:
            assert status == 401, (method, path)


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/v2/health/live/", "/v2/health//live", "/web", "/%77eb/x"])
def test_what_is_no_route_needs_a_key_too(guarded: TestClient, path: str) -> None:
    """But what is decoded to a public path."""
    assert guarded.get(path).status_code == (404 if path == "/%77eb/x" else 401)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-API-Key": FIRST}, 200),
        ({"X-API-Key": SECOND}, 200),
        ({"X-API-Key": MASTER}, 200),
        ({"Authorization": f"Bearer {FIRST}"}, 200),
        ({"authorization": f"bearer   {FIRST} "}, 200),
        ({"Authorization": "Basic x", "X-API-Key": FIRST}, 200),
        ({"Authorization": f"Bearer {FIRST}", "X-API-Key": "other"}, 200),
        ({}, 401),
        ({"X-API-Key": ""}, 401),
        ({"Authorization": FIRST}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": f"Basic {FIRST}"}, 401),
        ({"X-API-Key": FIRST[:-1]}, 403),
        ({"X-API-Key": FIRST + "x"}, 403),
        ({"Authorization": "Bearer " + "x" * 100_000}, 403),
        ({"X-API-Key": "schlüssel".encode()}, 403),
        ({"X-API-Key": f"{FIRST}, {SECOND}"}, 403),
    ],
)
def test_one_of_the_keys_lets_in(guarded: TestClient, headers: dict[str, str | bytes], status: int) -> None:
    response = guarded.post("/v1/activations/relu", json={"data": [-1, 2]}, headers=headers)

    assert response.status_code == status
    assert ("www-authenticate" in response.headers) is (status == 401)
    assert FIRST not in response.text


def test_of_two_keys_none_counts(guarded: TestClient) -> None:
    both = [("Authorization", f"Bearer {FIRST}"), ("Authorization", f"Bearer {SECOND}")]
    assert guarded.get("/v1/models", headers=both).status_code == 401


def test_an_api_key_does_not_change_the_service(guarded: TestClient) -> None:
    for key, status in ((FIRST, 403), (MASTER, 200)):
        assert guarded.post("/v2/logging", headers={"X-API-Key": key}).status_code == status


def test_the_host_says_nothing_of_the_route(guarded: TestClient) -> None:
    """The address that a client names is not what decides."""
    for host in ("localhost/v2/health/live?x=", "a/../v2/health/live", "x@/web/"):
        assert guarded.get("/v1/models", headers={"Host": host}).status_code == 401


def test_the_documentation_asks_for_the_key(guarded: TestClient) -> None:
    document = guarded.get("/openapi.json").json()
    assert [set(each) for each in document["security"]] == [{"HTTPBearer"}, {"APIKeyHeader"}]
    assert set(document["components"]["securitySchemes"]) == {"HTTPBearer", "APIKeyHeader"}
    assert document["paths"]["/v2/health/live"]["get"]["security"] == []


class TestQuota:
    @pytest.fixture
    def second(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [1000.0]
        monkeypatch.setattr(admission.time, "time", lambda: now[0])
        return now

    def test_a_key_may_send_so_many_requests_in_a_second(self, empty: Path, second: list[float]) -> None:
        with application(repository=empty, api_keys=f"{FIRST},{SECOND}", key_requests_per_second=2) as client:

            def get(key: str) -> int:
                response = client.get("/v1/models", headers={"X-API-Key": key})
                assert ("retry-after" in response.headers) is (response.status_code == 429)
                return response.status_code

            assert [get(FIRST) for _ in range(3)] == [200, 200, 429]
            assert get(SECOND) == 200
            assert client.get("/v2/health/live").status_code == 200
            second[0] += 1
            assert get(FIRST) == 200

    def test_the_admin_has_none(self, empty: Path, second: list[float]) -> None:
        settings = {"api_keys": FIRST, "admin_key": MASTER, "key_requests_per_second": 1}
        with application(repository=empty, **settings) as client:
            answers = [client.get("/v1/models", headers={"X-API-Key": MASTER}).status_code for _ in range(5)]
        assert answers == [200] * 5

    def test_it_counts_what_the_key_sent_to_all_workers(self) -> None:
        class Two:
            def __init__(self) -> None:
                self.own = [0, 0]

            def all(self) -> list[list[int]]:
                return [self.own, [7, 4], [6, 100]]

        counted = quota.Quota(1, 5, SimpleWorkers(Two()))  # type: ignore[arg-type]
        counted.take(0, 7)
        with pytest.raises(quota.TooManyRequests):
            counted.take(0, 7)
        counted.take(0, 8)


class SimpleWorkers:
    def __init__(self, block: object) -> None:
        self._block = block

    def block(self, key: str, length: int) -> object:
        return self._block


class TestFiles:
    def test_keys_come_from_files_too(self, tmp_path: Path) -> None:
        api, admin = tmp_path / "api", tmp_path / "admin"
        api.write_text(f"# for the page\n{SECOND}  # of the second\n\n{FIRST}\n")
        admin.write_text(f"{MASTER}\n")
        keys = Keys.read(Settings(api_keys=FIRST, api_keys_file=api, admin_key_file=admin))

        assert [keys.holder(key.encode()) for key in (FIRST, SECOND, MASTER, "none")] == [0, 1, ADMIN, None]

    def test_without_any_there_are_none(self) -> None:
        assert Keys.read(Settings()) == Keys()

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (b"short", "an API key is shorter than 12 characters"),
            (b"# none\n\n", "ACTSERVE_API_KEYS_FILE: {} holds no key"),
            (b"\xff\xfe", "ACTSERVE_API_KEYS_FILE: {} cannot be read: it is no text"),
            (None, "ACTSERVE_API_KEYS_FILE: {} cannot be read: No such file or directory"),
        ],
    )
    def test_a_file_that_does_not_fit_stops_the_start(self, tmp_path: Path, content: bytes | None, text: str) -> None:
        path = tmp_path / "keys"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InvalidKeys) as caught:
            Keys.read(Settings(api_keys_file=path))
        assert str(caught.value) == text.format(path)

    @pytest.mark.parametrize("settings", [{"admin_key": "short"}, {"api_keys": f"{FIRST},short"}])
    def test_a_short_key_stops_the_start(self, settings: dict[str, str]) -> None:
        with pytest.raises(InvalidKeys, match="is shorter than 12 characters"):
            Keys.read(Settings(**settings))

    def test_two_admin_keys_stop_the_start(self, tmp_path: Path) -> None:
        (tmp_path / "admin").write_text(f"{MASTER}\n")
        with pytest.raises(InvalidKeys, match="more than one admin key"):
            Keys.read(Settings(admin_key=FIRST, admin_key_file=tmp_path / "admin"))
