"""The command, with a real server."""

import subprocess
import sys
from pathlib import Path

from loadtests.chaos import report
from tests.serving import DEADLINE_S, ROOT, environment


def chaos(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadtests.chaos", *options],
        cwd=ROOT,
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=3 * DEADLINE_S,
        check=False,
    )


def test_a_bad_row_in_a_full_batch_fails_alone_and_the_page_says_so(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n{}\n{}\nafter\n".format(*report.MARKS))

    done = chaos("--only", "bad row", "--seconds", "0.5", "--write", str(page))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "| a bad row in a full batch |" in done.stdout
    assert "FAIL" not in done.stdout
    assert page.read_text() == f"before\n{report.MARKS[0]}\n\n{done.stdout}\n{report.MARKS[1]}\nafter\n"


def test_an_experiment_that_is_not_there_is_said_to_be_so() -> None:
    done = chaos("--only", "earthquake")

    assert done.returncode == 1
    assert "there is no such experiment; there are: kill -9 of a worker" in done.stderr
