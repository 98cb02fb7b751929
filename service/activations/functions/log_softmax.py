"""LogSoftmax: the logarithm of softmax, without computing softmax first."""

import numpy as np

from service.activations.activation import Activation, Array, Story, Values
from service.activations.expressions import Term, op
from service.activations.functions import softmax


def derivative(x: Term, values: Values) -> Term:
    """1 − p, the Jacobian's diagonal."""
    _, e, others = softmax.shares(x, values.integer("axis"))
    return softmax.rest(e, others) / (others + 1.0)


def reference(x: Array, values: Values) -> Array:
    return -np.logaddexp(0.0, softmax.log_odds_against(x, values))


def reference_derivative(x: Array, values: Values) -> Array:
    return np.exp(-np.logaddexp(0.0, -softmax.log_odds_against(x, values)))


ROW = Activation(
    name="log_softmax",
    title="LogSoftmax",
    formula=r"f(x)_i = x_i - \ln \sum_j e^{x_j}",
    derivative_formula=r"\frac{\partial f_i}{\partial x_i} = 1 - e^{f_i}",
    range="(-inf, 0]",
    zero_centered=False,
    monotonic=True,
    elementwise=False,
    onnx_op="LogSoftmax",
    since_opset=1,
    parameters=(softmax.AXIS,),
    exact=softmax.log_exact,
    native=lambda x, values: op("LogSoftmax", x, axis=values.integer("axis")),
    derivative=derivative,
    reference=reference,
    reference_derivative=reference_derivative,
    story=Story(
        description="Turns the input into log-probabilities.",
        advantages=("Keeps the small probabilities that softmax rounds to 0.", "Feeds the negative log-likelihood."),
        drawbacks=("Unbounded below: not for display.",),
        uses=("The last layer before a negative log-likelihood loss.",),
        notes=("derivative is the diagonal of the Jacobian.", "A NaN makes its row NaN."),
        defaults={
            "PyTorch": "torch.nn.LogSoftmax(dim=None): give dim",
            "TensorFlow": "tf.nn.log_softmax(x, axis=-1)",
            "Keras": "keras.activations.log_softmax(x, axis=-1)",
            "JAX": "jax.nn.log_softmax(x, axis=-1)",
            "ONNX": "LogSoftmax(axis=-1) since operator set 13",
        },
        sources=("ONNX operator LogSoftmax",),
    ),
)
