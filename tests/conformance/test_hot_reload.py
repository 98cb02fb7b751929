"""New versions are taken by a running service, whole and without a request lost; broken ones are not."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton
from onnx import helper
from tritonclient.utils import InferenceServerException

from tests.conformance import models
from tests.serving import DEADLINE_S, eventually, serving


def constant(value: float) -> bytes:
    """y = value, for every x."""
    nodes = [
        helper.make_node("Sub", ["x", "x"], ["nothing"]),
        helper.make_node("Constant", [], ["c"], value_float=value),
        helper.make_node("Add", ["nothing", "c"], ["y"]),
    ]
    return models.model(nodes, ["x"], ["y"], models.ELEMENTS["FP32"], None)


def put(repository: Path, version: str, content: bytes) -> None:
    """As a deployment should: write elsewhere on the same file system, then rename."""
    made = repository.parent / "made" / version
    made.mkdir(parents=True)
    (made / "model.onnx").write_bytes(content)
    (repository / "m").mkdir(exist_ok=True)
    made.rename(repository / "m" / version)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work") / "repository"
    folder.mkdir()
    put(folder, "1", constant(1.0))
    return folder


@pytest.fixture(scope="module")
def address(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("log") / "server.log"
    with serving(log, repository=str(repository), reload_interval_seconds="0.05") as (_, url):
        yield url.removeprefix("http://")


@pytest.fixture
def client(address: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address) as made:
        yield made


def ask(client: triton.InferenceServerClient, version: str = "") -> float:
    x = triton.InferInput("x", [1, 1], "FP32").set_data_from_numpy(np.zeros((1, 1), np.float32))
    return float(client.infer("m", [x], model_version=version).as_numpy("y").item())


def state(client: triton.InferenceServerClient, version: str) -> tuple[str, str]:
    """Of the index: the state and the reason."""
    lines = [line for line in client.get_model_repository_index() if (line["name"], line["version"]) == ("m", version)]
    return (lines[0]["state"], lines[0].get("reason", "")) if lines else ("", "")


def test_a_running_service_takes_versions_as_they_come_and_go(
    client: triton.InferenceServerClient, address: str, repository: Path
) -> None:
    answers, stop = [], threading.Event()

    def keep_asking() -> None:
        with triton.InferenceServerClient(address) as another:  # a client belongs to its thread
            while not stop.is_set():
                answers.append(ask(another))

    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        put(repository, "2", constant(2.0))
        eventually(lambda: ask(client) == 2.0)
        put(repository, "3", b"not a model")
        eventually(lambda: state(client, "3")[0] == "UNAVAILABLE")
        assert (ask(client), ask(client, "1")) == (2.0, 1.0)

        (repository / "m" / "2").rename(repository.parent / "gone")
        eventually(lambda: client.get_model_metadata("m")["versions"] == ["1"])
        assert ask(client) == 1.0
        eventually(lambda: answers[-1] == 1.0)  # what was under way then was the other version's
    finally:
        stop.set()
        asking.join(DEADLINE_S)

    assert not asking.is_alive()
    changes = [a for a, b in zip(answers, [*answers[1:], None], strict=True) if a != b]
    assert changes == [1.0, 2.0, 1.0]  # every request was answered, by the version of its time


def test_a_broken_file_never_replaces_a_good_one(client: triton.InferenceServerClient, repository: Path) -> None:
    put(repository, "5", constant(5.0))
    eventually(lambda: state(client, "5")[0] == "READY")
    broken = repository / "m" / "5" / ".new"
    broken.write_bytes(b"broken")
    broken.rename(repository / "m" / "5" / "model.onnx")
    eventually(lambda: "protobuf" in state(client, "5")[1])

    assert (state(client, "5")[0], ask(client, "5")) == ("READY", 5.0)


def test_a_model_toml_is_taken_too(client: triton.InferenceServerClient, repository: Path) -> None:
    (repository / "m" / "model.toml").write_text("versions = [1]\n")
    eventually(lambda: client.get_model_metadata("m")["versions"] == ["1"])
    with pytest.raises(InferenceServerException, match=r"\[404\].*version 5 is not found"):
        ask(client, "5")

    (repository / "m" / "model.toml").write_text("nonsense = 1\n")
    eventually(lambda: "nonsense" in state(client, "1")[1])
    assert ask(client) == 1.0
