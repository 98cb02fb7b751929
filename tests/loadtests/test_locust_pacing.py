"""When a user sends its next request."""

import random

import pytest

from loadtests.pacing import Pace, think


def even(rate: float) -> float:
    """Gaps without chance."""
    return 1 / rate


def test_a_user_in_time_waits_for_its_next_request() -> None:
    pace = Pace(2.0, now=10.0, draw=even)
    assert pace.wait(10.0) == 0.5
    assert pace.late(10.5) == 0.0
    assert pace.wait(10.7) == pytest.approx(0.3)


def test_a_late_request_goes_out_at_once_and_moves_none_of_the_later_ones() -> None:
    """The answer took 1.2 s, in which two more fell due; they are made up for."""
    pace = Pace(2.0, now=0.0, draw=even)
    assert pace.wait(0.0) == 0.5

    assert pace.wait(1.7) == 0.0
    assert pace.late(1.7) == pytest.approx(0.7)
    assert pace.wait(1.8) == 0.0
    assert pace.late(1.8) == pytest.approx(0.3)
    assert pace.wait(1.9) == pytest.approx(0.1)


def test_the_rate_is_kept_on_average_whatever_the_answers_take() -> None:
    rng = random.Random(1)
    pace, now, count = Pace(5.0, now=0.0, draw=rng.expovariate), 0.0, 0
    while now < 1000:
        now += pace.wait(now) + rng.uniform(0, 0.2)
        count += 1
    assert count == pytest.approx(5000, rel=0.05)


def test_gaps_are_drawn_for_the_rate() -> None:
    asked: list[float] = []

    def draw(rate: float) -> float:
        asked.append(rate)
        return 1.0

    Pace(3.0, now=0.0, draw=draw).wait(0.0)
    assert asked == [3.0]


def test_a_user_without_a_pace_thinks_around_the_mean() -> None:
    assert think(2.0, lambda low, high: low) == 1.0
    assert think(2.0, lambda low, high: high) == 3.0
    assert think(0.0) == 0.0
