"""The table is what was measured, and the page keeps everything around it."""

import datetime
from pathlib import Path

from loadtests.local import pages
from loadtests.peers import report
from loadtests.peers.goals import Goal, Measure, Profile, Ratio
from loadtests.peers.measuring import Results
from loadtests.peers.pairs import Pair

ROW = Ratio("one image", "Triton", "requests/s", Goal(1.1, every=True), [Pair(2200, 2000), Pair(3000, 2000)], "a note")


def test_a_row_has_its_goal_its_ratio_both_sides_and_its_verdict() -> None:
    assert report.ratio_table([ROW]).splitlines() == [
        "| work | against | goal | ratio (min…max) | ours (min…max) | theirs (min…max) | met |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| one image | Triton | ≥ 1.1 in every pair | 1.3 (1.1…1.5) | 2,600 (2,200…3,000) requests/s | "
        "2,000 (2,000…2,000) requests/s | yes |",
    ]


def test_a_missed_goal_stands_out() -> None:
    memory = Measure("memory", "MB", Goal(600, at_least=False), [610.4, 601])
    assert report.measure_table([memory]).endswith("| memory | ≤ 600 MB | 606 (601…610) MB | **no** |")


def test_where_the_time_goes_is_told_as_far_as_it_is_known() -> None:
    profiles = [Profile("one image", "ours", 700, 600, 390, 20, 30), Profile("one image", "Ray Serve", 2000, 1900)]
    assert report.profile_table(profiles).splitlines()[2:] == [
        "| one image | ours | 700 | 600 | 390 | 20 | 30 | 160 |",
        "| one image | Ray Serve | 2,000 | 1,900 |  |  |  |  |",
    ]
    assert report.PROFILES in report.render(Results(profiles=profiles), [])


def test_all_that_was_found_is_there_and_no_empty_part() -> None:
    results = Results(ratios=[ROW], skipped={"Ray Serve": "no such package\nand a log"}, failed={"memory": "it ended"})
    facts = report.facts("a machine", {"wrk": "4.1.0"}, "make bench", "5 pairs", datetime.date(2026, 11, 25))

    text = report.render(results, facts)

    assert text.startswith("* 2026-11-25, a machine\n* `make bench`: 5 pairs\n* wrk 4.1.0\n\n| work |")
    assert "\n\n* one image: a note.\n\n" in text
    assert text.endswith("Not measured:\n\n* Ray Serve: no such package\n* memory: it ended\n")
    assert "ours alone" not in text
    assert "configurations" not in text


def test_the_summary_has_a_place_of_its_own(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("{}\n{}\n{}\n{}\n".format(*report.RESULTS, *report.SUMMARY))

    pages.write(page, report.summary_table([ROW]), report.SUMMARY)

    lines = page.read_text().splitlines()
    assert lines[:4] == [*report.RESULTS, report.SUMMARY[0], ""]
    assert lines[-3:] == ["| one image | Triton | 1.3 (1.1…1.5) | ≥ 1.1 in every pair | yes |", "", report.SUMMARY[1]]


def test_the_readmes_ratios_are_those_of_the_page() -> None:
    root = Path(__file__).parent.parent.parent
    readme, page = ((root / name).read_text() for name in ("README.md", "docs/benchmarks.md"))
    table = readme.partition(report.SUMMARY[0])[2].partition(report.SUMMARY[1])[0].strip().splitlines()[2:]
    results = page.partition(report.RESULTS[0])[2].partition(report.RESULTS[1])[0].splitlines()
    assert table
    for line in table:
        work, against, ratio, goal, met = line.strip("| ").split(" | ")
        (row,) = [row for row in results if row.startswith(f"| {work} | {against} | {goal} | {ratio} |")]
        assert row.rstrip(" |*").endswith(met)


def test_the_page_has_a_place_for_the_results() -> None:
    text = (Path(__file__).parent.parent.parent / "docs" / "benchmarks.md").read_text()
    assert 0 < text.index(report.RESULTS[0]) < text.index(report.RESULTS[1])
