"""Tables in Markdown, and pages that keep the results of a command between two marks."""

from collections.abc import Sequence
from pathlib import Path

Marks = tuple[str, str]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(texts: Sequence[str]) -> str:
    return "\n".join(f"* {text}" for text in texts)


def digits(value: float) -> str:
    """1234.5 → 1,230; 12.345 → 12.3; 0.01234 → 0.0123."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:.3g}"


def marks(name: str) -> Marks:
    """Between which a page keeps what is called so."""
    return f"<!-- {name} -->", f"<!-- end of {name} -->"


def write(page: Path, text: str, marks: Marks) -> None:
    """Put the text between the page's two marks.

    Raises:
        ValueError: the page does not have them.
    """
    first, last = marks
    before, start, rest = page.read_text().partition(first)
    _, end, after = rest.partition(last)
    if not (start and end):
        raise ValueError(f"{page} lacks {first} or {last}")
    page.write_text(f"{before}{first}\n\n{text}\n{last}{after}")
