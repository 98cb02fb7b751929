"""The server's process: TLS, signals, its end whatever clients do."""

import contextlib
import json
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from service.server.serve import InvalidCertificate, check_tls
from service.settings import Settings
from tests.serving import DEADLINE_S, eventually, get, serving, worker_processes
from tests.test_server import refusal

BOTH = pytest.mark.parametrize("workers", ["1", "2"])


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    (tmp_path / "repository").mkdir()
    return tmp_path / "repository"


def port_of(address: str) -> int:
    return urlsplit(address).port or 0


BEGUN = b"POST /v1/activations/relu HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
"""A request without its body."""


@contextmanager
def open_request(address: str, sent: bytes = BEGUN) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port_of(address)), timeout=DEADLINE_S) as connection:
        connection.sendall(sent)
        yield connection


def all_begun(log: Path, workers: str) -> None:
    """Wait for the last of the workers: one that is still starting has nothing to end."""
    eventually(lambda: log.read_text().count("Application startup complete") == int(workers))


def in_flight(address: str) -> float:
    with urllib.request.urlopen(f"{address}/metrics", timeout=DEADLINE_S) as response:
        lines = response.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("actserve_requests_in_flight "))


@BOTH
def test_with_a_certificate_the_port_speaks_tls(empty: Path, certificate: Path, workers: str) -> None:
    key = certificate.parent / "key.pem"
    settings = {"tls_certificate_file": str(certificate), "tls_key_file": str(key)}
    trusted = ssl.create_default_context(cafile=certificate)
    with serving(empty.parent / "log", trust=trusted, repository=str(empty), workers=workers, **settings) as (
        _,
        address,
    ):
        assert address.startswith("https://")
        request = urllib.request.Request(
            f"{address}/v1/activations/relu", b'{"data": [-1, 2]}', {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=DEADLINE_S, context=trusted) as response:
            assert json.load(response)["data"] == [0.0, 2.0]
        with socket.create_connection(("127.0.0.1", port_of(address)), timeout=DEADLINE_S) as plain:
            plain.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"200 OK" not in plain.recv(1000)
    assert "Traceback" not in (empty.parent / "log").read_text()


def test_a_certificate_that_does_not_fit_stops_the_start(tmp_path: Path, certificate: Path) -> None:
    key = certificate.parent / "key.pem"
    check_tls(Settings())
    check_tls(Settings(tls_certificate_file=certificate, tls_key_file=key))
    for settings, text in (
        ({"tls_key_file": key}, "without ACTSERVE_TLS_CERTIFICATE_FILE"),
        ({"tls_certificate_file": certificate}, "cannot be used"),
        ({"tls_certificate_file": tmp_path / "none", "tls_key_file": key}, "No such file"),
    ):
        with pytest.raises(InvalidCertificate, match=text):
            check_tls(Settings(**settings))
    code, lines = refusal(device="cpu", tls_key_file=str(key))
    assert (code, lines) == (1, ["actserve: ACTSERVE_TLS_KEY_FILE is set without ACTSERVE_TLS_CERTIFICATE_FILE"])


def test_keys_that_do_not_fit_stop_the_start() -> None:
    assert refusal(device="cpu", api_keys="short") == (1, ["actserve: an API key is shorter than 12 characters"])


@BOTH
def test_what_is_being_answered_when_the_end_comes_is_answered(empty: Path, workers: str) -> None:
    """Also what comes on open and new connections while the lame duck swims; readiness says that it ends."""
    log = empty.parent / "log"
    with serving(log, repository=str(empty), workers=workers, lame_duck_seconds="2") as (process, address):
        with open_request(address) as begun, open_request(address, b"") as idle:
            all_begun(log, workers)
            eventually(lambda: in_flight(address) == 2)
            process.send_signal(signal.SIGTERM)
            eventually(lambda: log.read_text().count("stopping: everything is answered") == int(workers))
            with pytest.raises(urllib.error.HTTPError) as caught:
                get(f"{address}/v2/health/ready")
            with caught.value:
                assert caught.value.code == 503
            assert get(f"{address}/v2/health/live") == {"live": True}
            begun.sendall(b'{"data":1')
            assert b"400 Bad Request" in begun.recv(1000)
            idle.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = b"".join(iter(lambda: idle.recv(1000), b""))
            assert answer.startswith(b"HTTP/1.1 200 OK")
            assert b"connection: close" in answer
            assert b"x-content-type-options: nosniff" in answer
        process.wait(DEADLINE_S)
    assert "Traceback" not in log.read_text()


@contextmanager
def held_on_to(empty: Path, workers: str, **settings: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A server, all of whose workers have begun, with a client that has sent half a request; and its log."""
    log = empty.parent / "log"
    with (
        serving(log, repository=str(empty), workers=workers, **settings) as (process, address),
        open_request(address),
    ):
        all_begun(log, workers)
        eventually(lambda: in_flight(address) == 2)
        yield process, log


@BOTH
def test_a_client_that_sends_no_more_does_not_hold_up_the_end(empty: Path, workers: str) -> None:
    with held_on_to(empty, workers, stop_timeout_seconds="1") as (process, _):
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        process.wait(DEADLINE_S)
        assert time.monotonic() - started < 15


@BOTH
def test_a_second_signal_ends_it_at_once(empty: Path, workers: str) -> None:
    with held_on_to(empty, workers, lame_duck_seconds="600") as (process, log):
        process.send_signal(signal.SIGTERM)
        eventually(lambda: log.read_text().count("stopping: everything is answered") == int(workers))
        deadline = time.monotonic() + DEADLINE_S
        while process.poll() is None and time.monotonic() < deadline:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.5)
        assert process.poll() is not None


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({"host": "0.0.0.0"}, True),
        ({"host": "0.0.0.0", "api_keys": "a-key-of-some-length"}, False),
        ({"host": "localhost"}, False),
    ],
)
def test_who_serves_a_network_without_keys_is_warned(empty: Path, settings: dict[str, str], warned: bool) -> None:
    log = empty.parent / "log"
    with serving(log, repository=str(empty), workers="1", **settings):
        pass
    assert ("everybody who reaches" in log.read_text()) is warned


def test_workers_end_with_the_first_process(empty: Path) -> None:
    """Also if that is killed, and can tell them nothing."""
    log = empty.parent / "log"
    with serving(log, repository=str(empty), workers="2") as (process, _):
        all_begun(log, "2")
        workers = worker_processes(process.pid)
        assert len(workers) == 2
        process.kill()
        eventually(lambda: not any(is_running(pid) for pid in workers))
    assert log.read_text().count("Application shutdown complete") == 2


def is_running(pid: int) -> bool:
    """Not one that has ended and whose end nobody has asked for."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
