"""Softplus: ln(1 + e^x), a smooth ReLU."""

import numpy as np

from service.activations.activation import Activation, Story, Values
from service.activations.expressions import Term, exp, log1p, op, where
from service.activations.functions import sigmoid


def exact(x: Term, _: Values) -> Term:
    """max(x, 0) + ln(1 + e^(−|x|)): e^x itself would overflow."""
    return where(x > 0.0, x, 0.0) + log1p(exp(-abs(x)))


ROW = Activation(
    name="softplus",
    title="Softplus",
    formula=r"f(x) = \ln(1 + e^{x})",
    derivative_formula=r"f'(x) = \sigma(x)",
    range="(0, inf)",
    zero_centered=False,
    monotonic=True,
    onnx_op="Softplus",
    since_opset=1,
    exact=exact,
    native=lambda x, _: op("Softplus", x),
    derivative=sigmoid.exact,
    reference=lambda x, _: np.logaddexp(0.0, x),
    reference_derivative=sigmoid.reference,
    story=Story(
        description="A smooth ReLU, positive everywhere.",
        advantages=("Smooth; its derivative is the sigmoid.", "Always positive."),
        drawbacks=("Not zero-centred: mean 0.81 for standard-normal input.", "Gradients vanish on the left."),
        uses=("Outputs that must be positive: variances, rates.",),
        notes=("PyTorch returns x itself above threshold 20, where the difference is below 2.1e-9.",),
        defaults={
            "PyTorch": "torch.nn.Softplus(beta=1, threshold=20)",
            "TensorFlow": "tf.nn.softplus(x)",
            "Keras": "keras.activations.softplus(x)",
            "JAX": "jax.nn.softplus(x)",
            "ONNX": "Softplus",
        },
        sources=("C. Dugas et al., Incorporating Second-Order Functional Knowledge for Better Option Pricing, 2001",),
    ),
)
