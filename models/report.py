"""Write the tables of README.md and docs/models.md anew from what was measured: the models' cards, and the claims.

    python -m models.report

A table stands between the lines `<!-- table NAME -->` and `<!-- end of table -->`; the tests hold the pages to it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, get_args

import onnx

from models.claims.page import EVIDENCE, ORDER
from service.activations.evidence import Verdict

REPOSITORY = Path("models/repository")
PAGES = (Path("README.md"), Path("docs/models.md"))

Card: TypeAlias = Mapping[str, Any]


def cards(repository: Path) -> dict[str, Card]:
    """The card of each served network, by the model's name."""
    found = {}
    for path in sorted(repository.glob("*/*/model.onnx")):
        proto = onnx.load(path, load_external_data=False)
        metadata = {entry.key: entry.value for entry in proto.metadata_props}
        found[path.parent.parent.name] = json.loads(metadata["card"])
    return found


def claims(evidence: Path) -> list[Mapping[str, Any]]:
    """What claims.json has; nothing before the first experiment."""
    path = evidence / "claims.json"
    found: list[Mapping[str, Any]] = json.loads(path.read_text())["claims"] if path.exists() else []
    return found


def accuracies(found: Mapping[str, Card]) -> Iterator[str]:
    """One row: a column a network, the best first; those of two classes last, whose task is easier."""
    ranked = sorted(found.items(), key=lambda item: (_classes(item[1]) == 2, -item[1]["validation_accuracy"]))
    yield _row(f"{name} (two classes)" if _classes(card) == 2 else name for name, card in ranked)
    yield _row("---" for _ in ranked)
    yield _row(f"{100 * card['validation_accuracy']:.1f} %" for _, card in ranked)


def _classes(card: Card) -> int:
    return len(card["confusion_matrix"])


def networks(found: Mapping[str, Card]) -> Iterator[str]:
    """A row a network, with its calibration."""
    yield _row(("model", "accuracy", "ECE as trained", "ECE as served", "its floor", "NLL", "temperature", "epochs"))
    yield _row(["---"] * 8)
    for name, card in found.items():
        calibration = card["calibration"]
        before, after = calibration["before"], calibration["after"]
        shares = (card["validation_accuracy"], before["ece"], after["ece"], after["ece_floor_95"])
        numbers = (f"{after['nll']:.3f}", f"{calibration['temperature']:.2f}", str(card["epochs"]))
        yield _row((name, *(f"{100 * share:.2f} %" for share in shares), *numbers))


def swaps(evidence: Path) -> Iterator[str]:
    """A row a network, a column the function in the place of its own; its own stands out."""
    path = evidence / "swaps.json"
    if not path.exists():
        return
    measured = json.loads(path.read_text())["summary"]
    yield _row(("model", *measured["functions"]))
    yield _row(["---"] * (1 + len(measured["functions"])))
    for model in measured["models"]:
        shares = {name: f"{100 * share:.1f}" for name, share in measured["accuracy"][model].items()}
        own = model.partition("-")[2]
        yield _row((model, *(f"**{share}**" if name == own else share for name, share in shares.items())))


def verdicts(found: list[Mapping[str, Any]]) -> Iterator[str]:
    """A row for each thing that the article speaks of, a column a verdict."""
    yield _row(("claims on", *get_args(Verdict)))
    yield _row(["---"] * 4)
    for about in ORDER:
        rows = [claim for claim in found if claim["about"] == about]
        if rows:
            yield _row((about, *(_ids(rows, verdict) for verdict in get_args(Verdict))))


def _ids(rows: list[Mapping[str, Any]], verdict: str) -> str:
    return ", ".join(f"[{row['id']}](docs/claims.md#{row['id']})" for row in rows if row["verdict"] == verdict)


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def filled(page: str, tables: Mapping[str, Callable[[], Iterator[str]]]) -> str:
    """The page with every table in it written anew.

    Raises:
        KeyError: it has a table that nobody writes.
    """

    def table(match: re.Match[str]) -> str:
        lines = "\n".join(tables[match["name"]]())
        return f"<!-- table {match['name']} -->\n{lines}\n<!-- end of table -->"

    return re.sub(r"<!-- table (?P<name>\w+) -->\n.*?<!-- end of table -->", table, page, flags=re.DOTALL)


def tables(repository: Path = REPOSITORY, evidence: Path = EVIDENCE) -> dict[str, Callable[[], Iterator[str]]]:
    """By name, what writes it."""
    read = cards(repository)
    return {
        "accuracies": lambda: accuracies(read),
        "networks": lambda: networks(read),
        "swaps": lambda: swaps(evidence),
        "verdicts": lambda: verdicts(claims(evidence)),
    }


def main() -> None:
    written = tables()
    for page in PAGES:
        page.write_text(filled(page.read_text(), written))


if __name__ == "__main__":
    main()
