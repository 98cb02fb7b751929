"""Two sides measured in turn, so that what else the machine does meets both: ratios, their median and their spread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Pair:
    """One measurement of each side, made one right after the other."""

    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of some measurements, and the outermost ones."""

    median: float
    low: float
    high: float


def alternate(ours: Callable[[], float], theirs: Callable[[], float], pairs: int) -> list[Pair]:
    """Measure both sides in `pairs` pairs; ours goes first in every other one."""
    measured = []
    for number in range(pairs):
        if number % 2 == 0:
            first = ours()
            measured.append(Pair(first, theirs()))
        else:
            first = theirs()
            measured.append(Pair(ours(), first))
    return measured


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(median(values), min(values), max(values))
