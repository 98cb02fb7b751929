"""Numbers as people read them; a page keeps everything around the results."""

from pathlib import Path

import pytest

from loadtests.chaos import report as chaos
from loadtests.local import pages
from loadtests.overload import report as overload
from loadtests.soak import report as soak
from tests.serving import ROOT

MARKS = pages.marks("results")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.5, "1,230"),
        (999.6, "1,000"),
        (100, "100"),
        (99.96, "100"),
        (12.345, "12.3"),
        (1.0, "1"),
        (0.01234, "0.0123"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert pages.digits(value) == text


def test_writing_changes_only_what_is_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n")

    pages.write(page, "new\n", MARKS)
    pages.write(page, "newer\n", MARKS)

    assert page.read_text() == f"before\n{MARKS[0]}\n\nnewer\n\n{MARKS[1]}\nafter\n"


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text\n")

    with pytest.raises(ValueError, match="lacks"):
        pages.write(page, "new", MARKS)
    assert page.read_text() == "text\n"


def test_the_page_on_reliability_has_a_place_for_each_commands_results() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text()
    for first, last in (chaos.MARKS, overload.MARKS, soak.MARKS):
        assert text.count(first) == text.count(last) == 1
        assert text.index(first) < text.index(last)
