"""A server of several processes answers as one: the same whichever is asked, also after one was killed."""

import contextlib
import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from service.server.serve import HEALTHCHECK_S
from tests.engine.making import plain, put
from tests.serving import DEADLINE_S, eventually, serving, worker_processes

WORKERS = 3
KEY = "the-admin-key"


class Clients:
    """Connections that stay open, so many that each worker has one, whose process it is known by."""

    def __init__(self, address: str, count: int = WORKERS) -> None:
        host, port = urlsplit(address).hostname or "", urlsplit(address).port
        self._connections = [http.client.HTTPConnection(host, port, timeout=DEADLINE_S) for _ in range(count)]

    def each(self, method: str, path: str, body: object = None) -> list[tuple[int, Any]]:
        """The same request to each."""
        return [self.one(index, method, path, body) for index in range(len(self._connections))]

    def one(self, index: int, method: str, path: str, body: object = None) -> tuple[int, Any]:
        connection = self._connections[index]
        headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        with connection.getresponse() as response:
            content = response.read()
            return response.status, json.loads(content) if content else None

    def text(self, index: int, path: str) -> str:
        """GET what is no JSON."""
        self._connections[index].request("GET", path)
        with self._connections[index].getresponse() as response:
            assert response.status == 200
            return response.read().decode()

    def begin(self, index: int, path: str) -> None:
        """Send a request's head, and no body."""
        self._connections[index].putrequest("POST", path)
        self._connections[index].putheader("Content-Length", "10")
        self._connections[index].endheaders()

    def port(self, index: int) -> int:
        """Of this end of a connection."""
        port: int = self._connections[index].sock.getsockname()[1]
        return port

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


def metrics(clients: Clients, index: int) -> dict[str, float]:
    """Samples by name and labels, as one worker tells them."""
    lines = clients.text(index, "/metrics").splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def remote_ports(pid: int, address: str) -> list[int]:
    """The other ends of the TCP connections to the server that the process has open."""
    port = urlsplit(address).port or 0
    remote = {
        fields[9]: int(fields[2].rpartition(":")[2], 16)
        for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
        if (fields := line.split())[1].endswith(f":{port:04X}") and fields[3] == "01"
    }
    targets = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            targets.append(str(link.readlink()))
    return [port for inode, port in remote.items() if f"socket:[{inode}]" in targets]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    put(folder, "m", "1", plain(1.0))
    return folder


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """The process id of the first process, and the address, once all workers answer."""
    log = tmp_path_factory.mktemp("log") / "log"
    with serving(
        log, repository=str(repository), workers=str(WORKERS), admin_key=KEY, reload_interval_seconds="0.2"
    ) as (process, address):
        eventually(lambda: log.read_text().count("models are served") == WORKERS)
        yield process.pid, address


@pytest.fixture
def clients(server: tuple[int, str]) -> Iterator[Clients]:
    """One connection to each worker."""
    with one_to_each(*server) as made:
        yield made


@contextmanager
def one_to_each(pid: int, address: str) -> Iterator[Clients]:
    """Tried until it is so: on a busy machine a worker may be too slow to take its connection."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        with contextlib.closing(Clients(address)) as made:
            made.each("GET", "/v2/health/live")
            if held(pid, address) == [1] * WORKERS:
                yield made
                return
        assert time.monotonic() < deadline
        eventually(lambda: not any(held(pid, address)))


def held(pid: int, address: str) -> list[int]:
    """How many connections each worker has."""
    return [len(remote_ports(child, address)) for child in worker_processes(pid)]


INPUT = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}


def count(answer: tuple[int, Any]) -> int:
    status, content = answer
    assert status == 200
    number: int = content["model_stats"][0]["inference_count"]
    return number


def test_connections_are_spread_evenly(server: tuple[int, str]) -> None:
    pid, address = server
    with contextlib.closing(Clients(address, 8 * WORKERS)) as crowd:
        crowd.each("GET", "/v2/health/live")
        shares = held(pid, address)
    eventually(lambda: not any(held(pid, address)))

    assert sum(shares) == 8 * WORKERS
    assert max(shares) - min(shares) <= 4


@pytest.mark.parametrize("name", ["m", "relu"])
def test_all_count_together(clients: Clients, name: str) -> None:
    before = count(clients.one(0, "GET", f"/v2/models/{name}/stats"))
    assert [status for status, _ in clients.each("POST", f"/v2/models/{name}/infer", INPUT)] == [200] * WORKERS
    answers = clients.each("GET", f"/v2/models/{name}/stats")

    assert [count(answer) for answer in answers] == [before + WORKERS] * WORKERS
    assert answers[1:] == answers[:-1]


def test_all_tell_the_same_metrics(clients: Clients) -> None:
    """But for the requests for the metrics themselves, and what changes from moment to moment."""
    clients.each("POST", "/v2/models/m/infer", INPUT)
    told = [metrics(clients, index) for index in range(WORKERS)]
    counted = [{k: v for k, v in of.items() if k.startswith(("nv_", "actserve_model", "actserve_inf"))} for of in told]

    assert counted[1:] == counted[:-1]
    assert {of["actserve_workers_wanted"] for of in told} == {WORKERS}
    asked = 'actserve_requests_total{route="/metrics",status="200"}'
    first = told[0].get(asked, 0)
    assert [of.get(asked, 0) - first for of in told] == [0, 1, 2]
    for index in range(WORKERS):  # on a busy machine one may be late, and is left out that time
        eventually(lambda index=index: metrics(clients, index)["actserve_workers"] == WORKERS)  # type: ignore[misc]


def test_what_a_killed_worker_was_doing_goes_with_it(clients: Clients, server: tuple[int, str]) -> None:
    """A request whose body does not come is in flight until its worker is killed; what was counted stays, and rises."""
    pid, address = server
    before = metrics(clients, 0)
    clients.begin(1, "/v2/models/m/infer")
    eventually(lambda: metrics(clients, 0)["actserve_requests_in_flight"] == 2)  # this one too
    victim = next(child for child in worker_processes(pid) if clients.port(1) in remote_ports(child, address))
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: metrics(clients, 0)["actserve_requests_in_flight"] == 1)
    eventually(lambda: metrics(clients, 0)["actserve_workers"] == WORKERS)

    after, key = metrics(clients, 0), 'nv_inference_request_success{model="m",version="1"}'
    assert after[key] == before[key]
    assert after["actserve_workers_replaced_total"] == before["actserve_workers_replaced_total"] + 1
    assert after["process_cpu_seconds_total"] >= before["process_cpu_seconds_total"]


def test_a_worker_that_is_killed_while_it_is_asked_whether_it_lives_is_replaced_at_once(
    clients: Clients, server: tuple[int, str]
) -> None:
    """The first process waits a minute for its answer, but not for that of one that has ended."""
    pid, address = server
    victim = next(child for child in worker_processes(pid) if clients.port(1) in remote_ports(child, address))
    os.kill(victim, signal.SIGSTOP)
    eventually(lambda: metrics(clients, 0)["actserve_workers"] == WORKERS - 1)  # after a second: it is asked by now
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: metrics(clients, 0)["actserve_workers"] == WORKERS, HEALTHCHECK_S / 2)


def test_all_load_and_unload_and_count_anew(clients: Clients) -> None:
    clients.one(0, "POST", "/v2/models/m/infer", INPUT)
    assert clients.one(0, "POST", "/v2/repository/models/m/unload") == (200, None)
    assert [status for status, _ in clients.each("POST", "/v2/models/m/infer", INPUT)] == [404] * WORKERS
    for _, index in clients.each("POST", "/v2/repository/index", {}):
        assert index[-1] == {"name": "m", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}

    assert clients.one(1, "POST", "/v2/repository/models/m/load") == (200, None)
    assert [count(answer) for answer in clients.each("GET", "/v2/models/m/stats")] == [0] * WORKERS
    assert [status for status, _ in clients.each("POST", "/v2/models/m/infer", INPUT)] == [200] * WORKERS


def test_all_take_on_what_is_new_in_the_repository(clients: Clients, repository: Path) -> None:
    put(repository, "new", "1", plain(2.0))
    eventually(lambda: {status for status, _ in clients.each("GET", "/v2/models/new/ready")} == {200})
    assert [a[1]["outputs"][0]["data"] for a in clients.each("POST", "/v2/models/new/infer", INPUT)] == [
        [3.0, 4.0, 5.0]
    ] * WORKERS
    (repository / "new").rename(repository / ".gone")
    eventually(lambda: {status for status, _ in clients.each("GET", "/v2/models/new/ready")} == {404})


def test_a_load_that_fails_is_told_once(clients: Clients, repository: Path) -> None:
    put(repository, "broken", "1", b"nonsense")
    status, content = clients.one(0, "POST", "/v2/repository/models/broken/load")
    (repository / "broken").rename(repository / ".broken")

    assert status == 500
    assert content["error"].count("version 1") == 1


def test_all_have_the_same_trace_and_logging_settings(clients: Clients) -> None:
    clients.one(0, "POST", "/v2/trace/setting", {"trace_rate": "7"})
    clients.one(1, "POST", "/v2/models/m/trace/setting", {"trace_rate": "9"})
    clients.one(2, "POST", "/v2/logging", {"log_verbose_level": 3})

    assert [a["trace_rate"] for _, a in clients.each("GET", "/v2/trace/setting")] == ["7"] * WORKERS
    assert [a["trace_rate"] for _, a in clients.each("GET", "/v2/models/m/trace/setting")] == ["9"] * WORKERS
    assert [a["log_verbose_level"] for _, a in clients.each("GET", "/v2/logging")] == [3] * WORKERS


def test_a_killed_worker_is_replaced_and_its_successor_knows_all(clients: Clients, server: tuple[int, str]) -> None:
    """What is unloaded stays so, settings stay, and what the killed one counted stays counted."""
    pid, address = server
    clients.one(0, "POST", "/v2/logging", {"log_verbose_level": 4})
    clients.each("POST", "/v2/models/m/infer", INPUT)
    before = count(clients.one(0, "GET", "/v2/models/m/stats"))
    victim = min(worker_processes(pid))
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: len(worker_processes(pid) - {victim}) == WORKERS)
    clients.close()

    with one_to_each(pid, address) as fresh:
        assert [count(answer) for answer in fresh.each("GET", "/v2/models/m/stats")] == [before] * WORKERS
        assert [a["log_verbose_level"] for _, a in fresh.each("GET", "/v2/logging")] == [4] * WORKERS


def test_the_shared_folder_goes_with_the_server(repository: Path) -> None:
    with serving(repository=str(repository), workers="2") as (process, _):
        environment = Path(f"/proc/{min(worker_processes(process.pid))}/environ").read_text().split("\0")
        folder = Path(next(line for line in environment if line.startswith("ACTSERVE__FOLDER=")).partition("=")[2])
        assert folder.is_dir()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE_S)
        assert not folder.exists()
