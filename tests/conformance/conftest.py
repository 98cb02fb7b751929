"""One running service for the suite, with an admin key, and unmodified clients of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import tritonclient.http as triton

from tests.conformance import models
from tests.serving import serving

ADMIN_KEY = "conformance-key"


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    models.write(folder)
    return folder


@pytest.fixture(scope="session")
def address(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port, as tritonclient takes it."""
    log = tmp_path_factory.mktemp("log") / "server.log"
    with serving(log, repository=str(repository), admin_key=ADMIN_KEY, model_upload="true") as (_, url):
        yield url.removeprefix("http://")


@pytest.fixture(scope="session")
def triton_client(address: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address, concurrency=2) as client:
        yield client


@pytest.fixture
def admin() -> dict[str, str]:
    """Headers of somebody who may change the running service."""
    return {"Authorization": f"Bearer {ADMIN_KEY}"}
