"""SELU: ELU scaled so that mean 0 and variance 1 are kept from layer to layer."""

import numpy as np

from service.activations.activation import Activation, Array, Parameter, Story, Values
from service.activations.expressions import Term, exp, expm1, op, where


def exact(x: Term, values: Values) -> Term:
    return values.number("gamma") * where(x > 0.0, x, values.number("alpha") * expm1(x))


def derivative(x: Term, values: Values) -> Term:
    gamma = values.number("gamma")
    return where(x > 0.0, gamma, gamma * values.number("alpha") * exp(x))


def reference(x: Array, values: Values) -> Array:
    negative = values.number("alpha") * np.expm1(np.minimum(x, 0.0))
    return values.number("gamma") * (np.maximum(x, 0.0) + negative)


def reference_derivative(x: Array, values: Values) -> Array:
    return values.number("gamma") * np.where(x > 0.0, 1.0, values.number("alpha") * np.exp(np.minimum(x, 0.0)))


def native(x: Term, values: Values) -> Term:
    return op("Selu", x, alpha=values.number("alpha"), gamma=values.number("gamma"))


ROW = Activation(
    name="selu",
    title="SELU",
    formula=r"f(x) = \gamma \begin{cases}x & x > 0\\ \alpha\,(e^{x} - 1) & x \le 0\end{cases}",
    derivative_formula=r"f'(x) = \gamma \begin{cases}1 & x > 0\\ \alpha\,e^{x} & x \le 0\end{cases}",
    range="(-alpha*gamma, inf)",
    zero_centered=True,
    monotonic=True,
    onnx_op="Selu",
    since_opset=1,
    parameters=(
        Parameter(
            name="alpha",
            kind="number",
            default=1.6732632423543772,
            minimum=0.0,
            maximum=100.0,
            description="ELU's alpha.",
        ),
        Parameter(
            name="gamma",
            kind="number",
            default=1.0507009873554805,
            minimum=0.0,
            maximum=100.0,
            description="Factor of the whole.",
        ),
    ),
    exact=exact,
    native=native,
    derivative=derivative,
    reference=reference,
    reference_derivative=reference_derivative,
    story=Story(
        description="Scaled ELU whose two constants make mean 0 and variance 1 a fixed point.",
        advantages=("Normalises itself: needs no BatchNorm in fully connected networks.",),
        drawbacks=("Wants its own initialisation (LeCun normal) and alpha dropout.",),
        uses=("Deep fully connected networks.",),
        notes=("ONNX stores the constants as float32, and rounded them to 1.6732 and 1.0507 in operator set 1.",),
        defaults={
            "PyTorch": "torch.nn.SELU()",
            "TensorFlow": "tf.nn.selu(x)",
            "Keras": "keras.activations.selu(x)",
            "JAX": "jax.nn.selu(x)",
            "ONNX": "Selu(alpha=1.67326319, gamma=1.05070102)",
        },
        sources=("G. Klambauer et al., arXiv 1706.02515",),
    ),
)
