"""/v2/…/stats: rows, runs and failures of each version, counted since it was loaded."""

from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from service.activations.catalogue import ACTIVATIONS
from service.engine.runtime.session import Session
from tests.routes.conftest import ADMIN, Running
from tests.routes.sending import answered, infer, refused, tensor

DURATIONS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss")


def counters(client: TestClient, path: str) -> dict[str, Any]:
    (only,) = answered(client.get(f"/v2/models/{path}/stats"))["model_stats"]
    return dict(only)


def column(rows: int) -> dict[str, Any]:
    return tensor(np.arange(1.0, rows + 1))


def test_nothing_has_happened_at_first(running: Running) -> None:
    durations = {name: {"count": 0, "ns": 0} for name in DURATIONS}
    assert counters(running.client, "grow") == {
        "name": "grow",
        "version": "1",
        "last_inference": 0,
        "inference_count": 0,
        "execution_count": 0,
        "inference_stats": durations,
        "response_stats": {},
        "batch_stats": [],
        "memory_usage": [],
    }


def test_rows_runs_and_requests_are_counted(running: Running) -> None:
    """10 rows are 3 runs of at most 4."""
    answered(infer(running.client, "grow", column(10)))
    answered(infer(running.client, "grow", column(4)))
    found = counters(running.client, "grow")

    assert (found["inference_count"], found["execution_count"]) == (14, 4)
    counts = {name: found["inference_stats"][name]["count"] for name in DURATIONS}
    assert counts == dict.fromkeys(DURATIONS, 2) | {"fail": 0, "cache_hit": 0, "cache_miss": 0}
    batches = {batch["batch_size"]: batch["compute_infer"]["count"] for batch in found["batch_stats"]}
    assert batches == {2: 1, 4: 3}
    assert found["last_inference"] > 1_700_000_000_000
    stats = found["inference_stats"]
    parts = ("queue", "compute_input", "compute_infer", "compute_output")
    assert all(stats[part]["ns"] > 0 for part in parts)
    assert stats["success"]["ns"] == sum(stats[part]["ns"] for part in parts)


def test_rows_that_fill_a_run_up_are_no_inferences(running: Running) -> None:
    """`fixed` runs two rows at a time: three rows are two runs."""
    answered(infer(running.client, "fixed", tensor(np.ones((3, 3)))))
    found = counters(running.client, "fixed")
    assert (found["inference_count"], found["execution_count"]) == (3, 2)


@pytest.mark.parametrize(
    "asked",
    [
        {"inputs": []},
        {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1]}]},
        {"inputs": [column(1)], "outputs": [{"name": "nothing"}]},
    ],
    ids=["no request", "wrong input", "unknown output"],
)
def test_what_is_refused_before_it_reaches_the_model_counts_nowhere(running: Running, asked: dict[str, Any]) -> None:
    before = counters(running.client, "grow")
    refused(running.client.post("/v2/models/grow/infer", json=asked), 400)
    assert counters(running.client, "grow") == before


def test_a_run_that_fails_is_a_failure_and_no_inference(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours here: it is counted, too."""
    monkeypatch.delattr(Session, "run")
    assert refused(infer(running.client, "grow", column(1)), 500) == "internal error"
    found = counters(running.client, "grow")

    assert found["inference_stats"]["fail"]["count"] == 1
    assert found["inference_stats"]["fail"]["ns"] > 0
    assert found["inference_stats"]["success"]["count"] == found["inference_count"] == found["execution_count"] == 0


def test_each_version_is_counted_by_itself(running: Running) -> None:
    answered(infer(running.client, "versions", column(2)))
    answered(infer(running.client, "versions/versions/2", column(3)))
    listed = answered(running.client.get("/v2/models/versions/stats"))["model_stats"]

    assert [(entry["version"], entry["inference_count"]) for entry in listed] == [("1", 0), ("2", 3), ("10", 2)]
    for entry in listed:
        assert counters(running.client, f"versions/versions/{entry['version']}") == entry


@pytest.mark.parametrize("name", ["sigmoid", "softmax"])
def test_an_activation_is_counted_too(running: Running, name: str) -> None:
    answered(infer(running.client, name, tensor(np.ones((3, 2)))))
    refused(infer(running.client, name, tensor(np.ones((3, 2))), parameters={"nothing": 1}), 400)
    found = counters(running.client, name)

    assert counters(running.client, f"{name}/versions/1") == found
    assert (found["name"], found["version"], found["inference_count"], found["execution_count"]) == (name, "1", 3, 1)
    assert [found["inference_stats"][kind]["count"] for kind in ("success", "fail")] == [1, 1]


def test_all_that_is_served_is_listed_and_nothing_else(running: Running) -> None:
    """`stats` is no model's name here; `half` has a version that is not served."""
    answered(infer(running.client, "half", column(1)))
    listed = answered(running.client.get("/v2/models/stats"))["model_stats"]

    served = [("fixed", "1"), ("grow", "1"), ("half", "1"), ("total", "1")]
    versions = [("versions", number) for number in ("1", "2", "10")]
    names = [(entry["name"], entry["version"]) for entry in listed]
    assert names == [(name, "1") for name in ACTIVATIONS] + served + versions
    assert [entry["name"] for entry in listed if entry["inference_count"]] == ["half"]


@pytest.mark.parametrize(
    "path", ["nothing", "nothing/versions/1", "relu/versions/2", "half/versions/2", "half/versions/x"]
)
def test_what_is_not_served_has_no_statistics(running: Running, path: str) -> None:
    """400, as in Triton, and not 404."""
    text = refused(running.client.get(f"/v2/models/{path}/stats"), 400)
    assert text == f"requested model {path.partition('/')[0]!r} is not available"


def test_counts_begin_anew_when_a_model_is_loaded_anew(running: Running) -> None:
    answered(infer(running.client, "grow", column(1)))
    for action in ("unload", "load"):
        assert running.client.post(f"/v2/repository/models/grow/{action}", headers=ADMIN).status_code == 200
    assert counters(running.client, "grow")["inference_count"] == 0
