"""Sigmoid, the logistic function: 1/(1 + e^(−x))."""

import numpy as np

from service.activations.activation import Activation, Array, Story, Values
from service.activations.expressions import Term, exp, op, where


def exact(x: Term, _: Values) -> Term:
    """With e = e^(−|x|) nothing overflows, and nothing cancels on the negative side."""
    e = exp(-abs(x))
    return where(x < 0.0, e, 1.0) / (e + 1.0)


def derivative(x: Term, _: Values) -> Term:
    """s(x)·s(−x): unlike s·(1 − s) it does not turn 0 where s rounds to 1."""
    e = exp(-abs(x))
    return e / ((e + 1.0) * (e + 1.0))


def reference(x: Array, _: Values) -> Array:
    return np.exp(-np.logaddexp(0.0, -x))


def reference_derivative(x: Array, _: Values) -> Array:
    return reference(x, _) * reference(-x, _)


ROW = Activation(
    name="sigmoid",
    title="Sigmoid",
    formula=r"f(x) = \frac{1}{1 + e^{-x}}",
    derivative_formula=r"f'(x) = f(x)\,f(-x)",
    range="(0, 1)",
    zero_centered=False,
    monotonic=True,
    in_article=True,
    onnx_op="Sigmoid",
    since_opset=1,
    exact=exact,
    native=lambda x, _: op("Sigmoid", x),
    derivative=derivative,
    reference=reference,
    reference_derivative=reference_derivative,
    story=Story(
        description="Maps the input to a probability between 0 and 1.",
        advantages=("Suits the output layer of binary classification.",),
        drawbacks=(
            "For inputs of large absolute value the gradient tends to 0: vanishing gradient, "
            "deep networks cannot be trained well.",
        ),
        uses=(
            "Binary classification: the output of logistic regression.",
            "Small networks rather than deep ones.",
        ),
        notes=(
            "The article prints 2/(1+e^-x). That is a misprint: its values would run from 0 to 2, with 1 at x = 0. "
            "Served here is 1/(1+e^-x), which has the range that the article itself states.",
            "The derivative is at most 0.25, at x = 0: even unsaturated layers shrink the gradient.",
            "Its output is not zero-centred: the mean is 0.5 for standard-normal input.",
        ),
        defaults={
            "PyTorch": "torch.sigmoid(x)",
            "TensorFlow": "tf.nn.sigmoid(x)",
            "Keras": "keras.activations.sigmoid(x)",
            "JAX": "jax.nn.sigmoid(x)",
            "ONNX": "Sigmoid",
        },
        sources=("ONNX operator Sigmoid",),
    ),
)
