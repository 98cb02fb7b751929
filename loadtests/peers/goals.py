"""What the comparison must show, and whether it does."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.peers.pairs import Pair, Spread, spread


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound for the median or, with `every`, for each value."""

    bound: float
    at_least: bool = True
    every: bool = False

    def met(self, values: Sequence[float]) -> bool:
        judged = values if self.every else [spread(values).median]
        return all(value >= self.bound if self.at_least else value <= self.bound for value in judged)

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}{' in every pair' if self.every else ''}"


@dataclass(frozen=True, slots=True)
class Ratio:
    """A row of the table: one work, ours against theirs.

    Args:
        note: what a reader must know of this row beyond its names.
    """

    work: str
    against: str
    unit: str
    goal: Goal
    pairs: Sequence[Pair]
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        return [pair.ratio for pair in self.pairs]

    @property
    def met(self) -> bool:
        return self.goal.met(self.ratios)

    @property
    def sides(self) -> tuple[Spread, Spread]:
        """Ours and theirs, in the row's unit."""
        return spread([pair.ours for pair in self.pairs]), spread([pair.theirs for pair in self.pairs])


@dataclass(frozen=True, slots=True)
class Measure:
    """A row of the second table: a figure of ours alone."""

    what: str
    unit: str
    goal: Goal
    values: Sequence[float]

    @property
    def met(self) -> bool:
        return self.goal.met(self.values)


@dataclass(frozen=True, slots=True)
class Profile:
    """A request of one work at one server, in microseconds.

    Attributes:
        machine: of all cores together, from one request to the next.
        server: of the server's processors.
        run, decode, encode: in ONNX Runtime, before it and after it; None where the server has no statistics.
    """

    work: str
    name: str
    machine: float
    server: float
    run: float | None = None
    decode: float | None = None
    encode: float | None = None

    @property
    def rest(self) -> float | None:
        """What the server did besides; less than 0 only if the processes were kept waiting in the middle of a stage."""
        if self.run is None or self.decode is None or self.encode is None:
            return None
        return self.server - self.run - self.decode - self.encode
