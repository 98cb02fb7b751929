"""Every HTTP request is counted once, under its route's template and the status that it was answered with."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.errors import (
    BadRequest,
    Forbidden,
    PayloadTooLarge,
    QueueFull,
    QueueTimeout,
    Reason,
    ServiceError,
    Unauthorized,
)
from service.logs import Log, LogSettings
from service.routes.account import LEFT
from service.routes.traffic import ELSEWHERE, ROUTE, Counted, Traffic
from service.settings import Settings
from service.workers.together import Together
from service.workers.workers import Alone
from tests.routes.conftest import Running

OK: Message = {"type": "http.response.start", "status": 200, "headers": []}


def counts(running: Running) -> dict[tuple[str, int], int]:
    found = running.services.traffic.answered()
    return {(answered.route, status): count for answered in found for status, count in answered.statuses.items()}


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/v1/models", "/v1/models", 200),
        ("HEAD", "/v1/models", "/v1/models", 200),
        ("POST", "/v1/models", "/v1/models", 405),
        ("GET", "/v1/models/nothing", "/v1/models/{name}", 404),
        ("GET", "/nothing/at/all", ELSEWHERE, 404),
        ("GET", "/docs", "/docs", 200),
        ("GET", "/openapi.json", "/openapi.json", 200),
        ("POST", "/v2/models/grow/infer", "/v2/models/{name}/infer", 400),
        ("POST", "/v2/models/grow/infer?x=1", "/v2/models/{name}/infer", 400),
        ("POST", "/v2/models/grow/versions/1/infer", "/v2/models/{name}/versions/{version}/infer", 400),
        ("POST", "/v1/activations/relu", "/v1/activations/{name}", 415),
    ],
)
def test_a_request_counts_under_its_route(running: Running, method: str, path: str, route: str, status: int) -> None:
    assert running.client.request(method, path).status_code == status
    assert counts(running) == {(route, status): 1}


def test_the_short_way_to_a_prediction_counts_as_its_route(running: Running) -> None:
    answer = running.client.post("/v1/models/grow/predict", content=b"x", headers={"content-type": "image/png"})
    assert answer.status_code == 400
    assert counts(running) == {("/v1/models/{name}/predict", 400): 1}


def test_a_fault_of_ours_counts_as_one(running: Running) -> None:
    running.use(evidence=None)
    assert running.client.get("/v1/claims").status_code == 500
    assert counts(running) == {("/v1/claims", 500): 1}


class Served:
    """Of the services those that counting needs."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic
        self.log = Log(LogSettings())
        self.settings = Settings()


def asked(traffic: Traffic, answer: list[Message], **scope: object) -> list[int]:
    """Send one request through, and return how many were in flight while and after it was answered."""
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(traffic.in_flight)
        for message in answer:
            await send(message)
        if not answer:
            raise ConnectionError

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        pass

    with contextlib.suppress(ConnectionError):
        given = {"type": "http", "headers": [], "state": {"services": Served(traffic)}}
        asyncio.run(Counted(app)(given | scope, receive, send))
    return [*seen, traffic.in_flight]


def test_while_it_is_answered_a_request_is_in_flight() -> None:
    traffic = Traffic(["/a"], Alone())
    assert asked(traffic, [OK], **{ROUTE: "/a"}) == [1, 0]
    assert asked(traffic, [], **{ROUTE: "/a"}) == [1, 0]
    (only,) = traffic.answered()
    assert (only.route, only.statuses) == ("/a", {200: 1, LEFT: 1})
    assert traffic.left() == 1
    assert sum(only.buckets) == 2
    assert only.ns > 0


def test_what_is_no_request_is_let_through() -> None:
    traffic = Traffic([], Alone())
    assert asked(traffic, [OK], type="lifespan") == [0, 0]
    assert list(traffic.answered()) == []


def test_workers_count_together(tmp_path: Path) -> None:
    workers = Together(tmp_path)
    first, second = (Traffic(["/a", "/b"], workers) for _ in range(2))
    first.count("/a", 200, 10)
    second.count("/a", 200, 20)
    second.count("/b", 404, 1)
    second.count("/unknown", 404, 1)
    workers.close()

    for traffic in (first, second):
        assert [(a.route, a.statuses, a.ns) for a in traffic.answered()] == [
            (ELSEWHERE, {404: 1}, 1),
            ("/a", {200: 2}, 30),
            ("/b", {404: 1}, 1),
        ]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (QueueFull("full"), "queue_full"),
        (QueueTimeout("late"), "timeout"),
        (PayloadTooLarge("long"), "too_large"),
        (Unauthorized("who"), "unauthorized"),
        (Forbidden("no"), "forbidden"),
        (BadRequest("wrong"), None),
    ],
)
def test_what_is_refused_counts_by_its_reason(running: Running, error: ServiceError, reason: Reason | None) -> None:
    def fail(*_: object) -> None:
        raise error

    running.use(pool=Failing(fail))
    assert running.client.post("/v1/activations/relu", json={"data": [1]}).status_code == error.status
    assert {r: n for r, n in running.services.traffic.rejected().items() if n} == ({reason: 1} if reason else {})


class Failing:
    """A pool whose every call fails."""

    def __init__(self, fail: Callable[..., None]) -> None:
        self._fail = fail

    async def run(self, call: Callable[[], object]) -> None:
        self._fail()


def test_a_client_that_leaves_in_the_middle_of_its_answer_counts_as_gone() -> None:
    traffic = Traffic(["/a"], Alone())

    class Cycle:
        """What uvicorn's `receive` is a method of."""

        disconnected = False

        async def receive(self) -> Message:
            return {"type": "http.request"}

    cycle = Cycle()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(OK)
        cycle.disconnected = True

    async def send(message: Message) -> None:
        pass

    scope = {"type": "http", "headers": [], "path": "/a", "state": {"services": Served(traffic)}}
    asyncio.run(Counted(app)(scope, cycle.receive, send))
    assert traffic.left() == 1
    (only,) = traffic.answered()
    assert only.statuses == {200: 1}


def test_workers_count_refusals_together(tmp_path: Path) -> None:
    workers = Together(tmp_path)
    first, second = (Traffic([], workers) for _ in range(2))
    first.reject("quota")
    second.reject("quota")
    second.leave()
    workers.close()
    for traffic in (first, second):
        assert (traffic.rejected()["quota"], sum(traffic.rejected().values()), traffic.left()) == (2, 2, 1)
