"""Swish, also called SiLU: x·sigmoid(βx)."""

from service.activations.activation import Activation, Array, Parameter, Story, Values
from service.activations.expressions import Term, clip, decay, exp, finite, op, product_error, where
from service.activations.functions import sigmoid


def exact(x: Term, values: Values) -> Term:
    """x·s(w), w = βx. Where w is negative s decays like e^w, and x must be finite for the limit to be 0."""
    beta = values.number("beta")
    if beta == 0.0:
        return 0.5 * x
    w = beta * x
    a = abs(w)
    decaying = decay(finite(x), a)
    if beta not in (-1.0, 1.0):
        decaying = decaying * _correction(x, beta)
    e = exp(-a)
    return where(w < 0.0, decaying, x) / (e + 1.0)


def _correction(x: Term, beta: float) -> Term:
    """Make good that βx was rounded: by up to 350 ULP of the result, where |βx| is 700."""
    bounded = clip(x, -1e6 / abs(beta), 1e6 / abs(beta)) if abs(beta) > 1e-20 else 0.0 * finite(x)
    return 1.0 + product_error(beta, bounded, beta * bounded)


def derivative(x: Term, values: Values) -> Term:
    """s(w)·(1 + w·s(−w)); beyond ±1000, s(w) is 0 or 1 in every dtype."""
    w = clip(values.number("beta") * x, -1000.0, 1000.0) if values.number("beta") else 0.0 * finite(x)
    a = abs(w)
    e = exp(-a)
    inner = 1.0 + w * (where(w < 0.0, 1.0, e) / (e + 1.0))
    return where(w < 0.0, decay(inner, a), inner) / (e + 1.0)


def reference(x: Array, values: Values) -> Array:
    return x * sigmoid.reference(values.number("beta") * x, values)


def reference_derivative(x: Array, values: Values) -> Array:
    w = values.number("beta") * x
    return sigmoid.reference(w, values) + w * sigmoid.reference_derivative(w, values)


def native(x: Term, values: Values) -> Term:
    """`x * Sigmoid(x)`, which ONNX Runtime fuses; its own `Swish` operator it does not (decision 0002)."""
    beta = values.number("beta")
    return x * op("Sigmoid", x if beta == 1.0 else beta * x)


ROW = Activation(
    name="swish",
    title="Swish (SiLU)",
    formula=r"f(x) = x \cdot \sigma(\beta x)",
    derivative_formula=r"f'(x) = \sigma(\beta x)\,\bigl(1 + \beta x\,\sigma(-\beta x)\bigr)",
    range="[-0.278465/beta, inf)",
    zero_centered=False,
    monotonic=False,
    in_article=True,
    aliases=("silu",),
    onnx_op="Mul, Sigmoid",
    since_opset=1,
    parameters=(
        Parameter(
            name="beta",
            kind="number",
            default=1.0,
            minimum=-100.0,
            maximum=100.0,
            description="Steepness of the gate: 0 is x/2, large is nearly ReLU. The article's is 1.",
        ),
    ),
    exact=exact,
    native=native,
    derivative=derivative,
    reference=reference,
    reference_derivative=reference_derivative,
    story=Story(
        description='"Adaptive": joins sigmoid and ReLU, smooth on negative input.',
        advantages=("Better than ReLU on some tasks.",),
        drawbacks=("A little more complex, slower to train.",),
        uses=("Deep networks that need better training (EfficientNet).",),
        notes=(
            "It is adaptive only where beta is trained; the article's beta of 1 has nothing to adapt. It gates itself, "
            "and is not monotonic: its minimum is −0.278465 at x = −1.278465.",
            "ONNX has an operator Swish since operator set 24; ONNX Runtime fuses x·Sigmoid(x) and not that.",
        ),
        defaults={
            "PyTorch": "torch.nn.SiLU(), without beta",
            "TensorFlow": "tf.nn.silu(x, beta=1.0)",
            "Keras": "keras.activations.silu(x)",
            "JAX": "jax.nn.silu(x)",
            "ONNX": "Swish(alpha=1.0) since operator set 24; alpha is beta",
        },
        sources=(
            "P. Ramachandran, B. Zoph, Q. Le, arXiv 1710.05941",
            "S. Elfwing, E. Uchibe, K. Doya, arXiv 1702.03118",
        ),
    ),
)
