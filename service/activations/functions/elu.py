"""ELU, the exponential linear unit."""

import numpy as np

from service.activations.activation import Activation, Array, Parameter, Story, Values
from service.activations.expressions import Term, exp, expm1, op, where


def exact(x: Term, values: Values) -> Term:
    return where(x > 0.0, x, values.number("alpha") * expm1(x))


def derivative(x: Term, values: Values) -> Term:
    return where(x > 0.0, 1.0, values.number("alpha") * exp(x))


def reference(x: Array, values: Values) -> Array:
    return np.where(x > 0.0, x, values.number("alpha") * np.expm1(np.minimum(x, 0.0)))


def reference_derivative(x: Array, values: Values) -> Array:
    return np.where(x > 0.0, 1.0, values.number("alpha") * np.exp(np.minimum(x, 0.0)))


ROW = Activation(
    name="elu",
    title="ELU",
    formula=r"f(x) = \begin{cases}x & x > 0\\ \alpha\,(e^{x} - 1) & x \le 0\end{cases}",
    derivative_formula=r"f'(x) = \begin{cases}1 & x > 0\\ \alpha\,e^{x} & x \le 0\end{cases}",
    range="(-alpha, inf)",
    zero_centered=False,
    monotonic=True,
    in_article=True,
    onnx_op="Elu",
    since_opset=1,
    parameters=(
        Parameter(
            name="alpha",
            kind="number",
            default=1.0,
            minimum=0.0,
            maximum=100.0,
            description="Minus the value that the output approaches for very negative input.",
        ),
    ),
    exact=exact,
    native=lambda x, values: op("Elu", x, alpha=values.number("alpha")),
    derivative=derivative,
    reference=reference,
    reference_derivative=reference_derivative,
    story=Story(
        description="Like ReLU for positive input; negative output decays exponentially instead of being 0, so that "
        "the network can learn negative features and the gradient keeps flowing.",
        advantages=("Trains better than Leaky ReLU.", "Less bias."),
        drawbacks=("A little more complex; trains a little slower than ReLU.",),
        uses=("Deep networks, in place of ReLU, where negative features should be kept.",),
        notes=(
            "The article never says what alpha is; 1 is everybody's default. The output saturates at −alpha, where "
            "the gradient goes to 0: it does not keep flowing for very negative input.",
            '"Less bias" means less bias shift: the mean of the output is 0.16 for standard-normal input, '
            "against 0.40 for ReLU.",
            "ONNX Runtime's operator computes e^x − 1, which is wholly wrong near 0 (0 instead of −1e-8); the exact "
            "kernel does not cancel.",
            "For alpha other than 1 the derivative jumps at 0; it is alpha there, as in PyTorch.",
        ),
        defaults={
            "PyTorch": "torch.nn.ELU(alpha=1.0)",
            "TensorFlow": "tf.nn.elu(x)",
            "Keras": "keras.activations.elu(x, alpha=1.0)",
            "JAX": "jax.nn.elu(x, alpha=1.0)",
            "ONNX": "Elu(alpha=1.0)",
        },
        sources=("D. Clevert, T. Unterthiner, S. Hochreiter, arXiv 1511.07289",),
    ),
)
