"""A repository of small models that know nothing of this service, and a client of an application that serves them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import onnx
import pytest
from onnx import TensorProto, helper
from starlette.testclient import TestClient

from service.app import create_app
from service.settings import Settings

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
}
"""By name and version. Those after `versions` cannot be served, or not all of them."""


@pytest.fixture(scope="session")
def plain_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of an application that serves FILES."""
    folder: Path = tmp_path_factory.mktemp("repository")
    for place, content in FILES.items():
        (folder / place).mkdir(parents=True)
        (folder / place / "model.onnx").write_bytes(content)
    (folder / "empty").mkdir()
    (folder / ".hidden").mkdir()
    settings = Settings(device="cpu", threads=1, repository=folder)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


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
