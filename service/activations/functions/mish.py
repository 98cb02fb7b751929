"""Mish: x·tanh(softplus(x))."""

import numpy as np

from service.activations.activation import Activation, Array, Story, Values
from service.activations.expressions import Term, clip, decay, exp, finite, op, where


def exact(x: Term, _: Values) -> Term:
    """tanh(ln(1 + n)) = n(n + 2)/(n(n + 2) + 2) with n = e^x; above 0 divided through by n², so e^(−|x|) serves."""
    a = abs(x)
    e = exp(-a)
    below = decay(finite(x), a) * (e + 2.0) / (e * (e + 2.0) + 2.0)
    above = 1.0 + 2.0 * e
    return where(x < 0.0, below, x * (above / (above + 2.0 * (e * e))))


def derivative(x: Term, _: Values) -> Term:
    """(n(n + 2)(n² + 2n + 2) + 4xn(n + 1))/(n² + 2n + 2)², above 0 divided through by n⁴."""
    x = clip(x, -1e3, 1e3)
    a = abs(x)
    e = exp(-a)
    square = e * e
    below_denominator = e * (e + 2.0) + 2.0
    below = decay((e + 2.0) * below_denominator + 4.0 * x * (e + 1.0), a) / (below_denominator * below_denominator)
    above = 1.0 + 2.0 * e
    above_denominator = above + 2.0 * square
    numerator = above * above_denominator + 4.0 * x * square * (e + 1.0)
    return where(x < 0.0, below, numerator / (above_denominator * above_denominator))


def reference(x: Array, _: Values) -> Array:
    return x * np.tanh(np.logaddexp(0.0, x))


def reference_derivative(x: Array, _: Values) -> Array:
    softplus = np.logaddexp(0.0, x)
    with np.errstate(over="ignore"):
        return np.tanh(softplus) + x * np.cosh(softplus) ** -2.0 * np.exp(-np.logaddexp(0.0, -x))


ROW = Activation(
    name="mish",
    title="Mish",
    formula=r"f(x) = x \tanh(\ln(1 + e^{x}))",
    derivative_formula=r"f'(x) = \tanh(s) + x\,\sigma(x)\,(1 - \tanh^2 s),\quad s = \ln(1 + e^{x})",
    range="[-0.308843, inf)",
    zero_centered=False,
    monotonic=False,
    onnx_op="Mish",
    since_opset=18,
    exact=exact,
    native=lambda x, _: op("Mish", x),
    composed=lambda x, _: x * op("Tanh", op("Softplus", x)),
    derivative=derivative,
    reference=reference,
    reference_derivative=reference_derivative,
    story=Story(
        description="Gates the input by tanh of its softplus: close to Swish, a little steeper.",
        advantages=("Smooth.", "Slightly ahead of ReLU and Swish in its author's CIFAR-10 runs."),
        drawbacks=("The most computation of the family.", "Not monotonic: its minimum is −0.308843 at x = −1.192431."),
        uses=("Object detection (YOLOv4).",),
        defaults={
            "PyTorch": "torch.nn.Mish()",
            "Keras": "keras.activations.mish(x)",
            "JAX": "jax.nn.mish(x)",
            "ONNX": "Mish since operator set 18",
        },
        sources=("D. Misra, arXiv 1908.08681",),
    ),
)
