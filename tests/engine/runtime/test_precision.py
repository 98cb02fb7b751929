"""Models in float16 take and give what they did, nearly the same, and what cannot be converted is run as it is."""

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from service.engine.runtime.device import Device
from service.engine.runtime.precision import opened, to_float16
from service.engine.runtime.session import Session
from service.errors import ModelUnavailable
from tests.engine.making import node, serialised

FLOAT = TensorProto.FLOAT


def cnn(*, shared: bool = False) -> bytes:
    """A convolution with ReLU, then mean, linear layer and softmax: `logits` and `probabilities`.

    Args:
        shared: whether the first layer and the last one use one constant.
    """
    random = np.random.default_rng(0)
    constants = [
        helper.make_tensor(name, FLOAT, shape, random.standard_normal(int(np.prod(shape))).astype(np.float32))
        for name, shape in (("kernel", [8, 3, 3, 3]), ("weights", [8, 5]), ("factor", [1]))
    ]
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["filtered"], pads=[1, 1, 1, 1]),
        helper.make_node("Mul", ["filtered", "factor" if shared else "filtered"], ["scaled"]),
        helper.make_node("Relu", ["scaled"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["mean"]),
        helper.make_node("Gemm", ["mean", "weights"], ["logits"]),
        helper.make_node("Mul", ["logits", "factor"], ["calibrated"]),
        helper.make_node("Softmax", ["calibrated"], ["probabilities"]),
    ]
    image, *outputs = (
        helper.make_tensor_value_info(name, FLOAT, shape)
        for name, shape in (("image", ["N", 3, 4, 4]), ("logits", ["N", 5]), ("probabilities", ["N", 5]))
    )
    graph = helper.make_graph(nodes, "g", [image], outputs, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(made, {"kind": "classifier"})
    content: bytes = made.SerializeToString()
    return content


IMAGE = {"image": np.random.default_rng(1).standard_normal((6, 3, 4, 4)).astype(np.float32)}


def constants(content: bytes) -> dict[str, int]:
    """Their element types."""
    return {tensor.name: tensor.data_type for tensor in onnx.load_model_from_string(content).graph.initializer}


@pytest.mark.parametrize("shared", [False, True])
def test_a_cnn_in_float16_gives_nearly_the_same(shared: bool) -> None:
    original, converted = (Session.load(c, Device.cpu()) for c in (cnn(shared=shared), to_float16(cnn(shared=shared))))
    wanted, got = original.run(IMAGE), converted.run(IMAGE)

    assert list(got) == ["logits", "probabilities"]
    for name, array in got.items():
        assert array.dtype == np.float32
        assert 0 < np.abs(array - wanted[name]).max() < 0.02 * np.abs(wanted[name]).max()
    assert (converted.inputs, converted.metadata) == (original.inputs, original.metadata)


@pytest.mark.parametrize("shared", [False, True])
def test_the_last_layer_stays_in_float32_so_probabilities_add_up(shared: bool) -> None:
    converted = to_float16(cnn(shared=shared))
    of_head = {"weights (float32)": FLOAT, "factor (float32)": FLOAT}
    of_body = dict.fromkeys(["kernel", "factor"] if shared else ["kernel"], TensorProto.FLOAT16)
    assert constants(converted) == of_body | of_head
    probabilities = Session.load(converted, Device.cpu()).run(IMAGE)["probabilities"]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)


def two_outputs() -> bytes:
    """One is made by the body, and read by the last layer too."""
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Softmax", ["r"], ["y"])]
    x, r, y = (helper.make_tensor_value_info(name, FLOAT, ["N", 3]) for name in "xry")
    graph = helper.make_graph(nodes, "g", [x], [y, r])
    made: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()
    return made


def test_outputs_stay_in_their_order() -> None:
    found = Session.load(to_float16(two_outputs()), Device.cpu()).run({"x": np.array([[-1, 0, 2]], np.float32)})
    assert list(found) == ["y", "r"]
    np.testing.assert_allclose(found["r"], [[0, 0, 2]])


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([node("Softmax")], "it has nothing but a last layer"),
        ([node("Nonsense")], "Nonsense"),
    ],
)
def test_what_cannot_be_converted_is_run_as_it_is(
    nodes: Sequence[onnx.NodeProto], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    content = serialised(*nodes)
    if nodes[0].op_type == "Nonsense":
        with pytest.raises(ModelUnavailable, match=reason):
            opened(content, Device.cpu(), "float16", "model m version 1")
    else:
        assert opened(content, Device.cpu(), "float16", "model m version 1")[1] == "float32"
    assert "model m version 1 is not run in float16: " in caplog.text
    assert reason in caplog.text


def test_a_model_that_the_converter_fails_on_is_told_of() -> None:
    """A loop whose body the converter does not find."""
    broken = onnx.load_model_from_string(serialised(node("Relu")))
    broken.graph.initializer.append(TensorProto(name="c", data_type=FLOAT, dims=[3], float_data=[1.0]))  # of three
    broken.graph.node[0].input.append("c")
    with pytest.raises(ModelUnavailable, match="the converter fails on it"):
        to_float16(broken.SerializeToString())


@pytest.mark.parametrize(("wanted", "element"), [("float32", FLOAT), ("float16", TensorProto.FLOAT16)])
def test_the_precision_is_what_was_asked_for(wanted: str, element: int) -> None:
    session, precision = opened(cnn(), Device.cpu(), wanted, "model m")  # type: ignore[arg-type]
    assert precision == wanted
    exact = Session.load(cnn(), Device.cpu()).run(IMAGE)["logits"]
    assert np.array_equal(session.run(IMAGE)["logits"], exact) == (element == FLOAT)
