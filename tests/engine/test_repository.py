"""A folder of models is served as far as it can be, and the rest is listed with the reason."""

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from service.engine import repository
from service.engine.repository import Description, Repository
from service.engine.session import Device
from service.errors import BadRequest, ModelUnavailable, NotFound


def plain(add: float = 0.0, element: int = TensorProto.FLOAT, shape: tuple[object, ...] = ("N", 3)) -> bytes:
    """y = x + add."""
    ports = [helper.make_tensor_value_info(name, element, list(shape)) for name in "xy"]
    constant = helper.make_tensor("c", element, [], [add])
    graph = helper.make_graph([helper.make_node("Add", ["x", "c"], ["y"])], "g", ports[:1], ports[1:], [constant])
    opset = helper.make_opsetid("", 17)
    made: bytes = helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
    return made


def put(folder: Path, name: str, version: str, content: bytes) -> Path:
    path = folder / name / version / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def load(folder: Path, reserved: tuple[str, ...] = ()) -> Repository:
    return repository.load(folder, Device.cpu(), threads=1, reserved=reserved)


def test_a_plain_onnx_file_is_served_as_tensors(tmp_path: Path) -> None:
    put(tmp_path, "plus-one", "1", plain(1.0))
    model = load(tmp_path).find("plus-one")

    assert model.description == Description()
    np.testing.assert_array_equal(model.run({"x": np.zeros((2, 3), np.float32)})["y"], np.ones((2, 3)))


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


def test_external_data_is_not_followed(tmp_path: Path) -> None:
    """A model that points to another file could read any file of the server."""
    proto = onnx.load_from_string(plain())
    constant = proto.graph.initializer[0]
    constant.ClearField("float_data")
    constant.data_location = TensorProto.EXTERNAL
    constant.external_data.add(key="location", value="secret")
    path = put(tmp_path, "spy", "1", proto.SerializeToString())
    (path.parent / "secret").write_bytes(b"1234")

    assert load(tmp_path).entries["spy"].reasons


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


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"labels": "cat, dog"}, ""),
        ({"labels": "[1, 2]"}, "'labels' is not a JSON list of strings"),
        ({"card": "[]"}, "'card' is not a JSON object"),
        ({"preprocessing": '{"size": [0, 0]}'}, "preprocessing"),
    ],
)
def test_malformed_metadata_is_a_reason_not_to_serve(tmp_path: Path, properties: dict[str, str], text: str) -> None:
    proto = onnx.load_from_string(plain())
    helper.set_model_props(proto, properties)
    put(tmp_path, "m", "1", proto.SerializeToString())

    assert text in load(tmp_path).entries["m"].reasons[1]


def test_our_metadata_is_read(tmp_path: Path) -> None:
    proto = onnx.load_from_string(plain())
    properties = {"kind": "classifier", "activation": "relu", "labels": json.dumps(["a", "b", "c"]), "card": "{}"}
    helper.set_model_props(proto, properties)
    put(tmp_path, "m", "1", proto.SerializeToString())

    assert load(tmp_path).find("m").description == Description("classifier", "relu", ("a", "b", "c"), None, {})


@pytest.mark.parametrize(
    ("feeds", "text"),
    [
        ({}, "missing ['x']"),
        ({"x": np.zeros((1, 3), np.float32), "z": np.zeros(1)}, "unknown ['z']"),
        ({"x": np.zeros((1, 3))}, "expected FP32 [-1, 3], got FP64 [1, 3]"),
        ({"x": np.zeros((1, 4), np.float32)}, "expected FP32 [-1, 3], got FP32 [1, 4]"),
        ({"x": np.zeros(3, np.float32)}, "got FP32 [3]"),
        ({"x": np.array([[b"a"] * 3], object)}, "got BYTES [1, 3]"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_with_what_would(
    tmp_path: Path, feeds: dict[str, np.ndarray], text: str
) -> None:
    put(tmp_path, "m", "1", plain())
    with pytest.raises(BadRequest) as refusal:
        load(tmp_path).find("m").run(feeds)
    assert text in refusal.value.text


def test_strings_go_in_and_come_out(tmp_path: Path) -> None:
    ports = [helper.make_tensor_value_info(name, TensorProto.STRING, ["N"]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    put(tmp_path, "echo", "1", model.SerializeToString())

    answer = load(tmp_path).find("echo").run({"x": np.array([b"caf\xc3\xa9", b""], object)})["y"]
    assert answer.tolist() == ["café", ""]


def test_a_model_with_an_output_that_is_no_tensor_is_not_served(tmp_path: Path) -> None:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])]
    outputs = [helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph([helper.make_node("SequenceConstruct", ["x"], ["y"])], "g", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    put(tmp_path, "sequence", "1", model.SerializeToString())

    assert "'y': ONNX type 'seq(tensor(float))'" in load(tmp_path).entries["sequence"].reasons[1]


def test_a_model_that_refuses_a_batch_of_one_is_served_all_the_same(tmp_path: Path) -> None:
    """The warm-up sends one zero; this model wants an even number of them."""
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", ["N"]), ("y", None))
    ]
    pairs = helper.make_tensor("pairs", TensorProto.INT64, [2], [-1, 2])
    graph = helper.make_graph([helper.make_node("Reshape", ["x", "pairs"], ["y"])], "g", ports[:1], ports[1:], [pairs])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    put(tmp_path, "pairs", "1", model.SerializeToString())
    found = load(tmp_path).find("pairs")

    assert found.run({"x": np.zeros(4, np.float32)})["y"].shape == (2, 2)
    with pytest.raises(BadRequest, match="the model fails on this input"):
        found.run({"x": np.zeros(3, np.float32)})


def test_a_file_too_large_for_a_protobuf_is_not_read(tmp_path: Path) -> None:
    """Sparse: it takes no room on the disk."""
    path = put(tmp_path, "huge", "1", b"")
    os.truncate(path, 2**31)

    assert "a model has at most 2147483647" in load(tmp_path).entries["huge"].reasons[1]
