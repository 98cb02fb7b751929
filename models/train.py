"""Train the served CNNs: one recipe for every activation, resumable.

    python -m models.train --data cifar10.zip                     # all of them
    python -m models.train --data cifar10.zip cnn-relu cnn-swish  # two of them

First the learning rate is chosen for each activation, by short runs on a part of the training set. Then each network is
trained on the training set but for `HELD_OUT` pictures of each class, on which the choice is made and, at export, the
temperature fitted; the validation set is only looked at. A checkpoint is written after every epoch; the same command
goes on where it stopped.
"""

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from models import data
from models.architecture import ACTIVATIONS, ActNet
from models.files import whole
from models.training import Batches, Loss, Recipe, fit, sigmoid_loss, softmax_loss

CHECKPOINTS = Path("models/checkpoints")

HELD_OUT = 250
"""Pictures of each class that are kept out of training."""

LEARNING_RATES = (0.1, 0.3, 1.0)
"""Tried in short runs."""
SEARCH_PART = 4
"""The search for the learning rate takes each so-manieth picture."""
SEARCH_EPOCHS = 6
LONG_RUN = 1 / 3
"""A long run wants less than a short one, in which weight decay has no time to act: cnn-relu did best at 0.3 in short
runs; over 80 epochs 0.3 gave 87.6 % of the validation pictures, and 0.1 gave 88.7 % (2026-11, one seed each)."""


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
        training, held_out = data.hold_out(data.read(source, "train"), HELD_OUT)
        splits = (training, held_out, data.read(source, "validation"))
        return cls(*({b: Batches.of(data.binary(s) if b else s, device) for b in (False, True)} for s in splits))


def train(task: Task, recipe: Recipe, pictures: Pictures, folder: Path) -> Path:
    """Train one network, or go on with it, and return its checkpoint's path."""
    path = folder / f"{task.name}-seed{recipe.seed}.pt"
    training, validation = pictures.training[task.binary], pictures.validation[task.binary]
    net = task.net(training.targets.device, recipe.seed)
    fit(net, recipe, training, validation, loss=task.loss, checkpoint=path, label=path.stem)
    return path


def choose_rate(task: Task, recipe: Recipe, pictures: Pictures, folder: Path) -> float:
    """For the long run, after the one that does best on the held-out pictures in a short run.

    What short runs found is remembered in the folder.
    """
    path = folder / "learning-rates.json"
    known: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.exists() else {}
    found = known.setdefault(task.name, {})
    whole = pictures.training[task.binary]
    part = replace(whole, padded=whole.padded[::SEARCH_PART], targets=whole.targets[::SEARCH_PART])
    for rate in LEARNING_RATES:
        if str(rate) not in found:
            short = replace(recipe, peak_learning_rate=rate, epochs=SEARCH_EPOCHS, seed=0)
            net = task.net(whole.targets.device, 0)
            label = f"{task.name} at {rate}"
            found[str(rate)] = fit(net, short, part, pictures.held_out[task.binary], loss=task.loss, label=label)[
                -1
            ].accuracy
            write(path, known)
    best = max((str(rate) for rate in LEARNING_RATES), key=lambda rate: found[rate])
    return round(float(best) * LONG_RUN, 4)


def write(path: Path, content: object) -> None:
    """Write JSON."""
    with whole(path) as partial:
        partial.write_text(json.dumps(content, indent=1))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="model", help=f"of {', '.join(TASKS)}; default: all")
    parser.add_argument("--data", type=Path, required=True, help="a zip or folder of CIFAR-10, or its official files")
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS)
    parser.add_argument("--epochs", type=int, default=Recipe().epochs)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args(arguments)
    unknown = set(options.models) - set(TASKS)
    if unknown:
        parser.error(f"unknown models {sorted(unknown)}; there are {list(TASKS)}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pictures = Pictures.read(options.data, device)
    for seed in options.seeds:
        for name in options.models or TASKS:
            recipe = Recipe(epochs=options.epochs, seed=seed)
            rate = choose_rate(TASKS[name], recipe, pictures, options.checkpoints)
            train(TASKS[name], replace(recipe, peak_learning_rate=rate), pictures, options.checkpoints)


if __name__ == "__main__":
    main(sys.argv[1:])
