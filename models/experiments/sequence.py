"""Are Tanh and Sigmoid the activations for sequences, in a recurrent network and inside an LSTM?

There is no text in this project, so pictures stand in for language and time series: a network with a state of 64
numbers reads a picture row by row, from top to bottom, 32 steps of 96 numbers, and the state after the last row is
classified. Compared are Elman's network h' = f(W·x + U·h + b) with tanh, sigmoid and ReLU, and an LSTM whose gates are
sigmoids as always, and whose candidate and output activation f is tanh (as always), sigmoid or ReLU:

    c' = forget·c + input·f(candidate),   h' = output·f(c')

Weights are drawn as Keras draws them: W after Glorot, U orthogonal, biases 0 but 1 for the forget gate. Each variant
has its own learning rate, and its gradient is clipped. Before training, the gradient of the loss with respect to what a
picture's row adds in the first step is compared with that of the last: how far back through time the network can learn.

Limits: rows of pictures are no language, 32 steps are few, and no GRU is asked.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.architecture import ACTIVATIONS, IMAGE_SIZE
from models.experiments.rates import at_its_best
from models.lab import PLAIN, Difference, Estimate, Lab, Result
from models.plots import COLORS, panels, to_svg
from models.training import Recipe

VARIANTS: Sequence[tuple[str, str]] = tuple(
    (cell, activation) for cell in ("elman", "lstm") for activation in ("tanh", "sigmoid", "relu")
)
HIDDEN = 64
RECIPE = replace(PLAIN, epochs=8)
RATES = (0.01, 0.03, 0.1, 0.3, 1.0)
SEEDS = 5
DRAWS = 10
BATCH = 128
"""Pictures on which the gradient through time is measured."""


class RowReader(nn.Module):  # type: ignore[misc]  # without torch's types
    """A recurrent network over the rows of a picture; it computes in its weights' precision, whatever autocast says.

    Args:
        cell: "elman" or "lstm".
        activation: of the state; in an LSTM of candidate and output.

    Shape: [N, 3, 32, 32] → logits [N, classes].
    """

    def __init__(self, cell: str, activation: str, *, hidden: int = HIDDEN, classes: int = 10) -> None:
        super().__init__()
        self.cell, self.hidden = cell, hidden
        self.activate = ACTIVATIONS[activation]
        width = hidden * (4 if cell == "lstm" else 1)
        self.read = nn.Linear(3 * IMAGE_SIZE, width)
        self.recall = nn.Linear(hidden, width, bias=False)
        self.head = nn.Linear(hidden, classes)
        nn.init.xavier_uniform_(self.read.weight)
        nn.init.orthogonal_(self.recall.weight)
        nn.init.zeros_(self.read.bias)
        if cell == "lstm":
            nn.init.ones_(self.read.bias[hidden : 2 * hidden])

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.rows(images))
        return logits

    def rows(self, images: Tensor) -> Tensor:
        """W·x + b of every row: [N, 32, width]."""
        with torch.autocast(images.device.type, enabled=False):
            read: Tensor = self.read(images.transpose(1, 2).flatten(2))
            return read

    def classify(self, rows: Tensor) -> Tensor:
        """Go through the rows from a state of zeros, and classify the last state."""
        h = c = rows.new_zeros(len(rows), self.hidden)
        with torch.autocast(rows.device.type, enabled=False):
            for row in rows.unbind(dim=1):
                h, c = self.step(row + self.recall(h), c)
            logits: Tensor = self.head(h)
            return logits

    def step(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """The next state h, and the next content c of an LSTM, which Elman's network has not."""
        if self.cell == "elman":
            return self.activate(z), c
        opened, kept, shown, candidate = z.chunk(4, dim=1)
        c = kept.sigmoid() * c + opened.sigmoid() * self.activate(candidate)
        return shown.sigmoid() * self.activate(c), c


def run(
    lab: Lab,
    *,
    variants: Sequence[tuple[str, str]] = VARIANTS,
    hidden: int = HIDDEN,
    recipe: Recipe = RECIPE,
    rates: Sequence[float] = RATES,
    count: int = SEEDS,
    draws: int = DRAWS,
) -> Result:
    """Measure each variant's gradient through time before training, and train it."""
    runs = [
        {
            "cell": cell,
            "activation": activation,
            "log10_gradient_first_by_last_step": through_time(lab, cell, activation, hidden, draws),
            **train(lab, cell, activation, hidden, recipe, rates, count),
        }
        for cell, activation in variants
    ]
    return {
        "settings": {
            "steps": IMAGE_SIZE,
            "numbers_a_step": 3 * IMAGE_SIZE,
            "hidden": hidden,
            "recipe": asdict(recipe),
            "learning_rates": list(rates),
            "seeds": count,
            "draws": draws,
            "pictures_of_a_draw": BATCH,
        },
        "runs": runs,
        "summary": {"variants": [summed_up(run) for run in runs], "against_tanh": against_tanh(runs)},
    }


def through_time(lab: Lab, cell: str, activation: str, hidden: int, draws: int) -> list[float]:
    """Of fresh networks, a number a draw, in float64: log10 of the gradient of the first step by that of the last."""

    def one(seed: int) -> float:
        torch.manual_seed(seed)
        net = RowReader(cell, activation, hidden=hidden).to(lab.device).double()
        generator = torch.Generator().manual_seed(seed)
        index = torch.randperm(len(lab.training.targets), generator=generator)[:BATCH].to(lab.device)
        norms = step_gradients(net, lab.training.centred(index).double(), lab.training.targets[index])
        return round(math.log10(norms[0] / norms[-1]), 4)

    key = {"experiment": "sequence", "cell": cell, "activation": activation, "hidden": hidden, "draws": draws}
    found: list[float] = lab.once(
        {**key, "batch": BATCH, "pictures": len(lab.training.targets)},
        lambda: {"ratios": [one(seed) for seed in range(draws)]},
    )["ratios"]
    return found


def step_gradients(net: RowReader, images: Tensor, targets: Tensor) -> list[float]:
    """‖∂L/∂(W·x + b)‖₂ of every step, over the batch."""
    rows = net.rows(images).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(functional.cross_entropy(net.classify(rows), targets), rows)
    return [float(norm) for norm in gradient.norm(dim=(0, 2))]


def train(
    lab: Lab, cell: str, activation: str, hidden: int, recipe: Recipe, rates: Sequence[float], count: int
) -> Result:
    """Train one variant, see `at_its_best`."""
    key = {"experiment": "sequence", "cell": cell, "activation": activation, "hidden": hidden}
    return at_its_best(lab, key, lambda: RowReader(cell, activation, hidden=hidden), recipe, rates, count)


def summed_up(run: Mapping[str, Any]) -> Result:
    """Means over draws and seeds."""
    return {
        **{name: run[name] for name in ("cell", "activation", "learning_rate", "diverged")},
        "accuracy": asdict(Estimate.of(run["accuracy"])),
        "log10_gradient_first_by_last_step": asdict(Estimate.of(run["log10_gradient_first_by_last_step"])),
    }


def against_tanh(runs: Sequence[Mapping[str, Any]]) -> list[Result]:
    """Accuracy of tanh less that of each other activation in the same cell; positive where tanh is better."""
    tanh = {run["cell"]: run["accuracy"] for run in runs if run["activation"] == "tanh"}
    return [
        {
            "cell": run["cell"],
            "activation": run["activation"],
            "tanh_less_this": asdict(Difference.of(tanh[run["cell"]], run["accuracy"])),
        }
        for run in runs
        if run["activation"] != "tanh" and len(tanh.get(run["cell"], [])) > 1
    ]


def draw(result: Result) -> str:
    """Accuracy by epoch, the mean over seeds, and the gradient through time before training."""
    with panels(2, width=5.2, height=3.6) as (figure, (left, right)):
        for position, run in enumerate(result["runs"]):
            color, style = COLORS[run["activation"]], "--" if run["cell"] == "elman" else "-"
            label = f"{run['cell']}, {run['activation']}"
            epochs = min(len(history) for history in run["history"])
            means = [sum(history[i] for history in run["history"]) / len(run["history"]) for i in range(epochs)]
            left.plot(range(1, epochs + 1), means, style, color=color, label=label)
            ratios = run["log10_gradient_first_by_last_step"]
            right.plot(ratios, [-position] * len(ratios), "o", alpha=0.5, markersize=4, color=color)
        left.set(title="accuracy on held-out pictures", xlabel="epoch", ylim=(0, None))
        left.legend(fontsize=8)
        labels = [f"{run['cell']}, {run['activation']}" for run in result["runs"]]
        right.set_yticks([-position for position in range(len(labels))], labels, fontsize=8)
        right.set(title="log10 of the first step's gradient by the last's")
        return to_svg(figure)
