"""Does the gradient come back through a deep network, and does it matter for training?

Asked of plain chains of convolutions (no skips, and no BatchNorm but where it says so): two that halve the sides, then
10, 20 or 30 of 16 channels at 8×8. Before any training, one batch goes forward and back in float64; measured is
‖∂L/∂z‖₂ of each layer's pre-activation z, over the whole batch. The ratio of the first of the equal layers to the last
of them says what a step through the depth does to the gradient; it does not depend on the size of the loss's gradient
at the output. Each draw has its own weights and its own pictures; the three starts without BatchNorm are the same
draws, scaled. Beside the ratios stands what mean-field theory expects of infinitely wide layers (`expected`).

Then the network of 20 layers is trained, each activation with its own gain and its own learning rate.

Limits: 16 channels are few, so the draws scatter by several tenths of a decade, and the zeros around the pictures take
0.02 decades a layer from every activation, signal and gradient alike. Training runs in bfloat16 where it multiplies, is
short, and says nothing of what a warm-up, skips or Adam would mend.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor
from torch.nn import functional

from models.architecture import ACTIVATIONS, GAINS, ActNet, Stages
from models.experiments.rates import at_its_best
from models.lab import PLAIN, Estimate, Lab, Result
from models.plots import COLORS, panels, to_svg
from models.training import Recipe

NAMES = ("relu", "leaky_relu", "elu", "swish", "tanh", "sigmoid", "gelu", "mish", "identity")
DEPTHS = (10, 20, 30)
"""Equal layers, after the stem."""
STEM: Stages = ((16, 2), (16, 2))

STARTS = ("own", "xavier", "he", "batch_norm")
"""How the weights are drawn, of deviation gain/√fan_in: with the activation's own gain (`GAINS`), gain 1 (LeCun's, and
Xavier's where a layer is as wide as the one before), gain √2; or anyhow, with BatchNorm before each activation."""

DRAWS = 10
BATCH = 128

TRAINED: Sequence[tuple[str, str]] = (
    *((name, "own") for name in NAMES), ("relu", "batch_norm"), ("tanh", "batch_norm"), ("sigmoid", "batch_norm"),
)  # fmt: skip
"""(activation, start) of the networks that are trained, and their depth."""
TRAINED_DEPTH = 20
RECIPE = replace(PLAIN, epochs=4)
RATES = (0.01, 0.03, 0.1)
SEEDS = 3


def run(
    lab: Lab,
    *,
    names: Sequence[str] = NAMES,
    depths: Sequence[int] = DEPTHS,
    draws: int = DRAWS,
    trained: Sequence[tuple[str, str]] = TRAINED,
    trained_depth: int = TRAINED_DEPTH,
    recipe: Recipe = RECIPE,
    rates: Sequence[float] = RATES,
    count: int = SEEDS,
) -> Result:
    """Measure the gradients of fresh networks, and train some of one depth."""
    fresh = [
        {"activation": name, "start": start, "depth": depth, **fresh_draws(lab, name, start, depth, draws)}
        for start in STARTS
        for depth in depths
        for name in names
    ]
    outcomes = [train(lab, name, start, trained_depth, recipe, rates, count) for name, start in trained]
    return {
        "settings": {
            "channels": STEM[-1][0],
            "depths": list(depths),
            "draws": draws,
            "pictures_of_a_draw": BATCH,
            "trained_depth": trained_depth,
            "recipe": asdict(recipe),
            "learning_rates": list(rates),
            "seeds": count,
        },
        "runs": [*fresh, *outcomes],
        "summary": {"fresh": [summed_up(run) for run in fresh], "trained": [after_training(run) for run in outcomes]},
    }


def stages(depth: int) -> Stages:
    return (*STEM, *((STEM[-1][0], 1),) * depth)


def network(activation: str, start: str, depth: int) -> ActNet:
    """A fresh network; draws of different starts without BatchNorm are multiples of each other."""
    net = ActNet(activation, stages=stages(depth), norm=start == "batch_norm")
    gain = {"xavier": 1.0, "he": math.sqrt(2)}.get(start)
    if gain is not None:
        with torch.no_grad():
            for convolution in net.convolutions[1:]:
                convolution.weight.mul_(gain / GAINS[activation])
    return net


def overhear(net: ActNet, images: Tensor) -> tuple[list[Tensor], Tensor]:
    """What goes into each activation, [N, C, H, W] a layer, and the logits [N, K]."""
    heard: list[Tensor] = []
    hooks = [norm.register_forward_hook(lambda _module, _input, output: heard.append(output)) for norm in net.norms]
    try:
        logits = net(images)
    finally:
        for hook in hooks:
            hook.remove()
    return heard, logits


def fresh_draws(lab: Lab, activation: str, start: str, depth: int, draws: int) -> Result:
    """Of each draw: log10 of the gradient's ratio, and the share of saturated pre-activations; and the mean profile.

    Returns:
        `log10_ratio`, `saturated` (over all equal layers): a number a draw. `profile`: a number a layer, log10 of its
        gradient by the last layer's, mean over the draws.
    """
    key = {"experiment": "gradients", "activation": activation, "start": start, "depth": depth}
    found = lab.once(
        {**key, "draws": draws, "batch": BATCH, "pictures": len(lab.training.targets)},
        lambda: {"draws": [measure(*one_draw(lab, activation, start, depth, seed)) for seed in range(draws)]},
    )["draws"]
    profiles = [[math.log10(norm / draw["gradients"][-1]) for norm in draw["gradients"]] for draw in found]
    return {
        "log10_ratio": [round(profile[0], 4) for profile in profiles],
        "saturated": [round(draw["saturated"], 4) for draw in found],
        "profile": [round(sum(layer) / draws, 4) for layer in zip(*profiles, strict=True)],
    }


def one_draw(lab: Lab, activation: str, start: str, depth: int, seed: int) -> tuple[ActNet, Tensor, Tensor]:
    """A network, and a batch of pictures with its targets, in float64."""
    torch.manual_seed(seed)
    net = network(activation, start, depth).to(lab.device).double()
    generator = torch.Generator().manual_seed(seed)
    index = torch.randperm(len(lab.training.targets), generator=generator)[:BATCH].to(lab.device)
    return net, lab.training.centred(index).double().contiguous(), lab.training.targets[index]


def measure(net: ActNet, images: Tensor, targets: Tensor) -> Result:
    """Of the equal layers: ‖∂L/∂z‖₂ of each, and the share of all z where |f'(z)| < 1 % of the largest |f'|."""
    heard, logits = overhear(net, images)
    equal = heard[len(STEM) :]
    gradients = torch.autograd.grad(functional.cross_entropy(logits, targets), equal)
    steepest = slope(net.activation, torch.linspace(-10, 10, 2001, dtype=images.dtype, device=images.device)).max()
    flat = [(slope(net.activation, z) < 0.01 * steepest).double().mean() for z in equal]
    return {
        "gradients": [float(gradient.norm()) for gradient in gradients],
        "saturated": float(torch.stack(flat).mean()),
    }


def slope(activation: str, z: Tensor) -> Tensor:
    """|f'(z)| of an elementwise activation."""
    z = z.detach().requires_grad_()
    (found,) = torch.autograd.grad(ACTIVATIONS[activation](z).sum(), z)
    return found.abs()


def expected(activation: str, gain: float, depth: int, side: int = 8) -> float:
    """What mean-field theory expects log10 of the ratio to be: wide layers, zeros around pictures of side × side.

    The variance q of z goes from layer to layer as gain²·E f(√q·x)², x ~ N(0, 1), and the square of the gradient goes
    back as gain²·E f'(√q·x)²; both are averaged over the 3×3 window, which sees zeros beyond the border. It begins with
    q = 1. With swish, GELU and Mish and their own gain that is a point of balance which is not stable: a picture of
    more contrast grows from layer to layer, one of less fades, so there real pictures leave what is expected.

    Source: Poole et al., arXiv 1606.05340; Schoenholz et al., arXiv 1611.01232; with a border added.
    """
    x = torch.linspace(-9, 9, 3601, dtype=torch.float64)
    weight = functional.softmax(-x * x / 2, dim=0)
    variance = torch.ones(1, 1, side, side, dtype=torch.float64)
    squares: list[Tensor] = []
    for _ in range(len(STEM) + depth):
        z = variance.sqrt()[..., None] * x
        squares.append((weight * slope(activation, z) ** 2).sum(dim=-1))
        variance = gain**2 * _window((weight * ACTIVATIONS[activation](z) ** 2).sum(dim=-1))
    back = squares[-1]
    for square in squares[-2 : len(STEM) - 1 : -1]:
        back = gain**2 * square * _window(back)
    return 0.5 * math.log10(back.sum() / squares[-1].sum())


def _window(values: Tensor) -> Tensor:
    """The mean over each 3×3 window; what is beyond the border counts as 0."""
    return functional.avg_pool2d(values, 3, stride=1, padding=1)


def train(
    lab: Lab, activation: str, start: str, depth: int, recipe: Recipe, rates: Sequence[float], count: int
) -> Result:
    """Train networks of one kind, see `at_its_best`."""
    kind = {"activation": activation, "start": start, "depth": depth}
    key = {"experiment": "gradients", **kind}
    return kind | at_its_best(lab, key, lambda: network(activation, start, depth), recipe, rates, count)


def summed_up(run: Mapping[str, Any]) -> Result:
    """Of one kind of fresh network: means over its draws, and what theory expects (nothing with BatchNorm)."""
    gain = {"own": GAINS[run["activation"]], "xavier": 1.0, "he": math.sqrt(2)}.get(run["start"])
    return {
        **{name: run[name] for name in ("activation", "start", "depth")},
        "log10_ratio": asdict(Estimate.of(run["log10_ratio"])),
        "expected_log10_ratio": None if gain is None else round(expected(run["activation"], gain, run["depth"]), 3),
        "saturated": asdict(Estimate.of(run["saturated"])),
    }


def after_training(run: Mapping[str, Any]) -> Result:
    return {
        **{name: run[name] for name in ("activation", "start", "depth", "learning_rate", "diverged")},
        "accuracy": asdict(Estimate.of(run["accuracy"])),
    }


def draw(result: Result) -> str:
    """Profiles of the deepest networks, ratios by start, and accuracies after training."""
    fresh = result["summary"]["fresh"]
    deepest = max(result["settings"]["depths"])
    with panels(3, width=4.6, height=3.8) as (figure, (left, middle, right)):
        for run in result["runs"]:
            if run["depth"] == deepest and run["start"] == "own" and "profile" in run:
                layers = range(1, deepest + 1)
                left.plot(layers, run["profile"], color=COLORS[run["activation"]], label=run["activation"])
        left.set(title=f"gradient by layer, {deepest} layers, own gain", xlabel="layer", ylabel="log10, last layer = 0")
        left.legend(fontsize=7, ncols=2)
        _ratios(middle, [entry for entry in fresh if entry["depth"] == deepest])
        _accuracies(right, result["summary"]["trained"], result["settings"]["trained_depth"])
        return to_svg(figure)


def _ratios(axes: Axes, entries: Sequence[Mapping[str, Any]]) -> None:
    """Log10 of first by last layer with its interval, a column a start."""
    names = list(dict.fromkeys(entry["activation"] for entry in entries))
    for entry in entries:
        estimate = entry["log10_ratio"]
        x = STARTS.index(entry["start"]) + 0.08 * (names.index(entry["activation"]) - (len(names) - 1) / 2)
        if estimate["low"] is not None:
            axes.plot([x, x], [estimate["low"], estimate["high"]], color=COLORS[entry["activation"]])
        axes.plot(x, estimate["value"], "o", markersize=4, color=COLORS[entry["activation"]])
    axes.set_xticks(range(len(STARTS)), [start.replace("_", " ") for start in STARTS])
    axes.set(title="log10 of first by last layer's gradient", xlabel="weights drawn by")


def _accuracies(axes: Axes, entries: Sequence[Mapping[str, Any]], depth: int) -> None:
    """Accuracy after training, with its interval; 10 % is chance."""
    for position, entry in enumerate(reversed(entries)):
        estimate, color = entry["accuracy"], COLORS[entry["activation"]]
        axes.barh(position, estimate["value"], color=color, alpha=1.0 if entry["start"] == "own" else 0.5)
        if estimate["low"] is not None:
            axes.plot([estimate["low"], estimate["high"]], [position, position], color="#222222", linewidth=1)
    labels = [e["activation"] + (" + BN" if e["start"] == "batch_norm" else "") for e in reversed(entries)]
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.axvline(0.1, color="#222222", linestyle=":", linewidth=1)
    axes.set(title=f"accuracy after training, {depth} layers", xlim=(0, None))
