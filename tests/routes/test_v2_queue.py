"""A request's place in the queue: `timeout` and `priority`, and what goes on while every thread is busy."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import pytest

from service.engine.pool import Pool
from service.engine.scheduler import Scheduler
from service.routes import infer as infer_route
from service.routes.targets import all_served
from tests.routes.conftest import Running
from tests.routes.sending import answered, infer, refused, tensor

T = TypeVar("T")
X = tensor(np.array([[-3.0]]))
DAY_US = 24 * 3600 * 10**6


class Late(Pool):
    """Takes no call before a tenth of a millisecond has passed."""

    async def run(self, call: Callable[[], T]) -> T:
        begin = time.perf_counter_ns() + 100_000
        while time.perf_counter_ns() < begin:
            pass
        return await super().run(call)


@pytest.fixture(autouse=True)
def nothing_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions are applied in a thread, as they are to large tensors."""
    monkeypatch.setattr(infer_route, "SHORT_ELEMENTS", -1)


@pytest.fixture
def late(running: Running) -> Iterator[Running]:
    pool = Late(1)
    before = running.services.scheduler
    running.use(scheduler=Scheduler(pool, running.services.device))
    yield running
    running.use(scheduler=before)
    pool.close()


@pytest.mark.parametrize("timeout", [1, 99])
def test_a_request_that_has_waited_longer_than_its_timeout_is_503(late: Running, timeout: int) -> None:
    text = refused(infer(late.client, "relu", X, parameters={"timeout": timeout}), 503)
    assert text.startswith("Request timeout expired")
    (counted,) = answered(late.client.get("/v2/models/relu/stats"))["model_stats"]
    assert (counted["inference_stats"]["fail"]["count"], counted["inference_count"]) == (1, 0)


@pytest.mark.parametrize("parameters", [{}, {"timeout": 0}, {"timeout": DAY_US}, {"timeout": 2**63 - 1}])
def test_a_request_in_time_is_answered(late: Running, parameters: dict[str, int]) -> None:
    """0 is no limit, as in Triton."""
    assert answered(infer(late.client, "relu", X, parameters=parameters))["outputs"][0]["data"] == [0.0]


@pytest.mark.parametrize("priority", [0, 1, 2, 2**63 - 1])
def test_any_priority_is_taken(running: Running, priority: int) -> None:
    assert answered(infer(running.client, "relu", X, parameters={"priority": priority}))


@pytest.mark.parametrize("name", ["timeout", "priority"])
@pytest.mark.parametrize("value", [-1, "5", 1.5, True, None, [1]])
def test_a_wrong_place_in_the_queue_is_refused(running: Running, name: str, value: Any) -> None:
    """T23."""
    refused(infer(running.client, "relu", X, parameters={name: value}), 400)


@contextmanager
def every_thread_busy(running: Running) -> Iterator[threading.Event]:
    """While it lasts, or until the event is set."""
    started, release = threading.Event(), threading.Event()

    def busy() -> None:
        started.set()
        release.wait(30)

    portal = running.client.portal
    assert portal is not None
    held = portal.start_task_soon(running.services.pool.run, busy)
    try:
        assert started.wait(30)
        yield release
    finally:
        release.set()
        held.result(30)


def test_while_every_thread_is_busy_a_request_waits_and_all_else_is_answered(running: Running) -> None:
    with ThreadPoolExecutor(1) as thread, every_thread_busy(running) as release:
        waiting = thread.submit(infer, running.client, "relu", X)
        for path in (
            "health/live",
            "health/ready",
            "models/relu/ready",
            "models/grow",
            "models/stats",
            "trace/setting",
        ):
            assert running.client.get(f"/v2/{path}").status_code == 200
        assert running.client.get("/metrics").status_code == 200
        assert running.client.post("/v2/repository/index").status_code == 200
        assert not waiting.done()
        release.set()
        assert answered(waiting.result(30))["outputs"][0]["data"] == [0.0]


@pytest.mark.parametrize("name", ["relu", "grow"])
def test_what_still_waits_at_the_servers_deadline_is_504(running: Running, name: str) -> None:
    """For a thread, or for a run that waits for one."""
    running.use(settings=running.services.settings.model_copy(update={"deadline_seconds": 0.05}))
    with every_thread_busy(running):
        text = refused(infer(running.client, name, tensor(np.array([-3.0])) if name == "grow" else X), 504)
    assert text == "the request was not begun before the server's deadline and has been dropped"
    (counts,) = (target.statistics.counts() for target in all_served(running.services) if target.name == name)
    assert counts.failures == {"REJECTED": 1, "CANCELED": 0, "BACKEND": 0, "OTHER": 0}
    running.use(settings=running.services.settings.model_copy(update={"deadline_seconds": 0.0}))
    assert answered(infer(running.client, "relu", X))


def test_the_time_in_the_queue_is_counted(running: Running) -> None:
    with ThreadPoolExecutor(1) as thread, every_thread_busy(running) as release:
        waiting = thread.submit(infer, running.client, "relu", X)
        release.set()
        answered(waiting.result(30))
    (counted,) = answered(running.client.get("/v2/models/relu/stats"))["model_stats"]
    assert counted["inference_stats"]["queue"]["count"] == 1
    assert counted["inference_stats"]["queue"]["ns"] > 0
