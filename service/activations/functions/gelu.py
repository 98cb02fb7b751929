"""GELU, the Gaussian error linear unit: x·Φ(x)."""

import math

import numpy as np

from service.activations.activation import Activation, Array, Parameter, Story, Values
from service.activations.expressions import Term, clip, decay, exp, finite, normal_tail, op, where

ROOT_2_PI = math.sqrt(2.0 * math.pi)
SCALE, CUBIC = math.sqrt(2.0 / math.pi), 0.044715
"""Constants of the tanh approximation: 0.5x(1 + tanh(√(2/π)(x + 0.044715x³)))."""


def exact(x: Term, values: Values) -> Term:
    """Below 0 from the normal tail itself; 1 + erf cancels there."""
    if values.choice("approximate") == "tanh":
        return _tanh_exact(x)
    a = abs(x)
    decaying, ratio = normal_tail(a)
    tail = decaying * ratio
    return where(x < 0.0, finite(x) * tail, x * (1.0 - tail))


def _tanh_exact(x: Term) -> Term:
    """0.5(1 + tanh u) is σ(2u), so this is Swish with another argument."""
    bounded = clip(x, -1e3, 1e3)
    w = (2.0 * SCALE) * bounded * (1.0 + CUBIC * (bounded * bounded))
    a = abs(w)
    return where(w < 0.0, decay(bounded, a), x) / (exp(-a) + 1.0)


def composed(x: Term, values: Values) -> Term:
    """As exporters write it, which ONNX Runtime takes for one operator again."""
    if values.choice("approximate") == "tanh":
        return x * 0.5 * (1.0 + op("Tanh", SCALE * (x + CUBIC * (x * x * x))))
    return x * 0.5 * (1.0 + op("Erf", x * (1 / math.sqrt(2.0))))


def derivative(x: Term, values: Values) -> Term:
    """Φ(x) + x·φ(x), the two terms sharing e^(−x²/2)."""
    if values.choice("approximate") == "tanh":
        return _tanh_derivative(x)
    a = abs(x)
    decaying, ratio = normal_tail(a)
    falling = decaying * (ratio - where(a > 40.0, 40.0, a) / ROOT_2_PI)
    return where(x < 0.0, falling, 1.0 - falling)


def _tanh_derivative(x: Term) -> Term:
    x = clip(x, -1e3, 1e3)
    square = x * x
    w = (2.0 * SCALE) * x * (1.0 + CUBIC * square)
    slope = (2.0 * SCALE) * (1.0 + (3.0 * CUBIC) * square)
    e = exp(-abs(w))
    rising, falling = where(w < 0.0, e, 1.0) / (e + 1.0), where(w < 0.0, 1.0, e) / (e + 1.0)
    return rising * (1.0 + x * slope * falling)


def reference(x: Array, values: Values) -> Array:
    if values.choice("approximate") == "tanh":
        with np.errstate(over="ignore"):
            return x * np.exp(-np.logaddexp(0.0, -2.0 * SCALE * (x + CUBIC * x**3)))
    return x * 0.5 * _erfc(-x / math.sqrt(2.0))


def reference_derivative(x: Array, values: Values) -> Array:
    if values.choice("approximate") == "tanh":
        with np.errstate(over="ignore", invalid="ignore"):
            w, slope = 2.0 * SCALE * (x + CUBIC * x**3), 2.0 * SCALE * (1.0 + 3.0 * CUBIC * x**2)
            bell = np.exp(-np.logaddexp(0.0, -w) - np.logaddexp(0.0, w))
            return np.exp(-np.logaddexp(0.0, -w)) + np.where(bell == 0.0, 0.0, x * slope * bell)
    with np.errstate(over="ignore"):
        bell = np.exp(-0.5 * x * x) / ROOT_2_PI
    return 0.5 * _erfc(-x / math.sqrt(2.0)) + x * bell


def _erfc(x: Array) -> Array:
    return np.array([math.erfc(value) for value in x.ravel().tolist()]).reshape(x.shape)


ROW = Activation(
    name="gelu",
    title="GELU",
    formula=r"f(x) = x\,\Phi(x) = \frac{x}{2}\Bigl(1 + \operatorname{erf}\frac{x}{\sqrt 2}\Bigr)",
    derivative_formula=r"f'(x) = \Phi(x) + x\,\varphi(x)",
    range="[-0.169971, inf)",
    zero_centered=False,
    monotonic=False,
    onnx_op="Gelu",
    since_opset=20,
    parameters=(
        Parameter(
            name="approximate",
            kind="choice",
            default="none",
            choices=("none", "tanh"),
            description="`tanh` is the formula with tanh instead of erf, off by up to 4.7e-4.",
        ),
    ),
    exact=exact,
    native=lambda x, values: op("Gelu", x, approximate=values.choice("approximate")),
    composed=composed,
    derivative=derivative,
    reference=reference,
    reference_derivative=reference_derivative,
    story=Story(
        description="Weighs the input by the probability that a standard-normal variable lies below it.",
        advantages=("Smooth.", "The usual choice in Transformers."),
        drawbacks=("More computation than ReLU.", "Not monotonic: its minimum is −0.169971 at x = −0.751792."),
        uses=("Transformers, for language and images.",),
        notes=("JAX' default is the tanh approximation; everybody else's is not.",),
        defaults={
            "PyTorch": "torch.nn.GELU(approximate='none')",
            "TensorFlow": "tf.nn.gelu(x, approximate=False)",
            "Keras": "keras.activations.gelu(x, approximate=False)",
            "JAX": "jax.nn.gelu(x, approximate=True)",
            "ONNX": "Gelu(approximate='none')",
        },
        sources=("D. Hendrycks, K. Gimpel, arXiv 1606.08415",),
    ),
)
