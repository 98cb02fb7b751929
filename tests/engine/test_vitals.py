"""A process knows its own memory, processor time and open files, as far as the system tells."""

import os
from pathlib import Path

from service.engine.vitals import vitals


def test_a_process_knows_itself() -> None:
    with open(os.devnull) as _:
        found = vitals()
    assert found["resident_bytes"] is not None
    assert 2**22 < found["resident_bytes"] < 2**40
    assert found["cpu_seconds"] > 0
    assert found["open_files"] == vitals()["open_files"] + 1  # type: ignore[operator]


def test_without_proc_there_is_less(tmp_path: Path) -> None:
    found = vitals(tmp_path / "none")
    assert (found["resident_bytes"], found["open_files"]) == (None, None)
    assert found["cpu_seconds"] > 0
