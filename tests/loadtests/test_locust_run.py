"""The load test itself, run for seconds against a real service.

Locust is in an environment of its own, `.venv-load`, for it replaces the sockets and threads of the process it is in;
one on the PATH does too. Without it these tests are skipped, and those of the requests, pacing and verdict remain.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from loadtests import bodies
from tests.serving import DEADLINE_S, ROOT, environment, free_port, serving

LOCUST = shutil.which("locust", path=os.pathsep.join([str(ROOT / ".venv-load" / "bin"), os.environ.get("PATH", "")]))
needs_locust = pytest.mark.skipif(LOCUST is None, reason="locust is not installed: make load")
BRIEFLY = ["--headless", "--only-summary", "-u", "11", "-r", "11", "-t", "5s", "--think", "0.05"]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("log") / "server.log") as (_, url):
        yield url


def run(url: str, folder: Path, *options: str, **limits: str) -> subprocess.CompletedProcess[str]:
    """Locust, with a report and figures in the folder."""
    port = str(free_port())
    where = ["--host", url, "--html", str(folder / "report.html"), "--json-file", str(folder / "figures")]
    alone = ["--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port]
    command = [str(LOCUST), "-f", "loadtests/locustfile.py", *BRIEFLY, *where, *alone, *options]
    settings = environment({f"load_{name}": value for name, value in limits.items()})
    return subprocess.run(
        command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


def totals(folder: Path) -> dict[str, tuple[int, int]]:
    """Requests and failures by kind."""
    found: dict[str, tuple[int, int]] = {}
    for row in json.loads((folder / "figures.json").read_text()):
        kind = row["name"].split(" ")[0]
        requests, failures = found.get(kind, (0, 0))
        found[kind] = (requests + row["num_requests"], failures + row["num_failures"])
    return found


@needs_locust
@pytest.mark.parametrize("options", [(), ("--rate", "10"), ("--processes", "2")], ids=" ".join)
def test_all_users_ask_and_no_answer_is_wrong(url: str, tmp_path: Path, options: tuple[str, ...]) -> None:
    done = run(url, tmp_path, *options, p95_ms="30000")
    found = totals(tmp_path)

    assert done.returncode == 0, done.stderr
    assert "PASS error share 0.00%" in done.stderr
    assert all(requests > 0 and failures == 0 for requests, failures in found.values())
    assert set(found) == expected_kinds(done.stderr)
    assert "<html" in (tmp_path / "report.html").read_text()


def expected_kinds(log: str) -> set[str]:
    """All but those of which the log says that the service has no routes for them."""
    return set(bodies.kinds()) - ({"compare"} if "CompareUser left out" in log else set())


@needs_locust
def test_a_climb_ends_with_its_point_of_saturation(url: str, tmp_path: Path) -> None:
    climb = ["--steps", "--step-users", "11", "--step-seconds", "6", "-u", "11", "-t", "50s"]
    done = run(url, tmp_path, *climb, p95_ms="30000")

    assert done.returncode == 0, done.stderr
    assert re.search(
        r"PASS saturation: [\d.]+ requests/s with 11 users, p95 \d+ ms; 11 users are the most", done.stderr
    )


@needs_locust
def test_a_missed_limit_is_exit_code_1_and_one_line(url: str, tmp_path: Path) -> None:
    done = run(url, tmp_path, p95_ms="0")

    assert done.returncode == 1
    missed = [line.partition(" FAIL ")[2] for line in done.stderr.splitlines() if " FAIL " in line]
    assert [line.split(" ")[0] for line in missed] == ["p95"]


@needs_locust
def test_a_limit_that_is_no_number_stops_the_start(tmp_path: Path) -> None:
    done = run("http://127.0.0.1:1", tmp_path, max_error_share="few")

    assert done.returncode == 1
    assert "ACTSERVE_LOAD_MAX_ERROR_SHARE is 'few', expected a number from 0 to 1" in done.stderr


class Lab(BaseHTTPRequestHandler):
    """Says that it has the compare routes, and answers nothing else."""

    protocol_version = "HTTP/1.1"
    document: Mapping[str, Any] = {
        "paths": {r: {"post": {}} for r in (bodies.COMPARE_ACTIVATIONS, bodies.COMPARE_MODELS)}
    }

    def do_GET(self) -> None:
        self._send(200 if self.path == "/openapi.json" else 404)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._send(404)

    def _send(self, status: int) -> None:
        content = json.dumps(self.document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@needs_locust
def test_users_whose_routes_are_there_take_part_and_their_failures_count(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Lab) as server:
        Thread(target=server.serve_forever).start()
        done = run(f"http://127.0.0.1:{server.server_port}", tmp_path, "CompareUser", p95_ms="30000")
        server.shutdown()
    found = totals(tmp_path)

    assert done.returncode == 1
    assert set(found) == {"compare"}
    assert found["compare"][0] == found["compare"][1] > 0
    assert "FAIL error share 100.00%" in done.stderr
    assert "status 404, expected 200" in (tmp_path / "report.html").read_text()
