"""Softmax: a probability distribution along one axis."""

import numpy as np

from service.activations.activation import Activation, Array, Parameter, Story, Values
from service.activations.expressions import Term, exp, log1p, op, reduce_max, reduce_sum, where

AXIS = Parameter(
    name="axis",
    kind="integer",
    default=-1,
    minimum=-32,
    maximum=31,
    description="The axis along which the outputs sum to 1; negative counts from the last.",
)


def shares(x: Term, axis: int) -> tuple[Term, Term, Term]:
    """Exponentials relative to the maximum, in three parts.

    Returns:
        d = x − max, 0 where x is the maximum, even an infinite one; e = e^d, with d's rounding made good;
        others = Σe − 1, summed without the maximum itself, so that it keeps its digits where that dominates.
    """
    maximum = reduce_max(x, axis)
    top = x.equals(maximum)
    difference = where(top, 0.0, x - maximum)
    # Knuth's two-sum gives what x − maximum lost in rounding; it multiplies e^d, and is nothing where d is infinite.
    back = difference - x
    lost = (x - (difference - back)) - (maximum + back)
    lost = where(abs(difference) < 1e4, where(top, 0.0, lost), 0.0)
    e = exp(difference) * (1.0 + lost)
    ties = reduce_sum(where(top, 1.0, 0.0), axis)
    others = reduce_sum(where(top, 0.0, e), axis) + (ties - 1.0)
    return difference, e, others


def exact(x: Term, values: Values) -> Term:
    _, e, others = shares(x, values.integer("axis"))
    return e / (others + 1.0)


def derivative(x: Term, values: Values) -> Term:
    """p·(1 − p), the Jacobian's diagonal; 1 − p as the share of the others, which does not cancel."""
    _, e, others = shares(x, values.integer("axis"))
    total = others + 1.0
    return e / total * (rest(e, others) / total)


def rest(e: Term, others: Term) -> Term:
    """Σe without the element itself."""
    return where(e.equals(1.0), others, others + 1.0 - e)


def log_exact(x: Term, values: Values) -> Term:
    difference, _, others = shares(x, values.integer("axis"))
    return difference - log1p(others)


def log_odds_against(x: Array, values: Values) -> Array:
    """ln Σ_{j≠i} e^(x_j − x_i) for each i, the reference's way: by pairs, O(n²)."""
    x = np.moveaxis(x, values.integer("axis"), -1)
    pairs = x[..., None, :] - x[..., :, None]
    pairs[..., np.eye(x.shape[-1], dtype=bool)] = -np.inf
    return np.moveaxis(np.logaddexp.reduce(pairs, axis=-1), -1, values.integer("axis"))


def reference(x: Array, values: Values) -> Array:
    return np.exp(-np.logaddexp(0.0, log_odds_against(x, values)))


def reference_derivative(x: Array, values: Values) -> Array:
    odds = log_odds_against(x, values)
    return np.exp(-np.logaddexp(0.0, odds)) * np.exp(-np.logaddexp(0.0, -odds))


ROW = Activation(
    name="softmax",
    title="Softmax",
    formula=r"f(x)_i = \frac{e^{x_i}}{\sum_j e^{x_j}}",
    derivative_formula=r"\frac{\partial f_i}{\partial x_i} = f_i\,(1 - f_i)",
    range="(0, 1), sum 1",
    zero_centered=False,
    monotonic=True,
    in_article=True,
    elementwise=False,
    onnx_op="Softmax",
    since_opset=1,
    parameters=(AXIS,),
    exact=exact,
    native=lambda x, values: op("Softmax", x, axis=values.integer("axis")),
    derivative=derivative,
    reference=reference,
    reference_derivative=reference_derivative,
    story=Story(
        description="Turns the input into a probability distribution that sums to 1.",
        advantages=("Normalised class probabilities.",),
        drawbacks=("Only for the output layer of classification.",),
        uses=("Multi-class output layers: images, text.",),
        notes=(
            "The article's left side lacks the index i, and an axis must be chosen. It is not elementwise: adding "
            "the same number to every input changes nothing, and for two classes it is the sigmoid of the difference.",
            "e^x overflows above 88.7 in float32; served here is the form with the maximum subtracted.",
            "It also normalises attention and gates between experts: not only output layers. Summing to 1 does not "
            "make the probabilities calibrated.",
            "derivative is the diagonal of the Jacobian diag(f) − f·fᵀ.",
            "Equal maxima share equally, infinite ones too: the limit along equal inputs. A NaN makes its row NaN.",
            "Before ONNX operator set 13 the default axis was 1 and all later axes were flattened into it.",
        ),
        defaults={
            "PyTorch": "torch.nn.Softmax(dim=None): give dim, the implicit choice is deprecated",
            "TensorFlow": "tf.nn.softmax(x, axis=-1)",
            "Keras": "keras.activations.softmax(x, axis=-1)",
            "JAX": "jax.nn.softmax(x, axis=-1)",
            "ONNX": "Softmax(axis=-1) since operator set 13",
        },
        sources=("J. Bridle, Probabilistic Interpretation of Feedforward Classification Network Outputs, 1990",),
    ),
)
