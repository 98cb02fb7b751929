"""Who is let in: from the head alone, at most so many and so much at a time; pages of other origins; the end."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from service.engine import callers
from service.routes.admission import Admission
from service.routes.flow import ENOUGH, KEPT, Flow
from service.routes.keys import Keys
from service.settings import Settings
from service.workers.drain import Drain
from tests.routes.conftest import application

MB = 2**20


class Gate:
    """An application that answers each request when it is let; it reads no body, and all of them are here at once."""

    def __init__(self) -> None:
        self.waiting: dict[str, asyncio.Event] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        callers.arrived()
        await self.waiting.setdefault(scope["path"], asyncio.Event()).wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})


def scope(path: str, length: int | None = 0, *headers: tuple[bytes, bytes]) -> Scope:
    named = (b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length)
    services = SimpleNamespace(keys=Keys(), drain=Drain(0, 0))
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [(b"host", b"a"), named, *headers],
        "state": {"services": services},
    }


async def sent(app: Admission, asked: Scope) -> tuple[int, dict[bytes, bytes]]:
    """Status and headers."""
    messages: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body was read")

    async def send(message: Message) -> None:
        messages.append(message)

    callers.watch(lambda: False)
    await app(asked, receive, send)
    return messages[0]["status"], dict(messages[0]["headers"])


@contextmanager
def answering(**limits: int) -> Iterator[tuple[Admission, Gate]]:
    gate = Gate()
    settings = Settings(
        **{"max_requests_in_flight": 2, "max_bytes_in_flight": 10 * MB, "max_body_bytes": 4 * MB} | limits
    )
    yield Admission(gate, settings), gate


def run(work: Any) -> None:
    asyncio.run(asyncio.wait_for(work, 10))


async def begun(app: Admission, gate: Gate, *asked: Scope) -> list[asyncio.Task[Any]]:
    """These are being answered."""
    tasks = [asyncio.create_task(sent(app, each)) for each in asked]
    while len(gate.waiting) < len(asked):  # noqa: ASYNC110  # nothing tells when it changes
        await asyncio.sleep(0)
    return tasks


def test_more_requests_than_may_be_answered_are_refused_unread() -> None:
    async def work() -> None:
        with answering() as (app, gate):
            tasks = await begun(app, gate, scope("/a"), scope("/b"))
            status, headers = await sent(app, scope("/c"))
            assert (status, headers[b"retry-after"]) == (503, b"1")
            gate.waiting["/a"].set()
            await tasks[0]
            gate.waiting["/c"] = gate.waiting["/a"]
            assert (await sent(app, scope("/c")))[0] == 200
            gate.waiting["/b"].set()
            await tasks[1]

    run(work())


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/metrics"])
def test_health_and_metrics_are_never_refused(path: str) -> None:
    async def work() -> None:
        with answering() as (app, gate):
            tasks = await begun(app, gate, scope("/a"), scope("/b"))
            for event in gate.waiting.values():
                event.set()
            gate.waiting[path] = gate.waiting["/a"]
            assert (await sent(app, scope(path, 100 * MB)))[0] == 200
            await asyncio.gather(*tasks)

    run(work())


@pytest.mark.parametrize(("length", "status"), [(4 * MB, 200), (6 * MB + 1, 503), (None, 200)])
def test_more_bytes_than_may_be_held_are_refused(length: int | None, status: int) -> None:
    """A body of unknown length counts as the longest."""

    async def work() -> None:
        with answering(max_requests_in_flight=10) as (app, gate):
            tasks = await begun(app, gate, scope("/a", 4 * MB))
            gate.waiting["/b"] = asyncio.Event()
            gate.waiting["/b"].set()
            assert (await sent(app, scope("/b", length)))[0] == status
            gate.waiting["/a"].set()
            await asyncio.gather(*tasks)

    run(work())


def test_a_body_that_is_larger_than_all_that_may_be_held_is_let_in_alone() -> None:
    """That it is too large is for others to say."""

    async def work() -> None:
        with answering() as (app, gate):
            gate.waiting["/a"] = asyncio.Event()
            gate.waiting["/a"].set()
            assert (await sent(app, scope("/a", 11 * MB)))[0] == 200

    run(work())


@pytest.mark.parametrize(
    ("asked", "closes"),
    [
        (scope("/c", 1_000_000), False),
        (scope("/c", 2_000_000), True),
        (scope("/c", None), True),
        (scope("/c", 10, (b"expect", b"100-continue")), True),
    ],
)
def test_a_refused_request_keeps_its_connection_if_its_body_is_short(asked: Scope, closes: bool) -> None:
    async def work() -> None:
        with answering() as (app, gate):
            tasks = await begun(app, gate, scope("/a"), scope("/b"))
            _, headers = await sent(app, asked)
            assert (b"connection" in headers) is closes
            for event in gate.waiting.values():
                event.set()
            await asyncio.gather(*tasks)

    run(work())


def test_one_that_fails_leaves_its_place() -> None:
    async def failing(*_: Any) -> None:
        raise ZeroDivisionError

    async def work() -> None:
        app = Admission(failing, Settings(max_requests_in_flight=1))
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await sent(app, scope("/a"))

    run(work())


def test_while_the_server_is_ending_answers_close_their_connection(client: TestClient) -> None:
    services = client.app_state["services"]
    assert client.get("/v2/health/ready").status_code == 200
    services.drain.on = True
    try:
        ready = client.get("/v2/health/ready")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        for response in (
            ready,
            client.get("/v2/health/live"),
            client.post("/v2/models/relu/infer", json={"inputs": []}),
            client.post("/v1/activations/relu", json={"data": [1]}),
        ):
            assert response.headers["connection"] == "close"
    finally:
        services.drain.on = False
    assert "connection" not in client.get("/v2/health/live").headers


ORIGIN = {"Origin": "https://a.example"}


def test_pages_of_other_origins_are_let_in_only_where_that_is_set(tmp_path: Path, client: TestClient) -> None:
    preflight = ORIGIN | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    path = "/v2/models/relu/infer"
    for response in (client.options(path, headers=preflight), client.get("/v1/device", headers=ORIGIN)):
        assert not [name for name in response.headers if name.startswith("access-control")]
    settings = {"cors_origins": "https://a.example, https://b.example", "api_keys": "key-of-some-length"}
    with application(repository=tmp_path, **settings) as shared:
        asked = shared.options(path, headers=preflight)
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == "https://a.example"
        answer = shared.get("/v2", headers=ORIGIN | {"X-API-Key": "key-of-some-length"})
        assert "Inference-Header-Content-Length" in answer.headers["access-control-expose-headers"]
        assert shared.get("/v2", headers=ORIGIN).status_code == 401
        foreign = shared.options(path, headers=preflight | {"Origin": "https://c.example"})
        assert "access-control-allow-origin" not in foreign.headers


def test_the_limits_are_the_settings(tmp_path: Path) -> None:
    nested = "[" * 9 + "1" + "]" * 9
    with application(repository=tmp_path, max_json_depth=8, max_request_tensors=1) as client:
        deep = client.post("/v1/activations/relu", json={"data": json.loads(nested)})
        assert deep.json()["error"] == "the JSON is nested more than 8 levels deep"
        x = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1]}
        two = client.post("/v2/models/relu/infer", json={"inputs": [x, x | {"name": "y"}]})
        assert two.json()["error"] == "inputs has 2 tensors, expected at most 1"


class Clock:
    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


def begin(flow: Flow, count: int) -> None:
    for _ in range(count):
        flow.begun += 1
        flow.arrived()


def test_a_flow_knows_how_long_all_that_are_in_it_take() -> None:
    """Here 10 ms each, two at a time; the first comes after a minute in which there was none."""
    clock = Clock()
    flow = Flow(clock)
    clock.ns = 60 * 10**9
    begin(flow, 100)
    for number in range(0, KEPT, 2):
        assert flow.wait_ns() == (0 if number < ENOUGH else (100 - number) * 10**7)
        clock.ns += 2 * 10**7
        flow.ended(arrived=True, served=True)
        flow.ended(arrived=True, served=True)
    flow.begun += 1
    flow.ended(arrived=False, served=True)
    assert (flow.begun, flow.count) == (100 - KEPT, 100 - KEPT)


def test_of_a_crowd_that_has_just_come_the_best_pace_so_far_is_expected() -> None:
    clock = Clock()
    flow = Flow(clock)
    for each_ns in (3 * 10**6, 10**6, 2 * 10**6):
        begin(flow, KEPT)
        assert flow.wait_ns() == KEPT * flow.best_ns
        for _ in range(KEPT):
            clock.ns += each_ns
            flow.ended(arrived=True, served=True)
        clock.ns += 10**12
    assert (flow.best_ns, flow.wait_ns()) == (10**6, 0)


def test_one_at_a_time_says_nothing_of_many() -> None:
    clock = Clock()
    flow = Flow(clock)
    for _ in range(2 * KEPT):
        begin(flow, 1)
        clock.ns += 10**9
        flow.ended(arrived=True, served=True)
    begin(flow, 1)
    assert flow.wait_ns() == 0


def test_what_is_refused_late_slows_the_others_down() -> None:
    """Of three that each take a second, one is served."""
    clock = Clock()
    flow = Flow(clock)
    begin(flow, 40)
    for number in range(30):
        clock.ns += 10**9
        flow.ended(arrived=True, served=number % 3 == 2)
    assert flow.wait_ns() == 10 * 3 * 10**9


async def crowded(app: Admission) -> list[asyncio.Task[Any]]:
    """Twenty requests to `/a` are being answered, where the last took 26 ms each: about half a second."""
    clock = Clock()
    flow = app._flows["/a"] = Flow(clock)
    tasks = [asyncio.create_task(sent(app, scope("/a"))) for _ in range(20)]
    while flow.count < len(tasks):  # noqa: ASYNC110  # nothing tells when it changes
        await asyncio.sleep(0)
    begin(flow, ENOUGH)
    for _ in range(ENOUGH):
        clock.ns += 26_000_000
        flow.ended(arrived=True, served=True)
    return tasks


def test_what_could_not_be_answered_in_time_is_refused_unread() -> None:
    """Of one path; the others notice nothing."""

    async def work() -> None:
        with answering(max_requests_in_flight=100, deadline_seconds=1) as (app, gate):
            tasks = await crowded(app)
            status, headers = await sent(app, scope("/a"))
            assert (status, headers[b"retry-after"]) == (503, b"1")
            gate.waiting["/b"] = asyncio.Event()
            gate.waiting["/b"].set()
            assert (await sent(app, scope("/b")))[0] == 200
            gate.waiting["/a"].set()
            await asyncio.gather(*tasks)
            assert app._flows == {}
            assert (await sent(app, scope("/a")))[0] == 200

    run(work())


@pytest.mark.parametrize("deadline", [0, 2])
def test_what_can_be_answered_in_time_is_not_refused(deadline: int) -> None:
    async def work() -> None:
        with answering(max_requests_in_flight=100, deadline_seconds=deadline) as (app, gate):
            tasks = await crowded(app)
            tasks.append(asyncio.create_task(sent(app, scope("/a"))))
            gate.waiting["/a"].set()
            assert {status for status, _ in await asyncio.gather(*tasks)} == {200}

    run(work())
