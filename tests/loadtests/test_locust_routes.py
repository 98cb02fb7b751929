"""Users whose routes the service lacks are left out."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from loadtests import bodies, routes

NEEDED = (bodies.COMPARE_ACTIVATIONS, bodies.COMPARE_MODELS)
FULL: dict[str, Any] = {"paths": {route: {"post": {}} for route in NEEDED}}


def test_nothing_is_missing_where_all_routes_are_there() -> None:
    assert routes.missing(FULL, NEEDED) == []
    assert routes.missing({}, ()) == []


@pytest.mark.parametrize(
    ("document", "absent"),
    [
        ({}, list(NEEDED)),
        ({"paths": {}}, list(NEEDED)),
        ({"paths": {"/v1/compare/models": {"post": {}}}}, [bodies.COMPARE_ACTIVATIONS]),
        ({"paths": FULL["paths"] | {"/v1/compare/models": {"get": {}}}}, [bodies.COMPARE_MODELS]),
    ],
)
def test_a_route_that_is_not_there_for_post_is_missing(document: dict[str, Any], absent: list[str]) -> None:
    assert routes.missing(document, NEEDED) == absent


class Documents(BaseHTTPRequestHandler):
    """A service that has documents only."""

    def do_GET(self) -> None:
        content = {"/openapi.json": b'{"paths": {}}', "/list/openapi.json": b"[]", "/text/openapi.json": b"hello"}
        self.send_response(200 if self.path in content else 404)
        self.end_headers()
        self.wfile.write(content.get(self.path, b""))

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Documents) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_document_is_read_from_the_service(host: str) -> None:
    assert routes.fetched(host) == {"paths": {}}
    assert routes.fetched(f"{host}/") == {"paths": {}}


def test_a_proxy_is_not_asked(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert routes.fetched(host) == {"paths": {}}


@pytest.mark.parametrize("place", ["list", "text"])
def test_what_is_no_document_is_refused(host: str, place: str) -> None:
    with pytest.raises(ValueError, match=r"object|Expecting"):
        routes.fetched(f"{host}/{place}")


def test_a_service_without_a_document_is_an_error(host: str) -> None:
    with pytest.raises(OSError, match="404"):
        routes.fetched(f"{host}/nowhere")
