"""What changes in the folder is served without a restart, once it has come to rest; polls are made by hand here."""

import logging
import threading
from pathlib import Path

import pytest

from service.engine.repository import Repository
from service.engine.watcher import Watcher
from service.errors import ModelUnavailable, NotFound
from tests.engine.making import answer, load, plain, put


def watched(folder: Path) -> tuple[Repository, Watcher]:
    found = load(folder)
    watcher = Watcher(found, 0)
    watcher.poll()
    return found, watcher


def test_a_new_version_takes_over_at_the_second_look(tmp_path: Path) -> None:
    put(tmp_path, "m", "1", plain(1.0))
    found, watcher = watched(tmp_path)
    put(tmp_path, "m", "2", plain(2.0))
    watcher.poll()
    assert answer(found) == 2.0
    watcher.poll()
    assert answer(found) == 3.0


def test_a_new_model_is_served(tmp_path: Path) -> None:
    found, watcher = watched(tmp_path)
    put(tmp_path, "m", "1", plain(1.0))
    watcher.poll()
    watcher.poll()
    assert answer(found) == 2.0


def test_a_file_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    """Each look finds more of it; only when it has come to rest is it tried."""
    put(tmp_path, "m", "1", plain(1.0))
    found, watcher = watched(tmp_path)
    content = plain(2.0)
    path = put(tmp_path, "m", "2", b"")
    for end in range(0, len(content) + 1, 20):
        path.write_bytes(content[:end])
        watcher.poll()
        assert not found.entry("m").reasons
    path.write_bytes(content)
    watcher.poll()
    watcher.poll()
    assert answer(found) == 3.0


def test_a_broken_version_replaces_nothing_and_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = put(tmp_path, "m", "1", plain(1.0))
    found, watcher = watched(tmp_path)
    put(tmp_path, "m", "2", b"version https://git-lfs.github.com/spec/v1")
    path.write_bytes(b"")
    for _ in range(5):
        watcher.poll()

    assert answer(found) == 2.0
    assert sorted(found.entry("m").reasons) == [1, 2]
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 2
    assert told[0].startswith("model m version 1 is not served: ")
    assert told[0].endswith("; the one loaded before is served on")

    put(tmp_path, "m", "3", plain(3.0))
    watcher.poll()
    watcher.poll()
    assert answer(found) == 4.0
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 2


def test_what_is_deleted_is_let_go(tmp_path: Path) -> None:
    put(tmp_path, "m", "1", plain(1.0))
    put(tmp_path, "m", "2", plain(2.0))
    found, watcher = watched(tmp_path)
    (tmp_path / "m" / "2").rename(tmp_path / ".2")
    watcher.poll()
    watcher.poll()
    assert answer(found) == 2.0

    (tmp_path / "m").rename(tmp_path / ".m")
    watcher.poll()
    watcher.poll()
    with pytest.raises(NotFound):
        found.find("m")


def test_a_model_without_versions_left_says_so(tmp_path: Path) -> None:
    put(tmp_path, "m", "1", plain(1.0))
    found, watcher = watched(tmp_path)
    (tmp_path / "m" / "1").rename(tmp_path / ".1")
    watcher.poll()
    watcher.poll()
    with pytest.raises(ModelUnavailable, match="it has no version folder"):
        found.find("m")


def test_another_model_toml_takes_effect(tmp_path: Path) -> None:
    put(tmp_path, "m", "1", plain())
    found, watcher = watched(tmp_path)
    (tmp_path / "m" / "model.toml").write_text("max_batch_size = 5")
    watcher.poll()
    watcher.poll()
    assert found.find("m").max_batch_size == 5


def test_an_unloaded_model_stays_unloaded(tmp_path: Path) -> None:
    put(tmp_path, "m", "1", plain())
    found, watcher = watched(tmp_path)
    found.unload("m")
    put(tmp_path, "m", "2", plain())
    watcher.poll()
    watcher.poll()
    assert [line.reason for line in found.index()] == ["unloaded", "unloaded"]


def test_what_does_not_change_is_not_loaded_again(tmp_path: Path) -> None:
    put(tmp_path, "m", "1", plain())
    put(tmp_path, "broken", "1", b"")
    found, watcher = watched(tmp_path)
    before = dict(found.entries)
    watcher.poll()
    watcher.poll()
    assert found.entries == before


def test_a_repository_that_goes_away_is_served_on_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a network file system has a bad minute; when it is back, it is looked at again."""
    root = tmp_path / "models"
    root.mkdir()
    put(root, "m", "1", plain(1.0))
    found, watcher = watched(root)
    root.rename(tmp_path / "away")
    for _ in range(3):
        watcher.poll()
    assert answer(found) == 2.0
    assert len(caplog.records) == 1

    (tmp_path / "away").rename(root)
    put(root, "m", "2", plain(2.0))
    watcher.poll()
    watcher.poll()
    assert answer(found) == 3.0


class Failing(Repository):
    """Whose entries cannot be read the first time; then it tells that it was looked at."""

    looked = threading.Event()
    failed = False

    @property
    def entries(self):  # type: ignore[no-untyped-def, override]
        if not self.failed:
            self.failed = True
            raise RuntimeError("a fault of ours")
        self.looked.set()
        return {}

    @entries.setter
    def entries(self, _):  # type: ignore[no-untyped-def]
        pass


def test_the_thread_outlives_a_fault_and_ends_when_told_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = Failing(tmp_path, lambda *_: pytest.fail("there is nothing to load"))
    watcher = Watcher(found, 0.001)
    watcher.start()
    assert found.looked.wait(10)
    watcher.close()

    assert not watcher._thread.is_alive()
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["a fault of ours"]


def test_without_an_interval_there_is_no_thread(tmp_path: Path) -> None:
    watcher = Watcher(load(tmp_path), 0)
    watcher.start()
    assert not watcher._thread.is_alive()
    watcher.close()
