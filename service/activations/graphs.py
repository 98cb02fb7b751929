"""An activation, its parameters and a dtype → a whole ONNX model with input `x` and output `y`, of any shape."""

from typing import Literal, TypeAlias, get_args

import numpy as np
from onnx import helper

from service.activations.activation import Activation, Values
from service.activations.expressions import IR_VERSION, OPSET, Graph, Term, cast

Kernel: TypeAlias = Literal["exact", "native"]

KERNELS: tuple[Kernel, ...] = get_args(Kernel)
"""`exact`: the stable formula in float64, rounded once. `native`: the bare ONNX operators in the data's own dtype."""

DTYPES: dict[str, np.dtype] = {name: np.dtype(name) for name in ("float16", "float32", "float64")}


def build(row: Activation, values: Values, dtype: np.dtype, kernel: Kernel, *, derivative: bool = False) -> bytes:
    """Serialise the model of one activation.

    The native derivative is the derivative's formula computed in the data's dtype: ONNX has no operators for it.
    """
    compute = np.dtype(np.float64) if kernel == "exact" else dtype
    graph = Graph(compute, dtype)
    x = Term(graph, "x")
    formula = row.derivative if derivative else row.exact if kernel == "exact" else row.native
    y = formula(x if compute == dtype else cast(x, compute), values)
    graph.add_output(y if compute == dtype else cast(y, dtype), "y")
    element = helper.np_dtype_to_tensor_dtype(dtype)
    proto = helper.make_graph(
        graph.nodes,
        row.name,
        [helper.make_tensor_value_info("x", element, None)],
        [helper.make_tensor_value_info("y", element, None)],
        initializer=list(graph.constants.values()),
    )
    model = helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="actserve"
    )
    serialised: bytes = model.SerializeToString()
    return serialised
