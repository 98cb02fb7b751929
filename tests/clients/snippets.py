"""The code blocks of docs/clients.md, each with the output that is shown below it."""

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
SHOWN = "text"
TOLERANCE = 0.001
"""Of numbers with a decimal point: processors differ in the last bits."""

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")


@dataclass(frozen=True)
class Snippet:
    """A code block; `shown` is None where no output follows it."""

    heading: str
    language: str
    code: str
    shown: str | None
    line: int

    @property
    def name(self) -> str:
        return f"{self.line}-{self.heading.replace(' ', '-')}"


def read(page: str) -> list[Snippet]:
    """Every block that is not a shown output; an output belongs to the block that ends right above it."""
    blocks = list(_BLOCK.finditer(page))
    found = []
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        if block[1] == SHOWN:
            continue
        belongs = following is not None and following[1] == SHOWN and not page[block.end() : following.start()].strip()
        headings = re.findall(r"^#+ (.*)$", page[: block.start()], re.MULTILINE)
        line = page[: block.start()].count("\n") + 1
        found.append(Snippet(headings[-1], block[1], block[2], following[2] if belongs and following else None, line))
    return found


def outputs(page: str) -> int:
    """How many blocks of shown output the page has."""
    return sum(block[1] == SHOWN for block in _BLOCK.finditer(page))


def same(printed: str, shown: str) -> bool:
    """Whether this is the output shown: `…` is any text of one line, decimals may differ by TOLERANCE.

    The newline that many answers lack at their end is not compared.
    """
    parts = _NUMBER.split(shown)
    pattern = f"({_NUMBER.pattern})".join(".*".join(map(re.escape, part.split("…"))) for part in parts)
    found = re.fullmatch(pattern, printed.removesuffix("\n") + "\n")
    numbers = _NUMBER.findall(shown)
    return found is not None and all(
        abs(float(got) - float(wanted)) <= TOLERANCE for got, wanted in zip(found.groups(), numbers, strict=True)
    )
