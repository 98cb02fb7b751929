"""Findings as Markdown, for the terminal and for docs/benchmarks.md."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.gpu.findings import Findings

BEGIN, END = "<!-- gpu -->", "<!-- end of gpu -->"


def render(findings: Iterable[Findings]) -> str:
    parts = []
    for each in findings:
        lines = [f"### {each.title}", ""]
        lines += [f"* {name}: {value}" for name, value in each.facts.items()]
        lines += ["", *_table(each.table)] if each.table else []
        goals = [{"goal": goal.text, "met": _shown(goal.met), "measured": goal.note} for goal in each.goals]
        lines += ["", *_table(goals)] if goals else []
        lines += ["", *(f"* **Not done**: {what}" for what in each.skipped)] if each.skipped else []
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def write(path: Path, text: str) -> None:
    """Put the text between the page's marks.

    Raises:
        ValueError: the page has no marks.
    """
    page = path.read_text()
    if BEGIN not in page or END not in page:
        raise ValueError(f"{path} has no {BEGIN} … {END}")
    before, rest = page.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = list(rows[0])
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    return [f"| {' | '.join(line)} |" for line in (columns, ["---"] * len(columns), *cells)]


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _shown(met: str) -> str:
    return "**no**" if met == "no" else met
