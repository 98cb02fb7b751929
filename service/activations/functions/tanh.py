"""Tanh, the hyperbolic tangent."""

import numpy as np

from service.activations.activation import Activation, Array, Story, Values
from service.activations.expressions import Term, exp, expm1, op, where


def exact(x: Term, _: Values) -> Term:
    """t/(t + 2) with t = e^(2|x|) − 1 without cancellation; above 25 it is 1 in every dtype."""
    a = abs(x)
    t = expm1(2.0 * where(a > 25.0, 25.0, a))
    magnitude = t / (t + 2.0)
    return where(x < 0.0, -magnitude, where(x > 0.0, magnitude, x))


def derivative(x: Term, _: Values) -> Term:
    """1 − tanh² as 4w/(1 + w)², w = e^(−2|x|), which does not cancel."""
    w = exp(-2.0 * abs(x))
    return 4.0 * w / ((w + 1.0) * (w + 1.0))


def reference_derivative(x: Array, _: Values) -> Array:
    with np.errstate(over="ignore"):
        return np.cosh(x) ** -2.0


ROW = Activation(
    name="tanh",
    title="Tanh",
    formula=r"f(x) = \frac{e^{x} - e^{-x}}{e^{x} + e^{-x}} = \frac{2}{1 + e^{-2x}} - 1",
    derivative_formula=r"f'(x) = 1 - f(x)^2",
    range="(-1, 1)",
    zero_centered=True,
    monotonic=True,
    in_article=True,
    onnx_op="Tanh",
    since_opset=1,
    exact=exact,
    native=lambda x, _: op("Tanh", x),
    derivative=derivative,
    reference=lambda x, _: np.tanh(x),
    reference_derivative=reference_derivative,
    story=Story(
        description="Maps the input to −1…1, symmetric about 0.",
        advantages=("Zero-centred: suits features with negative values.",),
        drawbacks=("Vanishing gradient too, for very large or very small input.",),
        uses=("Where negative values matter, such as natural language.", "RNN and LSTM."),
        notes=(
            "The article's formula 2/(1+e^-2x) − 1 is right but cancels near 0: in float32 it loses every digit "
            "below |x| = 3e-8. Served here is a form without cancellation.",
            'What is zero-centred is its output; "very small input" means very negative: at 0 the gradient is 1.',
        ),
        defaults={
            "PyTorch": "torch.tanh(x)",
            "TensorFlow": "tf.nn.tanh(x)",
            "Keras": "keras.activations.tanh(x)",
            "JAX": "jax.numpy.tanh(x)",
            "ONNX": "Tanh",
        },
        sources=("ONNX operator Tanh",),
    ),
)
