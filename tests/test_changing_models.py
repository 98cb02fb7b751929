"""Models that come, go and do harm while a server of two processes answers: nothing hangs, nothing is mixed or lost."""

import base64
import http.client
import json
import os
import resource
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.engine.hostile import crashing, endless
from tests.engine.making import plain, put
from tests.serving import DEADLINE_S, eventually, get, serving, worker_processes

KEY = "the-admin-key"
WORKERS = 2
THREADS = 32
LOAD, UNLOAD = "/v2/repository/models/m/load", "/v2/repository/models/m/unload"
INPUT = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [0, 0, 0]}]}


class Server:
    """Its first process, its address, its repository and its log."""

    def __init__(self, pid: int, address: str, repository: Path, log: Path) -> None:
        self.pid, self.address, self.repository, self._log = pid, address, repository, log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(
            urlsplit(self.address).hostname or "", urlsplit(self.address).port, timeout=DEADLINE_S
        )

    def post(self, path: str, body: object = None) -> tuple[int, Any]:
        """On a connection of its own, so that any worker answers."""
        connection = self.connection()
        try:
            return self.on(connection, path, body)
        finally:
            connection.close()

    @staticmethod
    def on(connection: http.client.HTTPConnection, path: str, body: object = None) -> tuple[int, Any]:
        connection.request("POST", path, json.dumps(body or {}), {"X-API-Key": KEY, "Content-Type": "application/json"})
        with connection.getresponse() as response:
            content = response.read()
            return response.status, json.loads(content) if content else None

    def value(self, path: str) -> float:
        """What a model of `plain` adds."""
        status, content = self.post(f"/v2/models/{path}/infer", INPUT)
        assert status == 200, content
        number: float = content["outputs"][0]["data"][0]
        return number

    def upload(self, name: str, version: int, content: bytes) -> tuple[int, Any]:
        return self.post(f"/v2/repository/models/{name}/load", sent(version, content))

    def reason(self, name: str, version: int) -> str:
        lines = self.post("/v2/repository/index")[1]
        found = [line for line in lines if (line["name"], line.get("version")) == (name, str(version))]
        return str(found[0].get("reason", found[0]["state"])) if found else ""

    def is_well(self) -> None:
        """All of its processes, and it says so itself."""
        assert len(worker_processes(self.pid)) == WORKERS
        assert get(f"{self.address}/v2/health/live")
        assert get(f"{self.address}/v2/health/ready")
        assert "Traceback" not in self.log


def sent(version: int, content: bytes) -> dict[str, object]:
    return {"parameters": {"config": "{}", f"file:{version}/model.onnx": base64.b64encode(content).decode()}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder, log = tmp_path_factory.mktemp("repository"), tmp_path_factory.mktemp("log") / "log"
    put(folder, "m", "1", plain(1.0))
    settings = {"workers": str(WORKERS), "admin_key": KEY, "model_upload": "true", "load_probe_seconds": "5"}
    with serving(log, repository=str(folder), reload_interval_seconds="0.2", **settings) as (process, address):
        eventually(lambda: log.read_text().count("models are served") == WORKERS)
        yield Server(process.pid, address, folder, log)


def together(work: Callable[[int], object], threads: int) -> list[Any]:
    """All begin at the same moment."""
    barrier = threading.Barrier(threads)

    def begin(number: int) -> object:
        barrier.wait(DEADLINE_S)
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return [each.result(3 * DEADLINE_S) for each in [pool.submit(begin, number) for number in range(threads)]]


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("version", [1, 2], ids=["of a new model", "of a known one"])
def test_of_uploads_of_one_version_at_once_one_wins(server: Server, version: int) -> None:
    """R07: the others are told, every worker serves the winner's, and nothing else is left."""
    answers = together(lambda number: server.upload("race", version, plain(float(number))), 6)
    winners = [number for number, (status, _) in enumerate(answers) if status == 200]

    assert Counter(status for status, _ in answers) == {200: 1, 409: 5}
    assert {server.value(f"race/versions/{version}") for _ in range(8)} == {float(winners[0])}
    assert (server.repository / "race" / str(version) / "model.onnx").read_bytes() == plain(float(winners[0]))
    assert not list(server.repository.glob(".upload-*"))
    server.is_well()


def test_an_upload_that_is_cut_leaves_nothing(server: Server) -> None:
    """R07: at a half, by a client that goes away."""
    before = listing(server.repository)
    body = json.dumps(sent(1, plain(1.0))).encode()
    address = urlsplit(server.address)
    head = f"POST /v2/repository/models/cut/load HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\nContent-Length: {len(body)}"
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n" + body[: len(body) // 2])
    status, _ = server.post("/v2/repository/models/cut/load")

    assert (status, listing(server.repository)) == (500, before)  # there is no such model
    server.is_well()


def test_a_full_disk_leaves_nothing_and_inference_goes_on(server: Server) -> None:
    """F09: no process of the server may make a file larger than 16 KiB."""
    before = listing(server.repository)
    workers = worker_processes(server.pid)
    limits = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in workers}
    try:
        for pid, (_, hard) in limits.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (2**14, hard))
        status, answer = server.upload("full", 1, bytes(2**15))
        assert (status, answer["error"]) == (507, "the repository takes no more: File too large")
        assert (listing(server.repository), server.value("m")) == (before, 1.0)
    finally:
        for pid, limit in limits.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
    assert server.upload("full", 1, plain(3.0)) == (200, None)
    assert server.value("full") == 3.0
    server.is_well()


def test_a_file_that_ends_its_process_ends_no_worker(server: Server) -> None:
    """It is found in the repository by both workers, tried once, and not opened by one that starts afterwards."""
    before, started = worker_processes(server.pid), server.log.count("models are served")
    put(server.repository, "m", "7", crashing())
    eventually(lambda: server.reason("m", 7) == "the process that tried it was ended by SIGFPE")
    assert worker_processes(server.pid) == before
    os.kill(min(before), signal.SIGKILL)
    eventually(lambda: len(worker_processes(server.pid) - {min(before)}) == WORKERS)
    eventually(lambda: server.log.count("models are served") == started + 1)

    assert {server.reason("m", 7) for _ in range(8)} == {"the process that tried it was ended by SIGFPE"}
    assert server.log.count("model m version 7 is tried") == 1
    assert server.value("m") == 1.0
    (server.repository / "m" / "7").rename(server.repository / ".7")
    eventually(lambda: server.reason("m", 7) == "")
    server.is_well()


def test_requests_are_answered_while_a_file_is_tried_that_never_ends(server: Server) -> None:
    """As fast as ever: the trial is another process's."""
    put(server.repository, "endless", "1", endless())
    eventually(lambda: "model endless version 1 is tried" in server.log)
    answered = 0
    while "model endless version 1 is not served" not in server.log:
        assert server.value("m") == 1.0
        answered += 1
    (server.repository / "endless").rename(server.repository / ".endless")

    assert answered > 20
    assert "model endless version 1 is not served: its trial took more than 5 s and was stopped" in server.log
    server.is_well()


def test_a_storm_of_loads_and_unloads_leaves_the_server_well(server: Server) -> None:
    """R08: every one is answered, and the last word counts in every worker."""

    def storm(number: int) -> Counter[tuple[str, int]]:
        connection = server.connection()
        told: Counter[tuple[str, int]] = Counter()
        for turn in range(16):
            path = (LOAD, UNLOAD)[(number + turn) % 2]
            told[path, server.on(connection, path)[0]] += 1
        connection.close()
        return told

    told: Counter[tuple[str, int]] = sum(together(storm, THREADS), Counter())
    assert told == {(LOAD, 200): 8 * THREADS, (UNLOAD, 200): 8 * THREADS}
    assert server.post(UNLOAD) == (200, None)
    assert {server.post("/v2/models/m/infer", INPUT)[0] for _ in range(8)} == {404}
    assert server.post(LOAD) == (200, None)
    assert {server.value("m") for _ in range(8)} == {1.0}
    server.is_well()


def test_requests_meet_loads_and_unloads_and_each_is_answered(server: Server) -> None:
    """R09, F23: by the model, or by a clean refusal."""
    stop = threading.Event()

    def ask(_: int) -> Counter[int]:
        connection = server.connection()
        statuses: Counter[int] = Counter()
        while not stop.is_set():
            status, content = server.on(connection, "/v2/models/m/infer", INPUT)
            assert content["outputs"][0]["data"] == [1.0] * 3 if status == 200 else content["error"]
            statuses[status] += 1
        connection.close()
        return statuses

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, number) for number in range(4)]
        try:
            for _ in range(50):
                assert server.post(UNLOAD) == (200, None)
                assert server.post(LOAD) == (200, None)
        finally:
            stop.set()
        statuses = sum((each.result(DEADLINE_S) for each in asking), Counter())

    assert statuses[200] > 0
    assert set(statuses) <= {200, 404, 503}
    server.is_well()


def test_requests_during_a_reload_are_answered_by_the_old_version_or_the_new(server: Server) -> None:
    """R09: and never refused. The file is replaced by rename, so that it is whole at every moment."""
    put(server.repository, "swap", "1", plain(0.0))
    eventually(lambda: server.post("/v2/models/swap/infer", INPUT)[0] == 200)
    stop = threading.Event()

    def ask(_: int) -> set[float]:
        seen = set()
        while not stop.is_set():
            seen.add(server.value("swap"))
        return seen

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, number) for number in range(4)]
        try:
            for number in range(1, 6):
                new = server.repository / ".new"
                new.write_bytes(plain(float(number)))
                new.rename(server.repository / "swap" / "1" / "model.onnx")
                assert server.post("/v2/repository/models/swap/load") == (200, None)
                assert {server.value("swap") for _ in range(4)} == {float(number)}
        finally:
            stop.set()
        seen = set().union(*(each.result(DEADLINE_S) for each in asking))

    assert seen <= {float(number) for number in range(6)}
    assert len(seen) > 1
    server.is_well()
