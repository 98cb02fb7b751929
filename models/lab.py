"""What the experiments share: a small part of the pictures, small networks, runs that are done once, and statistics.

Smaller networks and fewer pictures than the served CNNs have make it possible to repeat every comparison over seeds.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from scipy import stats
from torch import nn

from models import data
from models.architecture import Stages
from models.files import whole
from models.training import Batches, Epoch, Loss, Recipe, fit, softmax_loss

Result: TypeAlias = dict[str, Any]
"""What JSON can hold."""

PICTURES = 500
"""Of each class, that experiments train on."""

SEVEN: Stages = ((16, 1), (16, 2), (24, 1), (32, 2), (32, 1), (48, 1), (48, 2))
"""Seven convolutions, 4 M multiply-adds: the served network at half of its width."""

FOURTEEN: Stages = (
    (16, 1), (16, 1), (16, 2), (16, 1), (24, 1), (24, 1), (32, 2), (32, 1), (32, 1), (32, 1), (48, 1), (48, 1), (48, 2),
    (48, 1),
)  # fmt: skip
"""The same widths and strides, each layer followed by another of its kind."""

PLAIN = Recipe(
    epochs=12,
    batch_size=64,
    peak_learning_rate=0.03,
    cutout=0,
    shrunk=0.0,
    label_smoothing=0.0,
    weight_decay=0.0,
    augment=False,
    clip=1.0,
)
"""No regularisation: what is compared is how the activations train, not how they generalise under help."""


@dataclass(frozen=True, slots=True)
class Lab:
    """The place where experiments run.

    Attributes:
        training: a part of the training set, each class alike.
        held_out: another part of it, for choosing learning rates.
        validation: all of the validation set.
        runs: folder where each run's result is kept, so that an experiment that was cut short goes on.
    """

    training: Batches
    held_out: Batches
    validation: Batches
    runs: Path

    @classmethod
    def open(
        cls, source: Path, runs: Path, device: torch.device, *, each: int = PICTURES, held_out: int = 200
    ) -> "Lab":
        """Read the data; `each` pictures of a class are for training.

        Raises:
            FileNotFoundError, ValueError: as `data.read`.
        """
        rest, validation = data.read(source, "train"), data.read(source, "validation")
        rest, training = data.hold_out(rest, each)
        _, kept = data.hold_out(rest, held_out)
        return cls(Batches.of(training, device), Batches.of(kept, device), Batches.of(validation, device), runs)

    @property
    def device(self) -> torch.device:
        return self.training.targets.device

    def once(self, key: Mapping[str, Any], compute: Callable[[], Result]) -> Result:
        """The result of a run, from the folder if it has been done before.

        Args:
            key: all that the result depends on; it is kept with the result.
        """
        described = json.dumps(key, sort_keys=True)
        path = self.runs / f"{hashlib.sha256(described.encode()).hexdigest()[:24]}.json"
        if path.exists():
            found: Result = json.loads(path.read_text())["result"]
            return found
        result = compute()
        with whole(path) as partial:
            partial.write_text(json.dumps({"key": key, "result": result}))
        return result

    def trained(
        self,
        key: Mapping[str, Any],
        make: Callable[[], nn.Module],
        recipe: Recipe,
        *,
        loss: Loss = softmax_loss,
        validation: Batches | None = None,
        after: Callable[[nn.Module], Result] = lambda _: {},
    ) -> Result:
        """Train a network once: `history` of its epochs, and what `after` says of the trained network.

        Args:
            key: what `make` and `after` depend on.
            make: the network; called with the seed of the recipe set.
            validation: where accuracy is measured, if not on the whole validation set.
        """

        def compute() -> Result:
            torch.manual_seed(recipe.seed)
            net = make().to(self.device, memory_format=torch.channels_last)
            label = " ".join(str(value) for value in key.values())
            history = fit(net, recipe, self.training, validation or self.validation, loss=loss, label=label)
            return {"history": [_finite(epoch) for epoch in history], **after(net)}

        size = len(self.training.targets), len((validation or self.validation).targets)
        return self.once({**key, "recipe": asdict(recipe), "pictures": size}, compute)


def _finite(epoch: Epoch) -> dict[str, float | None]:
    """JSON has no NaN; a loss that is none is null."""
    return {name: value if math.isfinite(value) else None for name, value in asdict(epoch).items()}


def seeds(recipe: Recipe, count: int) -> Iterator[Recipe]:
    """The recipe with seeds 0 to count − 1."""
    for seed in range(count):
        yield replace(recipe, seed=seed)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over independent runs with its 95 % confidence interval (Student's t); none for a single run."""

    value: float
    low: float | None
    high: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        n, mean = len(values), float(np.mean(values))
        if n < 2:
            return cls(mean, None, None, n)
        half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n))
        return cls(mean, mean - half, mean + half, n)


@dataclass(frozen=True, slots=True)
class Difference:
    """Of the means of two sets of independent runs, a − b: 95 % confidence interval and p after Welch."""

    value: float
    low: float
    high: float
    p: float
    n: int

    @classmethod
    def of(cls, a: Sequence[float], b: Sequence[float]) -> "Difference":
        """Compare two sets of at least two runs each; sets without any spread have p 0 or 1."""
        value = float(np.mean(a) - np.mean(b))
        shares = [float(np.var(runs, ddof=1)) / len(runs) for runs in (a, b)]
        total, n = sum(shares), min(len(a), len(b))
        if total == 0:
            return cls(value, value, value, float(value == 0), n)
        freedom = total**2 / sum(s**2 / (len(runs) - 1) for s, runs in zip(shares, (a, b), strict=True))
        half = float(stats.t.ppf(0.975, freedom)) * math.sqrt(total)
        p = 2 * float(stats.t.sf(abs(value) / math.sqrt(total), freedom))
        return cls(value, value - half, value + half, p, n)
