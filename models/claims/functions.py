"""Claims on the functions themselves, decided by their values: formulas, ranges, slopes, and what they cost."""

from models.claims.claim import Claim, Judgement, Number, Result, verdict

FORMULAS_METHOD = "Asked of the served `exact` kernel in float64 at 160,001 points from −40 to 40."
COST_METHOD = (
    "One CPU thread, the functions in turn for 31 rounds: 1 M float32 through ONNX Runtime's operator, and a step of "
    "training of a seven-layer network in PyTorch."
)


def _printed_sigmoid(result: Result) -> Judgement:
    difference = result["summary"]["printed"]["sigmoid_largest_difference"]
    return Judgement(
        verdict(difference <= 1e-12, False),
        f"2/(1+e^-x) is twice the sigmoid, off by up to {difference:.3g}; 1/(1+e^-x) was meant.",
        (Number("largest difference of the printed formula", difference, ""),),
    )


def _slope_vanishes(name: str, result: Result) -> Judgement:
    found = result["summary"][name]
    left, right, most = found["slope_at_minus_10"], found["slope_at_10"], found["largest_slope"]
    return Judgement(
        verdict(max(left, right) <= 1e-3 * most, min(left, right) <= 1e-3 * most),
        f"The slope is at most {most:.3g}; at −10 it is {left:.1e}, at 10 {right:.1e}.",
        (
            Number("largest slope", most, ""),
            Number("slope at −10", left, ""),
            Number("slope at 10", right, ""),
        ),
    )


def _zero_centred(result: Result) -> Judgement:
    found = result["summary"]["tanh"]
    odd, mean = found["largest_asymmetry"], found["mean_over_normal_inputs"]
    fits = odd <= 1e-12 and abs(mean) <= 1e-12 and found["smallest"] >= -1 and found["largest"] <= 1
    return Judgement(
        verdict(fits, abs(mean) <= 1e-2),
        f"tanh(−x) = −tanh(x) to {odd:.0e}, values from {found['smallest']:g} to {found['largest']:g}, and the mean "
        f"over normally distributed inputs is {mean:.0e}; the sigmoid's is "
        f"{result['summary']['sigmoid']['mean_over_normal_inputs']:.2f}.",
        (
            Number("largest |f(x) + f(−x)|", odd, ""),
            Number("mean over normally distributed inputs", mean, ""),
        ),
    )


def _negative_side(result: Result) -> Judgement:
    elu, relu = (result["summary"][name] for name in ("elu", "relu"))
    keeps, flows = elu["value_at_minus_1"] < 0 == relu["value_at_minus_1"], elu["slope_at_minus_10"] >= 1e-3
    return Judgement(
        verdict(keeps and flows, keeps or flows),
        f"At −1 ELU is {elu['value_at_minus_1']:.3f} where ReLU is 0; but far out its slope fades as the sigmoid's "
        f"does, to {elu['slope_at_minus_10']:.1e} at −10.",
        (
            Number("value at −1", elu["value_at_minus_1"], ""),
            Number("slope at −10", elu["slope_at_minus_10"], ""),
        ),
    )


def _smooth(result: Result) -> Judgement:
    swish, relu = (result["summary"][name] for name in ("swish", "relu"))
    jump = swish["jump_of_the_slope_at_0"]
    return Judgement(
        verdict(jump <= 1e-6, False),
        f"The slope has no jump at 0 ({jump:.0e}; ReLU's is {relu['jump_of_the_slope_at_0']:g}), and the function dips "
        f"to {swish['smallest']:.4f} before it rises.",
        (
            Number("jump of the slope at 0", jump, ""),
            Number("smallest value", swish["smallest"], ""),
        ),
    )


def _element(result: Result, name: str, base: str = "identity") -> tuple[float, float, float]:
    """Quartiles of the time of an element, relative to another function's median."""
    rows = result["summary"]["element"]["native"]
    group = rows[max(rows, key=int)]
    low, middle, high = (quartile / group[base]["ratio"][1] for quartile in group[name]["ratio"])
    return low, middle, high


def _step(result: Result, name: str) -> tuple[float, float, float]:
    low, middle, high = result["summary"]["step"][name]["ratio"]
    return low, middle, high


def _ratios(name: str, quartiles: tuple[float, float, float]) -> tuple[Number, ...]:
    """The median, then the quartiles: times scatter to one side, so there is no interval of confidence."""
    words = ("lower quartile", "median", "upper quartile")
    found = [Number(f"{name}, {word}", quartile, "×") for word, quartile in zip(words, quartiles, strict=True)]
    return found[1], found[0], found[2]


def _simple(result: Result) -> Judgement:
    copy, names = _element(result, "relu"), ("leaky_relu", "elu", "swish", "tanh", "sigmoid")
    others = {name: _element(result, name)[1] for name in names}
    cheapest = all(copy[1] <= 1.05 * other for other in others.values())
    return Judgement(
        verdict(copy[1] <= 1.5 and cheapest, copy[1] <= 1.5 or cheapest),
        f"ReLU takes {copy[1]:.2f} of the time of a copy; {', '.join(f'{n} {r:.2f}' for n, r in others.items())}.",
        (
            *_ratios("time of ReLU, by that of a copy", copy),
            *(Number(f"time of {n}, by that of a copy", r, "×") for n, r in others.items()),
        ),
    )


def _slower(name: str, result: Result) -> Judgement:
    """More time than ReLU for an element, and for a step of training."""
    element, step = _element(result, name, "relu"), _step(result, name)
    more, longer = element[0] > 1.02, step[0] > 1.02
    return Judgement(
        verdict(more and longer, more or longer),
        f"{element[1]:.2f} of ReLU's time for an element (quartiles {element[0]:.2f} to {element[2]:.2f}), "
        f"{step[1]:.2f} for a step of training ({step[0]:.2f} to {step[2]:.2f}).",
        (*_ratios("time of an element, by ReLU's", element), *_ratios("time of a training step, by ReLU's", step)),
    )


def _more_computation(result: Result) -> Judgement:
    element = _element(result, "leaky_relu", "relu")
    return Judgement(
        verdict(element[0] > 1.02, element[1] > 1.02),
        f"{element[1]:.2f} of ReLU's time for an element (quartiles {element[0]:.2f} to {element[2]:.2f}).",
        _ratios("time of an element, by ReLU's", element),
    )


SLOWER = (
    "Holds if its lower quartile is above 1.02 of ReLU's time both for an element and for a step of training; in part "
    "for one."
)

CLAIMS = (
    Claim(
        id="sigmoid-formula",
        about="sigmoid",
        sentence="Sigmoid is f(x) = 2/(1+e^-x) (as printed).",
        sentence_zh="Sigmoid 函数的公式为 f(x) = 2/(1+e^-x)（原文如此）。",
        experiment="formulas",
        method=FORMULAS_METHOD,
        criterion="Holds if the printed formula is the function to 1e-12.",
        judge=_printed_sigmoid,
    ),
    Claim(
        id="sigmoid-saturates",
        about="sigmoid",
        sentence="For inputs of large absolute value the gradient of the sigmoid tends to 0.",
        sentence_zh="当输入的绝对值较大时，Sigmoid 的梯度趋近于 0。",
        experiment="formulas",
        method=FORMULAS_METHOD,
        criterion="Holds if the slope at −10 and at 10 is at most a thousandth of the largest slope.",
        judge=lambda result: _slope_vanishes("sigmoid", result),
    ),
    Claim(
        id="tanh-zero-centred",
        about="tanh",
        sentence="Tanh maps the input to −1…1, symmetric about 0: its output is zero-centred.",
        sentence_zh="Tanh 将输入映射到 -1 到 1 之间，关于原点对称，输出以零为中心。",
        experiment="formulas",
        method=FORMULAS_METHOD,
        criterion="Holds if it is odd to 1e-12, within [−1, 1], and of mean 0 over normally distributed inputs.",
        judge=_zero_centred,
    ),
    Claim(
        id="tanh-saturates",
        about="tanh",
        sentence="For very large or very small input the gradient of tanh vanishes too.",
        sentence_zh="当输入非常大或非常小时，Tanh 同样存在梯度消失问题。",
        experiment="formulas",
        method=FORMULAS_METHOD,
        criterion="Holds if the slope at −10 and at 10 is at most a thousandth of the largest slope.",
        judge=lambda result: _slope_vanishes("tanh", result),
    ),
    Claim(
        id="relu-simple",
        about="relu",
        sentence="ReLU is very simple to compute.",
        sentence_zh="ReLU 的计算非常简单。",
        experiment="cost",
        method=COST_METHOD,
        criterion="Holds if it takes at most 1.5 of the time of a copy and no other function is more than 5 % faster.",
        judge=_simple,
    ),
    Claim(
        id="leaky-relu-costs-more",
        about="leaky_relu",
        sentence="Leaky ReLU takes more computation than ReLU.",
        sentence_zh="与 ReLU 相比，Leaky ReLU 的计算量稍大。",
        experiment="cost",
        method=COST_METHOD,
        criterion="Holds if its lower quartile is above 1.02 of ReLU's time for an element; in part if its median is.",
        judge=_more_computation,
    ),
    Claim(
        id="elu-keeps-negatives",
        about="elu",
        sentence="ELU's negative output decays exponentially instead of being 0, so the network can learn negative "
        "features and the gradient keeps flowing.",
        sentence_zh="ELU 在负数部分的输出按指数衰减而不是 0，使网络能够学习负特征，并保持梯度流动。",
        experiment="formulas",
        method=FORMULAS_METHOD,
        criterion="Holds if it is negative at −1 where ReLU is 0, and its slope at −10 is at least 1e-3; in part for "
        "one of them.",
        judge=_negative_side,
    ),
    Claim(
        id="elu-slower",
        about="elu",
        sentence="ELU is a little more complex than ReLU and trains a little slower.",
        sentence_zh="ELU 的计算比 ReLU 稍复杂，训练速度稍慢。",
        experiment="cost",
        method=COST_METHOD,
        criterion=SLOWER,
        judge=lambda result: _slower("elu", result),
    ),
    Claim(
        id="swish-smooth",
        about="swish",
        sentence="Swish joins sigmoid and ReLU, smooth on negative input.",
        sentence_zh="Swish 结合了 Sigmoid 和 ReLU 的特点，在负输入处平滑。",
        experiment="formulas",
        method=FORMULAS_METHOD,
        criterion="Holds if its slope has no jump at 0 above 1e-6.",
        judge=_smooth,
    ),
    Claim(
        id="swish-slower",
        about="swish",
        sentence="Swish is a little more complex than ReLU and slower to train.",
        sentence_zh="Swish 的计算比 ReLU 稍复杂，训练速度较慢。",
        experiment="cost",
        method=COST_METHOD,
        criterion=SLOWER,
        judge=lambda result: _slower("swish", result),
    ),
)
