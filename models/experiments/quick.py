"""Arguments with which every experiment runs through in seconds, to see that it works: its numbers then say nothing."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from models.experiments import dying, gradients, sequence

PICTURES = 20
"""Of each class, for training."""

SHORT: Mapping[str, Any] = {"rates": (0.03,), "search_epochs": 1, "epochs": 1, "seeds": 2}

ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "formulas": {},
    "affine": {"pairs": 20},
    "selection": {"count": 20},
    "swaps": {"functions": ("relu", "tanh")},
    "cost": {"elements": (4096,), "rounds": 3},
    "gradients": {
        "names": ("relu", "leaky_relu", "elu", "swish", "tanh", "sigmoid"),
        "depths": (20,),
        "draws": 2,
        "trained": (("relu", "own"), ("sigmoid", "own"), ("sigmoid", "batch_norm")),
        "recipe": replace(gradients.RECIPE, epochs=1),
        "rates": (0.03,),
        "count": 2,
    },
    "dying": {"recipe": replace(dying.RECIPE, epochs=1), "factors": (1, 30), "count": 2, "recovery_epochs": 1},
    "heads": {**SHORT, "rows": 100},
    "sequence": {"recipe": replace(sequence.RECIPE, epochs=1), "rates": (0.1,), "count": 2, "draws": 2},
    "negative": {**SHORT, "pictures": 50},
    "convergence": SHORT,
    "depth": {**SHORT, "seeds": {"relu": 2, "swish": 2, "leaky_relu": 2}},
}
"""Of each experiment's `run`, by its name."""
