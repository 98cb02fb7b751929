"""Pairs alternate, and a goal is judged by what was measured."""

import pytest

from loadtests.peers.goals import Goal, Measure, Ratio
from loadtests.peers.pairs import Pair, Spread, alternate, spread


def test_each_side_goes_first_in_every_other_pair() -> None:
    order: list[str] = []

    def side(name: str, value: float) -> float:
        order.append(name)
        return value

    pairs = alternate(lambda: side("ours", 3.0), lambda: side("theirs", 2.0), 3)

    assert order == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert pairs == [Pair(3.0, 2.0)] * 3
    assert [pair.ratio for pair in pairs] == [1.5] * 3


@pytest.mark.parametrize(
    ("values", "expected"),
    [([2.0], Spread(2, 2, 2)), ([3.0, 1.0, 2.0], Spread(2, 1, 3)), ([4.0, 1.0], Spread(2.5, 1, 4))],
)
def test_a_spread_is_the_middle_and_the_ends(values: list[float], expected: Spread) -> None:
    assert spread(values) == expected


@pytest.mark.parametrize(
    ("goal", "values", "met"),
    [
        (Goal(1.5), [1.4, 1.5, 9.0], True),
        (Goal(1.5), [1.4, 1.49, 9.0], False),
        (Goal(1.1, every=True), [1.1, 1.2], True),
        (Goal(1.1, every=True), [1.09, 9.0, 9.0], False),
        (Goal(1.3, at_least=False), [1.0, 1.3, 5.0], True),
        (Goal(1.3, at_least=False), [1.0, 1.31, 5.0], False),
    ],
)
def test_a_goal_is_for_the_median_or_for_every_pair(goal: Goal, values: list[float], met: bool) -> None:
    assert goal.met(values) is met
    assert Measure("memory", "MB", goal, values).met is met


@pytest.mark.parametrize(
    ("goal", "text"),
    [(Goal(1.1, every=True), "≥ 1.1 in every pair"), (Goal(4), "≥ 4"), (Goal(600, at_least=False), "≤ 600")],
)
def test_a_goal_says_what_it_wants(goal: Goal, text: str) -> None:
    assert str(goal) == text


def test_a_rows_ratio_is_the_median_of_its_pairs_ratios_not_the_ratio_of_medians() -> None:
    row = Ratio("work", "peer", "requests/s", Goal(1.5), [Pair(10, 10), Pair(20, 10), Pair(30, 40)])

    assert row.ratios == [1, 2, 0.75]
    assert spread(row.ratios).median == 1
    assert row.sides == (Spread(20, 10, 30), Spread(10, 10, 40))
    assert not row.met
