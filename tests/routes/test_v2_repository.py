"""/v2/repository: the index, loading and unloading; and /v2's shared memory, of which there is none."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from service.activations.catalogue import ACTIVATIONS
from service.engine.model import Model
from service.engine.runtime.session import Session
from tests.routes.conftest import ADMIN, Running, model, one, write
from tests.routes.sending import answered, infer, refused, tensor

INDEX = "/v2/repository/index"


def change(running: Running, name: str, action: str, **options: Any) -> Any:
    return running.client.post(f"/v2/repository/models/{name}/{action}", headers=ADMIN, **options)


def states(running: Running, name: str, **members: bool) -> list[tuple[str, str]]:
    index = answered(running.client.post(INDEX, json=members))
    return [(line["version"], line["state"]) for line in index if line["name"] == name]


X = tensor(np.array([3.0]))

# --- the index --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready": false}', b'{"unknown": 1}'])
def test_the_index_has_everything_with_its_state(plain_client: TestClient, body: bytes) -> None:
    """An empty body is what tritonclient sends."""
    index = answered(plain_client.post(INDEX, content=body))
    lines = {(line["name"], line.get("version")): line for line in index}

    assert len(lines) == len(index)
    assert [line for line in index if line["name"] in ACTIVATIONS and "reason" not in line] == [
        {"name": name, "version": "1", "state": "READY"} for name in ACTIVATIONS
    ]
    assert lines["versions", "10"] == {"name": "versions", "version": "10", "state": "READY"}
    assert lines["half", "1"]["state"] == "READY"
    assert lines["half", "2"]["state"] == lines["broken", "1"]["state"] == "UNAVAILABLE"
    assert lines["half", "2"]["reason"]
    assert lines["empty", None] == {
        "name": "empty", "state": "UNAVAILABLE", "reason": "it has no version folder (1, 2, …)",
    }  # fmt: skip


def test_the_index_of_what_is_ready_leaves_out_the_rest(plain_client: TestClient) -> None:
    everything, ready = (answered(plain_client.post(INDEX, json={"ready": only})) for only in (False, True))
    assert ready == [line for line in everything if line["state"] == "READY"]
    assert len(ready) < len(everything)


@pytest.mark.parametrize(
    "body", [b"null", b"[]", b'"ready"', b"1", b'{"ready": 1}', b'{"ready": "true"}', b'{"ready": null}', b"{", b" "]
)
def test_a_wrong_body_for_the_index_is_refused(plain_client: TestClient, body: bytes) -> None:
    refused(plain_client.post(INDEX, content=body), 400)


def test_deep_nesting_in_a_control_body_is_refused(plain_client: TestClient) -> None:
    """J08."""
    refused(plain_client.post(INDEX, content=b'{"ready": ' + b"[" * 30_000), 400)


@pytest.mark.parametrize(("size", "status"), [(64 * 2**10, 200), (64 * 2**10 + 1, 413)])
def test_a_control_body_is_short(plain_client: TestClient, size: int, status: int) -> None:
    """It is read on the event loop."""
    assert plain_client.post(INDEX, content=b"{}".ljust(size)).status_code == status


# --- loading and unloading --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b'{"parameters": {}}', b'{"parameters": {"unload_dependents": false}}', b'{"parameters": null}'],
)
def test_a_model_that_is_unloaded_is_404_until_it_is_loaded(running: Running, body: bytes) -> None:
    response = change(running, "versions", "unload", content=body)
    assert (response.status_code, response.content) == (200, b"")
    assert states(running, "versions") == [(number, "UNAVAILABLE") for number in ("1", "2", "10")]
    assert states(running, "versions", ready=True) == []
    for path in ("versions", "versions/versions/2"):
        text = refused(infer(running.client, path, X), 404)
        assert text.startswith("Request for unknown model: 'versions' ")
        refused(running.client.get(f"/v2/models/{path}/ready"), 404)
    assert answered(infer(running.client, "grow", X))

    response = change(running, "versions", "load", json={})
    assert (response.status_code, response.content) == (200, b"")
    assert states(running, "versions") == [(number, "READY") for number in ("1", "2", "10")]
    assert answered(infer(running.client, "versions", X))["outputs"][0]["data"] == [27.0]


def test_loading_takes_what_is_new_in_the_folder(running: Running) -> None:
    write(running.folder, {"versions/11": model(one("Neg")), "fresh/1": model(one("Neg"))})
    refused(infer(running.client, "fresh", X), 404)
    for name in ("versions", "fresh"):
        assert change(running, name, "load").status_code == 200
        assert answered(infer(running.client, name, X))["outputs"][0]["data"] == [-3.0]


def test_a_load_that_fails_says_why_and_serves_on_what_was_served(running: Running) -> None:
    write(running.folder, {"grow/2": b"not a model"})
    text = refused(change(running, "grow", "load"), 500)
    assert text.startswith("failed to load 'grow', version 2: ")
    assert states(running, "grow") == [("1", "READY"), ("2", "UNAVAILABLE")]
    assert answered(infer(running.client, "grow", X))["model_version"] == "1"


def test_what_is_not_there_cannot_be_loaded_or_unloaded(running: Running) -> None:
    assert refused(change(running, "growth", "load"), 500).startswith("failed to load 'growth', ")
    assert "'growth'" in refused(change(running, "growth", "unload"), 404)


@pytest.mark.parametrize("action", ["load", "unload"])
@pytest.mark.parametrize("name", ["relu", "softmax"])
def test_an_activation_is_neither_loaded_nor_unloaded(running: Running, name: str, action: str) -> None:
    assert "part of the service" in refused(change(running, name, action), 400)
    assert states(running, name) == [("1", "READY")]


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"config": "{}"}, 403),
        ({"file:1/model.onnx": "eA=="}, 403),
        ({"config": "{}", "file:1/model.onnx": "eA=="}, 403),
        ({"x": 1}, 400),
        ({"config": "{}", "x": 1}, 400),
        ([1], 400),
        ("x", 400),
        (1, 400),
    ],
)
def test_models_come_from_the_folder_alone(running: Running, parameters: object, status: int) -> None:
    """Triton's way to send a file, or a configuration, is off until it is asked for."""
    refused(change(running, "grow", "load", json={"parameters": parameters}), status)
    assert states(running, "grow") == [("1", "READY")]


@pytest.mark.parametrize("action", ["load", "unload"])
@pytest.mark.parametrize("body", [b"[]", b"{", b"null"])
def test_a_wrong_body_changes_nothing(running: Running, action: str, body: bytes) -> None:
    refused(change(running, "grow", action, content=body), 400)
    assert states(running, "grow") == [("1", "READY")]


def test_a_request_under_way_finishes_on_a_model_that_is_unloaded(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unloading does not wait for the threads of inference either: here the only one is busy."""
    started, release = threading.Event(), threading.Event()
    run = Session.run

    def slow(session: Session, *args: Any, **options: Any) -> Any:
        started.set()
        release.wait(30)
        return run(session, *args, **options)

    monkeypatch.setattr(Session, "run", slow)
    with ThreadPoolExecutor(1) as thread:
        request = thread.submit(infer, running.client, "grow", X)
        try:
            assert started.wait(30)
            assert change(running, "grow", "unload").status_code == 200
            assert states(running, "grow") == [("1", "UNLOADING")]
        finally:
            release.set()
        assert answered(request.result(30))["outputs"][0]["data"] == [pytest.approx(np.exp(3))]
    refused(infer(running.client, "grow", X), 404)


def test_a_model_that_leaves_while_it_is_asked_about_is_described_as_it_was(running: Running) -> None:
    """Hot reload runs in another thread: between finding a version and listing them all, the entry may go."""
    repository = running.services.repository

    class Vanishing:
        """Finds a model, and has forgotten it right after."""

        entries = repository.entries

        def find(self, name: str, version: str | None) -> Model:
            self.entries = {}
            return repository.find(name, version)

    running.use(repository=Vanishing())
    assert answered(running.client.get("/v2/models/versions"))["versions"] == ["10"]
    running.use(repository=Vanishing())
    assert [m["version"] for m in answered(running.client.get("/v2/models/versions/stats"))["model_stats"]] == ["10"]


# --- shared memory ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["systemsharedmemory", "cudasharedmemory"])
def test_no_region_is_registered_and_none_can_be(client: TestClient, kind: str) -> None:
    for place in (kind, f"{kind}/region/r"):
        assert answered(client.get(f"/v2/{place}/status")) == []
        assert client.post(f"/v2/{place}/unregister").status_code == 200
    key = {"key": "/etc/passwd", "offset": 0, "byte_size": 1}
    assert "not supported" in refused(client.post(f"/v2/{kind}/region/r/register", json=key), 501)
