"""Each request is one line of the log with what is known of it, and has an id, which its answer has too."""

import asyncio
import json
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from starlette.types import Message

from service.engine.runtime.session import Session
from service.errors import MAX_TEXT_LENGTH, QueueFull
from service.routes import account
from service.routes.account import SEVERAL, Account
from service.writer import PIPE_BUF
from tests.routes.conftest import ADMIN, Running
from tests.routes.sending import answered, apply, infer, refused, tensor

GROW = "/v2/models/grow/infer"
FRESH = re.compile("[0-9a-f]{32}")
KEYS = "ts level event id method route status model version rows queue_ms compute_ms total_ms bytes_in bytes_out client"


def only(running: Running) -> dict[str, Any]:
    """The one line that there is."""
    (line,) = running.requests
    return line


def test_an_inference_is_a_line_with_all_that_is_known(running: Running) -> None:
    body = json.dumps({"inputs": [tensor(np.arange(3.0))]})
    before = datetime.now(UTC)
    response = running.client.post(GROW, content=body, headers={"X-Request-ID": "my-id"})
    line = only(running)

    assert list(line) == KEYS.split()
    assert before.replace(microsecond=0) <= datetime.fromisoformat(line["ts"]) <= datetime.now(UTC)
    times = [line[key] for key in ("queue_ms", "compute_ms", "total_ms")]
    assert min(times) >= 0
    assert 0 < times[1] < times[2]
    assert {key: line[key] for key in line if not key.endswith("_ms") and key != "ts"} == {
        "level": "info",
        "event": "request",
        "id": "my-id",
        "method": "POST",
        "route": "/v2/models/{name}/infer",
        "status": 200,
        "model": "grow",
        "version": "1",
        "rows": 3,
        "bytes_in": len(body),
        "bytes_out": len(response.content),
        "client": "testclient",
    }


def test_what_runs_no_model_has_none(running: Running) -> None:
    running.client.get("/v1/models?x=1")
    line = only(running)
    assert [line[key] for key in ("model", "version", "rows", "queue_ms", "compute_ms")] == [None] * 5
    assert line["error"] == {"kind": "BadRequest", "text": "unknown query parameter 'x'; this route has none"}


def test_the_model_is_told_also_where_its_request_is_refused(running: Running) -> None:
    refused(infer(running.client, "grow", tensor(np.arange(3), "INT64")), 400)
    line = only(running)
    assert (line["model"], line["version"], line["rows"]) == ("grow", "1", None)
    assert line["error"]["kind"] == "BadRequest"


def test_the_v1_routes_tell_the_same(running: Running) -> None:
    running.client.post("/v1/models/grow/predict", json={"data": [1.0, 2.0]})
    apply(running.client, "elu", [[1.0, -1.0], [2.0, 3.0]])
    told = [(line["model"], line["version"], line["rows"], line["compute_ms"] > 0) for line in running.requests]
    assert told == [("grow", "1", 2, True), ("elu", "1", 1, True)]


def test_several_models_are_told_together(running: Running) -> None:
    answer = running.client.post("/v1/compare/models?models=grow,versions", json={"data": [1.0, 2.0]})
    assert answer.status_code == 200
    line = only(running)
    assert (line["model"], line["version"], line["rows"]) == (SEVERAL, None, 4)


def test_a_body_without_a_length_is_measured_as_it_comes(running: Running) -> None:
    running.client.post(GROW, content=iter([b"x" * 30, b"y" * 12]))
    assert only(running)["bytes_in"] == 42


def test_levels(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours is an error, a request that we could not take a warning."""

    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(Session, "run", fail)
    for error in (KeyError("secret"), QueueFull("full")):
        raised: Exception = error
        infer(running.client, "grow", tensor(np.arange(3.0)))
    running.client.get("/nothing")
    told = [(line["level"], line["status"], line["error"]["kind"], line["error"]["text"]) for line in running.requests]
    assert told == [
        ("error", 500, "KeyError", "internal error"),
        ("warning", 503, "QueueFull", "full"),
        ("info", 404, "HTTPException", "Not Found"),
    ]


def test_health_and_metrics_are_logged_when_everything_is(running: Running) -> None:
    for _ in range(2):
        for path in ("/v2/health/live", "/v2/health/ready", "/metrics"):
            running.client.get(path)
        answered(running.client.post("/v2/logging", json={"log_verbose_level": 1}, headers=ADMIN))
    assert [(line["route"], line["level"]) for line in running.requests] == [
        ("/v2/logging", "info"),
        ("/v2/health/live", "debug"),
        ("/v2/health/ready", "debug"),
        ("/metrics", "debug"),
        ("/v2/logging", "info"),
    ]


def test_the_logging_extension_silences_lines_by_level(running: Running) -> None:
    answered(running.client.post("/v2/logging", json={"log_info": False}, headers=ADMIN))
    running.client.get("/v1/models")
    assert running.requests == []  # also not the one that did it
    running.use(evidence=None)
    running.client.get("/v1/claims")
    assert only(running)["level"] == "error"


@pytest.mark.parametrize("given", ["a", "A-b_c.9", "x" * 64])
@pytest.mark.parametrize("path", [GROW, "/v1/models", "/nothing", "/v2/health/live"])
def test_a_sane_id_is_echoed_whatever_the_answer_is(running: Running, given: str, path: str) -> None:
    for method in ("GET", "POST"):
        assert running.client.request(method, path, headers={"X-Request-ID": given}).headers["x-request-id"] == given


INSANE = [
    b"",
    b" ",
    b"x" * 65,
    b"x" * 10_240,
    b"a b",
    b"a\x1b[31mb",
    b"a\tb",
    b'a"b',
    b"a\\b",
    "ü".encode(),
    b"\xff",
    b"a/b",
]


@pytest.mark.parametrize("given", INSANE)
@pytest.mark.parametrize("path", [GROW, "/nothing"])
def test_another_is_replaced(running: Running, given: bytes, path: str) -> None:
    response = running.client.post(path, headers=[(b"x-request-id", given)])
    assert FRESH.fullmatch(response.headers["x-request-id"])
    assert only(running)["id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("given", [b"a\r\nb", b"a\nb", b"a\n", b"\na", b"a\0"])
def test_ends_of_lines_do_not_come_through_even_from_a_server_that_lets_them(given: bytes) -> None:
    assert FRESH.fullmatch(Account({"headers": [(b"x-request-id", given)]}, nothing, nothing).id.decode())


def test_two_ids_are_none(running: Running) -> None:
    response = running.client.get("/v1/models", headers=[(b"x-request-id", b"a"), (b"x-request-id", b"b")])
    assert FRESH.fullmatch(response.headers["x-request-id"])


def test_fresh_ids_differ(running: Running) -> None:
    assert len({running.client.get("/v1/models").headers["x-request-id"] for _ in range(50)}) == 50


def test_the_id_of_the_body_is_another(running: Running) -> None:
    response = infer(running.client, "grow", tensor(np.arange(3.0)), id="42")
    assert response.json()["id"] == "42"
    assert FRESH.fullmatch(response.headers["x-request-id"])


@pytest.mark.parametrize(
    "nasty", ["%0d%0aX:%20y", "%1b%5b31mred", "%22,%22x%22:%221", "%ff%fe", "%e2%80%a8", "%5c", "a" * 3000]
)
@pytest.mark.parametrize("place", ["/{}", "/v2/models/{}", "/v2/models/{}/infer", "/v1/models?{}=1"])
def test_what_a_client_writes_stays_in_its_line(running: Running, nasty: str, place: str) -> None:
    """Not one more line, and nothing but printable text in it."""
    lines: list[bytes] = []
    requests: Any = running.services.log.requests
    requests.put = lines.append
    running.client.get(place.format(nasty))
    (line,) = lines
    assert line.endswith(b"}\n")
    assert line.decode()[:-1].isprintable()
    assert len(line) <= PIPE_BUF
    assert "error" in json.loads(line)


async def nothing(*_: object) -> Message:
    raise AssertionError("nobody asks")


def test_the_longest_line_is_written_in_one_piece() -> None:
    """Which several workers at one pipe need."""
    kept = Account({"headers": [], "method": "OPTIONS", "client": ("f" * 39, 1)}, nothing, nothing)
    kept.name("m" * 255, "9" * 18)
    kept.ran(2**62, 2**62, 2**62)
    kept.bytes_in = kept.bytes_out = 2**62
    kept.trace_id = "f" * 32
    for character in ('"', "\\", "😀"):
        kept.failed("UnsupportedMediaType", character * MAX_TEXT_LENGTH)
        line = kept.line("warning", "/v2/models/{name}/versions/{version}/trace/setting", 2**62)
        assert json.loads(line)["error"]["text"] == character * MAX_TEXT_LENGTH
        assert len(line) <= PIPE_BUF


def test_a_server_that_knows_no_client_has_none() -> None:
    kept = Account({"headers": [], "method": "GET"}, nothing, nothing)
    assert json.loads(kept.line("info", "/", 1))["client"] is None


def test_outside_of_a_request_the_account_is_nobodys() -> None:
    assert asyncio.run(account._nothing()) is None
    account.current().name("m", "1")
