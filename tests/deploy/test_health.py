"""The image's health check reaches the service by its own settings, and says why it is not well."""

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from deploy.image import health
from tests.serving import DEADLINE_S, ROOT, environment, free_port


class Service(BaseHTTPRequestHandler):
    """Live, and not ready."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/v2/health/live" else 503)
        self.end_headers()
        self.wfile.write(b'{"error": "a model is being loaded"}')

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        Thread(target=server.serve_forever).start()
        yield server
        server.shutdown()


@pytest.fixture
def settings(server: ThreadingHTTPServer) -> dict[str, str]:
    return {"ACTSERVE_HOST": "0.0.0.0", "ACTSERVE_PORT": str(server.server_port)}


def test_a_service_that_is_live_and_not_ready_is_well(settings: dict[str, str]) -> None:
    """An engine may end what is not: that must not happen to one that loads a model."""
    assert health.fault(settings) is None
    assert health.fault(settings, health.READY) == (
        '/v2/health/ready is 503: b\'{"error": "a model is being loaded"}\''
    )


def test_one_that_speaks_tls_is_asked_so(
    server: ThreadingHTTPServer, settings: dict[str, str], certificate: Path
) -> None:
    trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trust.load_cert_chain(certificate, certificate.parent / "key.pem")
    server.socket = trust.wrap_socket(server.socket, server_side=True)

    assert health.fault(settings | {"ACTSERVE_TLS_CERTIFICATE_FILE": str(certificate)}) is None


def test_one_that_is_not_there_is_not_well() -> None:
    port = free_port()
    fault = health.fault({"ACTSERVE_PORT": str(port)})

    assert fault is not None
    assert fault.startswith(f"127.0.0.1:{port} does not answer: ConnectionRefusedError")


@pytest.mark.parametrize(
    ("host", "reached"),
    [("0.0.0.0", "127.0.0.1"), ("", "127.0.0.1"), ("::", "::1"), ("10.1.2.3", "10.1.2.3"), ("localhost", "localhost")],
)
def test_it_asks_where_the_service_listens(host: str, reached: str) -> None:
    assert health.address({"ACTSERVE_HOST": host, "ACTSERVE_PORT": "9000"}) == (reached, 9000)
    assert health.address({"ACTSERVE_HOST": host, "ACTSERVE_PORT": ""}) == (reached, 8000)


def test_as_a_command_it_tells_by_its_exit_code(settings: dict[str, str]) -> None:
    """It has nothing but the standard library, and no proxy is between it and the service."""
    command = [sys.executable, "-I", "-S", str(ROOT / health.__file__)]
    proxy = {"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
    fine, gone = (
        subprocess.run(command, env=os.environ | proxy | each, capture_output=True, text=True, timeout=DEADLINE_S)
        for each in (settings, environment({"port": str(free_port())}))
    )

    assert (fine.returncode, fine.stderr) == (0, "")
    assert gone.returncode == 1
    assert "does not answer" in gone.stderr
