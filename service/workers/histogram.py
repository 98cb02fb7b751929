"""Durations counted in buckets whose bounds double, so that finding the bucket is one shift and no search.

The bounds reach from 62.5 µs, less than the run of a small CNN, to 8.2 s.
"""

from collections.abc import Sequence

LEAST_NS = 62_500
BOUNDS_S = tuple(LEAST_NS * 2**power / 1e9 for power in range(18))
"""Upper bounds of the buckets, in seconds; a bucket holds what is at most its bound and above the one before."""

BUCKETS = len(BOUNDS_S) + 1
"""The last one is for what is above all bounds."""


def add(counters: "memoryview[int]", first: int, ns: int) -> None:
    """Count a duration.

    Args:
        first: the place of the first bucket.
        ns: nanoseconds.
    """
    power = (max(ns - 1, 0) // LEAST_NS).bit_length()
    counters[first + (power if power < BUCKETS else BUCKETS - 1)] += 1


def cumulative(buckets: Sequence[int]) -> list[tuple[str, int]]:
    """Bounds as text and how many durations were at most that long, as Prometheus has them."""
    total = 0
    found = []
    for bound, count in zip((*map(repr, BOUNDS_S), "+Inf"), buckets, strict=True):
        total += count
        found.append((bound, total))
    return found
