"""Fixtures that several files share: the application in this process, with the packaged models, on the CPU."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.claiming import CLAIMS, write

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "service" / "web" / "samples"


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    evidence = write(tmp_path_factory.mktemp("evidence"), *CLAIMS)
    limits = {
        "max_body_bytes": 8 * 2**20,
        "max_decompressed_bytes": 8 * 2**20,
        "max_tensor_elements": 2**20,
        "max_images": 4,
        "max_stall_seconds": 3600,  # its watchdog would end the tests too, whatever else they hold up
    }
    return Settings(device="cpu", threads=1, evidence=evidence, request_log=False, **limits)


@pytest.fixture(scope="session")
def client(settings: Settings) -> Iterator[TestClient]:
    """A client of the running application; an exception in a route is an answer of 500 here, as for users."""
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def horse() -> bytes:
    """A JPEG of a horse, 32×32, which every CNN gets right."""
    return (SAMPLES / "horse.jpg").read_bytes()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for this machine, with its key beside it."""
    folder = tmp_path_factory.mktemp("tls")
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "certificate.pem"
