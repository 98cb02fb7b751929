"""The results of the experiments, for the terminal and for the page that keeps them."""

from collections.abc import Mapping, Sequence

from loadtests.chaos.experiment import Result
from loadtests.local.pages import bullets, marks, table

MARKS = marks("chaos")
HEAD = ("what is done", "sent", "answered", "lost", "wrong", "refused connections", "goals")


def render(results: Mapping[str, Result], missing: Mapping[str, str], facts: Sequence[str]) -> str:
    """The table, and below it what was asked of each experiment and what was seen.

    Args:
        missing: experiments that were skipped or failed, with the reason.
    """
    parts = [bullets(facts)]
    if results:
        parts.append(table(HEAD, [row(name, result) for name, result in results.items()]))
        parts.append("\n".join(line for name, result in results.items() for line in details(name, result)))
    if missing:
        parts.append("\n".join(["Not done:", "", *(f"* {name}: {text}" for name, text in missing.items())]))
    return "\n\n".join(parts) + "\n"


def row(name: str, result: Result) -> list[str]:
    kept = sum(goal.kept for goal in result.goals)
    verdict = f"{kept} of {len(result.goals)}" if result.met else f"**{kept} of {len(result.goals)}**"
    answered = ", ".join(f"{count:,} × {status}" for status, count in sorted(result.answered.items()))
    numbers = [f"{count:,}" for count in (result.lost.total(), result.wrong.total(), result.refused)]
    return [name, f"{result.sent:,}", answered or "0", *numbers, verdict]


def details(name: str, result: Result) -> list[str]:
    return [f"* {name}", *(f"  * {goal}" for goal in result.goals), *(f"  * {fact}" for fact in result.facts)]
