"""Do ReLU's units die, what brings it about, and do leaky ReLU and ELU avoid it?

A unit is a channel. It is silent when its pre-activation is at or below 0 on every validation picture, everywhere. With
ReLU a silent unit gives 0 and gets no gradient, so it is dead. With the others silence is no death: a silent unit still
says something, and whether it can still learn is asked directly, by the gradient of its weights on a batch of training
pictures: exactly 0 or not. The same is asked with ReLU, where a unit may be without gradient also because all that come
after it are dead.

Networks of seven convolutions without BatchNorm, and for ReLU with it, are trained by plain SGD with momentum at
learning rates from a good one to 30 times that, constant and without clipping, since that is what is said to kill
units. A run whose weights are no numbers any more is diverged: it is counted as that, and nothing else is said of it.
Each ReLU network without BatchNorm that ends with dead units is trained further at the good rate, to see how many come
back.

Limits: silent means silent on these pictures; three epochs are short; one good rate stands for all activations, for the
comparison is at the same rate; seven layers are few for units that are born dead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from models.architecture import ActNet, Stages
from models.experiments.gradients import overhear
from models.lab import PLAIN, SEVEN, Difference, Estimate, Lab, Result, seeds
from models.plots import COLORS, panels, to_svg
from models.training import Batches, Recipe, fit

KINDS: Sequence[tuple[str, bool]] = (
    ("relu", False), ("leaky_relu", False), ("elu", False), ("swish", False), ("relu", True),
)  # fmt: skip
"""(activation, BatchNorm)."""

BASE_RATE = 0.03
FACTORS = (1, 2, 3, 5, 10, 30)
"""Of the base rate. Without BatchNorm, 30 times it is too much for any of them."""
RECIPE = replace(PLAIN, epochs=3, schedule="constant", clip=0.0, peak_learning_rate=BASE_RATE)
SEEDS = 3
RECOVERY_EPOCHS = 2
BATCH = 512
"""Training pictures for the question whether a unit gets gradient."""


@dataclass(frozen=True, slots=True)
class Census:
    """What is left of a network's units, bool [C] a layer, and its accuracy on the validation pictures."""

    silent: list[Tensor]
    without_gradient: list[Tensor]
    accuracy: float

    @classmethod
    def of(cls, net: ActNet, validation: Batches, images: Tensor, targets: Tensor) -> "Census":
        """Ask every unit, on all validation pictures and on one batch of training pictures."""
        highest, accuracy = highest_inputs(net, validation)
        return cls([top <= 0 for top in highest], without_gradient(net, images, targets), accuracy)

    def layers(self) -> list[dict[str, int]]:
        """Counts a layer."""
        pairs = zip(self.silent, self.without_gradient, strict=True)
        return [
            {
                "units": len(silent),
                "silent": int(silent.sum()),
                "without_gradient": int(still.sum()),
                "silent_without_gradient": int((silent & still).sum()),
            }
            for silent, still in pairs
        ]


def highest_inputs(net: ActNet, pictures: Batches, batch_size: int = 500) -> tuple[list[Tensor], float]:
    """Of each unit the largest pre-activation over all pictures and places, [C] a layer; and the accuracy."""
    net.eval()
    highest: list[Tensor] = []
    right = 0
    with torch.no_grad():
        for index in torch.arange(len(pictures.targets), device=pictures.targets.device).split(batch_size):
            heard, logits = overhear(net, pictures.centred(index))
            tops = [z.amax(dim=(0, 2, 3)) for z in heard]
            highest = [torch.maximum(a, b) for a, b in zip(highest, tops, strict=True)] if highest else tops
            right += int((logits.argmax(dim=1) == pictures.targets[index]).sum())
    return highest, right / len(pictures.targets)


def without_gradient(net: ActNet, images: Tensor, targets: Tensor) -> list[Tensor]:
    """Whether the gradient of all of a unit's weights is exactly 0 on a batch, bool [C] a layer."""
    net.eval()
    weights = [convolution.weight for convolution in net.convolutions]
    gradients = torch.autograd.grad(functional.cross_entropy(net(images), targets), weights)
    return [gradient.abs().amax(dim=(1, 2, 3)) == 0 for gradient in gradients]


def run(
    lab: Lab,
    *,
    kinds: Sequence[tuple[str, bool]] = KINDS,
    stages: Stages = SEVEN,
    recipe: Recipe = RECIPE,
    factors: Sequence[float] = FACTORS,
    count: int = SEEDS,
    recovery_epochs: int = RECOVERY_EPOCHS,
) -> Result:
    """Train every kind at every learning rate and count its units; `recipe` has the good rate."""
    runs = [
        {"factor": factor, **train(lab, activation, norm, stages, each, factor, recovery_epochs)}
        for activation, norm in kinds
        for factor in factors
        for each in seeds(recipe, count)
    ]
    groups = {
        (activation, norm, factor): [
            run for run in runs if (run["activation"], run["norm"], run["factor"]) == (activation, norm, factor)
        ]
        for activation, norm in kinds
        for factor in factors
    }
    return {
        "settings": {
            "stages": [list(stage) for stage in stages],
            "recipe": asdict(recipe),
            "factors": list(factors),
            "seeds": count,
            "recovery_epochs": recovery_epochs,
            "pictures_for_the_gradient": BATCH,
        },
        "runs": runs,
        "summary": {
            "units": [summed_up(group) for group in groups.values()],
            "against_relu": against_relu(groups),
            "recovery": recovery([run for run in runs if run["recovery"] is not None]),
        },
    }


def train(
    lab: Lab, activation: str, norm: bool, stages: Stages, good: Recipe, factor: float, recovery_epochs: int
) -> Result:
    """Train one network at a multiple of the good learning rate, and count its units.

    Returns:
        `layers`, `accuracy`: as `Census`; None where the run diverged. `recovery`: of a ReLU network without BatchNorm
        that has dead units, after more training at the good rate.
    """
    recipe = replace(good, peak_learning_rate=good.peak_learning_rate * factor)
    rest = replace(good, epochs=recovery_epochs, seed=good.seed + 1000)
    key = {"experiment": "dying", "activation": activation, "norm": norm, "factor": factor}
    found = lab.trained(
        {**key, "recovery": recovery_epochs, "stages": " ".join(f"{width}/{stride}" for width, stride in stages)},
        lambda: ActNet(activation, stages=stages, norm=norm),
        recipe,
        validation=lab.held_out,
        after=lambda net: _after(lab, net, rest if activation == "relu" and not norm else None),
    )
    named = {"activation": activation, "norm": norm, "learning_rate": recipe.peak_learning_rate, "seed": recipe.seed}
    return named | {name: found[name] for name in ("diverged", "layers", "accuracy", "recovery")}


def _after(lab: Lab, net: Any, rest: Recipe | None) -> Result:
    """The census of a trained network, and of its recovery if that is asked for and there is something to recover."""
    nothing: Result = {"diverged": True, "layers": None, "accuracy": None, "recovery": None}
    if not all(bool(parameter.isfinite().all()) for parameter in net.parameters()):
        return nothing
    index = torch.arange(0, len(lab.training.targets), max(1, len(lab.training.targets) // BATCH))[:BATCH]
    index = index.to(lab.device)
    batch = lab.training.centred(index), lab.training.targets[index]
    census = Census.of(net, lab.validation, *batch)
    found = nothing | {"diverged": False, "layers": census.layers(), "accuracy": census.accuracy}
    if rest is not None and any(bool(silent.any()) for silent in census.silent):
        fit(net, rest, lab.training, lab.held_out, label="recovery")
        found["recovery"] = revived(census, Census.of(net, lab.validation, *batch))
    return found


def revived(before: Census, after: Census) -> Result:
    """How many units were silent, spoke again, and fell silent, in all; and the accuracy before and after."""
    pairs = list(zip(before.silent, after.silent, strict=True))
    return {
        "silent_before": sum(int(was.sum()) for was, _ in pairs),
        "came_back": sum(int((was & ~still).sum()) for was, still in pairs),
        "newly_silent": sum(int((~was & now).sum()) for was, now in pairs),
        "accuracy_before": before.accuracy,
        "accuracy_after": after.accuracy,
    }


def share(run: Mapping[str, Any], what: str) -> float:
    """Of a run's units."""
    return float(sum(layer[what] for layer in run["layers"]) / sum(layer["units"] for layer in run["layers"]))


def has_silent_layer(run: Mapping[str, Any]) -> bool:
    return any(layer["silent"] == layer["units"] for layer in run["layers"])


def summed_up(group: Sequence[Mapping[str, Any]]) -> Result:
    """Of runs that differ in their seed: means over those that did not diverge, None if there are none."""
    alive = [run for run in group if not run["diverged"]]
    shares = {
        what: asdict(Estimate.of([share(run, what) for run in alive])) if alive else None
        for what in ("silent", "without_gradient", "silent_without_gradient")
    }
    return {
        **{name: group[0][name] for name in ("activation", "norm", "factor", "learning_rate")},
        "runs": len(group),
        "diverged": len(group) - len(alive),
        "with_a_silent_layer": sum(has_silent_layer(run) for run in alive),
        **shares,
        "silent_by_layer": [
            sum(run["layers"][index]["silent"] / run["layers"][index]["units"] for run in alive) / len(alive)
            for index in range(len(alive[0]["layers"]) if alive else 0)
        ],
        "accuracy": asdict(Estimate.of([run["accuracy"] for run in alive])) if alive else None,
    }


def against_relu(groups: Mapping[tuple[str, bool, float], Sequence[Mapping[str, Any]]]) -> list[Result]:
    """Accuracy of each other activation less ReLU's at the same learning rate, over runs that did not diverge."""
    entries = []
    for (activation, norm, factor), group in groups.items():
        relu = groups.get(("relu", norm, factor), [])
        a, b = ([run["accuracy"] for run in runs if not run["diverged"]] for runs in (group, relu))
        if activation != "relu" and min(len(a), len(b)) > 1:
            entries.append({"activation": activation, "factor": factor, "accuracy": asdict(Difference.of(a, b))})
    return entries


def recovery(runs: Sequence[Mapping[str, Any]]) -> Result | None:
    """Of networks that had dead units: the share that came back, and the network that had most.

    A network with a layer that is silent as a whole gets no gradient before it, and cannot recover; `came_back` is of
    the others.
    """
    if not runs:
        return None
    able = [run["recovery"] for run in runs if not has_silent_layer(run)]
    shares = [each["came_back"] / each["silent_before"] for each in able]
    worst = max(runs, key=lambda run: run["recovery"]["silent_before"])
    return {
        "networks": len(runs),
        "with_a_silent_layer": len(runs) - len(able),
        "came_back": asdict(Estimate.of(shares)) if shares else None,
        "worst": {name: worst[name] for name in ("factor", "learning_rate", "seed")} | worst["recovery"],
    }


def draw(result: Result) -> str:
    """Silent units, those of them that get no gradient, and accuracy, by learning rate; × where runs diverged."""
    entries = result["summary"]["units"]
    kinds = list(dict.fromkeys((entry["activation"], entry["norm"]) for entry in entries))
    with panels(3, width=4.6, height=3.6) as (figure, (left, middle, right)):
        for activation, norm in kinds:
            label = activation + (" + BN" if norm else "")
            group = [entry for entry in entries if (entry["activation"], entry["norm"]) == (activation, norm)]
            for axes, what in ((left, "silent"), (middle, "silent_without_gradient"), (right, "accuracy")):
                known = [entry for entry in group if entry[what] is not None]
                rates = [entry["learning_rate"] for entry in known]
                values = [entry[what]["value"] for entry in known]
                axes.plot(rates, values, "o--" if norm else "o-", color=COLORS[activation], markersize=4, label=label)
            lost = [entry["learning_rate"] for entry in group if entry["diverged"]]
            height = 0.012 * (1 + kinds.index((activation, norm)))
            right.plot(lost, [height] * len(lost), "x", color=COLORS[activation], markersize=5)
        left.set(title="share of units that are silent", ylim=(-0.01, None))
        middle.set(title="share that is silent and without gradient", ylim=(-0.01, None))
        right.set(title="accuracy; × where runs diverged", ylim=(0, None))
        right.axhline(0.1, color="#222222", linestyle=":", linewidth=1)
        for axes in (left, middle, right):
            axes.set(xscale="log", xlabel="learning rate")
        left.legend(fontsize=8)
        return to_svg(figure)
