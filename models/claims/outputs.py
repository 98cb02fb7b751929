"""Claims on output layers, and on sequences."""

from collections.abc import Mapping
from typing import Any

from models.claims.claim import Claim, Judgement, Number, Result, points, verdict

HEADS_METHOD = (
    "Seven layers with BatchNorm and ReLU under each output layer, three seeds, twelve epochs; and the served kernels "
    "on 10,000 rows of random logits."
)
SEQUENCE_METHOD = (
    "Pictures read row by row stand in for language: an Elman network and an LSTM with a state of 64, each activation "
    "at its own learning rate, five seeds."
)


def _sums(result: Result) -> Judgement:
    facts = [
        (kernel, facts) for kernel, row in result["summary"]["functions"].items() for facts in row["softmax"].values()
    ]
    furthest = max(row["sum_furthest_from_1"] for _, row in facts)
    violations = sum(row["order_violations"] for _, row in facts)
    inside = all(row["least"] >= 0 and row["most"] <= 1 for _, row in facts)
    return Judgement(
        verdict(furthest <= 1e-5 and inside and not violations, furthest <= 1e-3 and inside),
        f"Over all rows, kernels and dtypes the outputs are within [0, 1], their sum is at most {furthest:.0e} from 1, "
        f"and {violations} pairs change their order.",
        (
            Number("furthest that a sum is from 1", furthest, ""),
            Number("pairs of outputs in another order than their logits", float(violations), "pairs"),
        ),
    )


def _difference(result: Result, name: str, label: str) -> Number:
    return Number.of(label, result["summary"][name], "points", 100)


def _shown(number: Number) -> str:
    assert number.low is not None
    assert number.high is not None
    return f"{number.value:+.1f} points ({number.low:+.1f} to {number.high:+.1f})"


def _only_output(result: Result) -> Judgement:
    gap = _difference(result, "hidden softmax − hidden relu", "accuracy with softmax hidden less that with ReLU")
    return Judgement(
        verdict(gap.high is not None and gap.high < 0, gap.value < 0),
        f"As the hidden activation softmax is {_shown(gap)} from ReLU.",
        (gap,),
    )


def _multiclass(result: Result) -> Judgement:
    gap = _difference(result, "ten sigmoids − ten-class softmax", "accuracy of ten sigmoids less softmax's")
    sums = {name: result["summary"][name]["row_sum"] for name in ("ten-class softmax", "ten sigmoids")}
    low, high = (sums["ten sigmoids"][f"quantile {share}"]["value"] for share in (5, 95))
    one, not_better = (
        sums["ten-class softmax"]["furthest_from_1"]["value"] <= 1e-6,
        gap.low is not None and gap.low <= 0,
    )
    return Judgement(
        verdict(one and not_better and high - low >= 0.01, one),
        f"Softmax's outputs sum to 1; those of ten sigmoids to {low:.2f} to {high:.2f} for nine pictures of ten, and "
        f"they are {_shown(gap)} from it in accuracy.",
        (
            gap,
            Number.of("sum of ten sigmoids, 5 % of the pictures are below", sums["ten sigmoids"]["quantile 5"], ""),
            Number.of("sum of ten sigmoids, 5 % of the pictures are above", sums["ten sigmoids"]["quantile 95"], ""),
        ),
    )


def _probability(result: Result) -> Judgement:
    outside = sum(row["sigmoid"]["outside"] for row in result["summary"]["functions"].values())
    head = result["summary"]["one sigmoid"]
    raw, tempered, floor = (
        head[when][what] for when, what in (("raw", "ece"), ("tempered", "ece"), ("tempered", "ece_floor_95"))
    )
    calibrated = tempered["value"] <= floor["value"]
    return Judgement(
        verdict(not outside and calibrated, not outside),
        f"It never leaves [0, 1]. As a probability it is off by {points(raw['value'])} on average after training, and "
        f"by {points(tempered['value'])} once its logit is divided by a temperature; below {points(floor['value'])} it "
        "could not be told from right.",
        (
            Number("outputs outside of [0, 1]", float(outside), "outputs"),
            Number.of("calibration error (ECE) of one sigmoid, as trained", raw, "%", 100),
            Number.of("calibration error (ECE) of one sigmoid, with temperature", tempered, "%", 100),
            Number.of("95 % of perfectly calibrated outputs stay below", floor, "%", 100),
        ),
    )


def _binary(result: Result) -> Judgement:
    gap = _difference(
        result, "one sigmoid − two-class softmax", "accuracy of one sigmoid less that of two-class softmax"
    )
    identity = result["summary"]["two-class softmax"]["identity"]["float32"]
    same = gap.low is not None and gap.low >= -2
    return Judgement(
        verdict(same, gap.high is not None and gap.high >= 0),
        f"One sigmoid is {_shown(gap)} from a softmax of two; the two are one function, sigmoid(x₁ − x₀) = softmax(x)₁ "
        f"to {identity['value']:.0e} in float32.",
        (gap, Number.of("furthest that the two are apart, float32", identity, "")),
    )


def _sequences(result: Result) -> Judgement:
    rows = {(row["cell"], row["activation"]): row for row in result["summary"]["variants"]}
    against = {(row["cell"], row["activation"]): row["tanh_less_this"] for row in result["summary"]["against_tanh"]}
    better = [cell for cell in ("elman", "lstm") if against[cell, "relu"]["low"] > 0]
    worse = [cell for cell in ("elman", "lstm") if against[cell, "relu"]["high"] < 0]
    listed = ", ".join(
        f"{activation} in {_CELLS[cell]} {points(row['accuracy']['value'])}" for (cell, activation), row in rows.items()
    )
    return Judgement(
        verdict(len(better) == 2, bool(better) or not worse),
        f"Classified rightly: {listed}.",
        (
            *(_accuracy(cell, activation, row) for (cell, activation), row in rows.items()),
            *(
                Number.of(f"accuracy of tanh less that of {activation}, {_CELLS[cell]}", difference, "points", 100)
                for (cell, activation), difference in against.items()
            ),
        ),
    )


_CELLS = {"elman": "an Elman network", "lstm": "an LSTM"}


def _accuracy(cell: str, activation: str, row: Mapping[str, Any]) -> Number:
    return Number.of(f"accuracy of {activation}, {_CELLS[cell]}", row["accuracy"], "%", 100)


CLAIMS = (
    Claim(
        id="sigmoid-is-a-probability",
        about="sigmoid",
        sentence="Sigmoid maps the input to a probability between 0 and 1.",
        sentence_zh="Sigmoid 将输入映射为 0 到 1 之间的概率值。",
        experiment="heads",
        method=HEADS_METHOD,
        criterion="Holds if no output leaves [0, 1] and, with a temperature fitted on other pictures, the calibration "
        "error is within its noise floor; in part for the range alone.",
        judge=_probability,
    ),
    Claim(
        id="softmax-sums-to-one",
        about="softmax",
        sentence="Softmax turns the input into a probability distribution that sums to 1.",
        sentence_zh="Softmax 将输入转换为概率分布，所有类别的概率之和为 1。",
        experiment="heads",
        method=HEADS_METHOD,
        criterion="Holds if outputs are in [0, 1], sums within 1e-5 of 1, and the order that of the logits.",
        judge=_sums,
    ),
    Claim(
        id="softmax-only-for-output",
        about="softmax",
        sentence="Softmax is only for the output layer of classification.",
        sentence_zh="Softmax 仅适用于分类任务的输出层。",
        experiment="heads",
        method=HEADS_METHOD,
        criterion="Holds if as the hidden activation it is surely less accurate than ReLU.",
        judge=_only_output,
    ),
    Claim(
        id="choose-sigmoid-for-two-classes",
        about="choosing",
        sentence="Binary classification: Sigmoid in the output layer.",
        sentence_zh="二分类任务：输出层使用 Sigmoid。",
        experiment="heads",
        method=HEADS_METHOD,
        criterion="Holds if it is at most 2 points below a softmax of two, the whole confidence interval considered.",
        judge=_binary,
    ),
    Claim(
        id="choose-softmax-for-many-classes",
        about="choosing",
        sentence="Multi-class classification: Softmax in the output layer, for a probability distribution.",
        sentence_zh="多分类任务：输出层使用 Softmax，得到概率分布。",
        experiment="heads",
        method=HEADS_METHOD,
        criterion="Holds if its outputs sum to 1, ten sigmoids' do not, and these are not surely more accurate.",
        judge=_multiclass,
    ),
    Claim(
        id="choose-tanh-for-sequences",
        about="choosing",
        sentence="Language and time series: Tanh or Sigmoid, with LSTM or GRU.",
        sentence_zh="自然语言处理和时间序列任务：使用 Tanh 或 Sigmoid，配合 LSTM 或 GRU。",
        experiment="sequence",
        method=SEQUENCE_METHOD,
        criterion="Holds if tanh is surely more accurate than ReLU in both; in part if in one, or surely worse "
        "in none.",
        judge=_sequences,
    ),
)
