"""The OpenAPI document is held against a running server: what it allows is answered as it says, and never by a fault.

Schemathesis makes requests of every operation from the document, ones that fit and ones that do not, the same in every
run. Its other checks do not fit here: it takes for an error that a request which fits the document is refused (a name
that no model has, a tensor of another shape), or that one is answered which does not (bodies are described by examples
more than by schemas).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.app import create_app
from service.settings import Settings
from tests.hostile import pictures
from tests.hostile.answering import HORSE, Server, running
from tests.hostile.cases import KEY
from tests.routes.sending import to_npy

EXAMPLES = 15
OWN = {("POST /v2/repository/models/{name}/load", 500), ("POST /v2/repository/models/{name}/load", 501),
       ("POST /v2/logging", 501), ("POST /v2/trace/setting", 501)}  # fmt: skip
"""The protocol's 500 for a load that failed, and 501 for what is left out of it."""
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
GENERATION = GenerationConfig(max_examples=EXAMPLES, deterministic=True, no_shrink=True)
CONFIG = schemathesis.Config(projects=ProjectsConfig(default=ProjectConfig(generation=GENERATION)))

PICTURES = st.one_of(st.sampled_from([HORSE, pictures.GOOD, HORSE[:500]]), st.binary(max_size=100))
for kind in ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif"):
    schemathesis.openapi.media_type(kind, PICTURES)
ARRAY = st.one_of(
    st.sampled_from([np.ones((1, 3, 32, 32), np.float32), np.zeros(3), np.array(1.0, np.float16)]).map(to_npy),
    st.binary(max_size=100),
)
schemathesis.openapi.media_type("application/x-npy", ARRAY)

schema = schemathesis.openapi.from_dict(create_app(Settings(device="cpu")).openapi(), config=CONFIG)


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("documented"), repository=str(repository), admin_key=KEY) as server:
        yield server


@schema.parametrize()
def test_an_operation_is_answered_as_documented(documented: Server, case: schemathesis.Case) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    response = case.call_and_validate(documented.address, headers=headers, checks=CHECKS)
    assert response.status_code < 500 or (case.operation.label, response.status_code) in OWN
    documented.check_log()
