"""What the command prints, and the page keeps."""

from collections.abc import Sequence

from loadtests.ledger.ledger import Ledger
from loadtests.local.pages import bullets, marks, table
from loadtests.soak.judging import MB, Sample
from loadtests.verdict import Line

MARKS = marks("soak")
ROWS = 10
"""Of the table: samples at even distances, the last one among them."""


def render(samples: Sequence[Sample], ledger: Ledger, lines: Sequence[Line], facts: Sequence[str]) -> str:
    statuses = ", ".join(f"{count:,} × {status}" for status, count in sorted(ledger.answered.items()))
    counts = f"{ledger.sent:,} sent, {statuses} answered, {ledger.left:,} left by their clients"
    parts = [bullets([*facts, counts]), samples_table(samples), bullets([str(line) for line in lines])]
    return "\n\n".join(parts) + "\n"


def samples_table(samples: Sequence[Sample]) -> str:
    chosen = samples[:: -max(1, len(samples) // ROWS)][::-1]
    rows = [[f"{s.requests:,}", f"{s.resident / MB:.1f} MB", str(s.descriptors)] for s in chosen]
    return table(["requests", "resident memory", "open files"], rows)
