"""Real servers for tests: `python -m service` as a process on a free port of this machine."""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
DEADLINE_S = 60
"""For a start or a stop: each takes about 2 s, on a busy machine many times that."""


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Ours without its own settings, and those given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ACTSERVE_")}
    return inherited | {f"ACTSERVE_{name.upper()}": value for name, value in settings.items()}


def uncounted() -> dict[str, str]:
    """Ours for a program that is not the project's own, and whose lines are not to count as covered or missed."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "COV_"))}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def command() -> list[str]:
    return [sys.executable, "-m", "service"]


@contextmanager
def serving(
    log: Path | None = None,
    *,
    trust: ssl.SSLContext | None = None,
    before: Sequence[str] = (),
    more: Mapping[str, str] | None = None,
    **settings: str,
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server that answers, and its address; ended afterwards if the test has not ended it.

    Args:
        log: where its messages go; a pipe if not given, which a server that says much would fill.
        trust: for one that speaks TLS.
        before: what starts it, as a shell may do that gives it other files than ours.
        more: further variables of its environment.
    """
    port = free_port()
    settings = {"device": "cpu", "threads": "1", "port": str(port), "lame_duck_seconds": "0"} | settings
    with (
        contextlib.nullcontext(subprocess.PIPE) if log is None else log.open("w") as errors,
        subprocess.Popen(
            [*before, *command()],
            cwd=ROOT,
            env=environment(settings) | dict(more or {}),
            stderr=errors,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            address = f"{'https' if trust else 'http'}://127.0.0.1:{port}"
            wait_until_it_answers(process, address, trust)
            yield process, address
        finally:
            end(process)


def end(process: subprocess.Popen[Any]) -> None:
    """Asked first, so that what it has covered is written down; killed with all of its workers if it does not end."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(DEADLINE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def wait_until_it_answers(process: subprocess.Popen[Any], address: str, trust: ssl.SSLContext | None = None) -> None:
    """Any server of the protocol."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/v2/health/ready", timeout=DEADLINE_S, context=trust).close()
        except urllib.error.URLError:
            time.sleep(0.05)  # between two looks; there is no event to wait for
        else:
            return
    pytest.fail(f"the server does not answer; exit code {process.poll()}")


def eventually(fact: Callable[[], bool], within_s: float = DEADLINE_S) -> None:
    """Wait until it is so; a test fails that waits too long."""
    deadline = time.monotonic() + within_s
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.02)  # between two looks at another process; there is no event to wait for


def worker_processes(pid: int) -> set[int]:
    """The workers of a server of several processes."""
    found = set()
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError):  # ended meanwhile
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.add(int(child))
    return found


def get(url: str) -> object:
    with urllib.request.urlopen(url, timeout=DEADLINE_S) as response:
        return json.load(response)
