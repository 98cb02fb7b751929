"""Claim: "ReLU converges fast"; "ReLU or Leaky ReLU for faster convergence".

Question: how many epochs does a network take to a given accuracy, or training loss, with each activation?

Method: seven convolutions, without BatchNorm (weights drawn with each activation's own gain) and with it, constant
learning rate chosen for each activation, no regularisation; a schedule would fix the end and so the speed. The first
crossing of a level is found by linear interpolation between epochs: the accuracy is known at the end of an epoch, the
training loss as its mean, so at its middle; before training they are taken to be those of guessing.

Limits: epochs, not time: what a function costs is measured elsewhere. Small networks, 5,000 pictures, SGD. The
learning rate is chosen after a few epochs, for speed rather than for the end. A run that does not reach a level in its
epochs is counted as such; the ratio to ReLU is then only bounded from below.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from models.architecture import Stages
from models.experiments.rates import VARIANTS, Cell, tuned
from models.lab import PLAIN, SEVEN, Difference, Estimate, Lab, Result
from models.plots import COLORS, panels, to_svg

ACTIVATIONS = {
    "plain": ("relu", "leaky_relu", "elu", "swish", "tanh", "sigmoid"),
    "batch_norm": ("relu", "leaky_relu", "elu", "swish", "tanh", "sigmoid", "softmax"),
}
"""By variant. Softmax across channels has no gain that its weights could be drawn with."""

RATES = (0.01, 0.03, 0.1, 0.3)

ACCURACIES = (0.4, 0.5, 0.6)
LOSSES = (1.0,)
"""Levels to be reached: accuracy on the validation set; mean training loss of an epoch."""


def run(
    lab: Lab,
    *,
    activations: Mapping[str, Sequence[str]] = ACTIVATIONS,
    stages: Stages = SEVEN,
    rates: Sequence[float] = RATES,
    search_epochs: int = 3,
    epochs: int = 16,
    seeds: int = 3,
) -> Result:
    """Train all of them.

    Args:
        activations: by variant, `plain` and `batch_norm`; ReLU among them.

    Returns:
        `summary`: by variant, activation and level (`accuracy 0.4`, …, `loss 1`) the numbers of `_level`; also by
        variant and activation `learning_rate`, `diverged` (runs) and `accuracy` (`lab.Estimate`, at the end).
    """
    recipe = replace(PLAIN, schedule="constant", epochs=epochs)
    cells = {
        variant: {
            name: tuned(lab, Cell(name, stages, VARIANTS[variant]), recipe, seeds, rates=rates, epochs=search_epochs)
            for name in names
        }
        for variant, names in activations.items()
    }
    return {
        "settings": {
            "recipe": asdict(recipe),
            "stages": [list(stage) for stage in stages],
            "training_pictures": len(lab.training.targets),
            "validation_pictures": len(lab.validation.targets),
            "steps_per_epoch": len(lab.training.targets) // recipe.batch_size,
            "learning_rates": list(rates),
            "search_epochs": search_epochs,
            "seeds": seeds,
        },
        "runs": cells,
        "summary": {variant: summarize(found, epochs) for variant, found in cells.items()},
    }


def summarize(cells: Mapping[str, Result], epochs: int) -> Result:
    """One variant's numbers, by activation."""
    times = {name: reached_at(cell["runs"]) for name, cell in cells.items()}
    return {
        name: {
            "learning_rate": cell["learning_rate"],
            "diverged": sum(run["diverged"] for run in cell["runs"]),
            "accuracy": asdict(Estimate.of([run["accuracy"] for run in cell["runs"]])),
            **{level: _level(found, times["relu"][level], epochs) for level, found in times[name].items()},
        }
        for name, cell in cells.items()
    }


def reached_at(runs: Sequence[Result]) -> dict[str, list[float | None]]:
    """When each run reached each level, in epochs; None where it did not."""
    found: dict[str, list[float | None]] = {}
    for level in ACCURACIES:
        found[f"accuracy {level:g}"] = [first_at_least(level, [0.1, *run["accuracies"]], _ends(run)) for run in runs]
    for level in LOSSES:
        found[f"loss {level:g}"] = [
            first_at_least(-level, [-math.log(10), *(_negative(loss) for loss in run["losses"])], _middles(run))
            for run in runs
        ]
    return found


def _ends(run: Result) -> list[float]:
    return [float(epoch) for epoch in range(len(run["accuracies"]) + 1)]


def _middles(run: Result) -> list[float]:
    return [0.0, *(epoch + 0.5 for epoch in range(len(run["losses"])))]


def _negative(loss: float | None) -> float:
    return -math.inf if loss is None else -loss


def first_at_least(level: float, values: Sequence[float], times: Sequence[float]) -> float | None:
    """When a polyline first reaches a level from below; None if it does not.

    Args:
        times: of the values, rising.
    """
    for index, value in enumerate(values):
        if value >= level:
            if index == 0:
                return times[0]
            share = (level - values[index - 1]) / (value - values[index - 1])
            return times[index - 1] + share * (times[index] - times[index - 1])
    return None


def _level(found: Sequence[float | None], relu: Sequence[float | None], epochs: int) -> Result:
    """How fast a level was reached.

    Returns:
        `reached` of `n` runs; `epochs`: the mean (`lab.Estimate`), and `ratio_to_relu`: of the geometric means with its
        95 % confidence interval and p after Welch on the logarithms, both null unless every run reached it;
        `ratio_to_relu_at_least`: if only every ReLU run did, with runs that did not counted as if at their end.
    """
    times, others = ([time for time in runs if time is not None] for runs in (found, relu))
    comparable = len(others) == len(relu)
    complete = len(times) == len(found)
    bounded = [epochs if time is None else time for time in found]
    return {
        "reached": len(times),
        "n": len(found),
        "epochs": asdict(Estimate.of(times)) if complete else None,
        "ratio_to_relu": ratio(times, others) if complete and comparable and len(times) > 1 else None,
        "ratio_to_relu_at_least": _geometric(bounded) / _geometric(others) if comparable and not complete else None,
    }


def ratio(a: Sequence[float], b: Sequence[float]) -> Result:
    """Of the geometric means of two sets of runs, a / b, as `lab.Difference` gives it for the logarithms."""
    logs = Difference.of(np.log(a).tolist(), np.log(b).tolist())
    return {**asdict(logs), **{name: math.exp(getattr(logs, name)) for name in ("value", "low", "high")}}


def _geometric(values: Sequence[float]) -> float:
    return math.exp(float(np.mean(np.log(values))))


def draw(result: Result) -> str:
    """Accuracy by epoch: the mean of the runs, and their range as a band; a panel a variant."""
    with panels(len(result["runs"]), width=4.6) as (figure, axes):
        for axis, (variant, cells) in zip(axes, result["runs"].items(), strict=True):
            axis.set_title("with BatchNorm" if VARIANTS[variant] else "without BatchNorm")
            axis.set_xlabel("epochs")
            axis.set_ylabel("validation accuracy")
            for name, cell in cells.items():
                _curves(axis, name, [run["accuracies"] for run in cell["runs"]])
            axis.set_ylim(0)
            axis.legend(fontsize=8, ncols=2, loc="lower right")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        return to_svg(figure)


def _curves(axis: Axes, name: str, runs: Sequence[Sequence[float]]) -> None:
    longest = max(len(run) for run in runs)
    values = np.array(
        [[*run, *[run[-1]] * (longest - len(run))] for run in runs]
    )  # a run that diverged stays where it is
    epochs = np.arange(1, longest + 1)
    axis.plot(epochs, values.mean(axis=0), color=COLORS[name], label=name)
    axis.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=COLORS[name], alpha=0.15, linewidth=0)
