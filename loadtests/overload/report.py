"""The phases as a table, and what was asked of them."""

from collections.abc import Sequence

from loadtests.local.pages import bullets, digits, marks, table
from loadtests.overload.judging import EXPIRED, Phase, percentile
from loadtests.verdict import Line

MARKS = marks("overload")
HEAD = (
    "load",
    "offered/s",
    "answered in time/s",
    "accepted p50, p99",
    "refused/s",
    "refused p99, max",
    "too late (504)",
    "lost",
    "health p99",
)


def render(phases: Sequence[Phase], lines: Sequence[Line], facts: Sequence[str]) -> str:
    parts = [bullets(facts), table(HEAD, [row(phase) for phase in phases]), bullets([str(line) for line in lines])]
    return "\n\n".join(parts) + "\n"


def row(phase: Phase) -> list[str]:
    accepted, refused = phase.accepted, phase.refused
    return [
        f"{phase.factor:g}×",
        digits(phase.offered),
        digits(phase.goodput),
        f"{ms(percentile(accepted, 50))}, {ms(percentile(accepted, 99))}",
        digits(len(refused) / phase.seconds),
        f"{ms(percentile(refused, 99))}, {ms(max(refused))}" if refused else "",
        str(phase.statuses[EXPIRED]),
        str(phase.statuses[0]),
        ms(percentile(phase.health, 99)),
    ]


def ms(seconds: float) -> str:
    return f"{digits(seconds * 1000)} ms"
