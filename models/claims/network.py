"""Claims on why a network needs an activation, and what it is for."""

from models.claims.claim import Claim, Judgement, Number, Result, points, verdict

AFFINE_METHOD = (
    "cnn-identity, seven convolutions without an activation, is collapsed into one matrix by asking it for the zero "
    "picture and 3,072 unit pictures; the matrix is then compared with the network on all validation pictures."
)
ACCURACY_METHOD = "The served networks, alike but for their activation, classify all validation pictures."


def _accuracies(result: Result) -> dict[str, float]:
    """By hidden activation, of the ten-class networks."""
    runs = {run["model"]: run["accuracy"] for run in result["runs"]}
    return {name.removeprefix("cnn-"): share for name, share in runs.items() if name.startswith("cnn-")}


def _one_linear_model(result: Result) -> Judgement:
    found = result["summary"]
    difference, same = found["largest_difference"], found["same_class"]
    return Judgement(
        verdict(difference <= 1e-4 and same >= 0.999, difference <= 1e-2),
        f"On every validation picture the network and the matrix differ by at most {difference:.1e} of the largest "
        f"logit, and choose the same class for {points(same)}.",
        (
            Number("largest difference between network and matrix", difference, "of the largest logit"),
            Number("pictures for which both choose the same class", 100 * same, "%"),
            Number("numbers of the matrix and the constant", found["numbers_of_the_map"], "numbers"),
        ),
    )


def _cannot_solve(result: Result) -> Judgement:
    accuracy = _accuracies(result)
    gap = accuracy["relu"] - accuracy["identity"]
    return Judgement(
        verdict(gap >= 0.2, gap >= 0.05),
        f"Without an activation {points(accuracy['identity'])} of the pictures are classified rightly, with ReLU "
        f"{points(accuracy['relu'])}; guessing gives 10 %.",
        (
            Number("accuracy without an activation", 100 * accuracy["identity"], "%"),
            Number("accuracy with ReLU", 100 * accuracy["relu"], "%"),
        ),
    )


def _nonlinear(result: Result) -> Judgement:
    accuracy = _accuracies(result)
    residual = {run["model"].removeprefix("cnn-"): run["median"] for run in result["runs"]}
    others = [name for name in accuracy if name != "identity"]
    bent = [name for name in others if residual[name] >= 0.01]
    better = [name for name in bent if accuracy[name] >= accuracy["identity"] + 0.1]
    worst = min(others, key=accuracy.__getitem__)
    return Judgement(
        verdict(len(better) == len(others), bool(better)),
        f"{len(better)} of {len(others)} activations make the network far from affine and at least 10 points better "
        f"than none; the least of them, {worst}, reaches {points(accuracy[worst])}.",
        tuple(Number(f"accuracy with {name}", 100 * accuracy[name], "%") for name in others),
    )


def _selects(result: Result) -> Judgement:
    found = {n.removeprefix("cnn-"): row for n, row in result["summary"].items() if n.startswith("cnn-")}
    others = {name: row for name, row in found.items() if name not in ("identity", "softmax")}
    holding = [name for name, row in others.items() if row["passed"] <= 0.5]
    zeros = [name for name, row in others.items() if row["zeros"] >= 0.1]
    return Judgement(
        verdict(len(holding) == len(others) and len(zeros) == len(others), bool(holding)),
        f"Let through of the power of negative inputs: {_list(others, 'passed')}. Only {', '.join(zeros)} "
        f"turn{'s' if len(zeros) == 1 else ''} them into exact zeros.",
        tuple(
            Number(f"{what} with {name}", 100 * row[key], "%")
            for name, row in others.items()
            for what, key in (("power of negative inputs let through", "passed"), ("exact zeros", "zeros"))
        ),
    )


def _list(rows: dict[str, Result], key: str) -> str:
    return ", ".join(f"{name} {points(row[key])}" for name, row in rows.items())


def _choice(result: Result) -> Judgement:
    accuracy = {name: share for name, share in _accuracies(result).items() if name != "identity"}
    best, worst = max(accuracy, key=accuracy.__getitem__), min(accuracy, key=accuracy.__getitem__)
    near = [name for name, share in accuracy.items() if accuracy[best] - share <= 0.01]
    return Judgement(
        verdict(accuracy[best] - accuracy[worst] >= 0.02, accuracy[best] - accuracy[worst] >= 0.01),
        f"From {worst} ({points(accuracy[worst])}) to {best} ({points(accuracy[best])}); but {', '.join(near)} are "
        "within a point of the best, which one run of each cannot tell apart.",
        tuple(Number(f"accuracy with {name}", 100 * share, "%") for name, share in accuracy.items()),
    )


CLAIMS = (
    Claim(
        id="no-activation-one-linear-model",
        about="cnn",
        sentence="Without an activation, layer after layer stays a linear combination of the input, equal to one "
        "linear model however deep the network is.",
        sentence_zh="如果没有激活函数，无论网络有多少层，每一层都只是输入的线性组合，等价于一个线性模型。",
        experiment="affine",
        method=AFFINE_METHOD,
        criterion="Holds if they differ by at most 1e-4 of the largest logit and choose the same class for 99.9 %.",
        judge=_one_linear_model,
    ),
    Claim(
        id="linear-cannot-solve",
        about="cnn",
        sentence="Without an activation the network cannot solve complex recognition problems.",
        sentence_zh="没有激活函数的网络无法解决复杂的识别问题。",
        experiment="affine",
        method=ACCURACY_METHOD,
        criterion="Holds if it is at least 20 points below the same network with ReLU, in part from 5 points.",
        judge=_cannot_solve,
    ),
    Claim(
        id="brings-in-nonlinearity",
        about="cnn",
        sentence="An activation brings in nonlinearity, so that the network can fit complex functions.",
        sentence_zh="激活函数引入非线性，使网络能够拟合复杂的函数。",
        experiment="affine",
        method=f"{ACCURACY_METHOD} Affine or not is told by |f(x+y) − f(x) − f(y) + f(0)| over pairs of pictures.",
        criterion="Holds if every activation leaves a residual of at least 1 % and is 10 points better than none.",
        judge=_nonlinear,
    ),
    Claim(
        id="selects-features",
        about="cnn",
        sentence="An activation compresses and selects features: it holds back what does not matter and brings out "
        "what does.",
        sentence_zh="激活函数对特征进行压缩和筛选：抑制不重要的特征，突出重要的特征。",
        experiment="selection",
        method="What goes into each activation of the served networks and what comes out, on validation pictures.",
        criterion="Holds if every activation lets through at most half of the power of negative inputs and makes at "
        "least 10 % exact zeros; in part if some do. That what is held back does not matter is not measured.",
        judge=_selects,
    ),
    Claim(
        id="right-choice-improves",
        about="choosing",
        sentence="The right choice of the activation improves a model.",
        sentence_zh="选择合适的激活函数可以提升模型的性能。",
        experiment="affine",
        method=ACCURACY_METHOD,
        criterion="Holds if the best is at least 2 points ahead of the worst, in part from 1 point.",
        judge=_choice,
    ),
)
