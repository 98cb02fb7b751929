"""The network of the benchmarks is what its description says, and the same each time."""

import math
from pathlib import Path

import numpy as np
import onnx
import orjson
import pytest
from onnx import numpy_helper, shape_inference

from loadtests.peers import yardstick
from loadtests.peers.served import Model
from loadtests.peers.works import prepare


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return yardstick.write(tmp_path / "model.onnx")


def test_it_has_the_multiply_adds_that_it_names(path: Path) -> None:
    graph = onnx.load(path).graph
    inferred = shape_inference.infer_shapes(onnx.load(path)).graph.value_info
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    sides = {value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim[2:]] for value in inferred}
    convolutions = sum(
        weights[node.input[1]].size * math.prod(sides[node.output[0]]) for node in graph.node if node.op_type == "Conv"
    )
    assert convolutions + weights["head"].size == pytest.approx(9.9e6, rel=0.01)


def test_it_is_valid_and_the_same_each_time(path: Path, tmp_path: Path) -> None:
    onnx.checker.check_model(onnx.load(path), full_check=True)
    assert yardstick.write(tmp_path / "again.onnx").read_bytes() == path.read_bytes()


def test_it_tells_pictures_apart(path: Path) -> None:
    pictures = np.random.default_rng(0).standard_normal((32, 3, 32, 32), np.float32)
    logits = Model(str(path)).run(pictures)["logits"]
    assert np.all(np.abs(logits) < 100)
    assert np.all(logits.std(axis=0) > 0.01)


def test_pictures_can_be_sent_to_it(path: Path, tmp_path: Path) -> None:
    works = prepare(path, tmp_path)
    assert works.jpeg is not None
    properties = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert len(orjson.loads(properties["labels"])) == yardstick.CLASSES
