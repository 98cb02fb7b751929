"""A model takes what its file says it takes; many rows give the same as one at a time, however they are run."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from service.engine.model import Description, Model
from service.errors import BadRequest, ModelUnavailable
from tests.engine.making import load, node, ones, plain, put, serialised


@pytest.mark.parametrize(
    ("feeds", "text"),
    [
        ({}, "expected 1 inputs but got 0 inputs for model 'm'. Got input(s) [], but missing required input(s) ['x']"),
        (
            {"x": np.zeros((1, 3), np.float32), "z": np.zeros(1)},
            "unexpected inference input 'z' for model 'm'; it takes ['x']",
        ),
        ({"x": np.zeros((1, 3))}, "inference input 'x' data-type is 'FP64', but model 'm' expects 'FP32'"),
        (
            {"x": np.zeros((1, 4), np.float32)},
            "unexpected shape for input 'x' for model 'm'. Expected [-1,3], got [1,4]",
        ),
        ({"x": np.zeros(3, np.float32)}, "Expected [-1,3], got [3]"),
        ({"x": np.array([[b"a"] * 3], object)}, "data-type is 'BYTES', but model 'm' expects 'FP32'"),
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
    put(tmp_path, "echo", "1", serialised(node("Identity"), inputs=("N",), outputs=("N",), element=TensorProto.STRING))
    answer = load(tmp_path).find("echo").run({"x": np.array([b"caf\xc3\xa9", b"", "\0"], object)})["y"]
    assert answer.tolist() == ["café", "", "\0"]


def test_a_shape_that_the_file_does_not_give_is_not_held_to(tmp_path: Path) -> None:
    put(tmp_path, "m", "1", serialised(node("Neg"), inputs=None, outputs=None))
    model = load(tmp_path).find("m")
    for shape in ((), (2,), (1, 2, 3)):
        assert model.run({"x": np.ones(shape, np.float32)})["y"].shape == shape


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """The protocol's BYTES may hold anything, ONNX's strings UTF-8 only."""
    put(tmp_path, "echo", "1", serialised(node("Identity"), inputs=("N",), outputs=("N",), element=TensorProto.STRING))
    with pytest.raises(BadRequest, match=r"input 'x': element 1 is not valid UTF-8 \(byte 2\)"):
        load(tmp_path).find("echo").run({"x": np.array([b"fine", b"ab\xff"], object)})


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


def test_a_plain_onnx_file_is_served_as_tensors(tmp_path: Path) -> None:
    put(tmp_path, "plus-one", "1", plain(1.0))
    model = load(tmp_path).find("plus-one")

    assert model.description == Description()
    np.testing.assert_array_equal(model.run({"x": np.zeros((2, 3), np.float32)})["y"], np.ones((2, 3)))


ROWS = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)


def toml(folder: Path, text: str, content: bytes) -> Model:
    """A model with a `model.toml`."""
    put(folder, "m", "1", content)
    (folder / "m" / "model.toml").write_text(text)
    return load(folder).find("m")


def row_by_row(model: Model) -> np.ndarray:
    return np.concatenate([model.run({"x": ROWS[i : i + 1]})["y"] for i in range(len(ROWS))])


@pytest.mark.parametrize(
    ("shape", "text", "batch_sizes"),
    [
        (("N", 3), "", (7,)),
        (("N", 3), "max_batch_size = 7", (7,)),
        (("N", 3), "max_batch_size = 3", (3, 3, 1)),
        (("N", 3), "max_batch_size = 1", (1,) * 7),
        ((1, 3), "", (1,) * 7),
        ((2, 3), "", (2,) * 4),
        ((7, 3), "", (7,)),
        ((9, 3), "", (9,)),
        ((4, 3), "max_batch_size = 64", (4, 4)),
    ],
)
def test_many_rows_give_what_each_gives_alone(
    tmp_path: Path, shape: tuple[str | int, int], text: str, batch_sizes: tuple[int, ...]
) -> None:
    """Together, in parts, or filled up to the number that the file fixes."""
    softmax = serialised(node("Softmax", axis=-1), inputs=shape, outputs=shape)
    model = toml(tmp_path, text, softmax)
    execution = model.execute({"x": ROWS})

    np.testing.assert_array_equal(execution.outputs["y"], row_by_row(model))
    assert (execution.rows, execution.batch_sizes) == (7, batch_sizes)
    assert execution.infer_ns > 0


def test_a_model_that_does_not_batch_is_one_row(tmp_path: Path) -> None:
    execution = toml(tmp_path, "max_batch_size = 0", plain()).execute(ones(5))
    assert (execution.rows, execution.batch_sizes) == (1, (1,))


def test_no_rows_are_none_where_any_number_goes(tmp_path: Path) -> None:
    put(tmp_path, "m", "1", plain())
    execution = load(tmp_path).find("m").execute(ones(0))
    assert (execution.rows, execution.outputs["y"].shape) == (0, (0, 3))


@pytest.mark.parametrize("text", ["", "max_batch_size = 8"])
def test_no_rows_are_refused_where_the_file_fixes_a_number(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadRequest, match="the inputs have no rows, expected at least 1"):
        toml(tmp_path, text, plain(shape=(2, 3))).run(ones(0))


def test_a_fixed_number_of_rows_is_shown_as_it_is_and_the_rest_of_the_shape_is_held_to(tmp_path: Path) -> None:
    put(tmp_path, "m", "1", plain(shape=(2, 3)))
    model = load(tmp_path).find("m")

    assert (model.max_batch_size, model.inputs[0].shown()) == (0, [2, 3])
    with pytest.raises(BadRequest, match=r"Expected \[-1,3\], got \[2,4\]"):
        model.run({"x": np.zeros((2, 4), np.float32)})


def test_a_fixed_number_of_rows_that_is_called_a_batch_is_shown_as_one(tmp_path: Path) -> None:
    model = toml(tmp_path, "max_batch_size = 8", plain(shape=(2, 3)))
    assert model.max_batch_size == 8
    assert [port.shown() for port in (*model.inputs, *model.outputs)] == [[-1, 3]] * 2


def test_a_fixed_number_of_rows_that_is_no_batch_is_held_to(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"Expected \[2,3\], got \[1,3\]"):
        toml(tmp_path, "max_batch_size = 0", plain(shape=(2, 3))).run(ones(1))


def test_inputs_of_different_numbers_of_rows_are_refused(tmp_path: Path) -> None:
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in "aby"]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["y"])], "g", ports[:2], ports[2:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    put(tmp_path, "m", "1", made.SerializeToString())
    with pytest.raises(
        BadRequest, match="input 'b' batch size does not match other inputs for 'm': 1, the first input's is 2"
    ):
        load(tmp_path).find("m").run({"a": np.zeros((2, 2), np.float32), "b": np.zeros((1, 2), np.float32)})


def test_a_model_toml_that_is_wrong_about_the_batch_is_found_out(tmp_path: Path) -> None:
    """A sum over the first axis has one row, whatever goes in."""
    total = serialised(
        helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=1),
        outputs=None,
        constants=[helper.make_tensor("axes", TensorProto.INT64, [1], [0])],
    )
    model = toml(tmp_path, "max_batch_size = 2", total)
    with pytest.raises(ModelUnavailable, match=r"output 'y' has shape \[1, 3\] for 2 rows.*max_batch_size = 0"):
        model.run(ones(4))


def with_labels(content: bytes, *labels: str) -> bytes:
    proto = onnx.load_from_string(content)
    helper.set_model_props(proto, {"labels": json.dumps(labels)})
    made: bytes = proto.SerializeToString()
    return made


@pytest.mark.parametrize(
    ("text", "labels", "of_y"),
    [
        ("", ("a", "b", "c"), ("a", "b", "c")),
        ('labels = ["d", "e", "f"]', ("d", "e", "f"), ("d", "e", "f")),
        ('[labels]\ny = ["g"]', ("a", "b", "c"), ("g",)),
        ("[labels]", ("a", "b", "c"), ("a", "b", "c")),
    ],
)
def test_labels_are_the_tomls_before_the_files(
    tmp_path: Path, text: str, labels: tuple[str, ...], of_y: tuple[str, ...]
) -> None:
    about = toml(tmp_path, text, with_labels(plain(), "a", "b", "c")).description
    assert (about.labels, about.labels_of("y"), about.labels_of("z")) == (labels, of_y, labels)


def test_preprocessing_can_be_said_in_the_toml(tmp_path: Path) -> None:
    text = '[preprocessing]\nsize = [4, 5]\ncolor = "L"\nmean = [0]\nstd = [1]'
    how = toml(tmp_path, text, plain()).description.preprocessing
    assert how is not None
    assert (how.height, how.width) == (4, 5)


def test_what_fits_is_remembered_and_what_does_not_is_refused_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.engine.model.MAX_FITTING", 2)
    put(tmp_path, "m", "1", plain())
    model = load(tmp_path).find("m")
    for rows in (1, 2, 3, 1, 2, 3):
        model.check({"x": np.zeros((rows, 3), np.float32)})
        for wrong in (np.zeros((rows, 4), np.float32), np.zeros((rows, 3)), np.zeros((rows, 1, 3), np.float32)):
            with pytest.raises(BadRequest):
                model.check({"x": wrong})
    assert len(model._fitting) == 2
