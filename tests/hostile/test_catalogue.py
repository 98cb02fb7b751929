"""The tables hold the whole catalogue, and its page says what they hold."""

from collections import Counter

import pytest

from tests.hostile import queries, slow
from tests.hostile.answering import refusal
from tests.hostile.cases import Answer
from tests.hostile.catalogue import ELSEWHERE, NUMBERS, PAGE, page, statuses
from tests.hostile.sections import CASES
from tests.routes.sending import JSON
from tests.serving import ROOT

COUNTS = {"H": 38, "J": 20, "T": 26, "B": 14, "I": 14, "M": 23, "Q": 12}
IDS = [case.id for case in (*CASES, *slow.CASES, *queries.KEYS)]


def test_every_number_is_tested_and_every_test_has_its_number() -> None:
    wanted = {f"{letter}{n:02}" for letter, count in COUNTS.items() for n in range(1, count + 1)}
    assert set(NUMBERS) == set(statuses()) == wanted | {"R08", "R10", "P"}


@pytest.mark.parametrize("number", ELSEWHERE)
def test_what_is_tested_elsewhere_is_there(number: str) -> None:
    file, _, name = ELSEWHERE[number][1].partition("::")
    assert f"def {name}(" in (ROOT / file).read_text()


def test_no_two_cases_have_the_same_id() -> None:
    assert [each for each, count in Counter(IDS).items() if count > 1] == []


def test_the_page_is_as_the_tables_are() -> None:
    """`python -m tests.hostile.catalogue` writes it."""
    assert PAGE.read_text() == page()


@pytest.mark.parametrize(
    "body",
    [
        b"Invalid HTTP request received.",
        b'{"detail": "Not Found"}',
        b'{"error": ""}',
        b'{"error": "no file /opt/models/relu/1/model.onnx"}',
        b'{"error": "Traceback (most recent call last)"}',
        b'{"error": "at 0x7f3a12345678"}',
        b'{"error": "<class TypeError>"}',
        b'{"error": "onnxruntime::BFCArena failed"}',
        b'{"error": "a\\nb"}',
        b'{"error": "' + b"x" * 2048 + b'"}',
    ],
    ids=repr,
)
def test_an_answer_that_is_no_errors_or_tells_too_much_is_found(body: bytes) -> None:
    assert refusal(Answer(400, {"content-type": JSON}, b'{"error": "expected FP32"}')) == "expected FP32"
    with pytest.raises((AssertionError, ValueError)):
        refusal(Answer(400, {"content-type": JSON}, body))
