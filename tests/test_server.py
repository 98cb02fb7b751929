"""`python -m service` as a process: it answers, stops when told to, and says in one line why it does not start."""

import json
import os
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path
from shutil import which

import pytest

from service.engine.processors import available
from service.engine.runtime.device import why_not_cuda
from tests.claiming import claim, write
from tests.serving import DEADLINE_S, ROOT, command, environment, get, serving, worker_processes


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One network only, to start quickly."""
    (tmp_path / "cnn-relu").symlink_to(ROOT / "models" / "repository" / "cnn-relu")
    return tmp_path


def apply_relu(address: str) -> object:
    request = urllib.request.Request(
        f"{address}/v1/activations/relu", b'{"data": [-1, 2]}', {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
        return json.load(response)["data"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_server_answers_and_stops_when_told_to(repository: Path, workers: str) -> None:
    with serving(repository=str(repository), workers=workers) as (process, address):
        assert [apply_relu(address) for _ in range(4)] == [[0.0, 2.0]] * 4
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=DEADLINE_S)
        # uvicorn ends by the signal itself where it serves alone, and with 0 where it watches over workers.
        assert process.returncode == (-signal.SIGTERM if workers == "1" else 0)
        assert "Traceback" not in errors


AS_FIRST = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child"]
"""A process in a list of its own, as in a container: no signal ends it that it has no handler for."""


def can_be_first() -> bool:
    return subprocess.run([*AS_FIRST, "true"], capture_output=True).returncode == 0 if which("unshare") else False


@pytest.mark.skipif(not can_be_first(), reason="needs unshare with user and process namespaces")
def test_the_first_process_of_a_container_ends_when_told_to_while_it_starts(tmp_path: Path) -> None:
    """Else a container that is stopped then is killed when its time is over."""
    (tmp_path / "pydantic.py").write_text("import signal\nprint('importing', flush=True)\nsignal.pause()\n")
    variables = environment({}) | {"PYTHONPATH": str(tmp_path)}
    with subprocess.Popen([*AS_FIRST, *command()], cwd=ROOT, env=variables, stdout=subprocess.PIPE) as outer:
        assert outer.stdout is not None
        assert outer.stdout.readline() == b"importing\n"
        (first,) = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        os.kill(int(first), signal.SIGTERM)
        try:
            assert outer.wait(DEADLINE_S) == 0
        finally:
            outer.kill()


def test_there_is_a_worker_for_each_processor(repository: Path) -> None:
    with serving(repository=str(repository)) as (process, _):
        assert len(worker_processes(process.pid)) == (available() if available() > 1 else 0)


def test_two_workers_are_two_processes(repository: Path) -> None:
    with serving(repository=str(repository), workers="2") as (process, address):
        assert apply_relu(address) == [0.0, 2.0]
        assert len(worker_processes(process.pid)) == 2


def refusal(**settings: str) -> tuple[int, list[str]]:
    """The exit code and the lines of a server that must not start."""
    ended = subprocess.run(
        command(), cwd=ROOT, env=environment(settings), capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert ended.stdout == ""
    return ended.returncode, ended.stderr.splitlines()


@pytest.mark.skipif(why_not_cuda() is None, reason="there is a GPU here")
def test_without_a_gpu_cuda_is_refused() -> None:
    assert refusal(device="cuda") == (1, [f"actserve: device cuda was asked for, but {why_not_cuda()}"])


NO_INTEGER = "input should be a valid integer, unable to parse string as an integer"


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        ({"port": "abc"}, [f"actserve: 'ACTSERVE_PORT': {NO_INTEGER}"]),
        ({"port": "70000"}, ["actserve: 'ACTSERVE_PORT': input should be less than or equal to 65535"]),
        (
            {"model_upload": "true"},
            ["actserve: 'ACTSERVE_MODEL_UPLOAD': needs an admin key (ACTSERVE_ADMIN_KEY)"],
        ),
        (
            {"model_upload": "true", "admin_key": "long enough", "load_probe_seconds": "0"},
            ["actserve: 'ACTSERVE_MODEL_UPLOAD': needs trials of new models (ACTSERVE_LOAD_PROBE_SECONDS above 0)"],
        ),
        ({"device": "tpu"}, ["actserve: 'ACTSERVE_DEVICE': input should be 'auto', 'cuda' or 'cpu'"]),
        (
            {"workers": "-1", "max_body_bytes": "x"},
            [
                "actserve: 'ACTSERVE_WORKERS': input should be greater than or equal to 0",
                f"actserve: 'ACTSERVE_MAX_BODY_BYTES': {NO_INTEGER}",
            ],
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused_one_line_each(settings: dict[str, str], lines: list[str]) -> None:
    assert refusal(**settings) == (2, lines)


def test_claims_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """Before any worker is started."""
    write(tmp_path, claim("a", verdict="perhaps"))
    expected = "claims.0.verdict: Input should be 'holds', 'holds in part' or 'does not hold here'"
    settings = {"device": "cpu", "workers": "2", "evidence": str(tmp_path)}
    assert refusal(**settings) == (1, [f"actserve: {tmp_path}/claims.json: {expected}"])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken_is_refused(repository: Path, workers: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, lines = refusal(device="cpu", repository=str(repository), port=port, workers=workers)
    assert code != 0
    assert sum("address already in use" in line.lower() for line in lines) == 1


def test_a_repository_that_is_not_there_leaves_the_activations_served(tmp_path: Path) -> None:
    with serving(repository=str(tmp_path / "nowhere")) as (_, address):
        assert get(f"{address}/v1/models") == {"models": []}
        assert apply_relu(address) == [0.0, 2.0]
