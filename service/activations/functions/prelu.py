"""PReLU: leaky ReLU whose slopes are learned, one or several."""

import numpy as np

from service.activations.activation import Activation, Array, Parameter, Story, Values
from service.activations.expressions import Term, nan_or, op, where


def exact(x: Term, values: Values) -> Term:
    slope = values.tensor("slope")
    negative = slope * x if np.all(slope != 0.0) else where(x.graph.constant(slope).equals(0.0), 0.0, slope * x)
    return where(x < 0.0, negative, x)


def derivative(x: Term, values: Values) -> Term:
    return nan_or(x, where(x > 0.0, 1.0, values.tensor("slope")))


def reference(x: Array, values: Values) -> Array:
    return np.maximum(x, 0.0) + values.tensor("slope") * np.minimum(x, 0.0)


def reference_derivative(x: Array, values: Values) -> Array:
    return np.where(x > 0.0, 1.0, values.tensor("slope"))


ROW = Activation(
    name="prelu",
    title="PReLU",
    formula=r"f(x) = \begin{cases}x & x \ge 0\\ a_c\,x & x < 0\end{cases}",
    derivative_formula=r"f'(x) = \begin{cases}1 & x > 0\\ a_c & x \le 0\end{cases}",
    range="(-inf, inf)",
    zero_centered=False,
    monotonic=True,
    onnx_op="PRelu",
    since_opset=1,
    parameters=(
        Parameter(
            name="slope",
            kind="tensor",
            default=0.25,
            minimum=-100.0,
            maximum=100.0,
            description="Slope for negative input: a number, or nested lists that broadcast to the data's shape as "
            "in NumPy, such as [[[0.1]], [[0.2]]] for the two channels of C×H×W.",
        ),
    ),
    exact=exact,
    native=lambda x, values: op("PRelu", x, values.tensor("slope")),
    derivative=derivative,
    reference=reference,
    reference_derivative=reference_derivative,
    story=Story(
        description="Leaky ReLU whose slope is a trained parameter, one for all or one a channel.",
        advantages=("The network finds its own slope.",),
        drawbacks=("More parameters, a little more to overfit.", "Weight decay pulls the slope back to ReLU's 0."),
        uses=("Deep CNNs; the first network said to pass human accuracy on ImageNet.",),
        notes=("The slopes start at 0.25 in PyTorch and at 0 in Keras. Monotonic where no slope is negative.",),
        defaults={
            "PyTorch": "torch.nn.PReLU(num_parameters=1, init=0.25)",
            "Keras": "layer PReLU(alpha_initializer='Zeros'), one slope an element unless shared_axes is given",
            "ONNX": "PRelu(x, slope)",
        },
        sources=("K. He, X. Zhang, S. Ren, J. Sun, arXiv 1502.01852",),
    ),
)
