"""Start a server on this machine, wait until it answers, check that the answer is right, stop it."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loadtests.local.http import Request
from loadtests.local.processes import end

ROOT = Path(__file__).parent.parent.parent
START_S = 120
"""A cluster of Ray takes 15 s to start on a quiet machine."""
LOOK_S = 0.005
"""Between two tries to reach a server that starts: how exact a cold start's time is."""
ANSWER_S = 30

TOLERANCE = 1e-5
"""Between a server's numbers and ONNX Runtime's own: room for another order of float32 sums in a merged batch."""

Read = Callable[[Mapping[str, str], bytes], Mapping[str, NDArray[np.generic]]]
"""Tensors of an answer by name, from its headers and its body."""


class ServerFailed(Exception):
    """It did not start, or what it answers is wrong."""


@dataclass(frozen=True, slots=True)
class Command:
    """How a server is started; `environment` is added to ours."""

    argv: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Server:
    """One that runs."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path

    def ask(self, request: Request, method: str = "POST") -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers by their names in lower case, body.

        Raises:
            OSError: it cannot be reached, or breaks off.
        """
        with closing(http.client.HTTPConnection(self.address, timeout=ANSWER_S)) as connection:
            try:
                connection.request(method, request.path, request.body, dict(request.headers))
                answer = connection.getresponse()
                return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
            except http.client.HTTPException as error:
                raise OSError(f"no answer in HTTP: {error!r}") from error

    def version(self) -> str:
        """As a server of the Open Inference Protocol V2 says it of itself."""
        _, _, body = self.ask(Request("/v2", {}, b""), "GET")
        return str(json.loads(body)["version"])

    def wait_until(self, request: Request, method: str = "POST") -> None:
        """Until it answers the request with 200.

        Raises:
            ServerFailed: it ended, or did not do so in time.
        """
        deadline, said = time.monotonic() + START_S, "nothing"
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                status, _, body = self.ask(request, method)
                if status == 200:
                    return
                said = f"{status} {body[:200]!r}"
            time.sleep(LOOK_S)
        state = "it runs" if self.process.poll() is None else f"it ended with {self.process.returncode}"
        raise ServerFailed(f"no answer: {state}, said {said}; its log ends:\n{self.log.read_text()[-1500:]}")

    def check(self, request: Request, read: Read, expected: Mapping[str, NDArray[np.generic]]) -> None:
        """Ask once.

        Raises:
            ServerFailed: the answer is not what ONNX Runtime computes, within the tolerance.
        """
        status, headers, body = self.ask(request)
        if status != 200:
            raise ServerFailed(f"{request.path}: {status} {body[:500]!r}")
        got = read(headers, body)
        if got.keys() != expected.keys():
            raise ServerFailed(f"{request.path}: outputs {sorted(got)}, expected {sorted(expected)}")
        for name, array in expected.items():
            if got[name].shape != array.shape or not np.allclose(got[name], array, rtol=TOLERANCE, atol=TOLERANCE):
                raise ServerFailed(f"{request.path}: output {name!r} is wrong")


@contextmanager
def running(command: Command, port: int, log: Path) -> Iterator[Server]:
    """Start it, and end it with all of its processes."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ACTSERVE_")}
    environment |= {"PYTHONPATH": str(ROOT)} | dict(command.environment)
    with (
        log.open("wb") as messages,
        subprocess.Popen(
            command.argv, cwd=ROOT, env=environment, stdout=messages, stderr=messages, start_new_session=True
        ) as process,
    ):
        try:
            yield Server(process, f"127.0.0.1:{port}", log)
        finally:
            end(process)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
