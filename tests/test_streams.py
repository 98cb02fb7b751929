"""What the service says goes to its standard streams, from all workers; whoever does not read them holds nothing up."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.engine.making import plain, put
from tests.serving import DEADLINE_S, ROOT, eventually, serving, worker_processes

RUN = 'exec "$0" "$@"'
BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}).encode()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    put(tmp_path / "repository", "m", "1", plain(1.0))
    return tmp_path / "repository"


def infer(address: str, name: str) -> str | None:
    """Ask the model under a request id, and return the one that the answer has."""
    request = urllib.request.Request(f"{address}/v2/models/m/infer", BODY, {"X-Request-ID": name})
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
        assert response.status == 200
        echoed: str | None = response.headers["x-request-id"]
        return echoed


def dropped(address: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{address}/metrics", timeout=DEADLINE_S) as response:
        families = text_string_to_metric_families(response.read().decode())
    samples = [sample for family in families for sample in family.samples]
    return {s.labels["log"]: s.value for s in samples if s.name == "actserve_log_lines_dropped_total"}


def stop(process: "subprocess.Popen[str]") -> float:
    """Seconds until it has ended."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(DEADLINE_S)
    return time.monotonic() - began


@pytest.mark.parametrize("workers", ["1", "3"])
def test_each_request_is_a_line_also_the_last_ones(tmp_path: Path, repository: Path, workers: str) -> None:
    out = tmp_path / "out"
    shell = ("sh", "-c", f"{RUN} >{out}")
    with serving(tmp_path / "log", before=shell, repository=str(repository), workers=workers) as (process, address):
        names = [f"request-{number}" for number in range(60)]
        assert [infer(address, name) for name in names] == names
        assert dropped(address) == {"messages": 0, "requests": 0}
        stop(process)

    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(line["id"] for line in lines) == sorted(names)  # and no line for the metrics and the health
    assert {(line["route"], line["status"], line["model"], line["rows"]) for line in lines} == {
        ("/v2/models/{name}/infer", 200, "m", 1)
    }


def test_streams_that_nobody_reads_hold_nothing_up(tmp_path: Path, repository: Path) -> None:
    """Both lead to a pipe that is full from the start; a killed worker is replaced, and the end comes when told to."""
    full = f"head -c 65536 /dev/zero >&2; {RUN} >&2"
    with serving(before=("sh", "-c", full), repository=str(repository), workers="2") as (process, address):
        assert process.stderr is not None
        assert [infer(address, "a") for _ in range(50)] == ["a"] * 50
        assert dropped(address)["messages"] > 0

        first = worker_processes(process.pid)
        os.kill(min(first), signal.SIGKILL)
        eventually(lambda: len(worker_processes(process.pid) - first) == 1)
        assert infer(address, "b") == "b"
        assert stop(process) < DEADLINE_S / 2
        assert set(process.stderr.read()) == {"\0"}


def test_without_standard_streams_clients_get_answers_and_nothing_else(repository: Path) -> None:
    with serving(before=("sh", "-c", f"{RUN} <&- >&- 2>&-"), repository=str(repository), workers="2") as (_, address):
        assert [infer(address, "a") for _ in range(20)] == ["a"] * 20


OCCUPY = """
import os, sys
from service.__main__ import _occupy_standard_streams
os.close(0), os.close(2)
_occupy_standard_streams()
null = os.stat(os.devnull)
same = [os.path.samestat(os.fstat(number), null) and os.get_inheritable(number) for number in range(3)]
sys.exit(0 if same[0] and same[2] and not same[1] else 1)
"""


def test_what_is_closed_is_opened_and_what_is_open_stays() -> None:
    """Which a library that is imported before may have done; SQLite does."""
    ended = subprocess.run([sys.executable, "-c", OCCUPY], cwd=ROOT, stdout=subprocess.PIPE, timeout=DEADLINE_S)
    assert ended.returncode == 0
