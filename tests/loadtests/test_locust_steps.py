"""Stepping up to saturation, against a service made of a formula."""

from collections.abc import Callable

import pytest

from loadtests import steps
from loadtests.steps import Counters, Ladder, Step
from loadtests.verdict import Limits

NO_COUNTS = Counters({}, {}, {})
LIMITS = Limits(0.0, 100.0)


def climb(ladder: Ladder, answer: Callable[[int], tuple[int, int, int]]) -> list[int]:
    """Second after second until the ladder ends; `answer`: requests/s, failures/s and latency for a number of users."""
    requests: dict[int, int] = {}
    failures: dict[int, int] = {}
    latencies: dict[int, int] = {}
    seen: list[int] = []
    for second in range(1000, 2000):
        users = ladder.users(second + 0.5, Counters(requests, failures, latencies))
        if users is None:
            return seen
        if users not in seen:
            seen.append(users)
        requests[second], failures[second], ms = answer(users)
        latencies[ms] = latencies.get(ms, 0) + requests[second]
    pytest.fail("the climb does not end")


def ladder(limits: Limits = LIMITS, most_users: int = 1000, lag_s: int = 1) -> Ladder:
    return Ladder(limits, step_users=10, step_s=10, most_users=most_users, lag_s=lag_s)


def test_it_stops_when_throughput_no_longer_grows() -> None:
    """10 requests/s a user up to 300/s; the two steps beyond bring nothing."""
    climbed = ladder()
    assert climb(climbed, lambda users: (min(10 * users, 300), 0, 20)) == [10, 20, 30, 40, 50]
    assert climbed.reason == "throughput no longer grew"
    assert climbed.best == Step(30, 300.0, 0.0, 20.0)


def test_one_step_without_growth_is_no_saturation() -> None:
    rates = {10: 100, 20: 90, 30: 300, 40: 300, 50: 300}
    assert climb(ladder(), lambda users: (rates[users], 0, 20)) == [10, 20, 30, 40, 50]


def test_growth_late_in_a_climb_needs_no_more_than_its_proportion() -> None:
    """From 290 to 300 users 3 % more is all there can be."""
    climbed = ladder(most_users=300)
    assert climb(climbed, lambda users: (users, 0, 20))[-1] == 300
    assert climbed.reason == "300 users are the most allowed: not saturated yet"


def test_it_stops_when_p95_reaches_the_limit() -> None:
    climbed = ladder()
    assert climb(climbed, lambda users: (10 * users, 0, 4 * users)) == [10, 20, 30]
    assert climbed.reason == "p95 120 ms reached 100 ms"
    assert climbed.best == Step(20, 200.0, 0.0, 80.0)


def test_it_stops_when_the_error_share_passes_the_limit() -> None:
    climbed = ladder(Limits(0.05, 100.0))
    assert climb(climbed, lambda users: (100, users // 10 * 3, 20)) == [10, 20]
    assert climbed.reason == "error share 6.00% passed 5.00%"


def test_the_last_step_has_the_most_users_allowed() -> None:
    assert climb(ladder(most_users=25), lambda users: (10 * users, 0, 20)) == [10, 20, 25]


@pytest.mark.parametrize("lag_s", [1, 4])
def test_what_is_not_reported_yet_is_not_counted(lag_s: int) -> None:
    """Workers report late: the last seconds are empty, and count neither as requests nor as time."""
    climbed = ladder(lag_s=lag_s, most_users=10)
    counted = dict.fromkeys(range(1000, 1010 - lag_s), 50)
    for second in (1000, 1003, 1010):
        climbed.users(second, Counters(counted, {}, {20: 100}))
    assert climbed.steps[0].requests_per_s == 50.0


def test_the_latencies_of_a_step_are_its_own() -> None:
    before = {20: 1000, 500: 100}
    after = Counters({10: 50, 11: 50}, {11: 5}, {20: 1000, 500: 100, 30: 94, 40: 6})
    assert steps.measured(7, before, after, 10, 12) == Step(7, 50.0, 0.05, 40.0)
    assert steps.measured(7, {}, NO_COUNTS, 10, 12) == Step(7, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [({}, 0.95, 0), ({5: 1}, 0.95, 5), ({1: 95, 9: 5}, 0.95, 1), ({9: 6, 1: 94}, 0.95, 9), ({1: 1, 2: 1}, 1.0, 2)],
)
def test_a_percentile_of_counts(counts: dict[int, int], share: float, expected: float) -> None:
    assert steps.percentile(counts, share) == expected


def test_a_step_too_short_to_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="a step must take 9 s or more here, not 8"):
        Ladder(LIMITS, step_users=1, step_s=8, most_users=10, lag_s=4)


def test_a_step_that_adds_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="a step must add a user at least, not 0"):
        Ladder(LIMITS, step_users=0, step_s=20, most_users=10, lag_s=1)


def test_the_table_ends_with_the_point_of_saturation() -> None:
    climbed = ladder()
    climb(climbed, lambda users: (min(10 * users, 200), 0, 4 * users))
    assert steps.table(climbed) == [
        " users  requests/s   errors  p95 ms",
        "    10       100.0    0.00%      40",
        "    20       200.0    0.00%      80",
        "    30       200.0    0.00%     120",
        "saturation: 200.0 requests/s with 20 users, p95 80 ms; p95 120 ms reached 100 ms",
    ]


def test_a_service_that_misses_the_limits_at_once_has_no_point_of_saturation() -> None:
    climbed = ladder()
    climb(climbed, lambda users: (10, 0, 100))
    assert climbed.best is None
    assert steps.table(climbed)[-1] == "saturation: already below 10 users; p95 100 ms reached 100 ms"


def test_a_climb_that_was_broken_off_says_so() -> None:
    climbed = ladder()
    assert steps.table(climbed) == ["no step was finished"]
    for second in (1000, 1003, 1010):
        climbed.users(second, NO_COUNTS)
    assert steps.table(climbed)[-1].endswith("ended from outside")
