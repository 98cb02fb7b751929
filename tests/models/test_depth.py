"""Differences have the right sign and interval, at each depth and between depths. Needs torch."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng

torch = pytest.importorskip("torch", reason="the group `train` is not installed")

from models import data, lab  # noqa: E402  # only where torch is there
from models.experiments import depth  # noqa: E402
from models.training import Batches  # noqa: E402


def cell(accuracies: list[float], diverged: int = 0) -> lab.Result:
    runs = [{"accuracy": value, "diverged": index < diverged} for index, value in enumerate(accuracies)]
    return {"learning_rate": 0.1, "search": {}, "runs": runs}


def test_a_better_activation_has_a_positive_difference() -> None:
    found = depth.summarize({"relu": cell([0.60, 0.61, 0.62]), "swish": cell([0.63, 0.64, 0.65])})
    assert found["swish − relu"]["value"] == pytest.approx(0.03)
    assert 0 < found["swish − relu"]["low"] < 0.03 < found["swish − relu"]["high"]
    assert found["swish − relu"]["p"] < 0.05
    assert found["relu"]["accuracy"]["n"] == 3


def test_a_diverged_run_counts() -> None:
    found = depth.summarize({"relu": cell([0.1, 0.6], diverged=1), "swish": cell([0.6, 0.61])})
    assert found["relu"]["diverged"] == 1
    assert found["relu"]["accuracy"]["value"] == pytest.approx(0.35)


def test_growth_is_the_difference_of_differences() -> None:
    found = depth.growth([0.66, 0.68], [0.60, 0.62], [0.71, 0.73], [0.69, 0.71])
    assert found.value == pytest.approx(0.06 - 0.02)
    assert found.low < found.value < found.high


def test_growth_of_one_difference_is_welchs_test() -> None:
    """With two sets that have no spread it is the comparison of the two others."""
    generator = default_rng(0)
    a, b = generator.normal(0.7, 0.01, 5).tolist(), generator.normal(0.69, 0.03, 4).tolist()
    found, welch = depth.growth(a, b, [0.5, 0.5], [0.5, 0.5]), lab.Difference.of(a, b)
    np.testing.assert_allclose(
        [found.value, found.low, found.high, found.p], [welch.value, welch.low, welch.high, welch.p], rtol=1e-9
    )


def test_growth_covers_the_truth_as_often_as_it_says() -> None:
    """200 draws: 95 % of the intervals hold the true 0, give or take 4.5 standard deviations."""
    generator = default_rng(1)
    holds = 0
    for _ in range(200):
        found = depth.growth(*(generator.normal(0.6, spread, 5).tolist() for spread in (0.01, 0.02, 0.01, 0.01)))
        holds += found.low <= 0 <= found.high
        assert (found.p < 0.05) == (not found.low <= 0 <= found.high)
    assert holds >= 176


def test_growth_without_any_spread() -> None:
    assert depth.growth([0.5] * 2, [0.5] * 2, [0.5] * 2, [0.5] * 2).p == 1.0
    assert depth.growth([0.6] * 2, [0.5] * 2, [0.5] * 2, [0.5] * 2).p == 0.0


def test_the_whole_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = default_rng(0)
    images = generator.integers(0, 256, (256, 32, 32, 3), dtype=np.uint8)
    split = data.Split(images, np.arange(256) % 10, tuple("abcdefghij"), "digest")
    batches = Batches.of(split, torch.device("cpu"))
    place = lab.Lab(batches, batches, batches, tmp_path)
    sizes = {
        "seeds": {"relu": 2, "swish": 2},
        "depths": (((4, 4),), ((4, 4), (8, 2))),
        "rates": (0.1,),
        "search_epochs": 1,
        "epochs": 1,
    }
    result = depth.run(place, **sizes)
    json.dumps(result, allow_nan=False)
    summary = result["summary"]["plain"]
    growing = summary["growth with depth"]["swish − relu"]["value"]
    assert growing == pytest.approx(summary["2"]["swish − relu"]["value"] - summary["1"]["swish − relu"]["value"])

    svg = depth.draw(result)
    ElementTree.fromstring(svg)
    assert ">relu<" in svg
    assert ">swish<" in svg

    monkeypatch.setattr(lab, "fit", None)  # all is there
    assert depth.run(place, **sizes) == result
