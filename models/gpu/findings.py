"""What a check has found: facts and figures, whether what was promised holds, and why something could not be done."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

Verdict: TypeAlias = Literal["yes", "no", "not measured"]


@dataclass(frozen=True, slots=True)
class Goal:
    """Something that was promised, and whether it holds.

    Attributes:
        note: what was measured, or why nothing was.
    """

    text: str
    met: Verdict
    note: str


@dataclass(slots=True)
class Findings:
    """Of one part of the check.

    Attributes:
        table: a row a thing, all with the same columns.
        skipped: what could not be done, and why.
    """

    title: str
    facts: dict[str, str] = field(default_factory=dict)
    table: list[dict[str, Any]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    seconds: float = 0.0


Part: TypeAlias = Callable[[Findings], None]
"""Adds what it finds."""


def go_through(parts: Mapping[str, Part], limit_s: float, say: Callable[[str], None]) -> list[Findings]:
    """Do the parts in order; one that fails, or that there is no time for, says so and the next is done.

    Args:
        limit_s: after which no further part is begun.
    """
    started = time.monotonic()
    done = []
    for title, part in parts.items():
        findings = Findings(title)
        begun = time.monotonic()
        if begun - started > limit_s:
            findings.skipped.append(f"all of it: the {limit_s:.0f} s for the whole check were over")
        else:
            say(f"{title} …")
            try:
                part(findings)
            except Exception as error:  # what one part meets must not cost the others
                findings.skipped.append(f"the rest: {type(error).__name__}: {error}")
        findings.seconds = round(time.monotonic() - begun, 1)
        done.append(findings)
    return done


def as_json(findings: Iterable[Findings]) -> list[dict[str, Any]]:
    return [asdict(each) for each in findings]


def from_json(parts: Iterable[Mapping[str, Any]]) -> list[Findings]:
    return [Findings(**{**part, "goals": [Goal(**goal) for goal in part["goals"]]}) for part in parts]
