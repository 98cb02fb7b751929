"""What the tests of the routes share: bodies to send, and answers read back."""

import io
import json
import re
from collections.abc import Mapping
from typing import Any

import httpx2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

Array = NDArray[Any]

POST_ROUTES = (
    "/v1/activations/relu",
    "/v1/models/cnn-relu/predict",
    "/v2/models/relu/infer",
    "/v2/models/relu/versions/1/infer",
    "/v2/models/cnn-relu/infer",
    "/v2/models/cnn-relu/versions/1/infer",
)

JSON, NPY, PNG, JPEG = "application/json", "application/x-npy", "image/png", "image/jpeg"
LENGTH = "inference-header-content-length"


def send(client: TestClient, path: str, body: bytes, kind: str, **options: Any) -> httpx2.Response:
    """POST bytes; `accept` is a header, everything else belongs to the client."""
    headers = {"content-type": kind, **options.pop("headers", {})}
    if accept := options.pop("accept", None):
        headers["accept"] = accept
    return client.post(path, content=body, headers=headers, **options)


def apply(client: TestClient, name: str, data: Any, **members: Any) -> httpx2.Response:
    """Apply an activation to JSON data."""
    return client.post(f"/v1/activations/{name}", json={"data": data, **members})


def infer(client: TestClient, name: str, *inputs: Mapping[str, Any], **members: Any) -> httpx2.Response:
    return client.post(f"/v2/models/{name}/infer", json={"inputs": list(inputs), **members})


def infer_bytes(client: TestClient, name: str, body: bytes, length: object = None, **headers: str) -> httpx2.Response:
    """Send a body with the length of its JSON, and as tritonclient does without a content type."""
    more = {} if length is None else {LENGTH: str(length)}
    return client.post(f"/v2/models/{name}/infer", content=body, headers=headers | more)


def read_binary(response: httpx2.Response) -> tuple[dict[str, Any], dict[str, bytes]]:
    """An answer's JSON, and the bytes of its binary outputs by name: read as tritonclient reads them."""
    assert response.status_code == 200, response.text
    header = int(response.headers.get(LENGTH, len(response.content)))
    assert response.headers["content-type"] == ("application/octet-stream" if LENGTH in response.headers else JSON)
    answer, rest = json.loads(response.content[:header]), response.content[header:]
    found: dict[str, bytes] = {}
    for output in answer["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is not None:
            assert "data" not in output
            found[output["name"]], rest = rest[:size], rest[size:]
            assert len(found[output["name"]]) == size
    assert rest == b""
    return answer, found


def tensor(array: Array, datatype: str = "FP32", name: str = "x") -> dict[str, Any]:
    """An input of the protocol."""
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": array.ravel().tolist()}


def answered(response: httpx2.Response) -> Any:
    """The JSON of an answer of 200."""
    assert response.status_code == 200, response.text
    return response.json()


def refused(response: httpx2.Response, status: int) -> str:
    """The error's text, after checking what every error promises."""
    assert response.status_code == status, response.text[:500]
    assert response.headers["content-type"] == JSON
    assert list(response.json()) == ["error"]
    text = response.json()["error"]
    assert text
    return str(text)


def numbers(nested: Any) -> NDArray[np.float64]:
    """Nested JSON numbers, with "NaN" and "Infinity", as float64."""
    return np.array(nested, dtype=np.float64)


def to_npy(array: Array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def from_npy(content: bytes) -> Array:
    array: Array = np.load(io.BytesIO(content), allow_pickle=False)
    return array


def encoded(pixels: Array, kind: str = "PNG", **options: Any) -> bytes:
    """An image file of height × width × 3 bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(content: bytes) -> Array:
    """The pixels of an image file, as Pillow reads them."""
    return np.asarray(Image.open(io.BytesIO(content)))


INTERNALS = re.compile(
    r"Traceback|site-packages|onnxruntime(::|_)|object at|<class|0x[0-9a-f]{4}|\.py\b"
    r"|(?<![\w.+:-])/(work|tmp|usr|home|opt|root)/"
)


def refused_safely(response: httpx2.Response, *statuses: int) -> str:
    """The error's text, after checking that it is short and shows nothing of our insides."""
    assert response.status_code in statuses, response.text[:500]
    text = refused(response, response.status_code)
    assert len(response.content) <= 2048
    assert text.isprintable()
    assert not INTERNALS.search(text), text
    return text
