"""ReLU6: ReLU cut off at 6."""

import numpy as np

from service.activations.activation import Activation, Array, Story, Values
from service.activations.expressions import Term, clip, nan_or, op, where


def derivative(x: Term, _: Values) -> Term:
    return nan_or(x, where(x > 0.0, where(x < 6.0, 1.0, 0.0), 0.0))


def reference_derivative(x: Array, _: Values) -> Array:
    return ((x > 0.0) & (x < 6.0)).astype(np.float64)


ROW = Activation(
    name="relu6",
    title="ReLU6",
    formula=r"f(x) = \min(\max(0, x), 6)",
    derivative_formula=r"f'(x) = \begin{cases}1 & 0 < x < 6\\ 0 & \text{else}\end{cases}",
    range="[0, 6]",
    zero_centered=False,
    monotonic=True,
    onnx_op="Clip",
    since_opset=1,
    exact=lambda x, _: clip(x, 0.0, 6.0),
    native=lambda x, _: op("Clip", x, 0.0, 6.0),
    derivative=derivative,
    reference=lambda x, _: np.clip(x, 0.0, 6.0),
    reference_derivative=reference_derivative,
    story=Story(
        description="ReLU that stops at 6.",
        advantages=("Bounded: keeps its digits in low-precision arithmetic.",),
        drawbacks=("Gradient exactly 0 on both sides.", "Units can die, as with ReLU."),
        uses=("Quantised and mobile networks (MobileNet).",),
        notes=("ONNX has no such operator; it is Clip from 0 to 6.",),
        defaults={
            "PyTorch": "torch.nn.ReLU6()",
            "TensorFlow": "tf.nn.relu6(x)",
            "Keras": "keras.activations.relu6(x)",
            "JAX": "jax.nn.relu6(x)",
            "ONNX": "Clip(x, 0, 6)",
        },
        sources=("A. Howard et al., MobileNets, arXiv 1704.04861",),
    ),
)
