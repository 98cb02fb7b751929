"""Epochs to a level are read off the curves rightly, and what is never reached is not dropped. Needs torch."""

import json
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the group `train` is not installed")

from models import data, lab  # noqa: E402  # only where torch is there
from models.experiments import convergence  # noqa: E402
from models.training import Batches  # noqa: E402


def run_of(accuracies: list[float], losses: list[float | None]) -> lab.Result:
    return {"accuracies": accuracies, "losses": losses, "accuracy": accuracies[-1], "diverged": losses[-1] is None}


def cell(*runs: lab.Result) -> lab.Result:
    return {"learning_rate": 0.1, "search": {}, "runs": list(runs)}


def rising(speed: float, epochs: int = 10) -> lab.Result:
    """Accuracy 0.1 + speed · t at the end of epoch t; loss ln 10 − 2 · speed · t at its middle."""
    ends = np.arange(1, epochs + 1)
    return run_of((0.1 + speed * ends).tolist(), (math.log(10) - 2 * speed * (ends - 0.5)).tolist())


def test_a_crossing_is_interpolated() -> None:
    values, times = [0.1, 0.3, 0.5, 0.4, 0.9], [0.0, 1.0, 2.0, 3.0, 4.0]
    assert convergence.first_at_least(0.4, values, times) == pytest.approx(1.5)  # the first, not that in epoch 4
    assert convergence.first_at_least(0.5, values, times) == 2.0
    assert convergence.first_at_least(0.05, values, times) == 0.0
    assert convergence.first_at_least(0.95, values, times) is None


def test_a_straight_line_is_read_off_exactly() -> None:
    """Accuracy is known at the end of each epoch and the loss at its middle; both start from guessing."""
    found = convergence.reached_at([rising(0.08)])
    np.testing.assert_allclose(found["accuracy 0.4"], [0.3 / 0.08])
    np.testing.assert_allclose(found["accuracy 0.5"], [0.4 / 0.08])
    np.testing.assert_allclose(found["loss 1"], [(math.log(10) - 1) / 0.16])


def test_a_diverged_run_never_gets_there() -> None:
    found = convergence.reached_at([run_of([0.3, 0.1], [2.0, None])])
    assert found["accuracy 0.4"] == [None]
    assert found["loss 1"] == [None]


def test_the_ratio_to_relu() -> None:
    """Three times slower, with the spread of each."""
    relu, tanh = ([rising(speed * change) for change in (0.95, 1.0, 1.05)] for speed in (0.15, 0.05))
    found = convergence.summarize({"relu": cell(*relu), "tanh": cell(*tanh)}, epochs=10)["tanh"]["accuracy 0.4"]
    assert (found["reached"], found["n"], found["ratio_to_relu_at_least"]) == (3, 3, None)
    assert found["ratio_to_relu"]["value"] == pytest.approx(3.0)
    assert 2.5 < found["ratio_to_relu"]["low"] < 3.0 < found["ratio_to_relu"]["high"] < 3.5
    assert found["epochs"]["value"] == pytest.approx(6.0, rel=0.01)


def test_relu_is_as_fast_as_itself() -> None:
    found = convergence.summarize({"relu": cell(rising(0.1), rising(0.11))}, epochs=10)["relu"]["accuracy 0.4"]
    assert found["ratio_to_relu"]["value"] == 1.0
    assert found["ratio_to_relu"]["p"] == pytest.approx(1.0)


def test_a_level_that_some_runs_never_reach_has_a_bound_and_no_mean() -> None:
    slow = cell(rising(0.06), rising(0.0), rising(0.06))
    found = convergence.summarize({"relu": cell(*[rising(0.1)] * 3), "sigmoid": slow}, epochs=10)["sigmoid"]
    assert (found["accuracy 0.4"]["reached"], found["accuracy 0.4"]["n"]) == (2, 3)
    assert found["accuracy 0.4"]["epochs"] is None
    assert found["accuracy 0.4"]["ratio_to_relu"] is None
    assert found["accuracy 0.4"]["ratio_to_relu_at_least"] == pytest.approx((5 * 10 * 5) ** (1 / 3) / 3)


def test_there_is_no_ratio_where_relu_does_not_get_there() -> None:
    found = convergence.summarize({"relu": cell(rising(0.0)), "elu": cell(rising(0.1))}, epochs=10)["elu"]
    assert found["accuracy 0.4"]["epochs"]["value"] == pytest.approx(3.0)
    assert found["accuracy 0.4"]["ratio_to_relu"] is None
    assert found["accuracy 0.4"]["ratio_to_relu_at_least"] is None


@pytest.fixture
def place(tmp_path: Path) -> lab.Lab:
    """Noise: nothing is learnt."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (128, 32, 32, 3), dtype=np.uint8)
    split = data.Split(images, np.arange(128) % 10, tuple("abcdefghij"), "digest")
    batches = Batches.of(split, torch.device("cpu"))
    return lab.Lab(batches, batches, batches, tmp_path)


def test_the_whole_experiment(place: lab.Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"stages": ((4, 4), (8, 2)), "rates": (0.01,), "search_epochs": 1, "epochs": 2, "seeds": 2}
    names = {"plain": ("relu", "leaky_relu"), "batch_norm": ("relu", "softmax")}
    result = convergence.run(place, activations=names, **sizes)
    json.dumps(result, allow_nan=False)
    assert result["settings"]["steps_per_epoch"] == 2
    assert result["settings"]["recipe"]["schedule"] == "constant"
    assert result["summary"]["plain"]["relu"]["accuracy 0.6"]["reached"] == 0
    assert result["summary"]["plain"]["relu"]["accuracy 0.6"]["n"] == 2

    svg = convergence.draw(result)
    ElementTree.fromstring(svg)
    for name in ("relu", "leaky_relu", "softmax"):
        assert f">{name}<" in svg

    monkeypatch.setattr(lab, "fit", None)  # all is there
    assert convergence.run(place, activations=names, **sizes) == result


def test_a_short_curve_is_drawn_to_the_end() -> None:
    runs = {"relu": cell(rising(0.05, 3), run_of([0.1], [None]))}
    ElementTree.fromstring(convergence.draw({"runs": {"plain": runs}}))
