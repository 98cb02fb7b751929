"""Names that lead elsewhere, in every place where a client names a model: 400 or 404, and nothing outside is touched.

The names are list P of the catalogue of bad input.
"""

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from tests.routes.conftest import ADMIN, FILES, KEY, application, write
from tests.routes.sending import refused_safely

SPELT = [
    "..", ".", " ", "\t", "\n", "../canary", "a/../canary", "../../etc/passwd", "grow/..", "/etc/passwd", "grow/sub",
    "grow/", "../repository/grow", " ..", ".. ", "..\\canary", "..\\", "a\0b", "a\0.onnx", "~root", "$HOME", ";id",
    "$(id)", "`id`", "{0.__class__}", "%s%n", "x" * 129, "x" * 256, "x" * 20_000, "．．", "..\u2215canary",
    "\u202egrow", "😀", "-rf", ".hidden", "grow;v=1", "http:///?/../..", "http:///#/../..", "a..b", "grow\n", "%2e%2e",
    "%2e%2e%2fcanary", "%252e%252e%252fcanary", "..%5ccanary", "a%00b", "grow ", "\u0663", "canary\u0000", "*", "gro?",
]  # fmt: skip
"""As they are meant; sent with every character escaped, so that the service sees them so."""

RAW = [
    "..%2fcanary",
    "%2e%2e",
    "%2e%2e%2f",
    "%252e%252e%252f",
    "..%5c",
    "a%00b",
    "a%0ab",
    "",
    "grow;v=1",
    "//etc",
]
"""As they stand in the request's line; `..` alone never does, since clients take it away."""

LEGAL = ["model123", "model.version1", "model-1_x", "CON", "x" * 128]

PLACES = [
    ("POST", "/v2/repository/models/{}/load"),
    ("POST", "/v2/repository/models/{}/unload"),
    ("GET", "/v2/models/{}"),
    ("GET", "/v2/models/{}/ready"),
    ("GET", "/v2/models/{}/config"),
    ("GET", "/v2/models/{}/stats"),
    ("GET", "/v2/models/{}/trace/setting"),
    ("POST", "/v2/models/{}/infer"),
    ("GET", "/v2/models/{}/versions/1"),
    ("POST", "/v2/models/{}/versions/1/infer"),
    ("GET", "/v2/models/grow/versions/{}/ready"),
    ("GET", "/v1/models/{}"),
    ("POST", "/v1/models/{}/predict"),
    ("POST", "/v1/models/{}/inspect"),
    ("POST", "/v1/activations/{}"),
    ("GET", "/v1/claims/{}/figure"),
]

INPUT = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository, and beside it, and hidden in it, models that must never be served."""
    folder: Path = tmp_path_factory.mktemp("work")
    grow = FILES["grow/1"]
    write(folder / "repository", {"grow/1": grow, ".hidden/1": grow, "a..b/1": grow})
    write(folder, {"canary/1": grow})
    for path in folder.rglob("model.onnx"):
        os.utime(path, ns=(0, path.stat().st_mtime_ns))  # so that the file system notes when it is next read
    return folder


@pytest.fixture(scope="module")
def asking(root: Path) -> Iterator[TestClient]:
    settings = {"repository": root / "repository", "admin_key": KEY, "model_upload": True}
    with application(reload_interval_seconds=0, **settings) as client:
        yield client


def state(root: Path) -> list[tuple[str, int, int, int]]:
    """Every file and folder, and when it was last written or, as far as the file system notes that, read."""
    found = sorted(root.rglob("*"))
    return [
        (str(p), p.lstat().st_mtime_ns, p.lstat().st_atime_ns if p.is_file() else 0, p.lstat().st_ino) for p in found
    ]


@pytest.fixture
def untouched(root: Path) -> Iterator[None]:
    before = state(root)
    yield
    assert state(root) == before


def escaped(name: str) -> str:
    return "".join(f"%{byte:02X}" for byte in name.encode())


def body(method: str) -> dict[str, object]:
    return {} if method == "GET" else {"json": INPUT}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("method", "place"), PLACES)
@pytest.mark.parametrize("name", [*map(escaped, SPELT), *RAW], ids=lambda name: name[:40])
def test_a_name_leads_nowhere(asking: TestClient, method: str, place: str, name: str) -> None:
    response = asking.request(method, place.format(name), headers=ADMIN, **body(method))
    refused_safely(response, response.status_code)
    assert response.status_code in (400, 404, 405), response.text  # 405: the path is another route's


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("name", [name for name in SPELT if name != "\u0663"], ids=lambda name: ascii(name)[:40])
def test_a_file_that_is_sent_leads_nowhere(asking: TestClient, name: str) -> None:
    """Neither by the model's name, nor by the version's, nor by its own."""
    content = base64.b64encode(FILES["grow/1"]).decode()
    for path in (f"file:{name}", f"file:{name}/model.onnx", f"file:1/{name}", f"file:1/{name}/model.onnx"):
        parameters = {"file:1/model.onnx": content, path: content}
        refused_safely(_load(asking, "new", parameters), 400)
    assert _load(asking, escaped(name), {"file:1/model.onnx": content}).status_code in (400, 404)


def _load(client: TestClient, name: str, parameters: dict[str, str]):  # type: ignore[no-untyped-def]
    return client.post(f"/v2/repository/models/{name}/load", json={"parameters": parameters}, headers=ADMIN)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("name", LEGAL)
def test_a_name_that_is_legal_is_only_unknown(asking: TestClient, name: str) -> None:
    """500 of a load is the protocol's status for one that fails."""
    statuses = [
        asking.request(method, place.format(quote(name)), headers=ADMIN, **body(method)).status_code
        for method, place in PLACES[:5]
    ]
    assert statuses == [500, 404, 404, 404, 404]
