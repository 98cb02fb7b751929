"""Buckets of durations: where the bounds are, and what is counted in which."""

from itertools import pairwise

import pytest

from service.workers import histogram
from service.workers.histogram import BOUNDS_S, BUCKETS, LEAST_NS


def counted(*durations_ns: int) -> list[int]:
    counters = memoryview(bytearray(8 * (BUCKETS + 1))).cast("q")
    for ns in durations_ns:
        histogram.add(counters, 1, ns)
    assert counters[0] == 0
    return counters[1:].tolist()


def test_the_bounds_double() -> None:
    assert BOUNDS_S[0] == LEAST_NS / 1e9
    assert all(later == 2 * earlier for earlier, later in pairwise(BOUNDS_S))


@pytest.mark.parametrize("place", range(len(BOUNDS_S)))
def test_a_bound_belongs_to_its_bucket(place: int) -> None:
    at = LEAST_NS * 2**place
    assert counted(at)[place] == 1
    assert counted(at + 1)[place + 1] == 1


@pytest.mark.parametrize(("ns", "place"), [(0, 0), (1, 0), (10**18, BUCKETS - 1)])
def test_what_is_very_short_or_long_has_a_bucket_too(ns: int, place: int) -> None:
    assert counted(ns)[place] == 1


def test_prometheus_counts_what_is_at_most_a_bound() -> None:
    shown = histogram.cumulative(counted(0, LEAST_NS, 2 * LEAST_NS, 10**18))
    assert shown[:3] == [("6.25e-05", 2), ("0.000125", 3), ("0.00025", 3)]
    assert shown[-1] == ("+Inf", 4)
    assert shown[-2] == ("8.192", 3)
