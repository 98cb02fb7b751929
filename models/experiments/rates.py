"""What the comparisons share: one network of a comparison, its learning rate, and its runs over seeds.

An activation is judged at the learning rate that suits it, or the comparison would be of learning rates. The choice is
made on pictures that are neither trained on nor reported, with a seed of its own.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import nn

from models.architecture import ActNet, Stages
from models.lab import Lab, Result, seeds
from models.training import Loss, Recipe, evaluate, sigmoid_loss, softmax_loss

SEED = 1000
"""Of the short runs that the learning rate is chosen by."""

VARIANTS = {"plain": False, "batch_norm": True}
"""Whether BatchNorm stands before the activations, by what the results call it."""


def best(
    lab: Lab,
    key: Mapping[str, Any],
    make: Callable[[], nn.Module],
    recipe: Recipe,
    rates: Sequence[float],
    epochs: int,
    *,
    loss: Loss = softmax_loss,
) -> tuple[float, dict[str, float]]:
    """Choose the learning rate that is most accurate on the held-out pictures after a short run.

    Args:
        key: what `make` depends on.
        epochs: length of a short run; a one-cycle schedule goes through its whole cycle in them.

    Returns:
        The rate, of equally accurate ones (all at chance, say) that with the smallest training loss, of those the
        smallest; and by rate, as text, the accuracy: 0 for a run that diverged.
    """
    scores: dict[str, float] = {}
    losses: dict[str, float] = {}
    for rate in sorted(rates):
        short = replace(recipe, peak_learning_rate=rate, epochs=epochs, seed=SEED)
        described = {"purpose": "learning rate", **key, "rate": rate}
        run = lab.trained(described, make, short, loss=loss, validation=lab.held_out)
        last = run["history"][-1]
        failed = last["loss"] is None
        scores[str(rate)], losses[str(rate)] = (0.0, math.inf) if failed else (last["accuracy"], last["loss"])
    return float(max(scores, key=lambda rate: (scores[rate], -losses[rate]))), scores


def at_its_best(
    lab: Lab,
    key: Mapping[str, Any],
    make: Callable[[], nn.Module],
    recipe: Recipe,
    rates: Sequence[float],
    count: int,
) -> Result:
    """Train networks of one kind with the learning rate that suits it, chosen in runs of the same length.

    Args:
        key: what `make` depends on.

    Returns:
        `search`: held-out accuracy by learning rate. `accuracy`, `loss`: of each seed, at the end. `history`: accuracy
        on the held-out pictures by epoch, a list a seed. `diverged`: how many seeds have a loss that is no number.
    """

    def after(net: nn.Module) -> Result:
        return {"accuracy": evaluate(net, lab.validation)}

    rate, search = best(lab, key, make, recipe, rates, recipe.epochs)
    tuned = replace(recipe, peak_learning_rate=rate)
    results = [lab.trained(key, make, each, validation=lab.held_out, after=after) for each in seeds(tuned, count)]
    losses = [result["history"][-1]["loss"] for result in results]
    return {
        "search": search,
        "learning_rate": rate,
        "accuracy": [result["accuracy"] for result in results],
        "loss": losses,
        "history": [[epoch["accuracy"] for epoch in result["history"]] for result in results],
        "diverged": losses.count(None),
    }


@dataclass(frozen=True, slots=True)
class Cell:
    """One network of a comparison.

    Attributes:
        head: the loss: of a softmax over the logits, or of a sigmoid on each.
        task: name of the targets where they are not the ten classes; goes into the key.
    """

    activation: str
    stages: Stages
    norm: bool
    classes: int = 10
    head: Literal["softmax", "sigmoid"] = "softmax"
    task: str = "ten classes"

    @property
    def key(self) -> dict[str, Any]:
        widths = " ".join(f"{width}/{stride}" for width, stride in self.stages)
        return {
            "activation": self.activation,
            "norm": self.norm,
            "head": f"{self.head} {self.classes}",
            "task": self.task,
            "stages": widths,
        }

    @property
    def loss(self) -> Loss:
        return softmax_loss if self.head == "softmax" else sigmoid_loss

    def net(self) -> ActNet:
        return ActNet(self.activation, self.classes, stages=self.stages, norm=self.norm)

    def best(self, lab: Lab, recipe: Recipe, rates: Sequence[float], epochs: int) -> tuple[float, dict[str, float]]:
        """As the function of that name."""
        return best(lab, self.key, self.net, recipe, rates, epochs, loss=self.loss)

    def runs(
        self,
        lab: Lab,
        recipe: Recipe,
        count: int,
        *,
        after: Callable[[nn.Module], Result] = lambda _: {},
        measured: str = "accuracy",
    ) -> Iterator[Result]:
        """Train it with the seeds 0 to count − 1.

        Args:
            measured: what `after` measures, with all that it depends on but the network; goes into the key.

        Yields:
            For each seed `seed`, `learning_rate`, `diverged`, `accuracy`: the last epoch's, `accuracies` and `losses`:
            by epoch (a loss is null where the run diverged), and what `after` says.
        """
        for seeded in seeds(recipe, count):
            key = {"measured": measured, **self.key}
            run = lab.trained(key, self.net, seeded, loss=self.loss, after=after)
            history = run.pop("history")
            yield {
                "seed": seeded.seed,
                "learning_rate": recipe.peak_learning_rate,
                "diverged": history[-1]["loss"] is None,
                "accuracy": history[-1]["accuracy"],
                "accuracies": [epoch["accuracy"] for epoch in history],
                "losses": [epoch["loss"] for epoch in history],
                **run,
            }


def tuned(
    lab: Lab,
    cell: Cell,
    recipe: Recipe,
    count: int,
    *,
    rates: Sequence[float],
    epochs: int,
    after: Callable[[nn.Module], Result] = lambda _: {},
    measured: str = "accuracy",
) -> Result:
    """Choose a cell's learning rate and train it: `learning_rate`, `search` (accuracy by rate), `runs`."""
    rate, scores = cell.best(lab, recipe, rates, epochs)
    runs = list(cell.runs(lab, replace(recipe, peak_learning_rate=rate), count, after=after, measured=measured))
    return {"learning_rate": rate, "search": scores, "runs": runs}
