"""The results as Markdown: for the terminal, and for the page that keeps them."""

import datetime
from collections.abc import Iterable, Sequence

from loadtests.local.pages import digits, marks, table
from loadtests.peers.goals import Measure, Profile, Ratio
from loadtests.peers.measuring import Results
from loadtests.peers.pairs import Spread, spread

PROFILES = "Where the time goes, in microseconds a request (one measurement each):"
RESULTS, SUMMARY = marks("results"), marks("speed")
"""Between which a page keeps all of it, or the ratios alone."""


def render(results: Results, facts: Sequence[str]) -> str:
    """Every table and list that has something in it.

    Args:
        facts: a line each: when, on what, by which command.
    """
    parts = ["\n".join(f"* {fact}" for fact in facts)]
    if results.ratios:
        parts.append(ratio_table(results.ratios))
    notes = [f"* {ratio.work}: {ratio.note}." for ratio in results.ratios if ratio.note]
    parts += ["\n".join(notes)] if notes else []
    if results.measures:
        parts.append(measure_table(results.measures))
    if results.profiles:
        parts.append(f"{PROFILES}\n\n{profile_table(results.profiles)}")
    if results.chosen:
        parts.append("\n".join(["The configurations taken:", "", *_list(results.chosen)]))
    if missing := results.skipped | results.failed:
        parts.append("\n".join(["Not measured:", "", *_list(missing)]))
    return "\n\n".join(parts) + "\n"


def ratio_table(ratios: Iterable[Ratio]) -> str:
    head = ["work", "against", "goal", "ratio (min…max)", "ours (min…max)", "theirs (min…max)", "met"]
    rows = []
    for ratio in ratios:
        ours, theirs = ratio.sides
        sides = [f"{figures(side)} {ratio.unit}" for side in (ours, theirs)]
        verdict = "yes" if ratio.met else "**no**"
        rows.append([ratio.work, ratio.against, str(ratio.goal), figures(spread(ratio.ratios)), *sides, verdict])
    return table(head, rows)


def summary_table(ratios: Iterable[Ratio]) -> str:
    """The ratios alone."""
    rows = [[r.work, r.against, figures(spread(r.ratios)), str(r.goal), "yes" if r.met else "no"] for r in ratios]
    return table(["work", "against", "ratio (min…max)", "goal", "met"], rows) + "\n"


def measure_table(measures: Iterable[Measure]) -> str:
    head = ["ours alone", "goal", "measured (min…max)", "met"]
    rows = [
        [m.what, f"{m.goal} {m.unit}", f"{figures(spread(m.values))} {m.unit}", "yes" if m.met else "**no**"]
        for m in measures
    ]
    return table(head, rows)


def profile_table(profiles: Iterable[Profile]) -> str:
    head = ["work", "server", "machine", "server's processors", "ONNX Runtime", "decoding", "encoding", "rest of it"]
    rows = []
    for profile in profiles:
        parts = (profile.machine, profile.server, profile.run, profile.decode, profile.encode, profile.rest)
        rows.append([profile.work, profile.name, *("" if part is None else digits(part) for part in parts)])
    return table(head, rows)


def figures(values: Spread) -> str:
    """Three digits; more would say more than was measured."""
    return f"{digits(values.median)} ({digits(values.low)}…{digits(values.high)})"


def facts(machine: str, versions: dict[str, str], command: str, options: str, day: datetime.date) -> list[str]:
    return [
        f"{day.isoformat()}, {machine}",
        f"`{command}`: {options}",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]


def _list(entries: dict[str, str]) -> list[str]:
    """The first lines only: an error may bring a whole log."""
    return [f"* {name}: {text.splitlines()[0]}" for name, text in entries.items()]
