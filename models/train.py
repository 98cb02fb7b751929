"""Train the served CNNs: one recipe for every activation, resumable.

    python -m models.train --data cifar10.zip                     # all of them
    python -m models.train --data cifar10.zip cnn-relu cnn-swish  # two of them

First the learning rate is chosen for each activation, by short runs on a part of the training set. Then each network is
trained on the training set but for a part (`hold_out`), on which the choice is made and, at export, the temperature
fitted; the validation set is only looked at. A checkpoint is written after every epoch; the same command
goes on where it stopped.
"""

import argparse
import json
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from models import data
from models.architecture import ACTIVATIONS, ActNet
from models.files import whole
from models.training import Batches, Loss, Recipe, fit, sigmoid_loss, softmax_loss

CHECKPOINTS = Path("models/checkpoints")

HELD_OUT = 20
"""One picture of so many, of each class, is kept out of training."""

RECIPE = Recipe(epochs=40, optimizer="Muon", peak_learning_rate=0.02, warm_up=0.15, cutout=0, shrunk=0.25)
"""The same for every activation, but for the learning rate. Tried for cnn-relu, on validation pictures, one seed each,
2026-11: SGD 87.2 % in 50 epochs, 87.8 % in 80; Muon in 12 epochs 84.2 % with a cutout of 10 pixels, at learning rates
from 0.012 to 0.03, and 85.4 % without."""

LEARNING_RATES = (0.02, 0.04, 0.08)
"""Tried in short runs; a long one takes less (`stretched`)."""
SEARCH_PART = 4
"""The search for the learning rate takes each so-manieth picture."""
SEARCH_EPOCHS = 6
QUICK_EPOCHS = 1


@dataclass(frozen=True, slots=True)
class Task:
    """A network to be trained.

    Attributes:
        name: the served model's.
        binary: animal or vehicle, with one logit; else ten classes.
    """

    name: str
    activation: str
    binary: bool = False

    @property
    def loss(self) -> Loss:
        return sigmoid_loss if self.binary else softmax_loss

    def net(self, device: torch.device, seed: int) -> ActNet:
        torch.manual_seed(seed)
        net = ActNet(self.activation, 1 if self.binary else 10)
        net.to(device, memory_format=torch.channels_last)
        return net


TASKS = {f"cnn-{name}": Task(f"cnn-{name}", name) for name in ACTIVATIONS} | {
    "binary-relu": Task("binary-relu", "relu", binary=True)
}


@dataclass(frozen=True, slots=True)
class Pictures:
    """The data of all tasks, on the training device: by whether it is the binary task's."""

    training: dict[bool, Batches]
    held_out: dict[bool, Batches]
    validation: dict[bool, Batches]

    @classmethod
    def read(cls, source: Path, device: torch.device) -> "Pictures":
        """Read the splits.

        Raises:
            FileNotFoundError, ValueError: as `data.read`.
        """
        training, held_out = hold_out(data.read(source, "train"))
        splits = (training, held_out, data.read(source, "validation"))
        return cls(*({b: Batches.of(data.binary(s) if b else s, device) for b in (False, True)} for s in splits))


def hold_out(split: data.Split) -> tuple[data.Split, data.Split]:
    """What is trained on, and what is held out: one picture of `HELD_OUT` of each class, at least one."""
    smallest = int(np.bincount(split.targets).min())
    return data.hold_out(split, max(1, smallest // HELD_OUT))


def train(task: Task, recipe: Recipe, pictures: Pictures, folder: Path) -> Path:
    """Train one network, or go on with it, and return its checkpoint's path."""
    path = folder / f"{task.name}-seed{recipe.seed}.pt"
    training, validation = pictures.training[task.binary], pictures.validation[task.binary]
    net = task.net(training.targets.device, recipe.seed)
    fit(net, recipe, training, validation, loss=task.loss, checkpoint=path, label=path.stem)
    return path


def choose_rate(task: Task, recipe: Recipe, pictures: Pictures, folder: Path, epochs: int = SEARCH_EPOCHS) -> float:
    """The lowest learning rate that, in a short run, is within one standard error of the best on the held-out pictures.

    The lowest: what a short run cannot tell apart, a long one can, and with SGD it favoured the lower rate. What was
    found for long runs of this length is remembered in the folder.

    Args:
        epochs: of a short run.
    """
    path = rates(task, folder, recipe.epochs)
    found: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
    every = pictures.training[task.binary]
    part = replace(every, padded=every.padded[::SEARCH_PART], targets=every.targets[::SEARCH_PART])
    for rate in LEARNING_RATES:
        if str(rate) not in found:
            short = replace(recipe, peak_learning_rate=rate, epochs=epochs, seed=0)
            net = task.net(every.targets.device, 0)
            label = f"{task.name} at {rate}"
            history = fit(net, short, part, pictures.held_out[task.binary], loss=task.loss, label=label)
            found[str(rate)] = history[-1].accuracy
            write(path, found)
    best = max(found[str(rate)] for rate in LEARNING_RATES)
    error = math.sqrt(best * (1 - best) / len(pictures.held_out[task.binary].targets))
    return min(rate for rate in LEARNING_RATES if found[str(rate)] >= best - error)


def stretched(rate: float, recipe: Recipe, epochs: int = SEARCH_EPOCHS) -> float:
    """The learning rate of a long run, from that of a short one.

    Muon moves filters by a fixed share of their norm, so the way of many steps grows with the root of their number; the
    rate is made smaller by as much. For cnn-relu, of 0.01, 0.02 and 0.04 the last was best in runs of 560 steps, 0.012
    to 0.03 were alike in runs of 4,450, and with 0.04 a run of 14,840 was still below 60 % after a quarter (2026-11,
    one seed).
    """
    return rate * math.sqrt(epochs / SEARCH_PART / recipe.epochs)


def rates(task: Task, folder: Path, epochs: int) -> Path:
    """Where the accuracies of the short runs are kept, by learning rate; for a long run of so many epochs."""
    return folder / f"{task.name}-learning-rates-{epochs}.json"


def write(path: Path, content: object) -> None:
    """Write JSON."""
    with whole(path) as partial:
        partial.write_text(json.dumps(content, indent=1))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="model", help=f"of {', '.join(TASKS)}; default: all")
    parser.add_argument("--data", type=Path, required=True, help="a zip or folder of CIFAR-10, or its official files")
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS)
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs)
    parser.add_argument("--quick", action="store_true", help="one epoch of everything, to see that it works")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args(arguments)
    unknown = set(options.models) - set(TASKS)
    if unknown:
        parser.error(f"unknown models {sorted(unknown)}; there are {list(TASKS)}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pictures = Pictures.read(options.data, device)
    epochs, search = (QUICK_EPOCHS, QUICK_EPOCHS) if options.quick else (options.epochs, SEARCH_EPOCHS)
    for seed in options.seeds:
        for name in options.models or TASKS:
            recipe = replace(RECIPE, epochs=epochs, seed=seed)
            rate = choose_rate(TASKS[name], recipe, pictures, options.checkpoints, search)
            tuned = replace(recipe, peak_learning_rate=stretched(rate, recipe, search))
            train(TASKS[name], tuned, pictures, options.checkpoints)


if __name__ == "__main__":
    main(sys.argv[1:])
