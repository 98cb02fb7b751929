"""Claims on how networks train: gradients through depth, units that die, speed, and the accuracy that comes of it."""

from collections.abc import Iterable, Mapping
from typing import Any

from models.claims.claim import Claim, Judgement, Number, Result, points, verdict

VARIANTS = {"plain": "without BatchNorm", "batch_norm": "with BatchNorm"}
DEPTH = 20
ARTICLE = ("relu", "leaky_relu", "elu", "swish", "tanh", "sigmoid")

GRADIENTS_METHOD = (
    "Plain networks of 10, 20 and 30 equal layers, weights drawn with each activation's own gain, ten draws: the "
    "gradient at the first layer by that at the last. Then 20 layers are trained for four epochs."
)
DYING_METHOD = (
    "Seven layers without BatchNorm, SGD with momentum at a good learning rate and at multiples of it; after three "
    "epochs every channel is asked on all validation pictures."
)
CONVERGENCE_METHOD = (
    "Seven layers with and without BatchNorm, constant learning rate chosen for each activation, three seeds; epochs "
    "until half of the validation pictures are classified rightly."
)
NEGATIVE_METHOD = "Seven layers with and without BatchNorm, each at its own learning rate, five seeds, twelve epochs."
DEPTH_METHOD = "Seven and fourteen layers, with and without BatchNorm, each at its own learning rate, twelve epochs."
LEVEL = "accuracy 0.5"
LOWER_LEVEL = "accuracy 0.4"
"""Told where ReLU did not reach `LEVEL`; no rule asks for it."""


def _one(rows: Iterable[Mapping[str, Any]], **wanted: object) -> Mapping[str, Any]:
    """The row that has these members."""
    found: Mapping[str, Any] = next(row for row in rows if all(row[key] == value for key, value in wanted.items()))
    return found


def _fresh(result: Result, activation: str, start: str = "own") -> Mapping[str, Any]:
    row = _one(result["summary"]["fresh"], activation=activation, start=start, depth=DEPTH)
    estimate: Mapping[str, Any] = row["log10_ratio"]
    return estimate


def _decades(name: str, estimate: Mapping[str, Any]) -> Number:
    return Number.of(f"log₁₀ of the gradient's ratio over {DEPTH} layers, {name}", estimate, "decades")


def _passes_back(result: Result) -> Judgement:
    found = {name: _fresh(result, name) for name in ARTICLE}
    passing = [name for name, estimate in found.items() if abs(estimate["value"]) <= 2]
    listed = ", ".join(f"{name} 10^{estimate['value']:+.1f}" for name, estimate in found.items())
    return Judgement(
        verdict(len(passing) == len(found), bool(passing)),
        f"What {DEPTH} layers do to the gradient before training, with each activation's own gain: {listed}.",
        tuple(_decades(name, estimate) for name, estimate in found.items()),
    )


def _not_deep(result: Result) -> Judgement:
    ratio, trained = _fresh(result, "sigmoid"), result["summary"]["trained"]
    sigmoid, relu, normed = (
        _one(trained, activation=name, start=start)["accuracy"]
        for name, start in (("sigmoid", "own"), ("relu", "own"), ("sigmoid", "batch_norm"))
    )
    vanishes, stuck = ratio["value"] <= -3, sigmoid["value"] <= 0.15 and relu["value"] >= sigmoid["value"] + 0.1
    return Judgement(
        verdict(vanishes and stuck, vanishes or stuck),
        f"Over {DEPTH} layers the gradient falls to 10^{ratio['value']:.1f}; trained, the network classifies "
        f"{points(sigmoid['value'])} rightly where ReLU reaches {points(relu['value'])} and guessing 10 %. BatchNorm "
        f"mends it: {points(normed['value'])}.",
        (
            _decades("sigmoid", ratio),
            Number.of("accuracy after four epochs, sigmoid", sigmoid, "%", 100),
            Number.of("accuracy after four epochs, ReLU", relu, "%", 100),
            Number.of("accuracy after four epochs, sigmoid with BatchNorm", normed, "%", 100),
        ),
    )


def _tanh_too(result: Result) -> Judgement:
    own, xavier = _fresh(result, "tanh"), _fresh(result, "tanh", "xavier")
    return Judgement(
        verdict(own["value"] <= -2, own["value"] <= -0.5 or xavier["value"] <= -0.5),
        f"Over {DEPTH} layers the gradient changes by 10^{own['value']:+.1f} with tanh's own gain, and by "
        f"10^{xavier['value']:+.1f} with gain 1; the sigmoid's by 10^{_fresh(result, 'sigmoid')['value']:+.1f}.",
        (_decades("tanh, own gain", own), _decades("tanh, gain 1", xavier)),
    )


def _units(result: Result, activation: str, norm: bool = False) -> dict[float, Mapping[str, Any]]:
    """By the factor of the learning rate; without those at which every run diverged."""
    rows = result["summary"]["units"]
    wanted = [row for row in rows if (row["activation"], row["norm"]) == (activation, norm)]
    return {row["factor"]: row for row in wanted if row["silent"] is not None}


def _dies(result: Result) -> Judgement:
    found = {factor: row["silent"] for factor, row in _units(result, "relu").items()}
    most = max(share["value"] for share in found.values())
    listed = ", ".join(f"{points(share['value'])} at {factor:g} ×" for factor, share in found.items())
    normed = max((row["silent"]["value"] for row in _units(result, "relu", norm=True).values()), default=0.0)
    return Judgement(
        verdict(most >= 0.05, most >= 0.01),
        f"Dead channels by the multiple of a good learning rate: {listed}; with BatchNorm at most {points(normed)}.",
        tuple(
            Number.of(f"dead channels at {factor:g} × the learning rate", share, "%", 100)
            for factor, share in found.items()
        ),
    )


def _avoids(result: Result) -> Judgement:
    relu, leaky = (_units(result, name) for name in ("relu", "leaky_relu"))
    dead = {factor: row["silent_without_gradient"]["value"] for factor, row in leaky.items()}
    of_relu = max(row["silent_without_gradient"]["value"] for row in relu.values())
    worst = max(dead.values())
    return Judgement(
        verdict(worst == 0 < of_relu, worst < of_relu),
        f"Channels that are silent and get no gradient: at most {points(worst)} with leaky ReLU at any learning rate, "
        f"up to {points(of_relu)} with ReLU.",
        tuple(
            Number.of(
                f"channels without output and gradient at {factor:g} ×, {name}",
                row["silent_without_gradient"],
                "%",
                100,
            )
            for name, rows in (("leaky ReLU", leaky), ("ReLU", relu))
            for factor, row in rows.items()
        ),
    )


def _rescues(result: Result) -> Judgement:
    relu = _units(result, "relu")
    against = {
        row["factor"]: row["accuracy"]
        for row in result["summary"]["against_relu"]
        if row["activation"] == "leaky_relu" and row["factor"] in relu
    }
    factor = max(against, key=lambda factor: relu[factor]["silent"]["value"])
    gain, dead = against[factor], relu[factor]["silent"]["value"]
    most = max(relu, key=lambda factor: relu[factor]["silent"]["value"])
    further = (
        f" At {most:g} ×, where {points(relu[most]['silent']['value'])} are dead, too few runs of leaky ReLU are left "
        "to compare: they diverge."
        if most not in against
        else ""
    )
    return Judgement(
        verdict(gain["low"] > 0 and not further, gain["value"] > 0),
        f"At {factor:g} × the learning rate, where ReLU leaves {points(dead)} of its channels dead, leaky ReLU is "
        f"{100 * gain['value']:+.1f} points from it ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}).{further}",
        (Number.of("accuracy of leaky ReLU less ReLU's, where most units are dead", gain, "points", 100),),
    )


def _speeds(result: Result, variant: str, level: str = LEVEL) -> dict[str, tuple[float, bool, bool]]:
    """By activation: epochs by ReLU's (at least that, if it did not get there), surely slower, surely faster."""
    found = {}
    for name, row in result["summary"][variant].items():
        ratio, least = row[level]["ratio_to_relu"], row[level]["ratio_to_relu_at_least"]
        if ratio is not None:
            found[name] = ratio["value"], ratio["low"] > 1, ratio["high"] < 1
        elif least is not None:
            found[name] = least, least > 1.2, False
    return found


def _speed_numbers(result: Result) -> tuple[Number, ...]:
    reached = tuple(
        Number(f"runs of ReLU that reach 50 % {words}", float(row["reached"]), f"of {row['n']}")
        for words, row in ((words, result["summary"][variant]["relu"][LEVEL]) for variant, words in VARIANTS.items())
    )
    return reached + tuple(
        Number(f"epochs to 50 % by ReLU's, {name} {words}", ratio[0], "×")
        for variant, words in VARIANTS.items()
        for name, ratio in _speeds(result, variant).items()
        if name != "relu"
    )


def _listed_speeds(result: Result) -> str:
    return "; ".join(f"{words} {_told(result, variant)}" for variant, words in VARIANTS.items())


def _told(result: Result, variant: str) -> str:
    """What the numbers are; where some run of ReLU did not get to the level of the rule, also those of a lower one."""
    speeds = _speeds(result, variant)
    if speeds:
        return _ratios(speeds)
    lower = _speeds(result, variant, LOWER_LEVEL)
    to_lower = f" (to 40 %, for which the rule does not ask: {_ratios(lower)})" if lower else ""
    return f"undecided, for ReLU did not get there in every run{to_lower}"


def _ratios(speeds: Mapping[str, tuple[float, bool, bool]]) -> str:
    return ", ".join(f"{name} {ratio:.1f}" for name, (ratio, _, _) in speeds.items() if name != "relu")


def _converges_fast(result: Result) -> Judgement:
    speeds = [_speeds(result, variant) for variant in VARIANTS]
    ahead = [all(found.get(name, (0, False, False))[1] for name in ("tanh", "sigmoid")) for found in speeds]
    beaten = [name for found in speeds for name, (_, _, faster) in found.items() if faster]
    others = f" Surely faster than ReLU: {', '.join(dict.fromkeys(beaten))}." if beaten else ""
    return Judgement(
        verdict(all(ahead) and not beaten, any(ahead)),
        f"Epochs to 50 %, by ReLU's: {_listed_speeds(result)}.{others}",
        _speed_numbers(result),
    )


def _cnn_choice(result: Result) -> Judgement:
    beaten = {}
    for variant, words in VARIANTS.items():
        found = _speeds(result, variant)
        if not found:
            continue
        best = min(1.0, found["leaky_relu"][0])
        beaten[words] = [n for n, (ratio, _, faster) in found.items() if faster and ratio < best and n != "leaky_relu"]
    free = [words for words, names in beaten.items() if not names]
    listed = "; ".join(f"{', '.join(names)} {words}" for words, names in beaten.items() if names)
    known = f" Surely faster than both: {listed or 'none'}." if beaten else ""
    return Judgement(
        verdict(len(free) == len(VARIANTS), bool(free)),
        f"Epochs to 50 %, by ReLU's: {_listed_speeds(result)}.{known}",
        _speed_numbers(result),
    )


def _better_than_leaky(result: Result) -> Judgement:
    found = {words: result["summary"][variant]["elu − leaky_relu"]["accuracy"] for variant, words in VARIANTS.items()}
    better = [words for words, difference in found.items() if difference["low"] > 0]
    return Judgement(
        verdict(len(better) == len(found), bool(better)),
        f"ELU less leaky ReLU, in points: {_differences(found)}.",
        _points("accuracy of ELU less leaky ReLU's", found),
    )


def _differences(found: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(
        f"{100 * d['value']:+.1f} {words} ({100 * d['low']:+.1f} to {100 * d['high']:+.1f}, p = {d['p']:.2g})"
        for words, d in found.items()
    )


def _points(name: str, found: Mapping[str, Mapping[str, Any]]) -> tuple[Number, ...]:
    return tuple(Number.of(f"{name}, {words}", difference, "points", 100) for words, difference in found.items())


def _less_bias(result: Result) -> Judgement:
    found = {
        words: result["summary"][variant]["elu − leaky_relu"]["trained"]["mean_share"]
        for variant, words in VARIANTS.items()
    }
    shares = {
        f"{name} {words}": result["summary"][variant][name]["trained"]["mean_share"]
        for variant, words in VARIANTS.items()
        for name in ("elu", "leaky_relu")
    }
    less = [words for words, difference in found.items() if difference["high"] < 0]
    listed = ", ".join(f"{name} {points(share['value'])}" for name, share in shares.items())
    return Judgement(
        verdict(len(less) == len(found), bool(less)),
        f"Share of the mean in the outputs' power after training: {listed}.",
        tuple(Number.of(f"share of the mean in the power, {name}", share, "%", 100) for name, share in shares.items()),
    )


def _cells(result: Result, key: str) -> dict[str, Mapping[str, Any]]:
    """By network, in words."""
    return {
        f"at {layers} layers {words}": result["summary"][variant][layers][key]
        for variant, words in VARIANTS.items()
        for layers in ("7", "14")
    }


def _swish_better(result: Result) -> Judgement:
    found = _cells(result, "swish − relu")
    better = [words for words, difference in found.items() if difference["low"] > 0]
    worse = [words for words, difference in found.items() if difference["high"] < 0]
    return Judgement(
        verdict(bool(better) and not worse, bool(better)),
        f"Swish less ReLU, in points: {_differences(found)}.",
        _points("accuracy of Swish less ReLU's", found),
    )


def _deep_choice(result: Result) -> Judgement:
    found = {
        f"{name} {words}": result["summary"][variant]["14"][f"{name} − relu"]
        for variant, words in VARIANTS.items()
        for name in ("swish", "leaky_relu")
    }
    better = {
        words for words in VARIANTS.values() for name, d in found.items() if name.endswith(words) and d["low"] > 0
    }
    return Judgement(
        verdict(len(better) == len(VARIANTS), bool(better)),
        f"At fourteen layers, less ReLU, in points: {_differences(found)}.",
        _points("accuracy at 14 layers less ReLU's", found),
    )


def _relu_default(result: Result) -> Judgement:
    gaps = {}
    for words, row in _cells(result, "relu").items():
        others = [_cells(result, f"{name} − relu")[words]["value"] for name in ("swish", "leaky_relu")]
        gaps[words] = (max(0.0, *others), row["accuracy"])
    near = [words for words, (gap, _) in gaps.items() if gap <= 0.02]
    listed = ", ".join(f"{100 * gap:.1f} {words}" for words, (gap, _) in gaps.items())
    return Judgement(
        verdict(len(near) == len(gaps), bool(near)),
        f"Points by which the better of Swish and leaky ReLU is ahead of ReLU: {listed}.",
        tuple(Number.of(f"accuracy of ReLU {words}", accuracy, "%", 100) for words, (_, accuracy) in gaps.items()),
    )


CLAIMS = (
    Claim(
        id="gradient-passes-back",
        about="cnn",
        sentence="An activation lets the gradient pass back well, so that the parameters can be updated.",
        sentence_zh="激活函数使梯度能够有效地反向传播，从而更新参数。",
        experiment="gradients",
        method=GRADIENTS_METHOD,
        criterion="Holds if over 20 layers every activation of the article keeps it within a factor of 100.",
        judge=_passes_back,
    ),
    Claim(
        id="sigmoid-not-deep",
        about="sigmoid",
        sentence="With the sigmoid the gradient vanishes and deep networks cannot be trained well: it suits small "
        "networks, not deep ones.",
        sentence_zh="Sigmoid 会导致梯度消失，深层网络难以训练，适合小型网络，不适合深层网络。",
        experiment="gradients",
        method=GRADIENTS_METHOD,
        criterion="Holds if over 20 layers the gradient falls by 1,000 or more, and the trained network stays below 15 "
        "% and at least 10 points below ReLU.",
        judge=_not_deep,
    ),
    Claim(
        id="tanh-vanishing-gradient",
        about="tanh",
        sentence="Tanh has the vanishing gradient problem too.",
        sentence_zh="Tanh 同样存在梯度消失问题，影响深层网络。",
        experiment="gradients",
        method=GRADIENTS_METHOD,
        criterion="Holds if over 20 layers the gradient falls by 100 or more with tanh's own gain; in part if by 3 "
        "with that or with gain 1.",
        judge=_tanh_too,
    ),
    Claim(
        id="relu-dies",
        about="relu",
        sentence="For x < 0 a unit with ReLU can die and never activate again (dying ReLU).",
        sentence_zh="当 x < 0 时，ReLU 神经元可能“死亡”，永远不再被激活（Dying ReLU）。",
        experiment="dying",
        method=DYING_METHOD,
        criterion="Holds if at some learning rate at least 5 % of the channels are dead, on average over the runs that "
        "did not diverge; in part from 1 %.",
        judge=_dies,
    ),
    Claim(
        id="relu-converges-fast",
        about="relu",
        sentence="ReLU converges fast.",
        sentence_zh="ReLU 收敛速度快。",
        experiment="convergence",
        method=CONVERGENCE_METHOD,
        criterion="Holds if tanh and sigmoid are surely slower, with and without BatchNorm, and nothing is surely "
        "faster; in part if tanh and sigmoid are slower in one of the two.",
        judge=_converges_fast,
    ),
    Claim(
        id="relu-almost-everywhere",
        about="relu",
        sentence="ReLU suits almost every deep model: deep CNNs, fully connected networks.",
        sentence_zh="ReLU 几乎适用于所有深度模型，例如深层卷积神经网络和全连接网络。",
        experiment="depth",
        method=DEPTH_METHOD,
        criterion="Holds if neither Swish nor leaky ReLU is more than 2 points ahead in any of four kinds of network. "
        "Fully connected networks are not asked.",
        judge=_relu_default,
    ),
    Claim(
        id="leaky-relu-avoids-dying",
        about="leaky_relu",
        sentence="Leaky ReLU keeps a small gradient on the negative side and avoids dying ReLU.",
        sentence_zh="Leaky ReLU 在负数部分保留较小的梯度，避免了 Dying ReLU 问题。",
        experiment="dying",
        method=DYING_METHOD,
        criterion="Holds if no channel is silent and without gradient at any learning rate, while some are with ReLU.",
        judge=_avoids,
    ),
    Claim(
        id="leaky-relu-where-units-die",
        about="leaky_relu",
        sentence="Leaky ReLU suits deep networks above all where ReLU leaves many dead units.",
        sentence_zh="Leaky ReLU 适用于深层网络，特别是 ReLU 造成大量神经元死亡的情况。",
        experiment="dying",
        method=DYING_METHOD,
        criterion="Holds if it is more accurate at the learning rate at which ReLU has most dead channels, with the "
        "whole confidence interval above 0; in part if it is where both can be compared.",
        judge=_rescues,
    ),
    Claim(
        id="elu-better-than-leaky",
        about="elu",
        sentence="ELU trains better than Leaky ReLU.",
        sentence_zh="ELU 的训练效果优于 Leaky ReLU。",
        experiment="negative",
        method=NEGATIVE_METHOD,
        criterion="Holds if it is more accurate with and without BatchNorm, confidence intervals above 0; in part "
        "for one.",
        judge=_better_than_leaky,
    ),
    Claim(
        id="elu-less-bias",
        about="elu",
        sentence="ELU has less bias than Leaky ReLU: its mean is nearer to zero.",
        sentence_zh="ELU 的输出均值更接近零，偏差更小。",
        experiment="negative",
        method=NEGATIVE_METHOD,
        criterion="Holds if after training the mean's share in the outputs' power is surely smaller, with and without "
        "BatchNorm; in part for one.",
        judge=_less_bias,
    ),
    Claim(
        id="swish-better-sometimes",
        about="swish",
        sentence="Swish is better than ReLU on some tasks.",
        sentence_zh="在某些任务上，Swish 的表现优于 ReLU。",
        experiment="depth",
        method=DEPTH_METHOD,
        criterion="Holds if it is surely more accurate in one of four kinds of network or more, and surely less "
        "in none.",
        judge=_swish_better,
    ),
    Claim(
        id="choose-relu-for-cnns",
        about="choosing",
        sentence="Convolutional networks: ReLU or Leaky ReLU, for faster convergence and the gradient.",
        sentence_zh="卷积神经网络：使用 ReLU 或 Leaky ReLU，以加快收敛并改善梯度。",
        experiment="convergence",
        method=CONVERGENCE_METHOD,
        criterion="Holds if no other activation is surely faster than both, with and without BatchNorm; in part "
        "for one.",
        judge=_cnn_choice,
    ),
    Claim(
        id="choose-swish-or-leaky-for-depth",
        about="choosing",
        sentence="Deep networks: Swish or Leaky ReLU, against dead units and vanishing gradients.",
        sentence_zh="深层网络：使用 Swish 或 Leaky ReLU，以避免神经元死亡和梯度消失。",
        experiment="depth",
        method=DEPTH_METHOD,
        criterion="Holds if at fourteen layers one of them is surely more accurate than ReLU, with and without "
        "BatchNorm; in part for one.",
        judge=_deep_choice,
    ),
)
