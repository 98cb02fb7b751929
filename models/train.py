"""Train the CNNs: one recipe for every activation, resumable.

    python -m models.train --data cifar10.zip                 # all of them
    python -m models.train --data cifar10.zip relu swish      # two of them

A checkpoint is written after every epoch; the same command goes on where it stopped. The data order and the
augmentation depend on (seed, epoch) alone, so a resumed run sees the batches that an unbroken one would.
"""

import argparse
import datetime
import json
import math
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from models import data
from models.architecture import ACTIVATIONS, IMAGE_SIZE, ActNet

PADDING = 4
"""Pixels of reflected border that a random crop may take in."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that shapes a training run; goes into the model card as it is."""

    epochs: int = 12
    batch_size: int = 128
    peak_learning_rate: float = 0.1
    warm_up: float = 0.25
    momentum: float = 0.9
    weight_decay: float = 5e-4
    seed: int = 0

    def learning_rate(self, progress: float) -> float:
        """One cycle: linear rise over the first `warm_up` of the run, cosine fall to zero over the rest."""
        if progress < self.warm_up:
            return self.peak_learning_rate * progress / self.warm_up
        fall = (progress - self.warm_up) / (1 - self.warm_up)
        return self.peak_learning_rate * (1 + math.cos(math.pi * fall)) / 2


@dataclass(frozen=True, slots=True)
class Batches:
    """A split on the training device: pictures uint8 [N, H, W, 3], padded by `PADDING`; targets int64 [N]."""

    padded: Tensor
    targets: Tensor
    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, split: data.Split, device: torch.device) -> "Batches":
        images = torch.from_numpy(split.images).permute(0, 3, 1, 2).float()
        padded = functional.pad(images, [PADDING] * 4, mode="reflect").to(torch.uint8)
        return cls(
            padded.permute(0, 2, 3, 1).contiguous().to(device),
            torch.from_numpy(split.targets).to(device),
            torch.tensor(data.MEAN, device=device),
            torch.tensor(data.STD, device=device),
        )

    def take(self, index: Tensor, shift: Tensor, flip: Tensor) -> Tensor:
        """Cut out pictures at `index`: normalised float32 [B, 3, 32, 32], cropped at `shift`, mirrored by `flip`."""
        steps = torch.arange(IMAGE_SIZE, device=index.device)
        rows = shift[:, :1] + steps
        columns = shift[:, 1:] + torch.where(flip[:, None], steps.flip(0), steps)
        crops = self.padded[index[:, None, None], rows[:, :, None], columns[:, None, :]]
        return ((crops.float() / 255 - self.mean) / self.std).permute(0, 3, 1, 2)

    def centred(self, index: Tensor) -> Tensor:
        """The pictures at `index` as they are: no shift, no mirror."""
        still = torch.full((len(index), 2), PADDING, device=index.device)
        return self.take(index, still, torch.zeros(len(index), dtype=torch.bool, device=index.device))


def train(activation: str, recipe: Recipe, training: Batches, validation: Batches, folder: Path) -> Path:
    """Train one network, or go on with it, and return its checkpoint's path."""
    device = training.padded.device
    path = folder / f"{activation}-seed{recipe.seed}.pt"
    torch.manual_seed(recipe.seed)
    net = ActNet(activation).to(device, memory_format=torch.channels_last)
    decayed = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim <= 1]
    optimizer = torch.optim.SGD(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=recipe.peak_learning_rate,
        momentum=recipe.momentum,
        nesterov=True,
    )
    history: list[dict[str, float]] = []
    if path.exists():
        saved = torch.load(path, map_location=device, weights_only=True)
        if saved["recipe"] == asdict(recipe):
            net.load_state_dict(saved["net"])
            optimizer.load_state_dict(saved["optimizer"])
            history = saved["history"]
    for epoch in range(len(history), recipe.epochs):
        started = time.perf_counter()
        loss = _epoch(net, optimizer, recipe, training, epoch)
        accuracy = evaluate(net, validation)
        history.append({"loss": loss, "validation_accuracy": accuracy, "seconds": time.perf_counter() - started})
        _save(path, activation, recipe, net, optimizer, history)
        left = history[-1]["seconds"] * (recipe.epochs - epoch - 1)
        progress = f"{activation:>10} epoch {epoch + 1}/{recipe.epochs}"
        print(f"{progress} loss {loss:.4f} validation {accuracy:.4f} {left:4.0f} s left", flush=True)
    return path


def _epoch(net: ActNet, optimizer: torch.optim.Optimizer, recipe: Recipe, training: Batches, epoch: int) -> float:
    """One pass over the training set; returns the mean loss."""
    count = len(training.targets)
    device = training.targets.device
    generator = torch.Generator().manual_seed(recipe.seed * 100_003 + epoch)
    order = torch.randperm(count, generator=generator).to(device)
    shift = torch.randint(0, 2 * PADDING + 1, (count, 2), generator=generator).to(device)
    flip = (torch.rand(count, generator=generator) < 0.5).to(device)
    steps = count // recipe.batch_size
    total = 0.0
    net.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate((epoch + (step + 1) / steps) / recipe.epochs)
        index = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
        images = training.take(index, shift[index], flip[index])
        with torch.autocast(device.type, dtype=torch.bfloat16):
            logits = net(images)
        loss = functional.cross_entropy(logits.float(), training.targets[index])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / steps


def evaluate(net: ActNet, split: Batches, batch_size: int = 500) -> float:
    """Share of pictures classified rightly, in float32."""
    net.eval()
    right = 0
    with torch.no_grad():
        for index in torch.arange(len(split.targets), device=split.targets.device).split(batch_size):
            right += int((net(split.centred(index)).argmax(dim=1) == split.targets[index]).sum())
    return right / len(split.targets)


def _save(
    path: Path,
    activation: str,
    recipe: Recipe,
    net: ActNet,
    optimizer: torch.optim.Optimizer,
    history: list[dict[str, float]],
) -> None:
    """Write beside and rename, so that a run cut short leaves the last whole checkpoint."""
    state: dict[str, Any] = {
        "activation": activation,
        "recipe": asdict(recipe),
        "net": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": history,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "torch": str(torch.__version__),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "activations", nargs="*", metavar="activation", help=f"of {', '.join(ACTIVATIONS)}; default: all"
    )
    parser.add_argument("--data", type=Path, required=True, help="zip or folder: <split>/<class>/<number>.jpg")
    parser.add_argument("--checkpoints", type=Path, default=Path("models/checkpoints"))
    parser.add_argument("--epochs", type=int, default=Recipe().epochs)
    parser.add_argument("--seed", type=int, default=Recipe().seed)
    options = parser.parse_args(arguments)
    unknown = set(options.activations) - set(ACTIVATIONS)
    if unknown:
        parser.error(f"unknown activations {sorted(unknown)}; there are {list(ACTIVATIONS)}")
    recipe = Recipe(epochs=options.epochs, seed=options.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    splits = {name: data.read(options.data, name) for name in ("train", "validation")}
    digest = {name: {"images": len(split.targets), "sha256": split.sha256} for name, split in splits.items()}
    options.checkpoints.mkdir(parents=True, exist_ok=True)
    (options.checkpoints / "data.json").write_text(
        json.dumps({"classes": splits["train"].classes, "splits": digest}, indent=1)
    )
    training, validation = (Batches.of(splits[name], device) for name in ("train", "validation"))
    for activation in options.activations or ACTIVATIONS:
        train(activation, recipe, training, validation, options.checkpoints)


if __name__ == "__main__":
    main(sys.argv[1:])
