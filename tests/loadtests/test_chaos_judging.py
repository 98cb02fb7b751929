"""An experiment fails where it should."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime
import orjson
import pytest

from loadtests.answers import Answer
from loadtests.chaos import descriptors, disk, draining, killing, models, nginx, poison, report
from loadtests.chaos.experiment import Result, Skipped, all_right, none_lost
from loadtests.chaos.replica import Ended, after
from loadtests.ledger.ledger import Entry, Ledger
from loadtests.ledger.wire import Headers
from loadtests.verdict import Line

KILLED = 100.0


def lost(connection: int, ended: float = KILLED + 0.01) -> Entry:
    return Entry(1, "question", connection, KILLED - 1, ended)


@pytest.mark.parametrize(
    ("losses", "kept"),
    [
        ([], True),
        ([lost(1), lost(2)], True),
        ([lost(1), lost(1)], False),
        ([lost(1), lost(9)], False),
        ([lost(1, KILLED + 5)], False),
    ],
    ids=["none", "one a connection", "two of one connection", "another worker's", "much later"],
)
def test_a_killed_worker_may_lose_one_request_a_connection(losses: list[Entry], kept: bool) -> None:
    assert killing._only_its(losses, {1, 2, 3}, KILLED).kept == kept


@pytest.mark.parametrize(
    ("probes", "kept"),
    [
        ({"200": 9}, True),
        ({"200": 9, "ConnectionResetError": 1}, True),
        ({"200": 9, "ConnectionResetError": 2}, False),
        ({"200": 9, "ConnectionRefusedError": 1}, False),
        ({"200": 9, "503": 1}, False),
        ({}, False),
    ],
)
def test_readiness_is_lost_by_any_probe_but_the_killed_workers_own(probes: dict[str, int], kept: bool) -> None:
    assert killing._never_unready(Counter(probes)) == kept


@pytest.mark.parametrize(("replaced", "kept"), [(1.0, True), (5.9, True), (6.1, False), (None, False)])
def test_a_worker_is_replaced_in_the_time_of_a_start_or_two(replaced: float | None, kept: bool) -> None:
    assert killing._soon(replaced, start_s=2).kept == kept


@pytest.mark.parametrize(
    ("ended", "kept"),
    [
        (Ended(0, 3.2), True),
        (Ended(-15, 3.2), True),
        (Ended(0, 29), False),
        (Ended(-9, 3), False),
        (Ended(None, 9), False),
    ],
)
def test_a_server_ends_in_order_and_in_time(ended: Ended, kept: bool) -> None:
    assert draining._in_time(ended).kept == kept


def test_a_lost_request_and_a_wrong_answer_are_goals_missed() -> None:
    ledger = Ledger()
    ledger.answer(ledger.send("q", 1), 200, None)
    assert none_lost(ledger).kept
    assert all_right(ledger).kept
    assert draining._no_errors(ledger).kept

    ledger.lose(ledger.send("q", 1), "in the head")
    ledger.answer(ledger.send("q", 1), 502, "status 502,\nexpected 200")
    assert str(none_lost(ledger)) == "FAIL nothing lost of 3 sent; 1 × in the head"
    assert str(all_right(ledger)) == "FAIL every answer right, of 2; 1 × q: status 502, expected 200"
    assert not draining._no_errors(ledger).kept


def test_a_load_that_got_no_answer_at_all_is_not_all_right() -> None:
    assert not all_right(Ledger()).kept


def test_waiting_ends_with_the_fact_or_with_the_time() -> None:
    def unreachable() -> bool:
        raise ConnectionRefusedError

    assert after(5, lambda: True) == pytest.approx(0, abs=1)
    assert after(0.05, lambda: False) is None
    assert after(0.05, unreachable) is None


def test_nginx_is_told_of_every_replica_and_writes_in_its_folder_only(tmp_path: Path) -> None:
    folder = tmp_path / "nginx"
    nginx.write([8001, 8002], folder, 9000)
    site = (folder / "site.conf").read_text().splitlines()

    assert (folder / "nginx.conf").read_bytes() == nginx.CONFIGURATION.read_bytes()
    assert (
        folder / "replicas.conf"
    ).read_text() == "server 127.0.0.1:8001 max_fails=0;\nserver 127.0.0.1:8002 max_fails=0;\n"
    assert site[0] == "listen 127.0.0.1:9000;"
    paths = [line.split()[1] for line in site if "_path " in line]
    assert paths
    assert all(path.startswith(str(folder)) for path in paths)
    assert f"pid {folder}/" in nginx.directives(folder)


def test_without_nginx_the_experiment_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Skipped, match="apt-get install"), nginx.proxy([8001], tmp_path / "nginx"):
        pass


def test_a_models_answer_is_told_from_another_models() -> None:
    outputs = models.Model(str(models.PACKAGED / models.OLD / "1" / "model.onnx")).run(models._rows())
    told = [
        {"name": name, "datatype": "FP32", "shape": list(array.shape), "data": array.ravel().tolist()}
        for name, array in outputs.items()
    ]
    answer = Answer(200, Headers({}), orjson.dumps({"outputs": told}))

    assert models.asked("victim", models.NEW, models.OLD).fault(answer) is None
    assert models.asked("victim", models.NEW).fault(answer) == "no version's answer"


def test_what_is_spoilt_is_no_model() -> None:
    for what, content in models.spoilings().items():
        with pytest.raises(Exception, match=r"\[ONNXRuntimeError\]|empty"):
            onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        assert content != models.content(models.NEW), what


def test_the_table_fails_in_its_run_on_an_index_that_it_does_not_have() -> None:
    session = onnxruntime.InferenceSession(
        poison._table(poison.TABLE).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"x": np.array([[3], [7]])})

    assert found.ravel().tolist() == [9, 49]
    with pytest.raises(Exception, match="out of"):
        session.run(None, {"x": np.array([[3], [poison.OUTSIDE]])})


def test_a_file_is_filled_up_to_the_end_of_the_space(tmp_path: Path) -> None:
    assert not disk._fill(tmp_path / "whole", bytes(10_000))
    assert (tmp_path / "whole").stat().st_size == 10_000
    assert disk._fill(Path("/dev/full"), bytes(10))


def test_the_limit_on_descriptors_is_on_their_numbers() -> None:
    copy = os.dup(0)
    assert descriptors._highest(os.getpid()) >= copy
    os.close(copy)


def result(*goals: Line) -> Result:
    return Result(10, Counter({200: 7, 404: 1}), Counter({"time-out": 2}), Counter(), 1, list(goals), ["a fact"])


def test_the_table_has_what_was_sent_answered_and_lost() -> None:
    text = report.render({"done": result(Line(True, "a"), Line(False, "b"))}, {"other": "no nginx"}, ["today"])

    assert "| done | 10 | 7 × 200, 1 × 404 | 2 | 0 | 1 | **1 of 2** |" in text
    assert "* done\n  * PASS a\n  * FAIL b\n  * a fact" in text
    assert "Not done:\n\n* other: no nginx" in text


def test_an_experiment_without_goals_has_not_met_them() -> None:
    assert result(Line(True, "a")).met
    assert not result(Line(True, "a"), Line(False, "b")).met
    assert not result().met
