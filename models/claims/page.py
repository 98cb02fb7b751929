"""From the experiments' files to claims.json, which the service serves, and docs/claims.md."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from models.claims import functions, network, outputs, training
from models.claims.claim import Claim, Number, Result
from models.files import whole

EVIDENCE = Path("models/evidence")
PAGE = Path("docs/claims.md")
TITLE = "Activation functions: what part do they play in a convolutional neural network?"

CLAIMS: tuple[Claim, ...] = (*network.CLAIMS, *functions.CLAIMS, *training.CLAIMS, *outputs.CLAIMS)

ORDER = ("cnn", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "swish", "softmax", "choosing")
HEADINGS = {"cnn": "Why a network needs an activation, and what it is for", "choosing": "How to choose"}


def judged(evidence: Path) -> list[dict[str, object]]:
    """Every claim whose experiment has been run, with its verdict, in the article's order."""
    found = {path.stem: json.loads(path.read_text()) for path in evidence.glob("*.json") if path.stem != "claims"}
    chosen = sorted((c for c in CLAIMS if c.experiment in found), key=lambda claim: ORDER.index(claim.about))
    return [_judged(claim, found[claim.experiment], evidence) for claim in chosen]


def _judged(claim: Claim, result: Result, evidence: Path) -> dict[str, object]:
    judgement = claim.judge(result)
    figure = f"{claim.experiment}.svg"
    return {
        "id": claim.id,
        "about": claim.about,
        "sentence": claim.sentence,
        "sentence_zh": claim.sentence_zh,
        "experiment": claim.experiment,
        "method": claim.method,
        "criterion": claim.criterion,
        "numbers": [_rounded(number) for number in judgement.numbers],
        "verdict": judgement.verdict,
        "because": judgement.because,
        "figure": figure if (evidence / figure).exists() else None,
        "command": result["command"],
        "machine": result["machine"],
        "date": result["date"],
    }


def _rounded(number: Number) -> dict[str, object]:
    """Four digits: more than any of these measurements has."""
    return {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in asdict(number).items()}


def document(claims: list[dict[str, object]]) -> dict[str, object]:
    """What claims.json holds."""
    dates = [str(claim["date"]) for claim in claims]
    return {"article": TITLE, "generated": max(dates, default=""), "claims": claims}


def trained_on(evidence: Path) -> list[int]:
    """How many pictures the experiments that compare networks had for training."""
    results = [json.loads(path.read_text()) for path in evidence.glob("*.json") if path.stem != "claims"]
    settings = [result.get("settings", {}) for result in results]
    return sorted({each["training_pictures"] for each in settings if "training_pictures" in each})


def page(claims: list[dict[str, object]], pictures: Sequence[int] = ()) -> str:
    """docs/claims.md.

    Args:
        pictures: as `trained_on`.
    """
    return "\n".join(_lines(claims, pictures)) + "\n"


def _lines(claims: list[dict[str, object]], pictures: Sequence[int]) -> Iterator[str]:
    yield "# The article's claims, measured"
    yield ""
    yield "Each sentence of the article, the rule that decides it, fixed before measuring, and what came of it."
    yield "The numbers, with their confidence intervals, are in `models/evidence/` and at `GET /v1/claims`;"
    yield "`make evidence` measures them anew. Where networks are compared they are small ones, so that each comparison"
    listed = " or ".join(f"{count:,}" for count in pictures)
    yield f"can be repeated{f', trained on {listed} pictures' if listed else ''}: what holds for them need not for all."
    for about in ORDER:
        rows = [claim for claim in claims if claim["about"] == about]
        if rows:
            yield from ("", f"## {HEADINGS.get(about, about)}", "", "| claim | verdict | because |", "|---|---|---|")
            yield from (
                f'| <a id="{row["id"]}"></a>{row["sentence"]} | **{row["verdict"]}** | {row["because"]} |'
                for row in rows
            )
    measured = {claim["id"] for claim in claims}
    missing = [claim for claim in CLAIMS if claim.id not in measured]
    if missing:
        yield from ("", "## Not measured yet", "", "| claim | rule | experiment |", "|---|---|---|")
        yield from (f"| {claim.sentence} | {claim.criterion} | {claim.experiment} |" for claim in missing)
    yield from ("", "## How it was measured", "")
    yield from ("| claim | method | rule | experiment |", "|---|---|---|---|")
    yield from (f"| {c['id']} | {c['method']} | {c['criterion']} | {c['experiment']} |" for c in claims)
    yield from ("", "## Figures", "")
    for figure in dict.fromkeys(str(claim["figure"]) for claim in claims if claim["figure"]):
        yield from (f"![{figure.removesuffix('.svg')}](../models/evidence/{figure})", "")


def write(evidence: Path = EVIDENCE, target: Path | None = PAGE) -> None:
    """Draw up claims.json in the folder, and the page."""
    claims = judged(evidence)
    with whole(evidence / "claims.json") as partial:
        partial.write_text(json.dumps(document(claims), indent=1, ensure_ascii=False) + "\n")
    if target is not None:
        target.write_text(page(claims, trained_on(evidence)))
