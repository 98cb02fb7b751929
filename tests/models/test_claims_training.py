"""Verdicts on training and on output layers follow from the experiments' numbers: other numbers, another verdict."""

import copy
from typing import Any

import pytest

from models.claims.page import CLAIMS
from tests.models.test_claims import AS_THEY_ARE

BY_ID = {claim.id: claim for claim in CLAIMS}
VARIANTS = ("plain", "batch_norm")


def estimate(value: float, spread: float = 0.01) -> dict[str, Any]:
    return {"value": value, "low": value - spread, "high": value + spread, "n": 3}


def difference(value: float, spread: float = 0.01) -> dict[str, Any]:
    return estimate(value, spread) | {"p": 0.01}


def fresh(activation: str, ratio: float, start: str = "own") -> dict[str, Any]:
    return {"activation": activation, "start": start, "depth": 20, "log10_ratio": estimate(ratio)}


def trained(activation: str, accuracy: float, start: str = "own") -> dict[str, Any]:
    return {"activation": activation, "start": start, "accuracy": estimate(accuracy)}


def gradients(sigmoid: float = -8.0, tanh: float = 0.5, stuck: float = 0.1) -> dict[str, Any]:
    ratios = {"relu": 0.1, "leaky_relu": 0.1, "elu": 0.3, "swish": 0.4, "tanh": tanh, "sigmoid": sigmoid}
    return {
        "summary": {
            "fresh": [*(fresh(n, r) for n, r in ratios.items()), fresh("tanh", -0.8, "xavier")],
            "trained": [trained("sigmoid", stuck), trained("relu", 0.4), trained("sigmoid", 0.35, "batch_norm")],
        }
    }


def units(
    activation: str, factor: float, silent: float | None, still: float = 0.0, norm: bool = False
) -> dict[str, Any]:
    return {
        "activation": activation,
        "norm": norm,
        "factor": factor,
        "silent": None if silent is None else estimate(silent),
        "silent_without_gradient": None if silent is None else estimate(still),
    }


def dying(dead: float = 0.3, leaky_dead: float = 0.0, gain: float = 0.05) -> dict[str, Any]:
    rows = [
        units("relu", 1, 0.0),
        units("relu", 10, dead, dead),
        units("relu", 30, None),
        units("relu", 1, 0.001, norm=True),
        units("leaky_relu", 1, 0.0),
        units("leaky_relu", 10, 0.2, leaky_dead),
    ]
    against = [
        {"activation": "leaky_relu", "factor": factor, "accuracy": difference(value)}
        for factor, value in ((1, 0.0), (10, gain))
    ]
    return {"summary": {"units": rows, "against_relu": against}}


def without_runs_to_compare(result: dict[str, Any]) -> dict[str, Any]:
    """Leaky ReLU diverged where most units of ReLU die."""
    rows = result["summary"]["against_relu"]
    rows[:] = [row for row in rows if row["factor"] == 1]
    return result


def level(value: float | None, least: float | None = None, lower: float | None = None) -> dict[str, Any]:
    ratio = None if value is None else {"value": value, "low": value - 0.1, "high": value + 0.1}
    reached = 3 if ratio else 2
    found = {"ratio_to_relu": ratio, "ratio_to_relu_at_least": least, "reached": reached, "n": 3}
    easier = None if lower is None else {"value": lower, "low": lower - 0.1, "high": lower + 0.1}
    return {"accuracy 0.5": found, "accuracy 0.4": found | {"ratio_to_relu": easier}}


def convergence(**plain: float) -> dict[str, Any]:
    usual = {"relu": 1.0, "leaky_relu": 1.0, "elu": 1.0, "swish": 1.05, "tanh": 1.5}
    summary = {variant: {n: level(v) for n, v in usual.items()} | {"sigmoid": level(None, 4.0)} for variant in VARIANTS}
    summary["plain"] |= {name: level(value) for name, value in plain.items()}
    return {"summary": summary}


def nowhere(*variants: str) -> dict[str, Any]:
    """ReLU does not get to the level, so nothing can be compared with it."""
    found = convergence()
    for variant in variants:
        found["summary"][variant] = dict.fromkeys(found["summary"][variant], level(None))
    return found


def negative(plain: float, normed: float, share: float = -0.2) -> dict[str, Any]:
    def variant(gap: float) -> dict[str, Any]:
        return {
            "elu − leaky_relu": {"accuracy": difference(gap), "trained": {"mean_share": difference(share)}},
            "elu": {"trained": {"mean_share": estimate(0.05)}},
            "leaky_relu": {"trained": {"mean_share": estimate(0.25)}},
        }

    return {"summary": {"plain": variant(plain), "batch_norm": variant(normed)}}


def depth(swish: float, leaky: float = 0.0, normed: float = 0.0) -> dict[str, Any]:
    def network(first: float, second: float) -> dict[str, Any]:
        return {
            "relu": {"accuracy": estimate(0.6)},
            "swish − relu": difference(first),
            "leaky_relu − relu": difference(second),
        }

    return {
        "summary": {
            "plain": {"7": network(0.0, 0.0), "14": network(swish, leaky)},
            "batch_norm": {"7": network(0.0, 0.0), "14": network(normed, 0.0)},
        }
    }


def heads(
    *, sums: float = 1e-7, outside: int = 0, ece: float = 0.01, hidden: float = -0.1, ten: float = 0.0, one: float = 0.0
) -> dict[str, Any]:
    facts = {"sum_furthest_from_1": sums, "order_violations": 0, "least": 0.0, "most": 1.0}
    quantiles = {"quantile 5": estimate(0.8), "quantile 95": estimate(1.2)}
    calibration = {"ece": estimate(ece), "ece_floor_95": estimate(0.012)}
    return {
        "summary": {
            "functions": {"exact float32": {"softmax": {"1": facts}, "sigmoid": {"outside": outside}}},
            "hidden softmax − hidden relu": difference(hidden),
            "ten sigmoids − ten-class softmax": difference(ten),
            "one sigmoid − two-class softmax": difference(one),
            "ten-class softmax": {"row_sum": {"furthest_from_1": estimate(0.0, 0.0)}},
            "ten sigmoids": {"row_sum": quantiles},
            "one sigmoid": {"raw": calibration, "tempered": calibration},
            "two-class softmax": {"identity": {"float32": estimate(1e-7, 0.0)}},
        }
    }


def sequence(elman: float, lstm: float) -> dict[str, Any]:
    cells = [(cell, activation) for cell in ("elman", "lstm") for activation in ("tanh", "sigmoid", "relu")]
    gaps = {"elman": elman, "lstm": lstm}
    return {
        "summary": {
            "variants": [{"cell": c, "activation": a, "accuracy": estimate(0.4)} for c, a in cells],
            "against_tanh": [
                {"cell": c, "activation": a, "tanh_less_this": difference(gaps[c])} for c, a in cells if a != "tanh"
            ],
        }
    }


VERDICTS = [
    ("gradient-passes-back", gradients(), "holds in part"),
    ("gradient-passes-back", gradients(sigmoid=-1.0), "holds"),
    ("sigmoid-not-deep", gradients(), "holds"),
    ("sigmoid-not-deep", gradients(stuck=0.3), "holds in part"),
    ("sigmoid-not-deep", gradients(sigmoid=-1, stuck=0.35), "does not hold here"),
    ("tanh-vanishing-gradient", gradients(), "holds in part"),
    ("tanh-vanishing-gradient", gradients(tanh=-3), "holds"),
    ("relu-dies", dying(), "holds"),
    ("relu-dies", dying(dead=0.02), "holds in part"),
    ("relu-dies", dying(dead=0.0), "does not hold here"),
    ("leaky-relu-avoids-dying", dying(), "holds"),
    ("leaky-relu-avoids-dying", dying(leaky_dead=0.1), "holds in part"),
    ("leaky-relu-avoids-dying", dying(leaky_dead=0.4), "does not hold here"),
    ("leaky-relu-where-units-die", dying(), "holds"),
    ("leaky-relu-where-units-die", dying(gain=0.005), "holds in part"),
    ("leaky-relu-where-units-die", dying(gain=-0.05), "does not hold here"),
    ("leaky-relu-where-units-die", without_runs_to_compare(dying()), "does not hold here"),
    ("relu-converges-fast", convergence(), "holds"),
    ("relu-converges-fast", convergence(elu=0.5), "holds in part"),
    ("relu-converges-fast", convergence(tanh=0.5), "holds in part"),
    ("relu-converges-fast", nowhere("plain"), "holds in part"),
    ("relu-converges-fast", nowhere("plain", "batch_norm"), "does not hold here"),
    ("choose-relu-for-cnns", nowhere("plain"), "holds in part"),
    ("choose-relu-for-cnns", nowhere("plain", "batch_norm"), "does not hold here"),
    ("choose-relu-for-cnns", convergence(), "holds"),
    ("choose-relu-for-cnns", convergence(swish=0.5), "holds in part"),
    ("elu-better-than-leaky", negative(0.02, 0.02), "holds"),
    ("elu-better-than-leaky", negative(0.02, 0.0), "holds in part"),
    ("elu-better-than-leaky", negative(-0.02, 0.0), "does not hold here"),
    ("elu-less-bias", negative(0, 0), "holds"),
    ("elu-less-bias", negative(0, 0, share=0.1), "does not hold here"),
    ("swish-better-sometimes", depth(0.03), "holds"),
    ("swish-better-sometimes", depth(0.03, normed=-0.03), "holds in part"),
    ("swish-better-sometimes", depth(0.0), "does not hold here"),
    ("choose-swish-or-leaky-for-depth", depth(0.03, normed=0.03), "holds"),
    ("choose-swish-or-leaky-for-depth", depth(0.0, leaky=0.03), "holds in part"),
    ("choose-swish-or-leaky-for-depth", depth(0.0), "does not hold here"),
    ("relu-almost-everywhere", depth(0.01), "holds"),
    ("relu-almost-everywhere", depth(0.05), "holds in part"),
    ("sigmoid-is-a-probability", heads(), "holds"),
    ("sigmoid-is-a-probability", heads(ece=0.05), "holds in part"),
    ("sigmoid-is-a-probability", heads(outside=1), "does not hold here"),
    ("softmax-sums-to-one", heads(), "holds"),
    ("softmax-sums-to-one", heads(sums=1e-4), "holds in part"),
    ("softmax-sums-to-one", heads(sums=0.1), "does not hold here"),
    ("softmax-only-for-output", heads(), "holds"),
    ("softmax-only-for-output", heads(hidden=-0.005), "holds in part"),
    ("softmax-only-for-output", heads(hidden=0.05), "does not hold here"),
    ("choose-sigmoid-for-two-classes", heads(), "holds"),
    ("choose-sigmoid-for-two-classes", heads(one=-0.05), "does not hold here"),
    ("choose-softmax-for-many-classes", heads(), "holds"),
    ("choose-softmax-for-many-classes", heads(ten=0.05), "holds in part"),
    ("choose-tanh-for-sequences", sequence(0.05, 0.05), "holds"),
    ("choose-tanh-for-sequences", sequence(0.05, -0.05), "holds in part"),
    ("choose-tanh-for-sequences", sequence(-0.05, 0.0), "does not hold here"),
]


@pytest.mark.parametrize(("name", "result", "expected"), VERDICTS, ids=[f"{n}: {v}" for n, _, v in VERDICTS])
def test_a_verdict_follows_from_the_numbers(name: str, result: dict[str, Any], expected: str) -> None:
    before = copy.deepcopy(result)
    judgement = BY_ID[name].judge(result)

    assert judgement.verdict == expected
    assert judgement.because.endswith(".")
    assert judgement.numbers
    assert result == before


def test_every_claim_is_judged_in_these_tests() -> None:
    assert {name for name, _, _ in VERDICTS} | set(AS_THEY_ARE) == set(BY_ID)


def test_where_relu_does_not_reach_the_level_a_lower_one_is_told_and_decides_nothing() -> None:
    found = nowhere("plain")
    found["summary"]["plain"] = {"relu": level(None, lower=1.0), "tanh": level(None, lower=0.5)}

    told = BY_ID["relu-converges-fast"].judge(found)

    assert "without BatchNorm undecided" in told.because
    assert "to 40 %, for which the rule does not ask: tanh 0.5)" in told.because
    assert told.verdict == BY_ID["relu-converges-fast"].judge(nowhere("plain")).verdict
