"""Temperature and calibration against values worked out by hand, and against data whose truth is known."""

import json
import math
import time
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.calibration import measure, probabilities, temperature

Floats = NDArray[np.float64]


def classified(seed: int, rows: int, classes: int, spread: float = 2.5) -> tuple[Floats, NDArray[np.int64]]:
    """Logits [rows, classes] and targets drawn from exactly the probabilities that they stand for."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, spread, (rows, classes))
    shares = two(probabilities(logits))
    return logits, (generator.random((rows, 1)) > shares.cumsum(axis=1)).sum(axis=1).clip(max=shares.shape[1] - 1)


def two(shares: Floats) -> Floats:
    return np.hstack([1 - shares, shares]) if shares.shape[1] == 1 else shares


def nll(logits: Floats, targets: NDArray[np.int64], t: float) -> float:
    """By the plain formula, for logits of moderate size."""
    z = np.hstack([np.zeros_like(logits), logits]) if logits.shape[1] == 1 else logits
    powers = np.exp(z / t)
    return float(-np.log(powers[np.arange(len(z)), targets] / powers.sum(axis=1)).mean())


CLASSES = pytest.mark.parametrize("classes", [1, 2, 10])


@CLASSES
def test_the_temperature_is_where_the_likelihood_is_greatest(classes: int) -> None:
    logits, targets = classified(3, 400, classes)
    found = temperature(3 * logits, targets)

    assert all(nll(3 * logits, targets, found) < nll(3 * logits, targets, found * step) for step in (0.99, 1.01))


@CLASSES
@given(seed=st.integers(0, 2**32), scale=st.floats(0.1, 10))
@settings(max_examples=25, deadline=None)
def test_logits_that_are_c_times_as_large_have_c_times_the_temperature(classes: int, seed: int, scale: float) -> None:
    logits, targets = classified(seed, 300, classes)

    assert temperature(scale * logits, targets) == pytest.approx(scale * temperature(logits, targets), rel=1e-9)


@CLASSES
def test_calibrated_logits_have_temperature_1_and_an_error_like_chance(classes: int) -> None:
    """Over 40 sets: the mean error is the simulated floor's, and one in twenty is above its 95th percentile."""
    sets = [classified(seed, 2000, classes) for seed in range(40)]
    measured = [measure(probabilities(logits), targets, draws=200) for logits, targets in sets]
    above = sum(m.ece > m.ece_floor_95 for m in measured)

    assert all(temperature(logits, targets) == pytest.approx(1, abs=0.15) for logits, targets in sets)
    assert np.mean([m.ece for m in measured]) == pytest.approx(np.mean([m.ece_floor_mean for m in measured]), rel=0.1)
    assert 0 <= above <= 7  # P(Binomial(40, 0.05) > 7) is 0.0005


def test_overconfident_logits_show_it_and_their_temperature_mends_it() -> None:
    logits, targets = classified(5, 5000, 10)
    before = measure(probabilities(2 * logits), targets)
    mended = measure(probabilities(2 * logits, temperature(2 * logits, targets)), targets)

    assert before.ece > 5 * before.ece_floor_95
    assert mended.ece < mended.ece_floor_95
    assert mended.nll < before.nll
    assert mended.accuracy == before.accuracy


@CLASSES
@given(seed=st.integers(0, 2**32), t=st.floats(0.05, 20))
@settings(max_examples=25, deadline=None)
def test_no_temperature_changes_a_prediction(classes: int, seed: int, t: float) -> None:
    logits, targets = classified(seed, 50, classes)
    plain, scaled = probabilities(logits), probabilities(logits, t)

    np.testing.assert_array_equal(two(plain).argmax(axis=1), two(scaled).argmax(axis=1))
    assert measure(plain, targets, draws=1).accuracy == measure(scaled, targets, draws=1).accuracy


def test_a_binary_classifier_is_two_classes_the_first_with_logit_0() -> None:
    logits, targets = classified(7, 500, 1)
    both = np.hstack([np.zeros_like(logits), logits])
    shares = probabilities(logits)

    np.testing.assert_allclose(shares, 1 / (1 + np.exp(-logits)), rtol=1e-14)
    assert temperature(logits, targets) == temperature(both, targets)
    assert measure(shares, targets) == measure(np.hstack([1 - shares, shares]), targets)


def test_a_temperature_worked_out_by_hand() -> None:
    """Three of four right with margin 1: the best share is 3/4, so that 1/T = ln 3."""
    assert temperature([[1.0, 0.0]] * 4, [0, 0, 0, 1]) == pytest.approx(1 / math.log(3), rel=1e-14)
    assert temperature([[1.0]] * 4, [1, 1, 1, 0]) == pytest.approx(1 / math.log(3), rel=1e-14)


@pytest.mark.parametrize(
    ("logits", "targets", "expected"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], [0, 1], 0.05),  # all right: ever more sure
        ([[1.0, 0.0], [0.0, 1.0]], [1, 0], 20.0),  # all wrong: ever less
        ([[3.0, 3.0], [0.0, 0.0]], [1, 0], 1.0),  # nothing to scale
    ],
)
def test_a_temperature_without_a_minimum_is_at_its_bound(
    logits: list[list[float]], targets: list[int], expected: float
) -> None:
    assert temperature(logits, targets) == pytest.approx(expected, rel=1e-12)


def test_calibration_worked_out_by_hand() -> None:
    """Four pictures in five bins: one at an edge, which belongs to the lower bin; one bin has two."""
    shares = [[0.6, 0.4, 0.0], [0.1, 0.7, 0.2], [0.75, 0.15, 0.1], [0.0, 0.0, 1.0]]
    found = measure(shares, [0, 0, 0, 1], bins=5)
    rows = [(b.low, b.high, b.count, b.confidence, b.accuracy) for b in found.bins]

    assert found.accuracy == 0.5
    assert rows == [
        (0.0, 0.2, 0, None, None),
        (0.2, 0.4, 0, None, None),
        (0.4, 0.6, 1, 0.6, 1.0),
        (0.6, 0.8, 2, pytest.approx(0.725), 0.5),
        (0.8, 1.0, 1, 1.0, 0.0),
    ]
    assert found.ece == pytest.approx((0.4 + 2 * 0.225 + 1) / 4)
    assert found.nll == pytest.approx(-(math.log(0.6) + math.log(0.1) + math.log(0.75) + math.log(5e-324)) / 4)
    assert found.brier == pytest.approx((0.32 + (0.81 + 0.49 + 0.04) + (0.0625 + 0.0225 + 0.01) + 2) / 4)


def test_binary_calibration_worked_out_by_hand() -> None:
    """The confidence is max(p, 1 − p); the Brier score counts both classes."""
    found = measure([[0.9], [0.2]], [0, 0], bins=10)

    assert (found.accuracy, found.bins[7].count, found.bins[8].count) == (0.5, 1, 1)
    assert found.ece == pytest.approx((0.9 + 0.2) / 2)
    assert found.nll == pytest.approx(-(math.log(0.1) + math.log(0.8)) / 2)
    assert found.brier == pytest.approx((2 * 0.81 + 2 * 0.04) / 2)


@pytest.mark.parametrize("confidence", [0.8, 0.93, 0.97])
def test_the_floor_is_what_chance_leaves(confidence: float) -> None:
    """One picture: the error is 1 − confidence if it is right, else the confidence, which 5 % or more reach or not."""
    found = measure([[confidence, 1 - confidence]], [0], draws=20_000)

    assert found.ece_floor_mean == pytest.approx(2 * confidence * (1 - confidence), abs=0.01)
    assert found.ece_floor_95 == pytest.approx(confidence if 1 - confidence > 0.05 else 1 - confidence)


def test_sure_predictions_leave_nothing_to_chance() -> None:
    found = measure([[1.0, 0.0]] * 5, [0] * 5)
    assert (found.ece_floor_mean, found.ece_floor_95) == (0.0, 0.0)


def test_the_floor_is_simulated_the_same_way_each_time() -> None:
    logits, targets = classified(1, 200, 10)
    first, again, other = (measure(probabilities(logits), targets, seed=seed) for seed in (0, 0, 1))

    assert first == again
    assert first.ece_floor_mean != other.ece_floor_mean
    assert first.ece_floor_mean == pytest.approx(other.ece_floor_mean, rel=0.05)


def test_five_thousand_pictures_take_less_than_two_seconds() -> None:
    """Measured: 0.06 s on one core of an Intel Xeon; processor time, so that a busy machine does not matter."""
    logits, targets = classified(2, 5000, 10)
    started = time.process_time()
    measure(probabilities(logits), targets)

    assert time.process_time() - started < 2


@pytest.mark.parametrize("size", [1e3, 1e30, 1e300, 1.7e308])
@CLASSES
def test_extreme_logits_do_not_overflow(classes: int, size: float) -> None:
    """Warnings are errors here."""
    logits = size * np.sign(classified(4, 20, classes)[0])
    targets = np.arange(20) % 2
    shares = probabilities(logits)

    assert np.isfinite(shares).all()
    assert np.isfinite(list(asdict(measure(shares, targets, draws=10)).values())[:6]).all()
    assert 0.05 <= temperature(logits, targets) <= 20.000001


def test_float32_is_measured_in_float64() -> None:
    logits, targets = classified(6, 300, 10)
    single = probabilities(logits).astype(np.float32)

    assert measure(single, targets) == measure(single.astype(np.float64), targets)
    assert temperature(logits.astype(np.float32), targets) == pytest.approx(temperature(logits, targets), rel=1e-5)


def test_a_calibration_can_be_written_as_json() -> None:
    found = asdict(measure([[0.6, 0.4]], [0]))

    assert json.loads(json.dumps(found, allow_nan=False))["bins"][14] == {
        "low": 14 / 15,
        "high": 1.0,
        "count": 0,
        "confidence": None,
        "accuracy": None,
    }


@pytest.mark.parametrize(
    ("shares", "targets", "message"),
    [
        ([[0.5, 0.4]], [0], "a row of probabilities sums to"),
        ([[1.5, -0.5]], [0], "go from -0.5 to 1.5"),
        ([[math.nan, 1.0]], [0], "not all finite"),
        ([0.5, 0.5], [0], r"shape \[2\], expected \[N, K\]"),
        (np.zeros((0, 3)), [], r"shape \[0, 3\]"),
        ([[0.5, 0.5]], [2], "targets go from 2 to 2, expected 0 to 1"),
        ([[0.5]], [-1], "targets go from -1 to -1, expected 0 to 1"),
        ([[0.5, 0.5]], [0, 1], r"int64 \[2\], expected integers \[1\]"),
        ([[0.5, 0.5]], [0.0], r"float64 \[1\], expected integers \[1\]"),
    ],
)
def test_what_is_no_probability_or_no_target_is_an_error(shares: object, targets: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(shares, targets)  # type: ignore[arg-type]  # that is the point


def test_a_temperature_of_nothing_finite_or_positive_is_an_error() -> None:
    with pytest.raises(ValueError, match="logits are not all finite"):
        temperature([[math.inf, 0.0]], [0])
    with pytest.raises(ValueError, match="expected a positive number"):
        probabilities([[1.0, 0.0]], 0.0)
    with pytest.raises(ValueError, match="got 0 bins"):
        measure([[0.5, 0.5]], [0], bins=0)


def test_the_floor_agrees_with_a_simulation_of_labels() -> None:
    """Labels drawn for a two-class model are right with its confidence; the bins are the same as counted one by one."""
    shares = two(probabilities(np.random.default_rng(8).normal(0, 2, (300, 1))))
    generator = np.random.default_rng(9)
    errors = [measure(shares, (generator.random(300) < shares[:, 1]).astype(np.int64), draws=1).ece for _ in range(400)]
    found = measure(shares, np.zeros(300, np.int64))

    assert found.ece_floor_mean == pytest.approx(np.mean(errors), rel=0.05)
    assert found.ece_floor_95 == pytest.approx(np.percentile(errors, 95), rel=0.1)
