"""ReLU, the rectified linear unit: max(0, x)."""

import numpy as np

from service.activations.activation import Activation, Array, Story, Values
from service.activations.expressions import Term, nan_or, op, where


def exact(x: Term, _: Values) -> Term:
    return where(x < 0.0, 0.0, x)


def derivative(x: Term, _: Values) -> Term:
    return nan_or(x, where(x > 0.0, 1.0, 0.0))


def reference_derivative(x: Array, _: Values) -> Array:
    return np.heaviside(x, 0.0)


ROW = Activation(
    name="relu",
    title="ReLU",
    formula=r"f(x) = \max(0, x)",
    derivative_formula=r"f'(x) = \begin{cases}1 & x > 0\\ 0 & x \le 0\end{cases}",
    range="[0, inf)",
    zero_centered=False,
    monotonic=True,
    in_article=True,
    onnx_op="Relu",
    since_opset=1,
    exact=exact,
    native=lambda x, _: op("Relu", x),
    derivative=derivative,
    reference=lambda x, _: np.maximum(x, 0.0),
    reference_derivative=reference_derivative,
    story=Story(
        description="Passes x where x > 0, else gives 0.",
        advantages=("Brings in nonlinearity.", "Very simple to compute.", "Converges fast."),
        drawbacks=('For x < 0 a unit can die and never activate again: "dying ReLU".',),
        uses=("Almost every deep model: deep CNNs, fully connected networks.",),
        notes=(
            "A negative input does not kill a unit: healthy units have one about half the time. A dead unit has one "
            "for every sample, so that no gradient ever reaches it.",
            '"Almost every deep model" is dated: Transformers use GELU and gated Swish, EfficientNet Swish, '
            "MobileNetV3 hard-swish.",
            "The derivative at 0, where there is none, is 0 here as in PyTorch, TensorFlow and JAX.",
        ),
        defaults={
            "PyTorch": "torch.nn.ReLU()",
            "TensorFlow": "tf.nn.relu(x)",
            "Keras": "keras.activations.relu(x, negative_slope=0, max_value=None, threshold=0)",
            "JAX": "jax.nn.relu(x)",
            "ONNX": "Relu",
        },
        sources=("V. Nair, G. Hinton, Rectified Linear Units Improve Restricted Boltzmann Machines, ICML 2010",),
    ),
)
