"""Claims are read whole and exactly, or the file is refused with the place of its fault."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.activations.evidence import Evidence, InvalidEvidence, read
from service.errors import NotFound
from service.logs import LOGGER
from service.settings import PACKAGED_EVIDENCE
from tests.claiming import CLAIMS, DEAD, FIGURE, SWAPS, claim, document, write


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """In the file's order; what may be left out is None."""
    found = read(write(tmp_path, *CLAIMS))

    assert list(found.claims) == [each["id"] for each in CLAIMS]
    assert found.figures == {"dying.svg": FIGURE}
    assert found.swaps is not None
    assert json.loads(found.swaps.model_dump_json()) == SWAPS
    for given, got in zip(CLAIMS, found.claims.values(), strict=True):
        numbers = [{"p": None} | number for number in given["numbers"]]
        assert got.model_dump(mode="json") == given | {"numbers": numbers}


def test_a_missing_file_is_no_claims_and_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOGGER, "propagate", True)
    with caplog.at_level(logging.INFO, "actserve"):
        assert read(tmp_path / "nowhere") == Evidence()
    for name in ("claims.json", "swaps.json"):
        assert f"there is no {tmp_path}/nowhere/{name}, so what it says is not served" in caplog.messages


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("{}", "summary: Field required"),
        ('{"summary": {"models": [], "functions": []}}', "summary.accuracy: Field required"),
        ("[", "the file: Invalid JSON"),
    ],
)
def test_swaps_that_do_not_fit_are_refused(tmp_path: Path, content: str, place: str) -> None:
    (tmp_path / "swaps.json").write_text(content)
    with pytest.raises(InvalidEvidence, match="swaps.json: " + place):
        read(tmp_path)


def refusal(folder: Path, content: str | bytes) -> str:
    """The fault, without the file's path, which comes before it."""
    (folder / "claims.json").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InvalidEvidence) as raised:
        read(folder)
    text = str(raised.value)
    assert text.startswith(f"{folder}/claims.json: ")
    return text.removeprefix(f"{folder}/claims.json: ")


def without(name: str) -> dict[str, Any]:
    return {member: value for member, value in claim("a").items() if member != name}


@pytest.mark.parametrize(
    ("one", "place"),
    [
        (without("sentence_zh"), "claims.0.sentence_zh: Field required"),
        (without("figure"), "claims.0.figure: Field required"),
        (claim("a", colour="red"), "claims.0.colour: Extra inputs are not permitted"),
        (claim("a", verdict="maybe"), "claims.0.verdict: Input should be 'holds', 'holds in part'"),
        (claim("Relu_Dies"), "claims.0.id: String should match pattern"),
        (claim("a-"), "claims.0.id: String should match pattern"),
        (claim("a/b"), "claims.0.id: String should match pattern"),
        (claim("a" * 81), "claims.0.id: String should have at most 80 characters"),
        (
            claim("a", about="silu"),
            "claims.0.about: Value error, 'silu' is neither a function nor one of cnn, choosing",
        ),
        (claim("a", sentence=""), "claims.0.sentence: String should have at least 1 character"),
        (claim("a", figure="../dying.svg"), "claims.0.figure: String should match pattern"),
        (claim("a", figure="dying.png"), "claims.0.figure: String should match pattern"),
        (claim("a", numbers=[DEAD, DEAD | {"value": "0.31"}]), "claims.0.numbers.1.value: Input should be a valid num"),
        (claim("a", numbers=[DEAD | {"value": None}]), "claims.0.numbers.0.value: Input should be a valid number"),
        (claim("a", numbers=[DEAD | {"value": float("nan")}]), "claims.0.numbers.0.value: Input should be a finite"),
        (claim("a", numbers=[DEAD | {"n": 0}]), "claims.0.numbers.0.n: Input should be greater than or equal to 1"),
        (claim("a", numbers=[DEAD | {"n": True}]), "claims.0.numbers.0.n: Input should be a valid integer"),
        (claim("a", numbers=[DEAD | {"p": 1.5}]), "claims.0.numbers.0.p: Input should be less than or equal to 1"),
        (
            claim("a", numbers=[DEAD | {"low": 0.5}]),
            "claims.0.numbers.0: Value error, low is 0.5, above high, which is",
        ),
        (claim("a", numbers=[DEAD | {"sd": 1.0}]), "claims.0.numbers.0.sd: Extra inputs are not permitted"),
    ],
)
def test_a_claim_that_does_not_fit_is_refused_with_its_place(tmp_path: Path, one: dict[str, Any], place: str) -> None:
    assert refusal(tmp_path, json.dumps(document(one))).startswith(place)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "the file: Invalid JSON: EOF"),
        ('{"article": ', "the file: Invalid JSON: EOF"),
        (b"\xff", "the file: Invalid JSON"),
        ("[]", "the file: Input should be an object"),
        (json.dumps(document(article="")), "article: String should have at least 1 character"),
        (json.dumps(document(verdicts=[])), "verdicts: Extra inputs are not permitted"),
        (
            json.dumps(document(claim("b"), claim("a"), claim("b"), claim("a"))),
            "the file: Value error, more than one claim has the id a, b",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, content: str | bytes, text: str) -> None:
    assert refusal(tmp_path, content).startswith(text)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "claims.json").mkdir()
    with pytest.raises(InvalidEvidence, match=r"claims\.json: Is a directory$"):
        read(tmp_path)


def test_a_figure_that_is_not_there_is_refused(tmp_path: Path) -> None:
    write(tmp_path, claim("a", figure="gone.svg"))
    with pytest.raises(InvalidEvidence, match=r"gone\.svg: No such file or directory$"):
        read(tmp_path)


def test_claims_are_frozen(tmp_path: Path) -> None:
    found = read(write(tmp_path, *CLAIMS)).find("relu-dies")
    with pytest.raises(ValidationError, match="frozen"):
        found.verdict = "does not hold here"


def test_nothing_is_found_where_there_are_no_claims() -> None:
    with pytest.raises(NotFound, match=r"no claim 'relu-dies'\. /v1/claims lists them all"):
        Evidence().find("relu-dies")
    assert Evidence().ids("relu") == []


def test_the_packaged_evidence_fits_and_has_the_documentations_example() -> None:
    """While it is not there, there are no claims to offer."""
    found = read(PACKAGED_EVIDENCE)
    assert not found.claims or found.figure("relu-dies").startswith((b"<?xml", b"<svg"))
