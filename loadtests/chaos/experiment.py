"""What an experiment gets, and what it tells."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.ledger.ledger import Ledger
from loadtests.verdict import Line


class Skipped(Exception):
    """It cannot be done on this machine; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    Args:
        seconds: of load before the harm and after it.
        rounds: of a rolling restart.
        folder: for logs and repositories, one of its own for each experiment.
    """

    seconds: float
    rounds: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Result:
    """What was seen: counts of the ledger, goals, and what else is worth knowing."""

    sent: int
    answered: Counter[int]
    lost: Counter[str]
    wrong: Counter[str]
    refused: int
    goals: list[Line] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    @property
    def met(self) -> bool:
        return bool(self.goals) and all(goal.kept for goal in self.goals)


Experiment = Callable[[Options], Result]
"""Raises Skipped; ServerFailed if a server does not start."""


def told(ledger: Ledger, goals: list[Line], facts: list[str]) -> Result:
    return Result(ledger.sent, ledger.answered, ledger.lost, ledger.wrong, ledger.refused, goals, facts)


def none_lost(ledger: Ledger) -> Line:
    return Line(not ledger.lost, f"nothing lost of {ledger.sent} sent{_which(ledger.lost)}")


def all_right(ledger: Ledger) -> Line:
    """The check of status and content is one: what is answered otherwise is a wrong answer."""
    return Line(
        ledger.answered.total() > 0 and not ledger.wrong,
        f"every answer right, of {ledger.answered.total()}{_which(ledger.wrong)}",
    )


def _which(counts: Counter[str]) -> str:
    """The most frequent, if any."""
    return "".join(f"; {count} × {' '.join(what.split())}" for what, count in counts.most_common(3))
