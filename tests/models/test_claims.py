"""Verdicts follow from the numbers by the rule that is stated: other numbers, another verdict."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from models.claims import page
from models.claims.claim import Number
from models.claims.page import CLAIMS
from service.activations.catalogue import ACTIVATIONS

BY_ID = {claim.id: claim for claim in CLAIMS}


def facts(**changes: float) -> dict[str, float]:
    return {
        "smallest": -1.0,
        "largest": 1.0,
        "mean_over_normal_inputs": 0.0,
        "largest_asymmetry": 0.0,
        "largest_slope": 1.0,
        "slope_at_minus_10": 1e-9,
        "slope_at_10": 1e-9,
        "value_at_minus_1": -0.5,
        "jump_of_the_slope_at_0": 0.0,
    } | changes


def ratio(low: float, middle: float, high: float) -> dict[str, list[float]]:
    return {"ratio": [low, middle, high]}


def affine(**accuracies: float) -> dict[str, Any]:
    runs = [
        {"model": f"cnn-{n}", "accuracy": a, "median": 0.0 if n == "identity" else 0.3} for n, a in accuracies.items()
    ]
    return {
        "summary": {"largest_difference": 1e-6, "same_class": 1.0, "numbers_of_the_map": 30_730},
        "runs": [*runs, {"model": "binary-relu", "accuracy": None, "median": 0.3}],
    }


TIMES = {"identity": ratio(1, 1, 1), "relu": ratio(1.0, 1.1, 1.2)} | {
    name: ratio(1.9, 2.0, 2.1) for name in ("leaky_relu", "elu", "swish", "tanh", "sigmoid")
}
RESULTS: dict[str, dict[str, Any]] = {
    "affine": affine(relu=0.88, tanh=0.8, sigmoid=0.75, identity=0.4),
    "formulas": {
        "summary": {name: facts() for name in ("sigmoid", "tanh", "relu", "elu", "swish")}
        | {"printed": {"sigmoid_largest_difference": 1.0}}
    },
    "selection": {
        "summary": {
            "cnn-relu": {"zeros": 0.6, "passed": 0.0, "negative": 0.6},
            "cnn-tanh": {"zeros": 0.0, "passed": 0.6, "negative": 0.5},
            "cnn-identity": {"zeros": 0.0, "passed": 1.0, "negative": 0.5},
        }
    },
    "cost": {
        "summary": {
            "element": {"native": {"4096": {}, "1048576": TIMES}},
            "step": {"relu": ratio(1, 1, 1), "elu": ratio(1.0, 1.1, 1.2), "swish": ratio(1.1, 1.2, 1.3)},
        }
    },
}


def changed(experiment: str, path: str, value: object) -> dict[str, Any]:
    """The experiment's result with one member changed; `path` has slashes."""
    result = copy.deepcopy(RESULTS[experiment])
    *parents, last = path.split("/")
    place = result
    for key in parents:
        place = place[key]
    place[last] = value
    return result


AS_THEY_ARE = {
    "no-activation-one-linear-model": "holds",
    "linear-cannot-solve": "holds",
    "brings-in-nonlinearity": "holds",
    "selects-features": "holds in part",
    "right-choice-improves": "holds",
    "sigmoid-formula": "does not hold here",
    "sigmoid-saturates": "holds",
    "tanh-zero-centred": "holds",
    "tanh-saturates": "holds",
    "relu-simple": "holds",
    "leaky-relu-costs-more": "holds",
    "elu-keeps-negatives": "does not hold here",
    "elu-slower": "holds in part",
    "swish-smooth": "holds",
    "swish-slower": "holds",
}


@pytest.mark.parametrize(("name", "expected"), AS_THEY_ARE.items(), ids=AS_THEY_ARE)
def test_a_verdict_follows_from_the_numbers(name: str, expected: str) -> None:
    judgement = BY_ID[name].judge(RESULTS[BY_ID[name].experiment])
    assert judgement.verdict == expected
    assert judgement.because.endswith(".")
    assert judgement.numbers


@pytest.mark.parametrize(
    ("name", "result", "expected"),
    [
        ("no-activation-one-linear-model", changed("affine", "summary/largest_difference", 1e-3), "holds in part"),
        ("no-activation-one-linear-model", changed("affine", "summary/largest_difference", 0.1), "does not hold here"),
        ("linear-cannot-solve", affine(relu=0.5, identity=0.4), "holds in part"),
        ("linear-cannot-solve", affine(relu=0.41, identity=0.4), "does not hold here"),
        ("brings-in-nonlinearity", affine(relu=0.9, sigmoid=0.45, identity=0.4), "holds in part"),
        ("brings-in-nonlinearity", affine(relu=0.45, identity=0.4), "does not hold here"),
        ("right-choice-improves", affine(relu=0.9, tanh=0.885, identity=0.4), "holds in part"),
        ("right-choice-improves", affine(relu=0.9, tanh=0.899, identity=0.4), "does not hold here"),
        ("sigmoid-formula", changed("formulas", "summary/printed/sigmoid_largest_difference", 0.0), "holds"),
        ("tanh-saturates", changed("formulas", "summary/tanh/slope_at_10", 0.5), "holds in part"),
        ("tanh-zero-centred", changed("formulas", "summary/tanh/mean_over_normal_inputs", 0.4), "does not hold here"),
        ("elu-keeps-negatives", changed("formulas", "summary/relu/value_at_minus_1", 0.0), "holds in part"),
        ("swish-smooth", changed("formulas", "summary/swish/jump_of_the_slope_at_0", 1.0), "does not hold here"),
        ("swish-slower", changed("cost", "summary/step/swish", ratio(0.9, 1.0, 1.1)), "holds in part"),
        (
            "leaky-relu-costs-more",
            changed("cost", "summary/element/native/1048576/leaky_relu", ratio(1.0, 1.1, 1.2)),
            "does not hold here",
        ),
        ("relu-simple", changed("cost", "summary/element/native/1048576/relu", ratio(1.9, 2, 2)), "holds in part"),
        (
            "selects-features",
            changed("selection", "summary/cnn-tanh", {"zeros": 0.2, "passed": 0.1, "negative": 0.5}),
            "holds",
        ),
    ],
)
def test_other_numbers_give_another_verdict(name: str, result: dict[str, Any], expected: str) -> None:
    assert BY_ID[name].judge(result).verdict == expected


def test_claims_are_told_apart_and_belong_to_something() -> None:
    assert len(BY_ID) == len(CLAIMS)
    assert {claim.about for claim in CLAIMS} <= {*ACTIVATIONS, "cnn", "choosing"}
    assert all(claim.about in page.ORDER for claim in CLAIMS)
    for claim in CLAIMS:
        assert claim.sentence_zh != claim.sentence
        assert claim.criterion.startswith("Holds if")


def test_a_number_may_be_an_estimate_in_points() -> None:
    estimate = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 3}
    assert Number.of("a", estimate, "%", 100) == Number("a", 50.0, "%", 40.0, 60.0, 3)
    lonely = {"value": 0.5, "low": None, "high": None, "n": 1, "p": 0.01}
    assert Number.of("a", lonely, "") == Number("a", 0.5, "", None, None, 1, 0.01)


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    for name, result in RESULTS.items():
        described = {"command": f"run {name}", "machine": "a machine", "date": "2026-01-02"}
        (tmp_path / f"{name}.json").write_text(json.dumps(result | described))
    (tmp_path / "affine.svg").write_text("<svg/>")
    return tmp_path


def test_claims_are_written_for_what_was_measured(evidence: Path, tmp_path: Path) -> None:
    page.write(evidence, tmp_path / "claims.md")
    written = json.loads((evidence / "claims.json").read_text())

    assert written["generated"] == "2026-01-02"
    assert {claim["id"] for claim in written["claims"]} == set(AS_THEY_ARE)
    first = written["claims"][0]
    assert (first["id"], first["verdict"]) == ("no-activation-one-linear-model", "holds")
    assert (first["figure"], first["command"], first["machine"]) == ("affine.svg", "run affine", "a machine")
    assert {claim["figure"] for claim in written["claims"]} == {"affine.svg", None}


def test_the_page_has_every_claim_in_the_articles_order(evidence: Path, tmp_path: Path) -> None:
    page.write(evidence, tmp_path / "claims.md")
    text = (tmp_path / "claims.md").read_text()

    for name in AS_THEY_ARE:
        assert BY_ID[name].sentence in text
    assert (
        text.index("## Why a network")
        < text.index("## sigmoid")
        < text.index("## swish")
        < text.index("## How to choose")
    )
    assert "![affine](../models/evidence/affine.svg)" in text


def test_what_was_not_measured_is_left_out(evidence: Path) -> None:
    (evidence / "cost.json").unlink()
    assert not [claim for claim in page.judged(evidence) if claim["experiment"] == "cost"]


def test_the_interval_of_a_share_ends_where_shares_do() -> None:
    estimate = {"value": 0.3, "low": -2.6, "high": 3.2, "n": 2}
    share = Number.of("dead channels", estimate, "%", 100)
    assert (share.value, share.low, share.high) == (30.0, 0.0, 100.0)
    difference = Number.of("gain", estimate, "points", 100)
    assert (difference.low, difference.high) == (-260.0, 320.0)
