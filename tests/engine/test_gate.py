"""What came after the start is tried, once for all workers; what was there at the start is not."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.engine.gate import Gate
from service.engine.repository import Repository
from service.errors import ModelUnavailable
from service.workers.together import Together
from service.workers.workers import Alone, Workers
from tests.engine.making import answer, load, plain, put


class Trials:
    """Stands in for the process: tells what it was asked to try, and does as it is told."""

    def __init__(self, outcome: Callable[[], str] = lambda: "digest") -> None:
        self.asked: list[str] = []
        self.outcome = outcome

    def __call__(self, path: Path, version: int) -> str:
        self.asked.append(f"{path.name} {version}")
        return self.outcome()


def unwell() -> str:
    raise ModelUnavailable("it is not well")


def served(root: Path, trials: Trials, workers: Workers | None = None) -> Repository:
    workers = workers or Alone()
    return load(root, workers=workers, prove=Gate(root, trials, workers))


def test_what_is_there_at_the_start_is_not_tried(tmp_path: Path) -> None:
    put(tmp_path, "m", "1", plain(1.0))
    trials = Trials()
    found = served(tmp_path, trials)
    found.unload("m")
    found.load("m")
    assert (answer(found), trials.asked) == (2.0, [])


def test_what_is_there_at_the_start_is_tried_where_nobody_vouches_for_it(tmp_path: Path) -> None:
    path = put(tmp_path, "m", "1", plain(1.0)).parent.parent
    trials = Trials()
    assert (Gate(None, trials, Alone())(path, 1), trials.asked) == ("digest", ["m 1"])


def test_what_comes_later_is_tried_and_must_be_what_was_tried(tmp_path: Path) -> None:
    put(tmp_path, "m", "1", plain(1.0))
    trials = Trials()
    found = served(tmp_path, trials)
    put(tmp_path, "m", "2", plain(2.0))
    with pytest.raises(ModelUnavailable, match="version 2: its file was changed while it was tried"):
        found.load("m")
    assert (answer(found), trials.asked) == (2.0, ["m 2"])


def test_a_version_that_was_written_anew_is_tried(tmp_path: Path) -> None:
    path = put(tmp_path, "m", "1", plain(1.0))
    trials = Trials(unwell)
    found = served(tmp_path, trials)
    path.write_bytes(plain(2.0))
    with pytest.raises(ModelUnavailable, match="version 1: it is not well"):
        found.load("m")
    assert (answer(found), trials.asked) == (2.0, ["m 1"])  # what was served is served on


def gate(root: Path, trials: Trials, workers: Workers) -> tuple[Gate, Path]:
    """Of a repository that was empty at the start, and has a model now."""
    made = Gate(root, trials, workers)
    return made, put(root, "m", "1", plain()).parent.parent


def test_what_was_found_well_is_not_tried_again(tmp_path: Path) -> None:
    trials = Trials()
    asked, path = gate(tmp_path, trials, Alone())
    assert [asked(path, 1) for _ in range(3)] == ["digest"] * 3
    assert trials.asked == ["m 1"]


def test_what_failed_is_tried_again_when_a_load_is_asked_for_anew(tmp_path: Path) -> None:
    workers, trials = Alone(), Trials(unwell)
    workers.follow("model", lambda _: [])
    asked, path = gate(tmp_path, trials, workers)
    for _ in range(2):
        with pytest.raises(ModelUnavailable, match="it is not well"):
            asked(path, 1)
    assert trials.asked == ["m 1"]

    trials.outcome = lambda: "digest"
    workers.change("model/m", lambda _: {"changes": 1})
    assert asked(path, 1) == "digest"
    assert trials.asked == ["m 1"] * 2


def test_what_the_system_refuses_is_a_reason_too(tmp_path: Path) -> None:
    def fails() -> str:
        raise OSError(24, "Too many open files", "/srv/secret")

    asked, path = gate(tmp_path, Trials(fails), Alone())
    with pytest.raises(ModelUnavailable, match=r"^Too many open files$"):
        asked(path, 1)


@pytest.mark.parametrize("outcome", [lambda: "digest", unwell])
def test_several_workers_try_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Callable[[], str]) -> None:
    """The second waits for the first, and one that starts later, as after a crash, finds what came of it."""
    root, shared = tmp_path / "root", tmp_path / "shared"
    root.mkdir()
    shared.mkdir()
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go_on.wait(30)
        return outcome()

    def worker(number: int) -> Together:
        monkeypatch.setattr(os, "getpid", lambda: number)
        return Together(shared)

    trials = Trials(slow)
    workers = [worker(1), worker(2)]
    gates = [Gate(root, trials, each) for each in workers]
    path = put(root, "m", "1", plain()).parent.parent
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(each, path, 1) for each in gates]
        assert begun.wait(30)
        go_on.set()
        faults = [each.exception(30) for each in asked]
    workers.append(worker(3))
    late = Gate(root, trials, workers[2])
    if outcome is unwell:
        with pytest.raises(ModelUnavailable, match="it is not well"):
            late(path, 1)
        assert {str(fault) for fault in faults} == {"it is not well"}
    else:
        assert late(path, 1) == "digest"
        assert faults == [None, None]
    assert trials.asked == ["m 1"]
    for each in workers:
        each.close()


def test_a_repository_that_cannot_be_read_at_the_start_has_nothing_that_was_there(tmp_path: Path) -> None:
    trials = Trials()
    asked = Gate(tmp_path / "later", trials, Alone())
    (tmp_path / "later").mkdir()
    path = put(tmp_path / "later", "m", "1", plain()).parent.parent
    assert (asked(path, 1), trials.asked) == ("digest", ["m 1"])
