"""A run that does not end is stopped, and a worker that stands still ends itself; one that was only held does not."""

import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from service.engine.watchdog import EXIT_CODE
from tests.engine.making import counting, node, plain, put, serialised
from tests.serving import DEADLINE_S, eventually, get, serving

FOR_EVER = 1e15


def asked(address: str, model: str, value: float) -> tuple[int, object]:
    """The status, and the numbers or the error."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [value] * 3}
    body = json.dumps({"inputs": [tensor]}).encode()
    try:
        with urllib.request.urlopen(f"{address}/v2/models/{model}/infer", body, timeout=DEADLINE_S) as response:
            return response.status, json.load(response)["outputs"][0]["data"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["error"]


@pytest.mark.parametrize("before", [0, 5])
def test_a_run_that_hangs_is_504_and_the_next_request_is_answered(tmp_path: Path, before: int) -> None:
    """In a thread of the pool; and in the event loop, where it runs once runs are known to be short."""
    put(tmp_path, "counting", "1", counting())
    with serving(tmp_path / "log", repository=str(tmp_path), workers="1", max_run_seconds="1") as (_, address):
        for _ in range(before):
            assert asked(address, "counting", 2) == (200, [4, 4, 4])
        stopped = (504, "the run of the model took too long and was stopped")
        assert asked(address, "counting", FOR_EVER) == stopped
        assert asked(address, "counting", 3) == (200, [6, 6, 6])
        assert get(f"{address}/v2/health/live") == {"live": True}
    assert "is told to stop" in (tmp_path / "log").read_text()


def test_those_behind_a_run_that_hangs_are_answered_at_the_deadline(tmp_path: Path) -> None:
    put(tmp_path, "counting", "1", counting())
    settings = {"workers": "1", "max_run_seconds": "5", "deadline_seconds": "0.5"}
    with (
        serving(tmp_path / "log", repository=str(tmp_path), **settings) as (_, address),
        ThreadPoolExecutor(1) as clients,
    ):
        hangs = clients.submit(asked, address, "counting", FOR_EVER)
        eventually(lambda: in_flight(address) == 2)  # and the one for the metrics
        dropped = (504, "the request was not begun before the server's deadline and has been dropped")
        assert asked(address, "counting", 1) == dropped
        assert not hangs.done()
        assert hangs.result()[0] == 504
        assert asked(address, "counting", 1) == (200, [2, 2, 2])


def in_flight(address: str) -> int:
    with urllib.request.urlopen(f"{address}/metrics", timeout=DEADLINE_S) as response:
        (count,) = re.findall(r"^actserve_requests_in_flight (\d)", response.read().decode(), re.M)
    return int(count)


def endless() -> bytes:
    """One node that takes many seconds, a product of matrices of n × n, n = max(x): the runtime stops between nodes."""
    square = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=1),
        helper.make_node("Cast", ["most"], ["cast"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["cast", "one"], ["n"]),
        helper.make_node("Concat", ["n", "n"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["a"]),
        helper.make_node("MatMul", ["a", "a"], ["product"]),
        helper.make_node("ReduceMax", ["product"], ["zero"], keepdims=0),
    ]
    one = helper.make_tensor("one", TensorProto.INT64, [1], [1])
    return serialised(*square, node("Add", "x", "zero"), constants=[one])


def test_a_run_that_cannot_be_stopped_ends_the_worker(tmp_path: Path) -> None:
    put(tmp_path, "endless", "1", endless())
    # The matrices are filled before the run is told to stop; their product takes far longer.
    settings = {"workers": "1", "max_run_seconds": "4", "max_stall_seconds": "1"}
    with (
        serving(tmp_path / "log", repository=str(tmp_path), **settings) as (process, address),
        ThreadPoolExecutor(1) as clients,
    ):
        asking = [clients.submit(asked, address, "endless", 10_000)]
        seen: set[int] = set()

        def ended() -> bool:
            if asking[-1].done():  # on a busy machine it may be stopped while it fills them
                asking.append(clients.submit(asked, address, "endless", 10_000))
            try:
                urllib.request.urlopen(f"{address}/v2/health/live", timeout=DEADLINE_S).close()
            except urllib.error.HTTPError as error:
                seen.add(error.code)
                error.close()
            except OSError:  # nobody answers any more
                return True
            return False

        eventually(ended)
        assert process.wait(DEADLINE_S) == EXIT_CODE
    assert seen == {503}
    assert "this worker ends itself" in (tmp_path / "log").read_text()


def test_a_server_that_was_held_for_a_while_has_lost_nothing(tmp_path: Path) -> None:
    """F16: for three times as long as a worker may stand still."""
    put(tmp_path, "m", "1", plain(1.0))
    settings = {"workers": "1", "max_stall_seconds": "1"}
    with (
        serving(tmp_path / "log", repository=str(tmp_path), **settings) as (process, address),
        ThreadPoolExecutor(8) as clients,
    ):
        assert asked(address, "m", 1) == (200, [2, 2, 2])
        answers = [clients.submit(asked, address, "m", value) for value in range(100)]
        os.kill(process.pid, signal.SIGSTOP)
        until = time.monotonic() + 3
        eventually(lambda: time.monotonic() > until)
        os.kill(process.pid, signal.SIGCONT)
        assert [answer.result() for answer in answers] == [(200, [value + 1] * 3) for value in range(100)]
        assert process.poll() is None
    assert "ends itself" not in (tmp_path / "log").read_text()
