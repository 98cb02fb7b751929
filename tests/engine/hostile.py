"""Files that do harm: to the process that opens them, or to the machine."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.engine.making import node, serialised


def endless() -> bytes:
    """A loop of 2⁶² steps."""
    state, step = ([helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 3])] for n in ("s", "t"))
    number = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    before, after = (helper.make_tensor_value_info(n, TensorProto.BOOL, []) for n in ("c", "d"))
    nodes = [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Identity", ["s"], ["t"])]
    body = helper.make_graph(nodes, "body", [number, before, *state], [after, *step])
    limit = helper.make_tensor("limit", TensorProto.INT64, [], [2**62])
    true = helper.make_tensor("true", TensorProto.BOOL, [], [True])
    return serialised(node("Loop", "limit", "true", "x", body=body), constants=[limit, true])


def large(elements: int) -> bytes:
    """y = x, by way of a tensor of so many floats, of which the file says nothing but their number."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in "xy")
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["least"], keepdims=0),
        helper.make_node("Expand", ["least", "count"], ["many"]),
        helper.make_node("ReduceMax", ["many"], ["one"], keepdims=0),
        helper.make_node("Sub", ["one", "least"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    count = helper.make_tensor("count", TensorProto.INT64, [1], [elements])
    made = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], [count]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    return bytes(made.SerializeToString())


def crashing() -> bytes:
    """A transposed convolution of no groups: ONNX Runtime 1.31 divides by their number, and the process is gone."""
    weights = numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32), "w")
    return serialised(
        node("ConvTranspose", "x", "w", group=0),
        inputs=("N", 4, 4, 4),
        outputs=("N", None, None, None),
        constants=[weights],
    )
