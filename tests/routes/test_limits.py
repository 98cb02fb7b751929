"""Each limit: one less and the limit itself are served, one more is 413 (or 400, for how many pictures)."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np
import pytest
from starlette.testclient import TestClient

from service.settings import Settings
from tests.routes.conftest import application
from tests.routes.sending import JSON, NPY, POST_ROUTES, encoded, refused_safely, send, to_npy

pytestmark = pytest.mark.usefixtures("golden")

PREDICT = "/v1/models/cnn-relu/predict"


def padded(size: int) -> bytes:
    """A good request of that many bytes: JSON may end in blanks."""
    return b'{"data": [-1, 1]}'.ljust(size)


def in_chunks(body: bytes) -> Iterator[bytes]:
    """Sent without its length."""
    for start in range(0, len(body), 2**20):
        yield body[start : start + 2**20]


@pytest.mark.parametrize(("more", "status"), [(-1, 200), (0, 200), (1, 413)])
@pytest.mark.parametrize("chunked", [False, True])
def test_the_bodys_size(client: TestClient, settings: Settings, more: int, status: int, chunked: bool) -> None:
    body = padded(settings.max_body_bytes + more)
    response = client.post(
        "/v1/activations/relu", content=in_chunks(body) if chunked else body, headers={"content-type": JSON}
    )
    if status == 200:
        assert response.json()["data"] == [0.0, 1.0]
    else:
        assert refused_safely(response, 413).endswith(f"at most {settings.max_body_bytes} bytes are accepted")
        assert response.headers["connection"] == "close"


@pytest.mark.parametrize("kind", [JSON, NPY, "image/png", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("path", POST_ROUTES)
def test_every_route_stops_reading_at_the_limit(client: TestClient, settings: Settings, path: str, kind: str) -> None:
    body = bytes(settings.max_body_bytes + 1)
    refused_safely(client.post(path, content=in_chunks(body), headers={"content-type": kind}), 413)


@pytest.mark.parametrize("length", ["-1", "abc", "+5", "1e3", "0x5", "５".encode(), ""])
def test_a_length_that_is_no_number_is_refused(client: TestClient, length: Any) -> None:
    """The parser of a running server does so before; another's might not."""
    headers = {"content-length": length}
    refused_safely(send(client, "/v1/activations/relu", b'{"data": 1}', JSON, headers=headers), 400)


def count_response(client: TestClient, way: str, count: int) -> httpx2.Response:
    """A request of so many elements."""
    if way == "npy":
        return send(client, "/v1/activations/relu", to_npy(np.zeros(count, np.float16)), NPY)
    zeros = b"[" + b",".join([b"0"] * count) + b"]"
    if way == "json":
        return send(client, "/v1/activations/relu", b'{"data": ' + zeros + b"}", JSON, accept=NPY)
    tensor = b'{"name": "x", "datatype": "FP32", "shape": [1, %d], "data": %s}' % (count, zeros)
    return send(client, "/v2/models/relu/infer", b'{"inputs": [' + tensor + b"]}", JSON)


@pytest.mark.parametrize("way", ["json", "npy", "v2"])
def test_the_elements_of_a_tensor(way: str) -> None:
    with application(max_tensor_elements=100) as client:
        assert count_response(client, way, 99).status_code == 200
        assert count_response(client, way, 100).status_code == 200
        assert "101 elements, expected at most 100" in refused_safely(count_response(client, way, 101), 413)


@pytest.mark.parametrize(
    ("way", "status"), [("json", 413), ("npy", 200), ("v2", 200)], ids=["json", "npy", "one flat list"]
)
def test_the_values_of_json_that_is_read_at_once(client: TestClient, way: str, status: int) -> None:
    """Many numbers go another way, or in a list that is read in pieces."""
    response = count_response(client, way, 10**6)
    if status == 200:
        assert response.status_code == 200
    else:
        assert "262144 values" in refused_safely(response, 413)


@pytest.mark.parametrize(("more", "status"), [(-1, 200), (0, 200), (1, 400)])
def test_the_pictures_of_a_request(client: TestClient, settings: Settings, more: int, status: int) -> None:
    picture = encoded(np.zeros((32, 32, 3), np.uint8))
    count = settings.max_images + more
    assert client.post(PREDICT, files=[("file", ("a", picture))] * count).status_code == status
    texts = [base64.b64encode(picture).decode()] * count
    assert client.post(PREDICT, json={"images": texts}).status_code == status


@pytest.mark.parametrize(("side", "status"), [(8191, 200), (8192, 200), (8193, 413)])
def test_the_side_of_a_picture(client: TestClient, side: int, status: int) -> None:
    picture = encoded(np.zeros((2, side), np.uint8))
    assert send(client, PREDICT, picture, "image/png").status_code == status
