"""Identity: no activation at all, the control in every comparison."""

import numpy as np

from service.activations.activation import Activation, Array, Story, Values
from service.activations.expressions import Term, nan_or, op, where


def derivative(x: Term, _: Values) -> Term:
    return nan_or(x, where(x.equals(x), 1.0, 0.0))


def reference_derivative(x: Array, _: Values) -> Array:
    return np.ones_like(x)


ROW = Activation(
    name="identity",
    title="Identity",
    formula=r"f(x) = x",
    derivative_formula=r"f'(x) = 1",
    range="(-inf, inf)",
    zero_centered=True,
    monotonic=True,
    onnx_op="Identity",
    since_opset=1,
    exact=lambda x, _: op("Identity", x),
    native=lambda x, _: op("Identity", x),
    derivative=derivative,
    reference=lambda x, _: x,
    reference_derivative=reference_derivative,
    story=Story(
        description="Gives back its input.",
        advantages=("Costs nothing; passes the gradient unchanged.",),
        drawbacks=("Linear: a network with only this is one affine map, however deep (the article's claim A).",),
        uses=("Control in experiments.", "Output layer of a regression."),
        defaults={
            "PyTorch": "torch.nn.Identity()",
            "Keras": "keras.activations.linear(x)",
            "ONNX": "Identity",
        },
        sources=("ONNX operator Identity",),
    ),
)
