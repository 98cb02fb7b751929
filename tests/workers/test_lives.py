"""Workers are counted, and their processor time, those that have ended too."""

from pathlib import Path

import pytest

from service.workers.lives import Lives
from service.workers.workers import Alone
from tests.workers.test_workers import together


def test_alone_there_has_been_one() -> None:
    lives = Lives(Alone())
    assert (lives.begun(), lives.cpu_seconds()) == (1, 0.0)
    lives.note(0.5)
    lives.note(1.25)
    assert (lives.begun(), lives.cpu_seconds()) == (1, 1.25)


def test_every_worker_counts_also_one_that_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with together(tmp_path, monkeypatch, 3) as workers:
        first, ended, successor = map(Lives, workers)
        first.note(1.0)
        ended.note(2.0)
        workers[1].close()
        successor.note(0.25)
        assert first.begun() == successor.begun() == 3
        assert first.cpu_seconds() == successor.cpu_seconds() == 3.25
