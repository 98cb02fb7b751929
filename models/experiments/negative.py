"""Claim: ELU "trains better than Leaky ReLU, less bias", and lets a network "learn negative features".

Questions: is the mean of ELU's outputs nearer to zero, before and after training? How much of the signal is negative?
Is the network more accurate? And is ELU's deactivation, as its authors say, more robust to noise?

Method: seven convolutions with and without BatchNorm; one-cycle runs at a learning rate chosen for each activation. The
outputs of every layer are measured on 1,000 validation pictures, of all classes alike, before training (with BatchNorm:
by the statistics of those pictures) and after it. The noise needs no training: z of given size, Gaussian noise added,
and the share of the noise's variance that is left behind the function.

Limits: small networks, 5,000 pictures, the leaky slope 0.01; another slope has another mean (0.2: 0.319, not 0.395).

Sources: Clevert et al., ELU, arXiv 1511.07289, sections 2 and 3: bias shift, noise-robust deactivation.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from models.architecture import ACTIVATIONS, ActNet, Stages
from models.experiments.rates import VARIANTS, Cell, tuned
from models.lab import PLAIN, SEVEN, Difference, Estimate, Lab, Result
from models.plots import COLORS, panels, to_svg
from models.training import Batches, Recipe

NAMES = ("elu", "leaky_relu", "relu")

RATES = (0.03, 0.1, 0.3)
"""Peaks of the one cycle."""

QUANTITIES = ("mean", "mean_share", "unit_mean_share", "negative_share", "negative_power")
"""Of a layer's outputs, see `layer_statistics`."""

NOISE = (0.1, 0.5, 1.0)
"""Standard deviations of the noise that is added to z."""
DEPTHS = (-2.0, -3.0, -4.0, -5.0)
"""The z that it is added to."""


def run(
    lab: Lab,
    *,
    activations: Sequence[str] = NAMES,
    stages: Stages = SEVEN,
    rates: Sequence[float] = RATES,
    search_epochs: int = 4,
    epochs: int = 12,
    seeds: int = 5,
    pictures: int = 1000,
) -> Result:
    """Train and measure.

    Args:
        activations: ELU, leaky ReLU and others.
        pictures: of the validation set, on which the outputs are measured.

    Returns:
        `summary`: by variant (`plain`, `batch_norm`) and activation `accuracy` (`lab.Estimate`), `diverged` (runs),
        `initial` and `trained`: by quantity the mean over the layers, of the mean over its sizes (`lab.Estimate` over
        the seeds), and, as `<quantity> by layer`, the means over the seeds; by variant `elu − leaky_relu`
        (`lab.Difference`): of `accuracy`, and of the mean over layers of each quantity. And `noise`, as `passed_noise`.
    """
    recipe = replace(PLAIN, epochs=epochs)
    index = spread(len(lab.validation.targets), pictures)
    found = {
        variant: {
            name: _cell(lab, Cell(name, stages, norm), recipe, seeds, rates, search_epochs, index)
            for name in activations
        }
        for variant, norm in VARIANTS.items()
    }
    return {
        "settings": {
            "recipe": asdict(recipe),
            "stages": [list(stage) for stage in stages],
            "training_pictures": len(lab.training.targets),
            "validation_pictures": len(lab.validation.targets),
            "measured_pictures": len(index),
            "learning_rates": list(rates),
            "search_epochs": search_epochs,
            "seeds": seeds,
        },
        "runs": found,
        "summary": {**{variant: summarize(cells) for variant, cells in found.items()}, "noise": passed_noise()},
    }


def spread(count: int, wanted: int) -> Tensor:
    """Indices of pictures from the whole of a set, int64 [≤ wanted]: it lies sorted by class."""
    return torch.arange(wanted) * count // wanted if wanted < count else torch.arange(count)


def _cell(
    lab: Lab, cell: Cell, recipe: Recipe, seeds: int, rates: Sequence[float], search_epochs: int, index: Tensor
) -> Result:
    def after(net: ActNet) -> Result:
        return {"trained": layer_statistics(net.eval(), lab.validation, index)}

    measured = f"layers on {len(index)} pictures"
    found = tuned(lab, cell, recipe, seeds, rates=rates, epochs=search_epochs, after=after, measured=measured)
    for one in found["runs"]:
        torch.manual_seed(one["seed"])
        net = cell.net().to(lab.device).train()
        one["initial"] = layer_statistics(net, lab.validation, index)
    return found


def layer_statistics(net: ActNet, split: Batches, index: Tensor) -> list[dict[str, float]]:
    """Measure the outputs f of each layer of a network, over pictures, channels and positions.

    Args:
        net: in training mode, BatchNorm uses the statistics of these pictures.

    Returns:
        By layer `mean`: E[f]; `mean_share`: E[f]² / E[f²], the share of the power that is the mean; `unit_mean_share`:
        the same of each channel's own mean, E_c[E[f | c]²] / E[f²], which is what shifts the next layer;
        `negative_share`: of outputs below 0; `negative_power`: their share of E[f²]. Empty if some layer's outputs are
        not numbers, or nothing but 0.
    """
    with torch.no_grad():
        found = [_statistics(f) for f in layers(net, split.centred(index.to(split.targets.device)))]
    return found if all(math.isfinite(value) for layer in found for value in layer.values()) else []


def layers(net: ActNet, x: Tensor) -> Iterator[Tensor]:
    """Yield what each activation of a network gives, float32 [N, channels, height, width]."""
    activate = ACTIVATIONS[net.activation]
    for convolution, norm in zip(net.convolutions, net.norms, strict=True):
        x = activate(norm(convolution(x)))
        yield x


def _statistics(f: Tensor) -> dict[str, float]:
    units = f.mean(dim=(0, 2, 3), dtype=torch.float64)
    power = f.square().mean(dtype=torch.float64)
    mean = units.mean()
    return {
        "mean": float(mean),
        "mean_share": float(mean**2 / power),
        "unit_mean_share": float(units.square().mean() / power),
        "negative_share": float((f < 0).double().mean()),
        "negative_power": float(f.clamp(max=0).square().mean(dtype=torch.float64) / power),
    }


def summarize(cells: Mapping[str, Result]) -> Result:
    """One variant's numbers: by activation, and the differences."""
    found: Result = {name: _activation(cell) for name, cell in cells.items()}
    pair = cells["elu"]["runs"], cells["leaky_relu"]["runs"]
    found["elu − leaky_relu"] = {
        "accuracy": _difference(*([run["accuracy"] for run in runs] for runs in pair)),
        **{when: {name: _layer_difference(pair, when, name) for name in QUANTITIES} for when in ("initial", "trained")},
    }
    return found


def _layer_difference(pair: tuple[list[Result], list[Result]], when: str, name: str) -> Result | None:
    return _difference(*([over_layers(run[when], name) for run in runs if run[when]] for runs in pair))


def _activation(cell: Result) -> Result:
    runs = cell["runs"]
    return {
        "learning_rate": cell["learning_rate"],
        "diverged": sum(run["diverged"] for run in runs),
        "accuracy": asdict(Estimate.of([run["accuracy"] for run in runs])),
        **{when: _by_quantity([run[when] for run in runs]) for when in ("initial", "trained")},
    }


def _by_quantity(runs: Sequence[Sequence[Mapping[str, float]]]) -> Result | None:
    """Over the runs that have layers to speak of; none if there is no such run."""
    whole = [layers for layers in runs if layers]
    found: Result = {}
    for name in QUANTITIES if whole else ():
        found[name] = asdict(Estimate.of([over_layers(layers, name) for layers in whole]))
        found[f"{name} by layer"] = np.mean([[layer[name] for layer in layers] for layers in whole], axis=0).tolist()
    return found or None


def over_layers(found: Sequence[Mapping[str, float]], name: str) -> float:
    """The mean of a quantity over the layers; of the mean itself, over its sizes."""
    return float(np.mean([abs(layer[name]) for layer in found]))


def _difference(a: Sequence[float], b: Sequence[float]) -> Result | None:
    """a − b; none for single runs."""
    return asdict(Difference.of(a, b)) if min(len(a), len(b)) > 1 else None


def passed_noise() -> Result:
    """How much of the variance of Gaussian noise gets through, Var f(z + σn) / σ², for n ~ N(0, 1).

    Returns:
        `below −2`: mean over z ~ N(0, 1) given z < −2; `at z`: for single z. Each by function, `leaky_relu 0.2` too,
        and by σ. `equal slope at`: the z above which ELU passes more of small noise than leaky ReLU 0.01, ln 0.01.
    """
    z = np.linspace(-2, -8, 601)
    weights = np.exp(-(z**2) / 2)
    functions = {name: _numpy(ACTIVATIONS[name]) for name in NAMES}
    functions["leaky_relu 0.2"] = lambda x: np.where(x > 0, x, 0.2 * x)
    return {
        "below −2": {
            name: {f"{s:g}": float(np.average(noise_share(f, z, s), weights=weights)) for s in NOISE}
            for name, f in functions.items()
        },
        "at z": {
            name: {f"{at:g}": {f"{s:g}": float(noise_share(f, np.array([at]), s)[0]) for s in NOISE} for at in DEPTHS}
            for name, f in functions.items()
        },
        "equal slope at": math.log(0.01),
    }


def _numpy(function: Callable[[Tensor], Tensor]) -> Callable[[Any], Any]:
    return lambda x: function(torch.from_numpy(x)).numpy()


def noise_share(f: Callable[[Any], Any], z: Any, sigma: float) -> Any:
    """Var f(z + σn) / σ² by the trapezoid rule over n from −9 to 9; shape of z [N]."""
    n = np.linspace(-9, 9, 3601)
    weights = np.exp(-(n**2) / 2)
    weights /= weights.sum()
    values = f(z[:, None] + sigma * n)
    mean = values @ weights
    return ((values - mean[:, None]) ** 2) @ weights / sigma**2


def draw(result: Result) -> str:
    """Share of the mean in the power, by layer, before and after training; and the accuracy of each run."""
    variants = list(result["runs"])
    with panels(len(variants) + 1) as (figure, axes):
        for axis, variant in zip(axes, variants, strict=False):
            axis.set_title("with BatchNorm" if VARIANTS[variant] else "without BatchNorm")
            _shares(axis, {name: result["summary"][variant][name] for name in result["runs"][variant]})
        _accuracies(axes[-1], result["runs"])
        return to_svg(figure)


def _shares(axis: Axes, found: Mapping[str, Result]) -> None:
    for name, numbers in found.items():
        for when, style in (("initial", "--"), ("trained", "-")):
            if numbers[when] is None:
                continue
            values = numbers[when]["unit_mean_share by layer"]
            label = f"{name}, {'before' if when == 'initial' else 'after'} training"
            axis.plot(range(1, len(values) + 1), values, style, marker=".", color=COLORS[name], label=label)
    axis.set_xlabel("layer")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_ylabel("share of the means in E[f²]")
    axis.set_ylim(0, 1)
    axis.legend(fontsize=7)


def _accuracies(axis: Axes, runs: Mapping[str, Mapping[str, Result]]) -> None:
    ticks: list[str] = []
    for variant, cells in runs.items():
        for name, cell in cells.items():
            values = [run["accuracy"] for run in cell["runs"]]
            axis.plot([len(ticks)] * len(values), values, "o", color=COLORS[name], alpha=0.6)
            axis.plot([len(ticks)], [np.mean(values)], "_", markersize=18, color="#222222")
            ticks.append(f"{name}\n{'BN' if VARIANTS[variant] else 'no BN'}")
    axis.set_xticks(range(len(ticks)), ticks, fontsize=6)
    axis.set_ylabel("validation accuracy")
