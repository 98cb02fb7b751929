"""What one worker is told all take on: alone, and together with others. Here the others are objects in this process."""

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from service.workers.together import Together
from service.workers.workers import Alone, State, Workers

DEADLINE_S = 10


@contextmanager
def together(folder: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> Iterator[list[Together]]:
    """So many workers, each with a process id of its own; not started."""
    with ExitStack() as closing:
        workers = []
        for number in range(count):
            monkeypatch.setattr(os, "getpid", lambda pid=number + 1: pid)
            workers.append(Together(folder))
            closing.callback(workers[-1].close)
        monkeypatch.undo()
        yield workers


def count_up(state: State) -> State:
    return {"count": state.get("count", 0) + 1}


def following(worker: Workers, kind: str = "thing") -> list[tuple[str, State]]:
    """What the worker takes on, as it goes."""
    taken: list[tuple[str, State]] = []

    def follow(name: str) -> list[str]:
        taken.append((name, worker.wanted(f"{kind}/{name}" if name else kind)))
        return []

    worker.follow(kind, follow)
    return taken


def test_alone_a_change_is_taken_on_at_once() -> None:
    alone = Alone()
    alone.start()
    taken = following(alone)
    assert alone.wanted("thing") == {}
    assert alone.change("thing", count_up) == []
    assert alone.change("thing/a", count_up) == []
    alone.close()

    assert taken == [("", {"count": 1}), ("a", {"count": 1})]
    assert alone.wanted("thing") == {"count": 1}


def test_what_is_wanted_is_not_changed_by_whoever_reads_it() -> None:
    alone = Alone()
    following(alone)
    alone.change("thing", lambda _: {"names": ["a"]})
    alone.wanted("thing")["names"].append("b")
    assert alone.wanted("thing") == {"names": ["a"]}


@pytest.mark.parametrize("name", ["", "cnn-relu", "a.b_c"])
def test_all_take_on_what_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with together(tmp_path, monkeypatch, 3) as workers:
        taken = [following(worker) for worker in workers]
        for worker in workers:
            worker.start()
        part = f"thing/{name}" if name else "thing"
        for worker in workers:
            assert worker.change(part, count_up) == []

        assert taken == [[(name, {"count": n}) for n in (1, 2, 3)]] * 3


def test_faults_come_from_all_and_are_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with together(tmp_path, monkeypatch, 3) as workers:
        for worker, fault in zip(workers, ("a", "b", "a"), strict=True):
            worker.follow("thing", {"": [fault]}.__getitem__)
            worker.start()
        assert sorted(workers[0].change("thing", count_up)) == ["a", "b"]


def test_an_edit_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: State) -> State:
        raise ValueError("no")

    with together(tmp_path, monkeypatch, 1) as (worker,):
        taken = following(worker)
        worker.start()
        with pytest.raises(ValueError, match="no"):
            worker.change("thing", refuse)
        assert (worker.wanted("thing"), taken) == ({}, [])


def test_a_worker_that_starts_meanwhile_misses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The change waits for it."""
    with together(tmp_path, monkeypatch, 2) as (running, starting):
        following(running)
        taken = following(starting)
        running.start()
        changing = threading.Thread(target=running.change, args=("thing", count_up))
        changing.start()
        changing.join(0.05)
        before = changing.is_alive(), list(taken)
        starting.start()
        changing.join(DEADLINE_S)

        assert before == (True, [])
        assert (changing.is_alive(), taken) == (False, [("", {"count": 1})])


def test_a_worker_that_ends_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with together(tmp_path, monkeypatch, 2) as (running, ending):
        following(running)
        running.start()
        changing = threading.Thread(target=running.change, args=("thing", count_up))
        changing.start()
        ending.close()
        changing.join(DEADLINE_S)
        assert not changing.is_alive()


def test_a_socket_that_nobody_listens_at_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what a killed worker leaves, until another has its process id."""
    with together(tmp_path, monkeypatch, 1) as (worker,):
        following(worker)
        worker.start()
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(tmp_path / "sockets" / str(os.getpid())))
        assert worker.change("thing", count_up) == []

    Together(tmp_path).close()
    assert list((tmp_path / "sockets").iterdir()) == []


def test_one_that_takes_long_does_not_hold_up_another_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    with together(tmp_path, monkeypatch, 1) as (worker,):
        worker.follow("slow", lambda _: [] if go_on.wait(DEADLINE_S) else ["late"])
        following(worker, "quick")
        worker.start()
        faults: list[str] = []
        slow = threading.Thread(target=lambda: faults.extend(worker.change("slow", count_up)))
        slow.start()
        assert worker.change("quick", count_up) == []
        go_on.set()
        slow.join(DEADLINE_S)
        assert faults == []


def test_a_fault_of_ours_is_an_answer_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with together(tmp_path, monkeypatch, 1) as (worker,):
        worker.start()
        monkeypatch.setattr(logging.getLogger("actserve"), "propagate", True)
        assert worker.change("unknown", count_up) == ["a worker failed: KeyError"]
        assert "unknown failed" in caplog.text


def test_each_worker_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with together(tmp_path, monkeypatch, 2) as (first, second):
        for number, worker in enumerate((first, second)):
            worker.report("number", lambda number=number: {"number": number})  # type: ignore[misc]
            worker.start()
        assert first.reports("number") == second.reports("number") == [{"number": 0}, {"number": 1}]


def test_alone_there_is_one_report_or_none() -> None:
    worker = Alone()
    worker.report("number", lambda: {"number": 7})
    assert worker.reports("number") == [{"number": 7}]
    worker.report("number", dict)
    assert worker.reports("number") == []


def test_who_cannot_report_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One does not know the report, one has ended, and one takes too long."""
    go_on = threading.Event()
    with together(tmp_path, monkeypatch, 3) as (first, second, third):
        monkeypatch.setattr("service.workers.together.REPORT_LIMIT_S", 0.1)
        monkeypatch.setattr(logging.getLogger("actserve"), "propagate", True)
        first.report("number", lambda: {"number": 1})
        third.report("number", lambda: {"number": 3} if go_on.wait(DEADLINE_S) else {})
        for worker in (first, second, third):
            worker.start()
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(tmp_path / "sockets" / "left"))
        assert first.reports("number") == [{"number": 1}]
        assert "?number failed" in caplog.text
        go_on.set()


def test_what_breaks_off_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is killed while it takes something on; its successor reads what is wanted."""

    def reset(listening: socket.socket, length: int) -> None:
        connection, _ = listening.accept()
        connection.recv(length)
        connection.close()

    with together(tmp_path, monkeypatch, 1) as (worker,), socket.socket(socket.AF_UNIX) as other:
        following(worker)
        worker.start()
        other.bind(str(tmp_path / "sockets" / "other"))
        other.listen()
        killed = threading.Thread(target=reset, args=(other, 1))  # the rest is not read, so the connection is reset
        killed.start()
        assert worker.change("thing", count_up) == []
        killed.join(DEADLINE_S)


@pytest.mark.parametrize("make", [lambda _: Alone(), Together], ids=["alone", "together"])
def test_edits_of_many_threads_are_one_after_another(tmp_path: Path, make: Callable[[Path], Workers]) -> None:
    worker = make(tmp_path)
    worker.follow("thing", lambda _: [])
    worker.start()
    threads = [threading.Thread(target=worker.change, args=("thing", count_up)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    worker.close()
    assert worker.wanted("thing") == {"count": 20}


@pytest.mark.parametrize("make", [lambda _: Alone(), Together], ids=["alone", "together"])
def test_a_block_starts_at_zero(tmp_path: Path, make: Callable[[Path], Workers]) -> None:
    worker = make(tmp_path)
    assert list(worker.block("key", 3).own) == [0, 0, 0]
    worker.close()


def test_what_is_wanted_can_be_read_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with together(tmp_path, monkeypatch, 1) as (worker,):
        following(worker)
        worker.start()
        done = threading.Event()
        wrong: list[object] = []

        def read() -> None:
            while not done.is_set():
                try:
                    json.dumps(worker.wanted("thing"))
                except Exception as error:
                    wrong.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        for _ in range(50):
            worker.change("thing", count_up)
        done.set()
        reader.join(DEADLINE_S)
        assert wrong == []
