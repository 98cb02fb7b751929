"""Is it flat? The samples after the warm-up decide, by a line that single ones cannot bend."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

from loadtests.ledger.ledger import Ledger
from loadtests.verdict import Line

WARM_UP = 0.2
"""Of all requests: caches fill, each worker meets each route and model, the allocator takes its blocks."""
MOST_GROWTH = 0.01
MOST_DESCRIPTORS = 2
"""More at the end than at the beginning, by the line; connections of clients that leave come and go."""
FEWEST_SAMPLES = 8
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """What all processes of the server together had after so many requests."""

    requests: int
    resident: int
    """Bytes."""
    descriptors: int


def judge(samples: Sequence[Sample], ledger: Ledger, wanted: int) -> list[Line]:
    failed = sum(count for status, count in ledger.answered.items() if status >= 500)
    frequent = "".join(f"; {count} × {' '.join(what.split())}" for what, count in ledger.wrong.most_common(3))
    return [
        Line(ledger.sent == wanted, f"{ledger.sent:,} of {wanted:,} requests sent"),
        Line(not failed and ledger.answered.total() > 0, f"{failed} answers of 5xx"),
        Line(not ledger.wrong, f"{ledger.wrong.total()} wrong answers{frequent}"),
        Line(not ledger.lost, f"{ledger.lost.total()} lost"),
        *_flat(settled(samples)),
    ]


def settled(samples: Sequence[Sample]) -> list[Sample]:
    """Those after the warm-up."""
    last = samples[-1].requests if samples else 0
    return [sample for sample in samples if sample.requests >= WARM_UP * last]


def _flat(samples: Sequence[Sample]) -> list[Line]:
    if len(samples) < FEWEST_SAMPLES:
        return [Line(False, f"memory: {len(samples)} samples after the warm-up are too few to say anything")]
    grown = growth(samples, lambda sample: sample.resident)
    share = grown / median(sample.resident for sample in samples)
    more = growth(samples, lambda sample: sample.descriptors)
    return [
        Line(
            share < MOST_GROWTH,
            f"resident memory {share:+.2%} after the warm-up, {grown / MB:+.1f} MB of "
            f"{median(sample.resident for sample in samples) / MB:.0f} MB (below {MOST_GROWTH:.0%})",
        ),
        Line(more < MOST_DESCRIPTORS, f"open files {more:+.1f} after the warm-up (below {MOST_DESCRIPTORS})"),
    ]


def growth(samples: Sequence[Sample], value: Callable[[Sample], float]) -> float:
    """From the first sample to the last, along the line whose slope is the median of those between any two samples.

    Source: Sen, Estimates of the regression coefficient based on Kendall's tau, 1968.
    """
    slopes = [
        (value(late) - value(early)) / (late.requests - early.requests)
        for early, late in combinations(samples, 2)
        if late.requests > early.requests
    ]
    return median(slopes) * (samples[-1].requests - samples[0].requests)
