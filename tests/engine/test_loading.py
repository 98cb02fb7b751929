"""A model is loaded with its data, tried, and found to batch only where its rows are independent."""

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from service.engine import loading
from service.engine.rules import Limits
from service.errors import BadRequest
from tests.engine.hostile import endless, large
from tests.engine.making import Shape, answer, classifier, load, node, plain, put, serialised


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


def facts(folder: Path, content: bytes, text: str | None = None) -> tuple[int, int]:
    put(folder, "m", "1", content)
    if text is not None:
        (folder / "m" / "model.toml").write_text(text)
    model = load(folder, limits=Limits(max_batch_size=100)).find("m")
    return model.max_batch_size, model.fixed_rows


def axes(*numbers: int) -> onnx.TensorProto:
    return helper.make_tensor("axes", TensorProto.INT64, [len(numbers)], numbers)


BATCHES = {
    "a free axis of one name": (serialised(node("Relu")), (100, 0)),
    "a free axis without a name": (serialised(node("Relu"), inputs=(None, 3), outputs=(None, 3)), (100, 0)),
    "free axes of two names": (serialised(node("Relu"), inputs=("N", 3), outputs=("M", 3)), (0, 0)),
    "one row": (plain(shape=(1, 3)), (0, 1)),
    "three rows": (plain(shape=(3, 3)), (0, 3)),
    "no axis": (serialised(node("Relu"), inputs=(), outputs=()), (0, 0)),
    "an empty axis": (plain(shape=(0, 3)), (0, 0)),
    "softmax along the rows": (serialised(node("Softmax", axis=0)), (0, 0)),
    "softmax along three rows": (serialised(node("Softmax", axis=0), inputs=(3, 3), outputs=(3, 3)), (0, 0)),
    "a running sum": (serialised(node("CumSum", "x", "axes"), constants=[axes(0)]), (0, 0)),
    "rows twice": (serialised(node("Concat", "x", "x", axis=0), outputs=None), (0, 0)),
    "whole numbers": (plain(element=TensorProto.INT64), (100, 0)),
    "half floats": (plain(element=TensorProto.FLOAT16), (100, 0)),
    "truth": (serialised(node("Not"), element=TensorProto.BOOL), (100, 0)),
    "strings": (serialised(node("Identity"), element=TensorProto.STRING), (100, 0)),
    "not finite": (serialised(node("Log")), (100, 0)),
}


@pytest.mark.parametrize(("content", "expected"), BATCHES.values(), ids=BATCHES)
def test_a_batch_is_an_axis_of_independent_rows(tmp_path: Path, content: bytes, expected: tuple[int, int]) -> None:
    assert facts(tmp_path, content) == expected


@pytest.mark.parametrize(
    ("content", "text", "expected"),
    [
        (plain(), "", (100, 0)),
        (plain(), "max_batch_size = 7", (7, 0)),
        (plain(), "max_batch_size = 0", (0, 0)),
        (plain(shape=(2, 3)), "max_batch_size = 7", (7, 2)),
        (plain(shape=(2, 3)), "max_batch_size = 0", (0, 0)),
        (serialised(node("Relu"), outputs=("M", 3)), "max_batch_size = 7", (7, 0)),
    ],
)
def test_model_toml_has_the_last_word(tmp_path: Path, content: bytes, text: str, expected: tuple[int, int]) -> None:
    assert facts(tmp_path, content, text) == expected


def refusal(folder: Path, content: bytes, text: str = "") -> str:
    put(folder, "m", "1", content)
    (folder / "m" / "model.toml").write_text(text)
    return load(folder).entry("m").reasons[1]


def two_inputs(first: Shape, second: Shape) -> bytes:
    """y = a, and b unused."""
    a, b, y = (
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("a", first), ("b", second), ("y", first))
    )
    graph = helper.make_graph([helper.make_node("Identity", ["a"], ["y"])], "g", [a, b], [y])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


@pytest.mark.parametrize(
    "content", [serialised(node("Relu"), inputs=(), outputs=()), two_inputs((2, 3), (4, 3)), two_inputs(("N",), ("M",))]
)
def test_model_toml_cannot_make_a_batch_of_what_is_none(tmp_path: Path, content: bytes) -> None:
    text = refusal(tmp_path, content, "max_batch_size = 8")
    assert text == "model.toml: max_batch_size is 8, but the inputs' first axes are not one batch"


def test_rows_of_another_rank_are_no_batch(tmp_path: Path) -> None:
    """Three rows of one give [3]; one row of one gives []."""
    squeezed = serialised(node("Squeeze"), inputs=("N", 1), outputs=None)
    assert facts(tmp_path, squeezed) == (0, 0)


def test_alike_is_one_shape_and_nearly_one_number() -> None:
    row = np.array([[1.0, -2.0]])
    assert loading._alike(row * (1 + 1e-6), row)
    assert not loading._alike(row * 1.1, row)
    assert not loading._alike(row[0], row)
    assert not loading._alike(row[:, :1], row)
    assert loading._alike(row.astype(ml_dtypes.bfloat16) * 1.01, row.astype(ml_dtypes.bfloat16))


def test_a_model_without_inputs_is_served(tmp_path: Path) -> None:
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"])
    constant = helper.make_node("Constant", [], ["y"], value_floats=[1.0, 2.0])
    graph = helper.make_graph([constant], "g", [], [y])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    put(tmp_path, "m", "1", made.SerializeToString())
    model = load(tmp_path).find("m")

    assert model.max_batch_size == 0
    np.testing.assert_array_equal(model.run({})["y"], [1.0, 2.0])


def test_a_model_of_huge_inputs_is_not_tried(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A shape costs the file a few bytes, and the trial would cost all memory there is."""
    assert facts(tmp_path, plain(shape=(2, 2**40))) == (0, 0)
    assert "too large for a warm-up run" in caplog.text


def test_a_model_whose_trial_batch_would_be_huge_does_not_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "MAX_TRIAL_ELEMENTS", 8)
    assert facts(tmp_path, plain()) == (0, 0)


def test_labels_must_fit_the_classes_and_the_outputs(tmp_path: Path) -> None:
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 3]) for n in ("x", "probabilities"))
    graph = helper.make_graph([helper.make_node("Softmax", ["x"], ["probabilities"])], "g", [x], [y])
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()

    assert refusal(tmp_path / "a", content, 'labels = ["a"]') == "there are 1 labels for 3 classes"
    text = refusal(tmp_path / "b", content, '[labels]\nlogits = ["a"]')
    assert text == "model.toml: labels of ['logits'], but the model has outputs ['probabilities']"


def test_a_binary_classifier_has_two_labels_for_one_probability(tmp_path: Path) -> None:
    """It is the second's, so the one element of an output has neither for its own."""
    put(tmp_path, "binary", "1", classifier(("vehicle", "animal"), kind="binary_classifier"))
    about = load(tmp_path).find("binary").description
    assert (about.kind, about.labels, about.is_binary) == ("binary_classifier", ("vehicle", "animal"), True)
    assert (about.labels_of("probabilities"), about.labels_of("logits")) == (None, None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (classifier("va"), "there are 2 labels for 1 classes"),
        (classifier("va", kind="regressor"), "there are 2 labels for 1 classes"),
        (classifier("v", kind="binary_classifier"), "there are 1 labels, but kind 'binary_classifier' has two"),
        (classifier("vab", kind="binary_classifier"), "there are 3 labels, but kind 'binary_classifier' has two"),
        (
            classifier("va", kind="binary_classifier", classes=2),
            "there are 2 probabilities, but kind 'binary_classifier' has one, the second label's",
        ),
    ],
)
def test_labels_that_do_not_fit_the_kind_are_a_reason_not_to_serve(tmp_path: Path, content: bytes, reason: str) -> None:
    assert refusal(tmp_path, content) == reason


def test_an_endless_loop_is_not_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is stopped at the limit; the thread that loads goes on."""
    monkeypatch.setattr(loading, "TRIAL_LIMIT_S", 0.2)
    assert refusal(tmp_path, endless()) == "a run took more than 0.2 s and was stopped"


def test_a_model_that_takes_more_memory_than_there_is_is_not_served(tmp_path: Path) -> None:
    """Of its own size it says nothing; a run asks for 4 TiB."""
    assert refusal(tmp_path, large(2**40)).startswith("one run takes more memory than there is: ")


def test_an_opset_that_is_too_new_is_refused_in_the_runtimes_words(tmp_path: Path) -> None:
    proto = onnx.load_from_string(plain())
    proto.opset_import[0].version = 999
    assert "opset" in refusal(tmp_path, proto.SerializeToString())


def test_external_data_is_served_from_memory(tmp_path: Path) -> None:
    """What is done to the file later changes nothing: a file mapped into memory would end the process here."""
    proto = onnx.load_from_string(plain(5.0))
    constant = proto.graph.initializer[0]
    constant.CopyFrom(numpy_helper.from_array(np.float32(5.0), "c"))
    onnx.external_data_helper.set_external_data(constant, location="data")
    constant.ClearField("raw_data")
    path = put(tmp_path, "m", "1", proto.SerializeToString()).with_name("data")
    path.write_bytes(np.float32(5.0).tobytes())
    found = load(tmp_path)
    path.write_bytes(b"")

    assert answer(found) == 6.0
