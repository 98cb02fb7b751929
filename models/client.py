"""A running service, asked by HTTP; or one that is started for it and stopped afterwards."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx2

IN_FLIGHT = 4
"""Requests under way at once, each on a connection that is kept."""
TIMEOUT_S = 60.0
"""For one answer, and for a service to start or to stop."""

ROOT = Path(__file__).parent.parent


class Failure(Exception):
    """Why nothing could be measured, in words for whoever called."""


class Service:
    """The routes that are needed of a running service; each raises `Failure` if it does not answer as it should."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client

    def models(self) -> list[dict[str, Any]]:
        """What is served, each with its name."""
        found = self._ask("GET", "/v1/models").get("models")
        if not isinstance(found, list) or not all(isinstance(each, dict) and "name" in each for each in found):
            raise Failure(f"{self._client.base_url} is not this service: its /v1/models lists no models")
        return found

    def predict(self, name: str, files: Sequence[bytes]) -> list[dict[str, Any]]:
        """One prediction a picture, in order."""
        parts = [("file", (f"{i}", content)) for i, content in enumerate(files)]
        answer = self._ask("POST", f"/v1/models/{name}/predict", params={"top_k": 1}, files=parts)
        predictions = answer.get("predictions")
        if not isinstance(predictions, list) or len(predictions) != len(files):
            raise Failure(f"{name} did not answer with a prediction for each of {len(files)} pictures")
        return predictions

    def _ask(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        try:
            response = self._client.request(method, path, **content)
            answer = response.json()
        except httpx2.HTTPError as error:
            raise Failure(f"no answer from {self._client.base_url}: {error}") from error
        except ValueError as error:
            raise Failure(f"{self._client.base_url} is not this service: {path} answers without JSON") from error
        if not response.is_success or not isinstance(answer, dict):
            reason = answer.get("error") if isinstance(answer, dict) else answer
            raise Failure(f"{path} answers with {response.status_code}: {reason}")
        return answer


@contextmanager
def running(variables: Mapping[str, str] | None = None) -> Iterator[str]:
    """Start a service on a free port of this machine; stop it afterwards.

    Args:
        variables: of its environment, besides ours.

    Raises:
        Failure: it does not start.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | (variables or {})
    settings = {"ACTSERVE_HOST": "127.0.0.1", "ACTSERVE_PORT": str(port), "ACTSERVE_LOG_LEVEL": "warning"}
    command = [sys.executable, "-m", "service"]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, cwd=ROOT, env=environment | settings, stdout=log, stderr=log) as process,
    ):
        try:
            _wait(process, f"{url}/v2/health/ready", log)
            yield url
        finally:
            _stop(process)


def _wait(process: "subprocess.Popen[bytes]", url: str, log: IO[str]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx2.HTTPError):
            if httpx2.get(url, trust_env=False).is_success:
                return
        time.sleep(0.05)
    log.seek(0)
    raise Failure(f"the service does not start: {log.read()[-2000:].strip() or 'it says nothing'}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()


@contextmanager
def connected(url: str) -> Iterator[Service]:
    """A service by its address, with as many connections as there are requests at once.

    Raises:
        Failure: that is no address.
    """
    limits = httpx2.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    try:  # a proxy is not for one's own machine
        client = httpx2.Client(base_url=url, limits=limits, timeout=TIMEOUT_S, trust_env="//127.0.0.1" not in url)
    except httpx2.InvalidURL as error:
        raise Failure(f"{url} is no address: {error}") from error
    with client:
        yield Service(client)
