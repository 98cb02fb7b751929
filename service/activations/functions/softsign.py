"""Softsign: x/(1 + |x|)."""

import numpy as np

from service.activations.activation import Activation, Story, Values
from service.activations.expressions import Term, clip, op


def exact(x: Term, _: Values) -> Term:
    """Beyond 1e300 it is 1 in every dtype, and inf/inf would be NaN."""
    bounded = clip(x, -1e300, 1e300)
    return bounded / (abs(bounded) + 1.0)


def derivative(x: Term, _: Values) -> Term:
    """Squared last: the square of 1 + |x| would overflow where the result is not yet 0."""
    reciprocal = 1.0 / (abs(x) + 1.0)
    return reciprocal * reciprocal


ROW = Activation(
    name="softsign",
    title="Softsign",
    formula=r"f(x) = \frac{x}{1 + |x|}",
    derivative_formula=r"f'(x) = \frac{1}{(1 + |x|)^2}",
    range="(-1, 1)",
    zero_centered=True,
    monotonic=True,
    onnx_op="Softsign",
    since_opset=1,
    exact=exact,
    native=lambda x, _: op("Softsign", x),
    derivative=derivative,
    reference=lambda x, _: x / (1.0 + np.abs(x)),
    reference_derivative=lambda x, _: (1.0 + np.abs(x)) ** -2.0,
    story=Story(
        description="Like tanh, but approaches ±1 slowly.",
        advantages=("Zero-centred.", "Saturates more slowly than tanh; needs no exponential."),
        drawbacks=("Gradients vanish on both sides all the same.",),
        uses=("Rare today.",),
        defaults={
            "PyTorch": "torch.nn.Softsign()",
            "TensorFlow": "tf.nn.softsign(x)",
            "Keras": "keras.activations.softsign(x)",
            "JAX": "jax.nn.soft_sign(x)",
            "ONNX": "Softsign",
        },
        sources=("X. Glorot, Y. Bengio, Understanding the Difficulty of Training Deep Feedforward Networks, 2010",),
    ),
)
