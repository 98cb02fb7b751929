"""The answers of the service, and of a real Triton where one is installed (`make triton`)."""

from collections.abc import Iterator, Mapping

import pytest

from tests.conformance import models
from tests.serving import serving
from tests.triton.cases import ADMIN_KEY
from tests.triton.server import MAX_BATCH_SIZE, PORTS, Answer, ask_all, real_triton, site_packages


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Answer]]:
    """What the service answers to every case, with the same models as Triton."""
    repository = tmp_path_factory.mktemp("repository")
    models.write(repository)
    for name in PORTS:
        (repository / name / "model.toml").write_text(f"max_batch_size = {MAX_BATCH_SIZE}\n")
    log = tmp_path_factory.mktemp("log") / "server.log"
    with serving(log, repository=str(repository), admin_key=ADMIN_KEY) as (_, url):
        yield ask_all(url.removeprefix("http://"))


@pytest.fixture(scope="session")
def tritons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Answer]]:
    """What the installed Triton answers now."""
    if site_packages() is None:
        pytest.skip("Triton is not installed: make triton")
    with real_triton(tmp_path_factory.mktemp("triton")) as address:
        yield ask_all(address)
