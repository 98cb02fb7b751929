"""Hostile names, queries and headers: a short reason, and the next request is answered as ever.

Q01, B01 and list P are those of the catalogue of bad input.
"""

import json
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.routes.sending import JPEG, JSON, LENGTH, NPY, POST_ROUTES, apply, refused, refused_safely, send, to_npy

pytestmark = pytest.mark.usefixtures("golden")

NAMES = (
    "..", ".", " ", "\t", "\n", "../etc", "a/../b", "../../etc/passwd", "model/..", "/etc/passwd", "model/sub", " ..",
    ".. ", "%2e%2e", "%2e%2e%2f", "%252e%252e%252f", "..%5c", "..\\", "a\0b", "a\0.onnx", "CON", "~root", "$HOME",
    ";id", "$(id)", "`id`", "{0.__class__}", "%s%n", "x" * 256, "x" * 40_000, "．．", "..\u2215", "\u202ename", "😀",
    "-rf", ".hidden", "model;v=1", "http:///?/../..", "\x1b[31m", "model123", "model.version1", "model-1_x",
    "😀" * 500,
)  # fmt: skip
"""List P, each sent as one path segment: `quote` leaves no slash."""


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:24])
def test_no_name_leads_anywhere(client: TestClient, name: str) -> None:
    segment = quote(name, safe="").replace(".", "%2e")
    for path in (f"/v1/activations/{segment}", f"/v1/models/{segment}", f"/v2/models/{segment}"):
        refused_safely(client.get(path), 404)
    for path in (
        f"/v1/activations/{segment}",
        f"/v1/models/{segment}/predict",
        f"/v2/models/{segment}/infer",
        f"/v2/models/{segment}/versions/1/infer",
    ):
        refused_safely(send(client, path, b'{"data": 1}', JSON), 404)
    refused_safely(client.get(f"/v2/models/relu/versions/{segment}"), 404)


@pytest.mark.parametrize("path", ["/V1/models", "/v1/models/", "//v1/models", "/v2/systemsharedmemory"])
def test_a_path_that_does_not_exist_is_404_and_no_redirect(client: TestClient, path: str) -> None:
    refused_safely(client.get(path, follow_redirects=False), 404)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "GET", "TRACE", "BREW"])
def test_another_method_is_405(client: TestClient, method: str) -> None:
    response = client.request(method, "/v2/models/relu/infer", headers={"origin": "http://evil"})
    assert refused(response, 405) == "Method Not Allowed"
    assert response.headers["allow"] == "POST"
    assert not [name for name in response.headers if name.startswith("access-control")]


# --- queries and headers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        *(f"top_k={value}" for value in ("-1", "0", "1001", "1e9", "abc", "1.5", "", "%00", "%D9%A1", "NaN", "0x1")),
        "top_k=1&top_k=2",
        "top_k",
        "verbose=1",
        "%00=1",
        "%ff=%c0%ae",
        "a%0ab=1",
        "%F0%9F%98%80=1",
        "&".join(f"a{i}=1" for i in range(5000)),
        "x" * 40_000,
    ],
    ids=lambda query: query[:20],
)
def test_a_wrong_query_is_refused(client: TestClient, horse: bytes, query: str) -> None:
    """Q01–Q04, for a route with a parameter of its own and for a function's parameters."""
    refused_safely(send(client, f"/v1/models/cnn-relu/predict?{query}", horse, JPEG), 400)
    if query:
        refused_safely(send(client, f"/v1/activations/relu?{query}", horse, JPEG), 400)
        refused_safely(client.get(f"/v1/activations/relu/curve?{query}"), 400)


@pytest.mark.parametrize("kind", ["", "json", "text/plain", "application/json/x", b"\xff\xfe", "x" * 5000])
@pytest.mark.parametrize("path", POST_ROUTES[:2])
def test_a_wrong_content_type_is_415(client: TestClient, path: str, kind: Any) -> None:
    refused_safely(send(client, path, b'{"data": 1}', kind), 415)


@pytest.mark.parametrize("length", ["-1", "abc", "+5", "1e3", "0x5", "５".encode(), ""])
def test_a_length_that_is_no_number_is_refused(client: TestClient, length: Any) -> None:
    response = send(client, "/v1/activations/relu", b'{"data": 1}', JSON, headers={"content-length": length})
    refused_safely(response, 400)


@pytest.mark.parametrize(
    "value", ["-1", "", "abc", "1e3", "+5", "0x5", "５".encode(), "99999999999", "9" * 30, "1" * 5000]
)
def test_a_length_of_json_that_is_none_is_refused(client: TestClient, value: Any) -> None:
    """B01."""
    text = refused_safely(send(client, "/v2/models/relu/infer", b"{}", JSON, headers={LENGTH: value}), 400)
    assert text.startswith("the header Inference-Header-Content-Length is ")


def test_a_length_of_json_that_is_given_twice_is_refused(client: TestClient) -> None:
    response = client.post("/v2/models/relu/infer", content=b"{}", headers=[(LENGTH, "2"), (LENGTH, "2")])
    assert refused_safely(response, 400).startswith("the header Inference-Header-Content-Length is there 2 times")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-request-id": "x" * 10_000},
        {"range": "bytes=0-1", "if-match": "x"},
        {"accept-encoding": "gzip;q=nonsense"},
        {"traceparent": "nonsense"},
        {"host": "a/../v2/health/live"},
    ],
    ids=str,
)
def test_headers_that_mean_nothing_here_change_nothing(client: TestClient, headers: dict[str, str]) -> None:
    body = json.dumps({"data": [-1, 1]}).encode()
    response = send(client, "/v1/activations/relu", body, JSON, headers=headers)
    assert response.content == apply(client, "relu", [-1, 1]).content


def test_an_object_array_is_never_unpickled(client: TestClient) -> None:

    body = to_npy(np.array([{"a": 1}], dtype=object))
    text = refused_safely(send(client, "/v1/activations/relu", body, NPY), 400)
    assert text.startswith("the .npy dtype is")
