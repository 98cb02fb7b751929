"""A repository of small models that know nothing of this service, and a client of an application that serves them."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import onnx
import orjson
import pytest
from onnx import TensorProto, helper
from starlette.testclient import TestClient

from service.app import create_app
from service.logs import HANDLER, LOGGER, MESSAGES
from service.routes.state import Services
from service.settings import Settings
from service.wire.datatypes import DATATYPES

FLOAT = TensorProto.FLOAT
Shape: TypeAlias = tuple[int | None, ...]


def model(*nodes: onnx.NodeProto, element: int = FLOAT, shape: Shape = (None,), labels: str | None = None) -> bytes:
    """A graph from its free inputs, all of one type and shape, to the last node's output."""
    made_here = {name for node in nodes for name in node.output}
    free = dict.fromkeys(name for node in nodes for name in node.input if name not in made_here)
    inputs = [helper.make_tensor_value_info(name, element, shape) for name in free]
    output = helper.make_tensor_value_info(nodes[-1].output[0], element, None)
    graph = helper.make_graph(nodes, "plain", inputs, [output])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if labels is not None:
        helper.set_model_props(made, {"labels": labels})
    return bytes(made.SerializeToString())


def one(op: str, inputs: str = "x", **attributes: Any) -> onnx.NodeProto:
    """The node y = op(inputs), each input's name one letter."""
    return helper.make_node(op, list(inputs), ["y"], **attributes)


def narrow() -> bytes:
    """From FP32 to BF16."""
    proto = onnx.load_model_from_string(model(one("Cast", to=TensorProto.BFLOAT16)))
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.BFLOAT16
    return bytes(proto.SerializeToString())


SQUARE = helper.make_node("Mul", ["x", "x"], ["square"])

FILES = {
    "cube/1": model(one("Neg"), shape=(None, 3, 4, 5)),
    "counts/1": model(one("Abs"), element=TensorProto.INT64),
    "twice/1": model(one("Concat", "xx", axis=0), element=TensorProto.STRING),
    "total/1": model(one("Add", "ab"), shape=(None, 2)),
    "fixed/1": model(one("Neg"), shape=(2, 3)),
    "grow/1": model(one("Exp")),
    "scalar/1": model(one("Neg"), shape=()),
    "versions/1": model(one("Identity")),
    "versions/2": model(SQUARE),
    "versions/10": model(SQUARE, helper.make_node("Mul", ["x", "square"], ["cube"])),
    "half/1": model(one("Neg")),
    "half/2": b"not a model",
    "broken/1": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "mislabelled/1": model(one("Neg"), labels='{"0": "cat"}'),
    "relu/1": model(one("Neg")),
    "narrow/1": narrow(),
}
"""By name and version. Those after `versions` cannot be served, or not all of them."""

ELEMENTS = {"FP16": "FLOAT16", "FP32": "FLOAT", "FP64": "DOUBLE", "BF16": "BFLOAT16", "BYTES": "STRING"}
"""ONNX's names of datatypes, where they differ from V2's."""

ECHOES = {
    f"echo_{datatype.name.lower()}/1": model(
        one("Identity"),
        element=TensorProto.DataType.Value(ELEMENTS.get(datatype.name, datatype.name)),
        shape=(None, None),
    )
    for datatype in DATATYPES
}
"""y = x in each datatype, of any two dimensions."""

LABELLED = model(one("Identity"), shape=(None, None), labels='["cat", "dog", ""]')

KEY = "correct horse battery"
ADMIN = {"Authorization": f"Bearer {KEY}"}


@contextmanager
def application(**settings: Any) -> Iterator[TestClient]:
    """A client of an application of its own, on the CPU, that logs no requests; the log is put back as it was."""
    before = list(LOGGER.handlers), LOGGER.propagate, LOGGER.level
    try:
        own = {"device": "cpu", "threads": 1, "request_log": False}
        own |= {"max_stall_seconds": 3600}  # its watchdog would end the tests too
        made = create_app(Settings(**(own | settings)))
        with TestClient(made, raise_server_exceptions=False) as client:
            yield client
    finally:
        LOGGER.handlers[:], LOGGER.propagate = before[0], before[1]
        LOGGER.setLevel(before[2])


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Models by name and version, as a repository."""
    for place, content in files.items():
        (folder / place).mkdir(parents=True)
        (folder / place / "model.onnx").write_bytes(content)


@pytest.fixture(scope="session")
def plain_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of an application that serves FILES and ECHOES."""
    folder: Path = tmp_path_factory.mktemp("repository")
    write(folder, FILES | ECHOES | {"labelled/1": LABELLED})
    (folder / "empty").mkdir()
    (folder / ".hidden").mkdir()
    with application(repository=folder) as client:
        yield client


@dataclass(frozen=True)
class Running:
    """An application for one test, that an admin may change: its client, its repository, what it logs of what."""

    client: TestClient
    folder: Path
    log: io.StringIO
    requests: list[dict[str, Any]]

    @property
    def services(self) -> Services:
        services: Services = self.client.app_state["services"]
        return services

    def use(self, **fakes: Any) -> None:
        """Have the routes use others in the place of some services."""
        self.client.app_state["services"] = replace(self.services, **fakes)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """It serves `versions`, `half`, `total`, `fixed` and `grow`, 4 rows a run, and does not look for changes itself."""
    folder, chosen = tmp_path / "repository", ("versions", "half", "total", "fixed", "grow")
    write(folder, {place: content for place, content in FILES.items() if place.startswith(chosen)})
    settings = {"repository": folder, "admin_key": KEY, "reload_interval_seconds": 0, "max_batch_size": 4}
    with application(**settings, request_log=True) as client:
        running = Running(client, folder, io.StringIO(), [])
        HANDLER.put = lambda line: running.log.write(line.decode())
        running.services.log.requests.put = lambda line: running.requests.append(orjson.loads(line))
        yield running
        HANDLER.put = MESSAGES.put


@pytest.fixture
def golden(client: TestClient, horse: bytes) -> Iterator[None]:
    """Known-good requests are answered alike, whatever the test has sent in between."""
    before = known_good(client, horse)
    yield
    assert known_good(client, horse) == before


def known_good(client: TestClient, horse: bytes) -> list[object]:
    picture = client.post("/v1/models/cnn-relu/predict", content=horse, headers={"content-type": "image/jpeg"})
    activation = client.post("/v1/activations/elu", json={"data": [-1, 1], "parameters": {"alpha": 2}})
    alive = client.get("/v2/health/live")
    assert {response.status_code for response in (picture, activation, alive)} == {200}
    return [picture.json()["predictions"], activation.json()]
