"""A folder of models is served as far as it can be, and the rest is listed with the reason."""

import os
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from service.errors import ModelUnavailable, NotFound


def test_the_highest_version_answers_and_each_can_be_asked(tmp_path: Path) -> None:
    for version, add in (("1", 1.0), ("2", 2.0), ("10", 10.0)):
        put(tmp_path, "m", version, plain(add))
    found = load(tmp_path)
    x = np.zeros((1, 3), np.float32)

    assert found.find("m").version == 10
    assert [found.find("m", v).run({"x": x})["y"][0, 0] for v in ("1", "2", "10")] == [1, 2, 10]


@pytest.mark.parametrize("version", ["0", "01", "-1", "latest", "1e3", "9999", "١", "", "1.0"])
def test_an_unknown_version_is_not_found(tmp_path: Path, version: str) -> None:
    put(tmp_path, "m", "1", plain())
    with pytest.raises(NotFound, match="versions: 1"):
        load(tmp_path).find("m", version)


def test_a_broken_file_is_listed_and_the_others_are_served(tmp_path: Path) -> None:
    put(tmp_path, "broken", "1", b"junk")
    put(tmp_path, "half", "1", plain(1.0))
    put(tmp_path, "half", "2", plain(2.0)[:-9])
    put(tmp_path, "whole", "1", plain())
    found = load(tmp_path)

    assert [model.name for model in found.models()] == ["half", "whole"]
    assert found.find("half").version == 1
    with pytest.raises(ModelUnavailable, match="protobuf"):
        found.find("broken")
    with pytest.raises(ModelUnavailable, match="version 2 is not served"):
        found.find("half", "2")


def test_a_reason_does_not_show_the_servers_paths(tmp_path: Path) -> None:
    (tmp_path / "empty" / "1").mkdir(parents=True)
    reason = load(tmp_path).entries["empty"].reasons[1]
    assert reason == "No such file or directory"


def test_a_pipe_named_like_a_model_does_not_block(tmp_path: Path) -> None:
    (tmp_path / "pipe" / "1").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe" / "1" / "model.onnx")
    assert load(tmp_path).entries["pipe"].reasons[1] == "model.onnx is not a regular file"


@pytest.mark.parametrize("name", [".hidden", "lost+found", "a b", "-rf", "ä"])
def test_folders_that_are_no_model_names_are_ignored(tmp_path: Path, name: str) -> None:
    put(tmp_path, name, "1", plain())
    assert load(tmp_path).entries == {}


def test_version_folders_that_are_no_numbers_are_ignored(tmp_path: Path) -> None:
    for version in ("0", "01", "abc", "1.5", "..2026_11_23", "٣"):
        put(tmp_path, "m", version, plain())
    assert load(tmp_path).entries["m"].reason == "it has no version folder (1, 2, …)"


def test_a_reserved_name_is_not_served(tmp_path: Path) -> None:
    put(tmp_path, "relu", "1", plain())
    with pytest.raises(ModelUnavailable, match="the name is an activation's"):
        load(tmp_path, reserved=("relu",)).find("relu")


@pytest.mark.parametrize("exists", [True, False])
def test_an_empty_or_missing_repository_serves_nothing(tmp_path: Path, exists: bool) -> None:
    assert load(tmp_path if exists else tmp_path / "nowhere").models() == []


def test_an_unknown_name_suggests_the_nearest(tmp_path: Path) -> None:
    put(tmp_path, "cnn-relu", "1", plain())
    with pytest.raises(NotFound, match="Request for unknown model: 'cnn-rellu' is not found"):
        load(tmp_path).find("cnn-rellu")


def test_a_model_with_an_output_that_is_no_tensor_is_not_served(tmp_path: Path) -> None:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])]
    outputs = [helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph([helper.make_node("SequenceConstruct", ["x"], ["y"])], "g", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    put(tmp_path, "sequence", "1", model.SerializeToString())

    assert "'y': ONNX type 'seq(tensor(float))'" in load(tmp_path).entries["sequence"].reasons[1]
