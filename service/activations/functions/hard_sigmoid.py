"""Hard sigmoid: sigmoid in three straight pieces."""

import numpy as np

from service.activations.activation import Activation, Array, Parameter, Story, Values
from service.activations.expressions import Term, clip, nan_or, op, product_error, where


def exact(x: Term, values: Values) -> Term:
    """αx + β cancels at the lower kink; adding what αx lost in rounding keeps every digit there."""
    alpha, beta = values.number("alpha"), values.number("beta")
    x = clip(x, -1e30, 1e30)
    product = alpha * x
    return clip((product + beta) + product_error(alpha, x, product), 0.0, 1.0)


def derivative(x: Term, values: Values) -> Term:
    alpha = values.number("alpha")
    line = alpha * x + values.number("beta")
    return nan_or(x, where(line > 0.0, where(line < 1.0, alpha, 0.0), 0.0))


def reference(x: Array, values: Values) -> Array:
    return np.clip(values.number("alpha") * x + values.number("beta"), 0.0, 1.0)


def reference_derivative(x: Array, values: Values) -> Array:
    line = reference(x, values)
    return np.where((line > 0.0) & (line < 1.0), values.number("alpha"), 0.0)


def native(x: Term, values: Values) -> Term:
    return op("HardSigmoid", x, alpha=values.number("alpha"), beta=values.number("beta"))


ROW = Activation(
    name="hard_sigmoid",
    title="Hard sigmoid",
    formula=r"f(x) = \max(0, \min(1, \alpha x + \beta))",
    derivative_formula=r"f'(x) = \begin{cases}\alpha & 0 < \alpha x + \beta < 1\\ 0 & \text{else}\end{cases}",
    range="[0, 1]",
    zero_centered=False,
    monotonic=True,
    onnx_op="HardSigmoid",
    since_opset=1,
    parameters=(
        Parameter(
            name="alpha",
            kind="number",
            default=0.2,
            minimum=1e-6,
            maximum=100.0,
            description="Slope of the middle piece.",
        ),
        Parameter(
            name="beta",
            kind="number",
            default=0.5,
            minimum=-100.0,
            maximum=100.0,
            description="Value at 0.",
        ),
    ),
    exact=exact,
    native=native,
    derivative=derivative,
    reference=reference,
    reference_derivative=reference_derivative,
    story=Story(
        description="A line between 0 and 1, in place of the sigmoid.",
        advantages=("No exponential: cheap on small devices.", "Easy to quantise."),
        drawbacks=("Gradient exactly 0 outside the middle piece.",),
        uses=("Gates in mobile networks.",),
        notes=(
            "The default slope here is ONNX', 0.2; PyTorch, Keras 3 and JAX use 1/6. The two differ by up to 1/12, at "
            "x = 2.5. Give alpha = 0.16666666666666666 for theirs.",
        ),
        defaults={
            "PyTorch": "torch.nn.Hardsigmoid(): x/6 + 1/2",
            "Keras": "keras.activations.hard_sigmoid(x): x/6 + 1/2",
            "JAX": "jax.nn.hard_sigmoid(x): relu6(x + 3)/6",
            "ONNX": "HardSigmoid(alpha=0.2, beta=0.5)",
        },
        sources=("M. Courbariaux, Y. Bengio, J. David, arXiv 1511.00363",),
    ),
)
