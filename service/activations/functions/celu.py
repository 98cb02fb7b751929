"""CELU: ELU made smooth at 0 for every alpha."""

import numpy as np

from service.activations.activation import Activation, Array, Parameter, Story, Values
from service.activations.expressions import Term, exp, expm1, op, where


def exact(x: Term, values: Values) -> Term:
    alpha = values.number("alpha")
    return where(x > 0.0, x, alpha * expm1(x / alpha))


def derivative(x: Term, values: Values) -> Term:
    return where(x > 0.0, 1.0, exp(x / values.number("alpha")))


def reference(x: Array, values: Values) -> Array:
    alpha = values.number("alpha")
    return np.maximum(x, 0.0) + np.minimum(0.0, alpha * np.expm1(np.minimum(x, 0.0) / alpha))


def reference_derivative(x: Array, values: Values) -> Array:
    return np.exp(np.minimum(x, 0.0) / values.number("alpha"))


ROW = Activation(
    name="celu",
    title="CELU",
    formula=r"f(x) = \max(0, x) + \min\bigl(0, \alpha\,(e^{x/\alpha} - 1)\bigr)",
    derivative_formula=r"f'(x) = \begin{cases}1 & x > 0\\ e^{x/\alpha} & x \le 0\end{cases}",
    range="(-alpha, inf)",
    zero_centered=False,
    monotonic=True,
    onnx_op="Celu",
    since_opset=12,
    parameters=(
        Parameter(
            name="alpha",
            kind="number",
            default=1.0,
            minimum=1e-3,
            maximum=100.0,
            description="Minus the value that the output approaches for very negative input.",
        ),
    ),
    exact=exact,
    native=lambda x, values: op("Celu", x, alpha=values.number("alpha")),
    derivative=derivative,
    reference=reference,
    reference_derivative=reference_derivative,
    story=Story(
        description="Like ELU, with a derivative that is continuous for every alpha.",
        advantages=("Smooth at 0 whatever alpha is.", "Contains ReLU and identity as limits of alpha."),
        drawbacks=("Saturates on the left, as ELU does.",),
        uses=("Fast training recipes for CIFAR-10.",),
        notes=("ONNX' operator takes float32 only before operator set 28.",),
        defaults={
            "PyTorch": "torch.nn.CELU(alpha=1.0)",
            "Keras": "keras.activations.celu(x, alpha=1.0)",
            "JAX": "jax.nn.celu(x, alpha=1.0)",
            "ONNX": "Celu(alpha=1.0) since operator set 12",
        },
        sources=("J. Barron, arXiv 1704.07483",),
    ),
)
