"""The functions that this service knows, in the order in which it shows them."""

from collections.abc import Mapping

from service.activations.activation import Activation
from service.activations.functions import (
    celu,
    elu,
    gelu,
    hard_sigmoid,
    hard_swish,
    identity,
    leaky_relu,
    log_softmax,
    mish,
    prelu,
    relu,
    relu6,
    selu,
    sigmoid,
    softmax,
    softplus,
    softsign,
    swish,
    tanh,
    thresholded_relu,
)
from service.errors import NotFound, did_you_mean, quoted

ARTICLE = (sigmoid.ROW, tanh.ROW, relu.ROW, leaky_relu.ROW, elu.ROW, swish.ROW, softmax.ROW)

OTHERS = (
    identity.ROW,
    gelu.ROW,
    mish.ROW,
    selu.ROW,
    celu.ROW,
    softplus.ROW,
    softsign.ROW,
    hard_sigmoid.ROW,
    hard_swish.ROW,
    relu6.ROW,
    prelu.ROW,
    log_softmax.ROW,
    thresholded_relu.ROW,
)

ACTIVATIONS: Mapping[str, Activation] = {row.name: row for row in ARTICLE + OTHERS}

ALIASES: Mapping[str, str] = {alias: row.name for row in ACTIVATIONS.values() for alias in row.aliases}


def find(name: str) -> Activation:
    """Return the activation of that name or alias.

    Raises:
        NotFound: there is none; suggests the nearest.
    """
    row = ACTIVATIONS.get(ALIASES.get(name, name))
    if row is None:
        known = [*ACTIVATIONS, *ALIASES]
        raise NotFound(f"no activation {quoted(name)}.{did_you_mean(name, known)} There are: {', '.join(known)}")
    return row
