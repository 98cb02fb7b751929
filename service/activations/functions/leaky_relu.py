"""Leaky ReLU: a small slope instead of 0 on the negative side."""

import numpy as np

from service.activations.activation import Activation, Array, Parameter, Story, Values
from service.activations.expressions import Term, nan_or, op, where
from service.activations.functions import relu


def exact(x: Term, values: Values) -> Term:
    alpha = values.number("alpha")
    if alpha == 0.0:
        return relu.exact(x, values)  # 0·(−inf) would be NaN
    return where(x < 0.0, alpha * x, x)


def derivative(x: Term, values: Values) -> Term:
    return nan_or(x, where(x > 0.0, 1.0, values.number("alpha")))


def reference(x: Array, values: Values) -> Array:
    return np.maximum(x, 0.0) + values.number("alpha") * np.minimum(x, 0.0)


def reference_derivative(x: Array, values: Values) -> Array:
    alpha = values.number("alpha")
    return alpha + (1.0 - alpha) * np.heaviside(x, 0.0)


ROW = Activation(
    name="leaky_relu",
    title="Leaky ReLU",
    formula=r"f(x) = \begin{cases}x & x \ge 0\\ \alpha x & x < 0\end{cases}",
    derivative_formula=r"f'(x) = \begin{cases}1 & x > 0\\ \alpha & x \le 0\end{cases}",
    range="(-inf, inf)",
    zero_centered=False,
    monotonic=True,
    in_article=True,
    onnx_op="LeakyRelu",
    since_opset=1,
    parameters=(
        Parameter(
            name="alpha",
            kind="number",
            default=0.01,
            minimum=0.0,
            maximum=10.0,
            description="Slope for negative input.",
        ),
    ),
    exact=exact,
    native=lambda x, values: op("LeakyRelu", x, alpha=values.number("alpha")),
    derivative=derivative,
    reference=reference,
    reference_derivative=reference_derivative,
    story=Story(
        description="Like ReLU, but multiplies negative input by a small slope, usually 0.01.",
        advantages=("Keeps a small gradient on the negative side.", "Avoids dying ReLU."),
        drawbacks=("More computation than ReLU.",),
        uses=("Deep networks, above all where ReLU leaves many dead units.",),
        notes=(
            "The article's max(0.01x, x) is right for slopes up to 1 only; served here is the form by cases.",
            "The default slope differs: 0.01 in PyTorch, JAX and ONNX, 0.2 in TensorFlow and Keras' function, 0.3 in "
            "Keras' layer. At x = −1 that is −0.01, −0.2 or −0.3.",
            "A slope of 0.01 keeps a hundredth of the gradient: kept alive, not restored.",
        ),
        defaults={
            "PyTorch": "torch.nn.LeakyReLU(negative_slope=0.01)",
            "TensorFlow": "tf.nn.leaky_relu(x, alpha=0.2)",
            "Keras": "keras.activations.leaky_relu(x, negative_slope=0.2); layer LeakyReLU(negative_slope=0.3)",
            "JAX": "jax.nn.leaky_relu(x, negative_slope=0.01)",
            "ONNX": "LeakyRelu(alpha=0.01)",
        },
        sources=("A. Maas, A. Hannun, A. Ng, Rectifier Nonlinearities Improve Neural Network Acoustic Models, 2013",),
    ),
)
