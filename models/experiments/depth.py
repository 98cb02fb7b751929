"""Claims: Swish is "better than ReLU on some tasks"; "deep networks: Swish or Leaky ReLU".

Questions: is a network with Swish, or leaky ReLU, more accurate than with ReLU? Does the advantage grow with depth?

Method: seven and fourteen convolutions of the same widths, with and without BatchNorm, one-cycle runs, each at a
learning rate chosen for that activation, depth and variant. Differences of independent runs after Welch; the growth
with depth is the difference of two differences, with an interval from all four sets of runs.

Limits: small networks, 5,000 pictures, no augmentation, twelve epochs; fourteen layers are not deep by today's
measure, and there are no skip connections. Gaps below half a point are not resolved by five runs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
from matplotlib.axes import Axes
from scipy import stats

from models.architecture import Stages
from models.experiments.rates import VARIANTS, Cell, tuned
from models.lab import FOURTEEN, PLAIN, SEVEN, Difference, Estimate, Lab, Result
from models.plots import COLORS, panels, to_svg

SEEDS = {"relu": 5, "swish": 5, "leaky_relu": 3}
"""Runs of each activation."""

RATES = (0.03, 0.1, 0.3)
"""Peaks of the one cycle."""


def run(
    lab: Lab,
    *,
    seeds: Mapping[str, int] = SEEDS,
    depths: Sequence[Stages] = (SEVEN, FOURTEEN),
    rates: Sequence[float] = RATES,
    search_epochs: int = 4,
    epochs: int = 12,
) -> Result:
    """Train all of them.

    Args:
        seeds: by activation, ReLU among them, the number of runs; at least two.
        depths: the shallow and the deep network.

    Returns:
        `summary`: by variant (`plain`, `batch_norm`) and number of layers, as text, the numbers of `summarize`; by
        variant `growth with depth`: of `<activation> − relu` from the shallow to the deep network, as `lab.Difference`.
    """
    recipe = replace(PLAIN, epochs=epochs)
    found = {
        variant: {
            str(len(stages)): {
                name: tuned(lab, Cell(name, stages, norm), recipe, count, rates=rates, epochs=search_epochs)
                for name, count in seeds.items()
            }
            for stages in depths
        }
        for variant, norm in VARIANTS.items()
    }
    return {
        "settings": {
            "recipe": asdict(recipe),
            "stages": {str(len(stages)): [list(stage) for stage in stages] for stages in depths},
            "training_pictures": len(lab.training.targets),
            "validation_pictures": len(lab.validation.targets),
            "learning_rates": list(rates),
            "search_epochs": search_epochs,
            "seeds": dict(seeds),
        },
        "runs": found,
        "summary": {variant: _variant(by_depth) for variant, by_depth in found.items()},
    }


def _variant(by_depth: Mapping[str, Mapping[str, Result]]) -> Result:
    summary: Result = {layers: summarize(cells) for layers, cells in by_depth.items()}
    shallow, deep = by_depth.values()
    summary["growth with depth"] = {
        f"{name} − relu": asdict(
            growth(*(accuracies(cells[who]) for cells in (deep, shallow) for who in (name, "relu")))
        )
        for name in deep
        if name != "relu"
    }
    return summary


def summarize(cells: Mapping[str, Result]) -> Result:
    """One network's numbers: by activation, and as `<activation> − relu` the `lab.Difference` of the accuracy.

    Returns:
        By activation `learning_rate`, `diverged` (runs), `accuracy` (`lab.Estimate`).
    """
    found: Result = {
        name: {
            "learning_rate": cell["learning_rate"],
            "diverged": sum(run["diverged"] for run in cell["runs"]),
            "accuracy": asdict(Estimate.of(accuracies(cell))),
        }
        for name, cell in cells.items()
    }
    relu = accuracies(cells["relu"])
    for name, cell in cells.items():
        if name != "relu":
            found[f"{name} − relu"] = asdict(Difference.of(accuracies(cell), relu))
    return found


def accuracies(cell: Result) -> list[float]:
    """Of each run, at its end; one that diverged counts with what it has left."""
    return [run["accuracy"] for run in cell["runs"]]


def growth(
    deep: Sequence[float], deep_relu: Sequence[float], shallow: Sequence[float], shallow_relu: Sequence[float]
) -> Difference:
    """(deep − deep_relu) − (shallow − shallow_relu) of the means, with the degrees of freedom after Satterthwaite."""
    groups = (deep, deep_relu, shallow, shallow_relu)
    value = sum(sign * float(np.mean(group)) for sign, group in zip((1, -1, -1, 1), groups, strict=True))
    variances = [float(np.var(group, ddof=1)) / len(group) for group in groups]
    total, n = sum(variances), min(map(len, groups))
    if total == 0:
        return Difference(value, value, value, float(value == 0), n)
    freedom = total**2 / sum(v**2 / (len(group) - 1) for v, group in zip(variances, groups, strict=True))
    half = float(stats.t.ppf(0.975, freedom)) * math.sqrt(total)
    p = 2 * float(stats.t.sf(abs(value) / math.sqrt(total), freedom))
    return Difference(value, value - half, value + half, p, n)


def draw(result: Result) -> str:
    """Each run's accuracy, and the mean with its interval; a panel a variant."""
    with panels(len(result["runs"])) as (figure, axes):
        for axis, (variant, by_depth) in zip(axes, result["runs"].items(), strict=True):
            axis.set_title("with BatchNorm" if VARIANTS[variant] else "without BatchNorm")
            _accuracies(axis, by_depth)
        return to_svg(figure)


def _accuracies(axis: Axes, by_depth: Mapping[str, Mapping[str, Result]]) -> None:
    for place, cells in enumerate(by_depth.values()):
        for offset, (name, cell) in enumerate(cells.items()):
            x = place * (len(cells) + 1) + offset
            values = accuracies(cell)
            mean = Estimate.of(values)
            axis.plot([x] * len(values), values, "o", color=COLORS[name], alpha=0.5, label=None if place else name)
            if mean.low is not None and mean.high is not None:
                axis.errorbar(
                    [x], [mean.value], [[mean.value - mean.low], [mean.high - mean.value]], color="#222222", capsize=4
                )
    width = len(next(iter(by_depth.values()))) + 1
    axis.set_xticks(
        [place * width + (width - 2) / 2 for place in range(len(by_depth))], [f"{n} layers" for n in by_depth]
    )
    axis.set_ylabel("accuracy, mean ± 95 %")
    axis.legend(fontsize=8)
