"""Runs are done once, and what is said of their means is right."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the group `train` is not installed")
stats = pytest.importorskip("scipy.stats", reason="the group `train` is not installed")

from models.architecture import ActNet  # noqa: E402
from models.lab import PLAIN, Difference, Estimate, Lab, seeds  # noqa: E402
from models.training import Recipe  # noqa: E402

RECIPE = Recipe(epochs=2, batch_size=16)


def test_a_result_is_computed_once_for_a_key(lab: Lab) -> None:
    calls = []

    def compute() -> dict[str, object]:
        calls.append(1)
        return {"calls": len(calls)}

    assert lab.once({"a": 1}, compute) == lab.once({"a": 1}, compute) == {"calls": 1}
    assert lab.once({"a": 2}, compute) == {"calls": 2}


def test_a_network_is_trained_once_for_a_recipe(lab: Lab) -> None:
    made = []

    def make() -> ActNet:
        made.append(1)
        return ActNet("relu", stages=((4, 2),))

    first = lab.trained({"net": "tiny"}, make, RECIPE, after=lambda net: {"layers": len(net.convolutions)})
    again = lab.trained({"net": "tiny"}, make, RECIPE)
    other = lab.trained({"net": "tiny"}, make, Recipe(epochs=1, batch_size=16))

    assert first == again
    assert (len(first["history"]), first["layers"], len(other["history"]), len(made)) == (2, 1, 1, 2)


def test_a_run_is_the_same_for_the_same_seed(lab: Lab, tmp_path: Path) -> None:
    def losses(runs: str, seed: int) -> list[float]:
        own = Lab(lab.training, lab.held_out, lab.validation, tmp_path / runs)
        found = own.trained({}, lambda: ActNet("relu", stages=((4, 2),)), Recipe(epochs=2, batch_size=16, seed=seed))
        return [epoch["loss"] for epoch in found["history"]]

    assert losses("a", 0) == losses("b", 0) != losses("c", 1)


def test_a_loss_that_is_no_number_is_null(lab: Lab) -> None:
    wild = Recipe(epochs=2, batch_size=16, peak_learning_rate=1e30, schedule="constant")
    found = lab.trained({}, lambda: ActNet("relu", stages=((4, 2),), norm=False), wild)
    assert found["history"][-1]["loss"] is None


def test_seeds_are_counted_from_nought() -> None:
    assert [recipe.seed for recipe in seeds(PLAIN, 3)] == [0, 1, 2]


def test_an_estimate_has_students_interval() -> None:
    """For 1, 2, 3: mean 2, deviation 1, t(0.975, 2) = 4.3027."""
    estimate = Estimate.of([1.0, 2.0, 3.0])
    assert (estimate.value, estimate.n) == (2.0, 3)
    assert estimate.high - 2.0 == pytest.approx(4.3027 / 3**0.5, rel=1e-4)
    assert 2.0 - estimate.low == pytest.approx(4.3027 / 3**0.5, rel=1e-4)
    assert Estimate.of([5.0]) == Estimate(5.0, None, None, 1)


def test_a_difference_is_welchs() -> None:
    """By hand: means 2 and 5, variances 1 and 4, n 3: t = −2.3238, 2.94 degrees of freedom."""
    found = Difference.of([1.0, 2.0, 3.0], [3.0, 5.0, 7.0])
    assert (found.value, found.n) == (-3.0, 3)
    assert found.p == pytest.approx(0.1046, abs=2e-3)
    assert found.low < -3.0 < 0 < found.high


def test_a_difference_agrees_with_scipy() -> None:
    random = np.random.default_rng(0)
    for a, b in ((random.normal(0, 1, 5), random.normal(1, 3, 4)), (random.normal(0, 1, 3), random.normal(0, 1, 9))):
        expected = stats.ttest_ind(a, b, equal_var=False)
        found = Difference.of(a.tolist(), b.tolist())
        interval = expected.confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
        assert found.p == pytest.approx(expected.pvalue, rel=1e-9)


@pytest.mark.parametrize(("a", "b", "p"), [([1, 1], [1, 1], 1.0), ([1, 1], [2, 2], 0.0)])
def test_runs_without_spread_are_equal_or_not(a: list[float], b: list[float], p: float) -> None:
    assert Difference.of(a, b).p == p
