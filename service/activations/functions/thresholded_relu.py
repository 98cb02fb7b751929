"""Thresholded ReLU: x above a threshold, else 0."""

import numpy as np

from service.activations.activation import Activation, Array, Parameter, Story, Values
from service.activations.expressions import Term, nan_or, op, where


def exact(x: Term, values: Values) -> Term:
    return where(x <= values.number("theta"), 0.0, x)


def derivative(x: Term, values: Values) -> Term:
    return nan_or(x, where(x > values.number("theta"), 1.0, 0.0))


def reference(x: Array, values: Values) -> Array:
    return x * (x > values.number("theta"))


def reference_derivative(x: Array, values: Values) -> Array:
    return (x > values.number("theta")).astype(np.float64)


ROW = Activation(
    name="thresholded_relu",
    title="Thresholded ReLU",
    formula=r"f(x) = \begin{cases}x & x > \theta\\ 0 & x \le \theta\end{cases}",
    derivative_formula=r"f'(x) = \begin{cases}1 & x > \theta\\ 0 & x \le \theta\end{cases}",
    range="{0} and (theta, inf)",
    zero_centered=False,
    monotonic=True,
    onnx_op="ThresholdedRelu",
    since_opset=10,
    parameters=(
        Parameter(
            name="theta",
            kind="number",
            default=1.0,
            minimum=-1e6,
            maximum=1e6,
            description="The threshold; ONNX calls it alpha.",
        ),
    ),
    exact=exact,
    native=lambda x, values: op("ThresholdedRelu", x, alpha=values.number("theta")),
    derivative=derivative,
    reference=reference,
    reference_derivative=reference_derivative,
    story=Story(
        description="Passes x where it is above a threshold, else gives 0; it jumps there.",
        advantages=("Sparse output without a bias.",),
        drawbacks=("Discontinuous at the threshold.", "Units can die, as with ReLU."),
        uses=("Autoencoders without bias; rare.",),
        notes=(
            "ONNX Runtime's operator turns NaN into 0; the exact kernel keeps it. Monotonic for theta of 0 and more.",
        ),
        defaults={
            "PyTorch": "torch.nn.Threshold(threshold, value): both must be given",
            "Keras": "keras.activations.relu(x, threshold=1.0)",
            "ONNX": "ThresholdedRelu(alpha=1.0)",
        },
        sources=("K. Konda, R. Memisevic, D. Krueger, arXiv 1402.3337",),
    ),
)
