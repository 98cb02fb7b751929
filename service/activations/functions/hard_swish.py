"""Hard swish: x times the hard sigmoid of slope 1/6."""

import numpy as np

from service.activations.activation import Activation, Array, Story, Values
from service.activations.expressions import Term, clip, op, where


def exact(x: Term, _: Values) -> Term:
    """x + 3 is exact near the kink at −3, where the relative error would otherwise grow."""
    gate = clip(x, -3.0, 3.0) + 3.0
    return where(x < -3.0, -3.0, x) * (gate / 6.0)


def derivative(x: Term, _: Values) -> Term:
    inside = (2.0 * x + 3.0) / 6.0
    return where(x <= -3.0, 0.0, where(x >= 3.0, 1.0, inside))


def reference(x: Array, _: Values) -> Array:
    return np.maximum(x, -3.0) * np.clip(x + 3.0, 0.0, 6.0) / 6.0


def reference_derivative(x: Array, _: Values) -> Array:
    return np.where(np.abs(x) < 3.0, (x + 1.5) / 3.0, np.heaviside(x, 0.5))


ROW = Activation(
    name="hard_swish",
    title="Hard swish",
    formula=r"f(x) = x \cdot \max\bigl(0, \min(1, \tfrac{x}{6} + \tfrac12)\bigr)",
    derivative_formula=r"f'(x) = \begin{cases}0 & x \le -3\\ \frac{x}{3} + \frac12 & |x| < 3\\ 1 & x \ge 3\end{cases}",
    range="[-0.375, inf)",
    zero_centered=False,
    monotonic=False,
    onnx_op="HardSwish",
    since_opset=14,
    exact=exact,
    native=lambda x, _: op("HardSwish", x),
    derivative=derivative,
    reference=reference,
    reference_derivative=reference_derivative,
    story=Story(
        description="Swish with the hard sigmoid as its gate.",
        advantages=("No exponential: cheap on small devices.", "Easy to quantise."),
        drawbacks=("Gradient exactly 0 below −3.", "Not monotonic: its minimum is −0.375 at x = −1.5."),
        uses=("MobileNetV3.",),
        notes=("At the kinks ±3 the derivative is that of the outer piece.",),
        defaults={
            "PyTorch": "torch.nn.Hardswish()",
            "Keras": "keras.activations.hard_swish(x)",
            "JAX": "jax.nn.hard_swish(x)",
            "ONNX": "HardSwish since operator set 14",
        },
        sources=("A. Howard et al., Searching for MobileNetV3, arXiv 1905.02244",),
    ),
)
