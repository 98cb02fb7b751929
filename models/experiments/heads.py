"""Claims: softmax is "only for the output layer" and gives "a probability distribution"; sigmoid is for two classes.

Questions: do the outputs sum to 1, and what do they gain by it? Are ten sigmoids, each on its own, worse than a
softmax? Is one sigmoid worse than a softmax of two for two classes? What becomes of a network with softmax as the
hidden activation?

Method: seven convolutions with BatchNorm and ReLU under each head, one-cycle runs at a learning rate chosen for each;
of the validation set the accuracy, the sums of the outputs, and the calibration, before and after dividing the logits
by a temperature that is fitted on the held-out pictures. For ten sigmoids that is one temperature for all of them,
fitted to their own loss, and NLL and ECE are of the outputs divided by their sum; the class-wise ECE takes each output
as it is. What the functions themselves do is measured without training, through the kernels that the service answers
with.

Limits: small networks, 5,000 pictures. The temperature is fitted on 2,000. Ten sigmoids answer another question,
whether each class is there, in which several may be; CIFAR-10 has exactly one.

Sources: Guo et al., arXiv 1706.04599 (temperature, ECE); `models.calibration`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor, nn

from models import batches, calibration, data
from models.architecture import Stages
from models.experiments.rates import Cell, tuned
from models.lab import PLAIN, SEVEN, Difference, Estimate, Lab, Result
from models.plots import COLORS, panels, to_svg
from models.training import Batches, Recipe, outputs
from service.activations.catalogue import ACTIVATIONS
from service.activations.graphs import KERNELS, Kernel
from service.engine.functions import Functions
from service.engine.runtime.device import Device

RATES = (0.03, 0.1, 0.3, 1.0)
"""Up to 1: the loss of ten sigmoids is their mean, so that its gradient is a tenth of their sum's."""

BINS = 15
"""Of the class-wise calibration error."""

ANIMALS = tuple(sorted(batches.CLASSES.index(name) for name in data.ANIMALS))
"""Those of CIFAR-10's classes, by index, that `data.binary` makes one."""

Floats = NDArray[np.float64]


def cells(stages: Stages) -> dict[str, Cell]:
    """The networks, by what the results call them."""
    softmax = Cell("relu", stages, norm=True)
    return {
        "ten-class softmax": softmax,
        "ten sigmoids": replace(softmax, head="sigmoid"),
        "two-class softmax": replace(softmax, classes=2, task="animal or vehicle"),
        "one sigmoid": replace(softmax, classes=1, head="sigmoid", task="animal or vehicle"),
        "hidden softmax": replace(softmax, activation="softmax"),
    }


def run(
    lab: Lab,
    *,
    stages: Stages = SEVEN,
    rates: Sequence[float] = RATES,
    search_epochs: int = 4,
    epochs: int = 12,
    seeds: int = 3,
    rows: int = 10_000,
) -> Result:
    """Train the networks and measure the functions.

    Args:
        seeds: at least two.
        rows: random rows of logits that the functions are measured on.

    Returns:
        `summary`: by network of `cells` the numbers of `_summary`; `ten sigmoids − ten-class softmax`, `one sigmoid −
        two-class softmax` and `hidden softmax − hidden relu`: `lab.Difference` of the accuracy; `functions`: by kernel
        and dtype the numbers of `softmax_facts` and `sigmoid_facts`. The ten-class softmax network is the one with ReLU
        hidden.
    """
    recipe = replace(PLAIN, epochs=epochs)
    binary = replace(
        lab, training=_binary(lab.training), held_out=_binary(lab.held_out), validation=_binary(lab.validation)
    )
    found = {
        name: _cell(binary if cell.task != "ten classes" else lab, cell, recipe, seeds, rates, search_epochs)
        for name, cell in cells(stages).items()
    }
    return {
        "settings": {
            "recipe": asdict(recipe),
            "stages": [list(stage) for stage in stages],
            "training_pictures": len(lab.training.targets),
            "held_out_pictures": len(lab.held_out.targets),
            "validation_pictures": len(lab.validation.targets),
            "learning_rates": list(rates),
            "search_epochs": search_epochs,
            "seeds": seeds,
            "rows": rows,
        },
        "runs": found,
        "summary": {**summarize(found), "functions": functions(rows)},
    }


def _binary(split: Batches) -> Batches:
    """The same pictures with the targets vehicle (0) and animal (1)."""
    animals = torch.tensor(ANIMALS, device=split.targets.device)
    return replace(split, targets=torch.isin(split.targets, animals).long())


def _cell(lab: Lab, cell: Cell, recipe: Recipe, seeds: int, rates: Sequence[float], search_epochs: int) -> Result:
    def after(net: nn.Module) -> Result:
        held_out, validation = (outputs(net, split) for split in (lab.held_out, lab.validation))
        if not (held_out.isfinite().all() and validation.isfinite().all()):
            return {"outputs": None}
        return {"outputs": measure(cell, _numbers(held_out, lab.held_out), _numbers(validation, lab.validation))}

    measured = f"outputs, temperature from {len(lab.held_out.targets)}"
    return tuned(lab, cell, recipe, seeds, rates=rates, epochs=search_epochs, after=after, measured=measured)


def _numbers(logits: Tensor, split: Batches) -> tuple[Floats, NDArray[np.int64]]:
    return logits.double().numpy(), split.targets.cpu().numpy()


def measure(
    cell: Cell, held_out: tuple[Floats, NDArray[np.int64]], validation: tuple[Floats, NDArray[np.int64]]
) -> Result:
    """Measure a network's outputs on the validation set.

    Args:
        held_out: logits [N, K] and targets [N], for the temperature.
        validation: the same, for everything else.

    Returns:
        `temperature`; `row_sum`: of the outputs; `raw` and `tempered`: `calibration`. Of two-class networks also
        `identity`: the furthest that softmax([x₀, x₁])₁ is from sigmoid(x₁ − x₀), in float32 and float64.
    """
    logits, targets = validation
    separate = cell.head == "sigmoid" and cell.classes > 1
    temperature = calibration.temperature(*(_separated(*held_out) if separate else held_out))
    found: Result = {
        "temperature": temperature,
        "row_sum": row_sums(_outputs(logits, separate)) if cell.classes > 1 else None,
        **{
            name: _calibration(_outputs(logits / by, separate), targets)
            for name, by in (("raw", 1.0), ("tempered", temperature))
        },
    }
    if cell.classes == 2:
        found["identity"] = {
            str(np.dtype(kind)): two_class_gap(logits.astype(kind)) for kind in (np.float32, np.float64)
        }
    return found


def _separated(logits: Floats, targets: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64]]:
    """Ten sigmoids as ten times as many binary classifications: [N·K, 1], [N·K]."""
    return logits.reshape(-1, 1), np.eye(logits.shape[1], dtype=np.int64)[targets].ravel()


def _outputs(logits: Floats, separate: bool) -> Floats:
    """What the network answers: softmax, or the sigmoid of each logit."""
    if separate:
        return calibration.probabilities(logits.reshape(-1, 1)).reshape(logits.shape)
    return calibration.probabilities(logits)


def row_sums(answers: Floats) -> dict[str, float]:
    """Of the sums over the classes: `mean`, `least`, `most`, the quantiles 5, 25, 50, 75, 95 %, `furthest_from_1`."""
    sums = answers.sum(axis=1)
    quantiles = {f"quantile {share}": float(np.percentile(sums, share)) for share in (5, 25, 50, 75, 95)}
    return {
        "mean": float(sums.mean()),
        "least": float(sums.min()),
        "most": float(sums.max()),
        "furthest_from_1": float(np.abs(sums - 1).max()),
        **quantiles,
    }


def _calibration(answers: Floats, targets: NDArray[np.int64]) -> dict[str, float]:
    """`ece`, with its noise floor, and `nll` of the outputs as a distribution; `classwise_ece` of them as they are."""
    shares = answers if answers.shape[1] == 1 else answers / answers.sum(axis=1, keepdims=True)
    found = calibration.measure(shares, targets)
    return {
        "ece": found.ece,
        "ece_floor_95": found.ece_floor_95,
        "nll": found.nll,
        "classwise_ece": classwise_ece(answers, targets),
    }


def classwise_ece(answers: Floats, targets: NDArray[np.int64]) -> float:
    """Mean over the classes of Σ (count / N) |share of the class − mean output|, bins of equal width over its output.

    Source: Kull et al., arXiv 1910.12656, section 2.
    """
    truth = targets[:, None] == (np.arange(answers.shape[1]) if answers.shape[1] > 1 else 1)
    place = np.minimum((answers * BINS).astype(np.int64), BINS - 1)
    errors = [
        np.abs(np.bincount(place[:, k], truth[:, k] - answers[:, k])).sum() / len(answers)
        for k in range(answers.shape[1])
    ]
    return float(np.mean(errors))


def two_class_gap(logits: NDArray[Any]) -> float:
    """The furthest that softmax(x)₁ is from sigmoid(x₁ − x₀), for x [N, 2], through the service's exact kernel."""
    engine = Functions(Device.cpu(), threads=1, capacity=4)
    softmax, sigmoid = (
        _apply(engine, name, x, "exact") for name, x in (("softmax", logits), ("sigmoid", logits[:, 1] - logits[:, 0]))
    )
    return float(np.abs(softmax[:, 1] - sigmoid).max())


def _apply(engine: Functions, name: str, x: NDArray[Any], kernel: Kernel) -> NDArray[Any]:
    return engine.apply(ACTIVATIONS[name], ACTIVATIONS[name].bind({}), x, kernel)


SCALES = (1.0, 10.0, 100.0)
"""Standard deviations of the random logits."""
SHIFTS = (1.0, 100.0, 1000.0)
STEP = 2.0**-8
"""The random logits are multiples of it, so that differences and shifts are exact in float32."""


def functions(rows: int) -> Result:
    """By kernel and dtype what the service's softmax and sigmoid do, on random logits [rows, 10]."""
    engine = Functions(Device.cpu(), threads=1, capacity=8)
    generator = np.random.default_rng(0)
    normal = generator.standard_normal((rows, 10))
    found: Result = {}
    for kernel in KERNELS:
        for dtype in (np.float32, np.float64):
            scaled = {f"{scale:g}": (np.round(normal * scale / STEP) * STEP).astype(dtype) for scale in SCALES}
            found[f"{kernel} {np.dtype(dtype)}"] = {
                "softmax": {scale: softmax_facts(engine, x, kernel) for scale, x in scaled.items()},
                "sigmoid": sigmoid_facts(engine, scaled.values(), kernel, dtype),
            }
    return found


def softmax_facts(engine: Functions, x: NDArray[Any], kernel: Kernel) -> Result:
    """Of logits [N, K]: how far softmax is from what is said of it.

    Returns:
        `sum_furthest_from_1`: over the rows; `shift_changes_at_most`: by any of `SHIFTS` added to the logits;
        `order_violations`: of neighbours in the order of the logits whose outputs are in the other order; `ties`: of
        unequal neighbours whose outputs are equal (both round to the same number); `least`, `most`: outputs.
    """
    y = _apply(engine, "softmax", x, kernel)
    order = np.argsort(x, axis=1, kind="stable")
    steps = np.diff(np.take_along_axis(y, order, axis=1), axis=1)
    unequal = np.diff(np.take_along_axis(x, order, axis=1), axis=1) > 0
    shifted = [_apply(engine, "softmax", x + np.asarray(shift, x.dtype), kernel) for shift in SHIFTS]
    return {
        "sum_furthest_from_1": float(np.abs(y.sum(axis=1, dtype=np.float64) - 1).max()),
        "shift_changes_at_most": max(float(np.abs(other - y).max()) for other in shifted),
        "order_violations": int((steps < 0).sum()),
        "ties": int(((steps == 0) & unequal).sum()),
        "least": float(y.min()),
        "most": float(y.max()),
        "rows": len(x),
    }


def sigmoid_facts(engine: Functions, logits: Any, kernel: Kernel, dtype: Any) -> Result:
    """The range of sigmoid over x from −1000 to 1000, and the two-class identity on the first two of random logits.

    Returns:
        `least`, `most`; `outside`: of outputs below 0 or above 1; `falls`: of neighbours at which it falls;
        `exactly_0`, `exactly_1`: by the x from which it rounds so, up and down; `two_class_gap`: the furthest that
        sigmoid(x₁ − x₀) is from softmax([x₀, x₁])₁.
    """
    x = np.linspace(-1000, 1000, 200_001).astype(dtype)
    y = _apply(engine, "sigmoid", x, kernel)
    gaps = [
        np.abs(
            _apply(engine, "softmax", pair, kernel)[:, 1] - _apply(engine, "sigmoid", pair[:, 1] - pair[:, 0], kernel)
        ).max()
        for pair in (np.ascontiguousarray(rows[:, :2]) for rows in logits)
    ]
    return {
        "least": float(y.min()),
        "most": float(y.max()),
        "outside": int(((y < 0) | (y > 1)).sum()),
        "falls": int((np.diff(y) < 0).sum()),
        "exactly_0": float(x[y == 0].max()) if (y == 0).any() else None,
        "exactly_1": float(x[y == 1].min()) if (y == 1).any() else None,
        "two_class_gap": float(max(gaps)),
    }


def summarize(found: Mapping[str, Result]) -> Result:
    """By network its numbers, and the differences."""
    summary: Result = {name: _summary(cell["runs"], cell["learning_rate"]) for name, cell in found.items()}
    for name, (a, b) in {
        "ten sigmoids − ten-class softmax": ("ten sigmoids", "ten-class softmax"),
        "one sigmoid − two-class softmax": ("one sigmoid", "two-class softmax"),
        "hidden softmax − hidden relu": ("hidden softmax", "ten-class softmax"),
    }.items():
        summary[name] = asdict(Difference.of(*([run["accuracy"] for run in found[which]["runs"]] for which in (a, b))))
    return summary


def _summary(runs: Sequence[Result], rate: float) -> Result:
    """`accuracy`, and of `outputs` every number, as `lab.Estimate`s over the runs; `diverged` runs have no outputs."""
    measured = [run["outputs"] for run in runs if run["outputs"] is not None]
    return {
        "learning_rate": rate,
        "diverged": sum(run["diverged"] for run in runs),
        "accuracy": asdict(Estimate.of([run["accuracy"] for run in runs])),
        **(_estimates(measured) if measured else {}),
    }


def _estimates(trees: Sequence[Any]) -> Any:
    """Runs' numbers of one structure as that structure of estimates."""
    if isinstance(trees[0], dict):
        return {name: _estimates([tree[name] for tree in trees]) for name in trees[0]}
    return None if trees[0] is None else asdict(Estimate.of(trees))


def draw(result: Result) -> str:
    """Accuracy of each run; sums of the outputs of the ten-class heads; calibration before and after temperature."""
    with panels(3) as (figure, axes):
        names = list(result["runs"])
        labels = [_label(name) for name in names]
        _accuracies(axes[0], [[run["accuracy"] for run in result["runs"][name]["runs"]] for name in names], labels)
        _sums(axes[1], result["summary"])
        _errors(axes[2], [result["summary"][name] for name in names], labels)
        return to_svg(figure)


def _label(name: str) -> str:
    hidden = "softmax" if name == "hidden softmax" else "relu"
    head = "ten-class softmax" if name == "hidden softmax" else name
    return f"{head}\nhidden: {hidden}"


def _accuracies(axis: Axes, runs: Sequence[Sequence[float]], labels: Sequence[str]) -> None:
    for place, values in enumerate(runs):
        axis.plot(values, [place] * len(values), "o", color=COLORS["relu"], alpha=0.6)
    axis.set_yticks(range(len(labels)), labels, fontsize=8)
    axis.set_xlabel("validation accuracy")
    axis.invert_yaxis()


def _sums(axis: Axes, summary: Mapping[str, Result]) -> None:
    """Median, middle half and middle nine tenths of the sums."""
    for place, (name, color) in enumerate((("ten-class softmax", "softmax"), ("ten sigmoids", "sigmoid"))):
        sums = summary[name].get("row_sum")
        if sums is None:
            continue
        low, quarter, median, upper, high = (sums[f"quantile {share}"]["value"] for share in (5, 25, 50, 75, 95))
        axis.plot([low, high], [place, place], color=COLORS[color], linewidth=1.5)
        axis.plot([quarter, upper], [place, place], color=COLORS[color], linewidth=6, solid_capstyle="butt")
        axis.plot([median], [place], "o", color="#222222", markersize=4)
    axis.set_yticks((0, 1), ("softmax", "sigmoid"))
    axis.set_ylim(-0.6, 1.6)
    axis.set_xlabel("sum of the ten outputs, by picture")


def _errors(axis: Axes, found: Sequence[Result], labels: Sequence[str]) -> None:
    for name, color in (("raw", "#0b62a8"), ("tempered", "#d1662b")):
        points = [(numbers[name]["ece"]["value"], place) for place, numbers in enumerate(found) if name in numbers]
        label = "as trained" if name == "raw" else "with temperature"
        axis.plot([value for value, _ in points], [place for _, place in points], "o", color=color, label=label)
    axis.set_yticks(range(len(labels)), [""] * len(labels))
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.set_xlim(0)
    axis.set_xlabel("expected calibration error")
    axis.legend(fontsize=8)
