"""The server that the tables are sent to: small limits, and models whose answers are known."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from tests.conformance.models import model
from tests.conformance.models import write as write_echoes
from tests.engine.making import put
from tests.hostile.answering import Server, running
from tests.hostile.cases import KEY
from tests.hostile.heads import LIMIT_BYTES
from tests.hostile.pictures import MAX_IMAGES
from tests.serving import ROOT


def pick() -> bytes:
    """y = one of three numbers, by its place: a place that is not there makes the run fail."""
    values = helper.make_tensor("values", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    x = helper.make_tensor_value_info("x", TensorProto.INT64, ["N", 1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])
    graph = helper.make_graph([helper.make_node("Gather", ["values", "x"], ["y"])], "g", [x], [y], [values])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def grow() -> bytes:
    """y = zeros of the shape x: as much memory as a request asks for."""
    x = helper.make_tensor_value_info("x", TensorProto.INT64, [2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None])
    graph = helper.make_graph([helper.make_node("ConstantOfShape", ["x"], ["y"])], "g", [x], [y])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def write(folder: Path) -> Path:
    """A repository, and a model beside it that is not to be reached."""
    repository = folder / "repository"
    repository.mkdir()
    write_echoes(repository)
    total = model([helper.make_node("Add", ["a", "b"], ["y"])], ["a", "b"], ["y"], TensorProto.FLOAT, 2)
    wide = model([helper.make_node("Neg", ["x"], ["y"])], ["x"], ["y"], TensorProto.INT32, 16)
    for name, content in {"total": total, "wide": wide, "pick": pick(), "grow": grow()}.items():
        put(repository, name, "1", content)
    (repository / "pick" / "model.toml").write_text("[batching]\nmax_queue_delay_microseconds = 50_000\n")
    put(folder, "canary", "1", wide)
    (repository / "cnn-relu").symlink_to(ROOT / "models" / "repository" / "cnn-relu")
    return repository


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="session")
def repository(folder: Path) -> Path:
    return write(folder)


@pytest.fixture(scope="session")
def server(folder: Path, repository: Path) -> Iterator[Server]:
    limits = {
        "max_body_bytes": LIMIT_BYTES,
        "max_decompressed_bytes": LIMIT_BYTES,
        "max_tensor_elements": 2**20,
        "max_images": MAX_IMAGES,
    }
    settings = {name: str(value) for name, value in limits.items()}
    with running(folder, repository=str(repository), admin_key=KEY, **settings) as server:
        yield server
