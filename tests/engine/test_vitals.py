"""A process knows its own memory, open files and processor time, as far as the system tells."""

import os
import time
from pathlib import Path

from service.engine.vitals import cpu_seconds, vitals


def test_a_process_knows_itself() -> None:
    with open(os.devnull) as _:
        found = vitals()
    assert found["resident_bytes"] is not None
    assert 2**22 < found["resident_bytes"] < 2**40
    assert found["open_files"] == vitals()["open_files"] + 1  # type: ignore[operator]


def test_without_proc_there_is_less(tmp_path: Path) -> None:
    found = vitals(tmp_path / "none")
    assert (found["resident_bytes"], found["open_files"]) == (None, None)


def test_processor_time_is_that_of_all_threads() -> None:
    assert cpu_seconds() >= time.thread_time() > 0
