"""Whether memory grows: judged from what a process held after each of many rounds of the same requests."""

from collections.abc import Sequence
from statistics import median

ALLOWED_BYTES = 2**20
"""From the first rounds to the last; Triton allows as much for a hundred bad requests."""


def growth(samples: Sequence[int]) -> float:
    """Bytes from the first third of the rounds to the last: medians, for one round may catch a passing peak."""
    third = len(samples) // 3
    return median(samples[-third:]) - median(samples[:third])
