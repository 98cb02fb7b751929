"""/metrics is what has been done, in a format that Prometheus reads, under Triton's names and ours."""

import asyncio
import threading

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from service.engine.pool import Pool
from service.engine.runtime.device import Device
from service.engine.runtime.session import Session
from service.engine.scheduler import Scheduler
from service.engine.watchdog import Patience, Watchdog
from service.errors import REASONS, ModelFailed, QueueFull
from service.routes import metrics as metrics_module
from service.routes import standing
from service.routes.standing import Standing
from service.routes.traffic import Traffic
from service.workers.lives import Lives
from service.workers.workers import Alone, State
from tests.routes.conftest import Running
from tests.routes.sending import answered, apply, infer, refused, tensor
from tests.serving import DEADLINE_S

X = {"grow": tensor(np.arange(3.0)), "relu": tensor(np.ones((3, 1)))}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine full of other tests the event loop may be late, and no test here is about that."""
    monkeypatch.setattr(standing, "LIMIT_S", DEADLINE_S)


def read(client: TestClient) -> dict[str, dict[tuple[str, ...], float]]:
    """Samples by name and by the values of their labels, in the order of the labels' names."""
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(response.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(v for _, v in sorted(sample.labels.items()))] = sample.value
    return found


def test_what_is_served_and_where(running: Running) -> None:
    found = read(running.client)
    assert found["actserve_device"] == {("cpu", "CPUExecutionProvider", "the CPU was asked for", "cpu"): 1}
    assert found["actserve_model_ready"][("grow", "1")] == 1
    assert found["actserve_model_ready"][("half", "2")] == 0
    assert found["actserve_model_nodes"][("grow", "CPUExecutionProvider", "1")] == 1
    assert found["actserve_workers"] == found["actserve_workers_wanted"] == {(): 1}
    assert found["actserve_workers_replaced_total"] == {(): 0}
    assert found["actserve_requests_in_flight"] == {(): 1}  # this one
    assert 0 <= found["actserve_event_loop_lag_seconds"][()] < 10
    assert 0 <= found["actserve_event_loop_longest_block_seconds"][()] < 10
    assert found["process_resident_memory_bytes"][()] > 2**20
    assert found["process_open_fds"][()] > 3
    assert found["process_cpu_seconds_total"][()] > 0


def test_requests_are_counted_under_tritons_names(running: Running) -> None:
    answered(infer(running.client, "grow", X["grow"]))
    before = read(running.client)
    assert before["nv_inference_request_success"][("grow", "1")] == 1
    assert before["nv_inference_count"][("grow", "1")] == 3
    assert before["nv_inference_exec_count"][("grow", "1")] == 1
    assert before["nv_inference_pending_request_count"][("grow", "1")] == 0
    assert before["actserve_queue_rows"][("grow", "1")] == 0
    microseconds = before["nv_inference_request_duration_us"][("grow", "1")]
    parts = [name for name, _ in list(metrics_module.TRITON_TIMES.values())[1:]]
    assert 0 <= microseconds - sum(before[name][("grow", "1")] for name in parts) <= len(parts)


@pytest.mark.parametrize("name", ["grow", "relu"])
def test_stages_are_histograms(running: Running, name: str) -> None:
    answered(infer(running.client, name, X[name]))
    found = read(running.client)
    for stage in ("total", "queue", "decode", "compute", "encode"):
        assert found["actserve_inference_seconds_count"][(name, stage, "1")] == 1
        assert found["actserve_inference_seconds_bucket"][("+Inf", name, stage, "1")] == 1
    assert found["actserve_inference_seconds_sum"][(name, "total", "1")] > 0
    assert found["actserve_batch_rows_bucket"][("2.0", name, "1")] == 0
    assert found["actserve_batch_rows_bucket"][("4.0", name, "1")] == 1
    assert found["actserve_batch_rows_sum"][(name, "1")] == 3


@pytest.mark.parametrize(
    ("error", "reason"), [(ModelFailed("it fails"), "BACKEND"), (QueueFull("full"), "REJECTED"), (KeyError(), "OTHER")]
)
@pytest.mark.parametrize("path", ["/v1/models/grow/predict", "/v2/models/grow/infer"])
def test_a_failure_has_a_reason(
    running: Running, monkeypatch: pytest.MonkeyPatch, path: str, error: Exception, reason: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Session, "run", fail)
    body = {"data": [1.0]} if "v1" in path else {"inputs": [X["grow"]]}
    assert running.client.post(path, json=body).status_code >= 400
    found = read(running.client)
    assert {r: n for (m, r, _), n in found["nv_inference_request_failure"].items() if m == "grow" and n} == {reason: 1}
    assert found["nv_inference_request_success"][("grow", "1")] == 0


def test_a_function_that_fails_counts_as_failed(running: Running) -> None:
    refused(apply(running.client, "softmax", [1.0], parameters={"axis": 3}), 400)
    assert read(running.client)["nv_inference_request_failure"][("softmax", "OTHER", "1")] == 1


def test_functions_that_nobody_asked_for_are_left_out(running: Running) -> None:
    assert ("relu", "1") not in read(running.client)["nv_inference_count"]
    apply(running.client, "relu", [1.0])
    assert read(running.client)["nv_inference_count"][("relu", "1")] == 1


def test_what_the_v1_routes_do_counts_too(running: Running) -> None:
    apply(running.client, "elu", [[1.0, -1.0], [2.0, 3.0]], derivative=True)
    running.client.post("/v1/models/grow/predict", json={"data": [1.0, 2.0]})
    found = read(running.client)
    assert found["nv_inference_count"][("elu", "1")] == 1
    assert found["nv_inference_exec_count"][("elu", "1")] == 2
    assert found["nv_inference_count"][("grow", "1")] == 2
    assert found["actserve_requests_total"][("/v1/models/{name}/predict", "200")] == 1
    assert found["actserve_request_seconds_count"][("/v1/activations/{name}",)] == 1


def test_openmetrics_is_answered_where_it_is_asked_for(running: Running) -> None:
    answered(infer(running.client, "grow", X["grow"]))
    response = running.client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    names = {family.name for family in read_openmetrics(response.text)}
    assert {"actserve_requests", "nv_inference_count", "actserve_inference_seconds"} <= names


def test_every_reason_is_there_before_anything_was_refused(running: Running) -> None:
    found = read(running.client)
    assert found["actserve_rejected_total"] == {(reason,): 0 for reason in REASONS}
    assert found["actserve_client_disconnects_total"] == {(): 0}
    assert found["actserve_log_lines_dropped_total"] == {("messages",): 0, ("requests",): 0}


def test_refusals_are_told_by_reason(running: Running) -> None:
    running.client.post("/v2/repository/models/grow/load", json={})
    running.client.post("/v2/repository/models/grow/load", json={}, headers={"X-API-Key": "wrong"})
    found = read(running.client)["actserve_rejected_total"]
    assert {reason: count for (reason,), count in found.items() if count} == {"unauthorized": 1, "forbidden": 1}


def test_loads_are_timed(running: Running) -> None:
    found = read(running.client)["actserve_model_load_seconds"]
    assert {name for name, _ in found} == {"versions", "half", "total", "fixed", "grow"}
    assert all(0 < seconds < 60 for seconds in found.values())


def test_the_longest_block_of_any_worker_is_told(running: Running) -> None:
    class Workers:
        def reports(self, _: str) -> list[State]:
            standing = {"start_seconds": 1.0, "lag_seconds": 0.0, "in_flight": 0, "waiting": []}
            nothing = {"resident_bytes": None, "open_files": None}
            return [standing | nothing | {"longest_block_seconds": seconds} for seconds in (0.25, 1.5)]

    running.use(workers=Workers())
    assert read(running.client)["actserve_event_loop_longest_block_seconds"] == {(): 1.5}


def test_without_a_standing_its_figures_are_left_out(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop of the only worker did not come to it in time. Counters stay what they were."""
    before = set(read(running.client))
    monkeypatch.setattr(Standing, "__call__", lambda _: {})
    found = read(running.client)
    assert found["actserve_workers"] == {(): 0}
    assert found["actserve_workers_wanted"] == {(): 1}
    left_out = before - set(found)
    assert {"actserve_event_loop_lag_seconds", "process_resident_memory_bytes"} < left_out
    prefixes = ("process_", "actserve_event_loop_", "actserve_start_", "actserve_requests_in_flight")
    assert all(name.startswith(prefixes) and not name.endswith("_total") for name in left_out)
    assert found["process_cpu_seconds_total"][()] > 0


def test_what_a_client_makes_up_makes_no_series(running: Running) -> None:
    """Else anybody could fill the memory of whoever collects them."""

    def ask(number: int) -> None:
        for path in ("/{}", "/v2/models/{}", "/v2/models/{}/infer", "/v1/models/{}/predict", "/v1/activations/{}"):
            for method in ("GET", "POST", "PUT"):
                running.client.request(method, path.format(f"made-up-{number}"))
        running.client.post(f"/v2/models/grow/versions/{number + 7}/infer")
        running.client.get(f"/v1/models/grow~x{number}", headers={"X-Request-ID": f"made-up-{number}"})

    ask(0)
    read(running.client)  # it counts itself
    before = {name: set(samples) for name, samples in read(running.client).items()}
    for number in range(1, 10):
        ask(number)
    after = {name: set(samples) for name, samples in read(running.client).items()}
    assert after == before
    assert "made-up" not in running.client.get("/metrics").text


def test_an_unknown_query_is_refused(running: Running) -> None:
    refused(running.client.get("/metrics?model=grow"), 400)


def test_without_proc_memory_and_files_are_left_out(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "vitals", lambda: {"resident_bytes": None, "open_files": None})
    monkeypatch.setattr(standing, "cpu_seconds", lambda: 1.5)
    found = read(running.client)
    assert not {"process_open_fds", "process_resident_memory_bytes"} & set(found)
    assert found["process_cpu_seconds_total"] == {(): 1.5}


def test_a_loop_that_does_not_come_to_it_has_no_standing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "LIMIT_S", 0.01)
    loop = asyncio.new_event_loop()
    pool = Pool(1)
    lives = Lives(Alone())
    ask = Standing(loop, Scheduler(pool, Device.cpu()), Traffic([], Alone()), Watchdog(Patience(60, 20)), lives)
    assert ask() == {}
    assert lives.cpu_seconds() > 0

    runs = threading.Thread(target=loop.run_forever)
    runs.start()
    monkeypatch.setattr(standing, "LIMIT_S", 10)
    found = ask()
    loop.call_soon_threadsafe(loop.stop)
    runs.join()
    loop.close()
    pool.close()
    assert found["in_flight"] == 0
    assert found["waiting"] == []
