"""Compressed bodies: read on every route that reads one, written where they are asked for; bombs are not unpacked."""

import asyncio
import gzip
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from service.routes.encodings import Decompressed
from service.settings import Settings
from tests.routes.conftest import ADMIN, Running
from tests.routes.sending import (
    JPEG,
    JSON,
    LENGTH,
    answered,
    infer_bytes,
    read_binary,
    refused,
    send,
)  # fmt: skip
from tests.wire.tensors import binary_input, request

pytestmark = pytest.mark.usefixtures("golden")

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZip": gzip.compress,
    "identity, gzip": gzip.compress,
    "deflate": zlib.compress,
    "identity": bytes,
    "": bytes,
}
INFER = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [-1, 2]}]}'
BODIES = {"/v1/activations/relu": (b'{"data": [-1, 2]}', JSON), "/v2/models/relu/infer": (INFER, "")}
CNN = "/v1/models/cnn-relu/predict"


def packed(client: TestClient, path: str, body: bytes, encoding: str = "gzip", kind: str = JSON) -> Any:
    return send(client, path, body, kind, headers={"content-encoding": encoding})


@pytest.mark.parametrize("encoding", PACK)
@pytest.mark.parametrize("path", BODIES)
def test_a_compressed_body_is_answered_as_the_same_body_plain(client: TestClient, path: str, encoding: str) -> None:
    body, kind = BODIES[path]
    answer = answered(packed(client, path, PACK[encoding](body), encoding, kind))
    assert answer == answered(send(client, path, body, kind))


@pytest.mark.parametrize("encoding", PACK)
def test_a_picture_may_be_compressed_too(client: TestClient, horse: bytes, encoding: str) -> None:
    answer = answered(packed(client, CNN, PACK[encoding](horse), encoding, JPEG))
    assert answer["predictions"] == answered(send(client, CNN, horse, JPEG))["predictions"]


def test_a_form_may_be_compressed_too(client: TestClient, horse: bytes) -> None:
    form = client.build_request("POST", CNN, files={"file": ("a", horse)})
    response = packed(client, CNN, gzip.compress(form.read()), "gzip", form.headers["content-type"])
    assert answered(response)["predictions"] == answered(send(client, CNN, horse, JPEG))["predictions"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/repository/index", b'{"ready": 1}'),
        ("/v2/repository/models/versions/load", b"[]"),
        ("/v2/repository/models/versions/unload", b"[]"),
        ("/v2/trace/setting", b'{"trace_rate": "x"}'),
        ("/v2/models/relu/trace/setting", b'{"trace_rate": "x"}'),
        ("/v2/logging", b'{"log_info": 1}'),
    ],
)
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_control_reads_compressed_bodies(running: Running, path: str, body: bytes, encoding: str) -> None:
    """Each is refused for what is in it, so it was read."""
    plain = running.client.post(path, content=body, headers=ADMIN)
    response = running.client.post(path, content=PACK[encoding](body), headers=ADMIN | {"content-encoding": encoding})
    assert refused(response, 400) == refused(plain, 400)


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 413)])
def test_the_limit_is_of_what_comes_out(client: TestClient, settings: Settings, more: int, status: int) -> None:
    body = b'{"data": [-1, 2]}'.ljust(settings.max_body_bytes + more)
    assert packed(client, "/v1/activations/relu", gzip.compress(body, 1)).status_code == status


def test_the_length_of_the_json_is_that_of_the_decompressed_body(client: TestClient) -> None:
    body, length = request(binary_input("FP32", [1, 2], 8), raw=bytes(8))
    for encoding in ("gzip", "deflate"):
        response = infer_bytes(client, "relu", PACK[encoding](body), length, **{"content-encoding": encoding})
        assert answered(response)["outputs"][0]["data"] == [0.0, 0.0]


def test_an_unpacked_body_is_held_by_no_more_requests_than_the_pool_has_threads(running: Running) -> None:
    """While its only thread is busy, a compressed body waits as it came; health is told all the same."""
    portal = running.client.portal
    assert portal is not None
    started, release = threading.Event(), threading.Event()

    def busy() -> None:
        started.set()
        release.wait(30)

    with ThreadPoolExecutor(1) as thread:
        held = portal.start_task_soon(running.services.pool.run, busy)
        try:
            assert started.wait(30)
            response = thread.submit(packed, running.client, "/v1/activations/relu", gzip.compress(b'{"data": [-1]}'))
            assert answered(running.client.get("/v2/health/live")) == {"live": True}
            assert not response.done()
        finally:
            release.set()
        assert answered(response.result(30))["data"] == [0.0]
        held.result(30)


def test_after_the_body_a_route_learns_that_the_client_has_left(running: Running) -> None:
    """As it does of a body that is not compressed."""
    received: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        received.extend([await receive(), await receive()])

    messages: list[Message] = [{"type": "http.request", "body": gzip.compress(INFER)}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        raise AssertionError("nothing is answered here")

    headers = [(b"content-encoding", b"gzip")]
    scope = {"type": "http", "method": "POST", "headers": headers, "state": {"services": running.services}}
    asyncio.run(Decompressed(app, max_bytes=len(INFER))(scope, receive, send))

    assert received == [{"type": "http.request", "body": INFER, "more_body": False}, {"type": "http.disconnect"}]


# --- answers ----------------------------------------------------------------------------------------------------------

UNPACK: dict[str | None, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}
BINARY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 512], "data": [-1, 2] * 256}],
          "parameters": {"binary_data_output": True}}  # fmt: skip


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("deflate, gzip", "gzip"),
        ("gzip;q=0.2, deflate;q=0.9", "deflate"),
        ("gzip;q=0, deflate;q=0.1", "deflate"),
        ("*", "gzip"),
        ("identity;q=1, gzip;q=0.5", None),
        ("gzip;q=0", None),
        ("br", None),
        ("gzip;q=nonsense", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("members", [{}, {"binary_data_output": True}], ids=["JSON", "binary"])
def test_an_inference_is_compressed_as_accept_encoding_asks(
    client: TestClient, accepted: str, encoding: str | None, members: dict[str, Any]
) -> None:
    asked = {"inputs": BINARY["inputs"], "parameters": members}
    with client.stream("POST", "/v2/models/relu/infer", json=asked, headers={"accept-encoding": accepted}) as response:
        raw = b"".join(response.iter_raw())
    plain = client.post("/v2/models/relu/infer", json=asked, headers={"accept-encoding": "identity"})

    assert response.headers.get("content-encoding") == encoding
    assert UNPACK[encoding](raw) == plain.content
    assert int(response.headers["content-length"]) == len(raw)
    assert response.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert response.headers.get(LENGTH) == plain.headers.get(LENGTH)
    answer, found = read_binary(plain)
    assert (found != {}) is bool(members)
    if members:  # the header's length is that of the JSON before compression
        assert int(response.headers[LENGTH]) == len(plain.content) - 2048
        assert answer["outputs"][0]["parameters"] == {"binary_data_size": 2048}


def test_an_answer_that_fits_into_a_packet_is_not_compressed(client: TestClient) -> None:
    for count in (2, 512):
        asked = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, count], "data": [0] * count}]}
        response = client.post("/v2/models/relu/infer", json=asked, headers={"accept-encoding": "gzip"})
        assert (response.headers.get("content-encoding") == "gzip") == (len(response.content) >= 1024)


def test_accept_encoding_in_two_headers_is_one_list(client: TestClient) -> None:
    headers = [("accept-encoding", "gzip;q=0.1"), ("accept-encoding", "deflate")]
    response = client.post("/v2/models/relu/infer", json=BINARY, headers=headers)
    assert response.headers["content-encoding"] == "deflate"


def test_other_answers_are_not_compressed(client: TestClient) -> None:
    """Errors too: they are short."""
    for response in (client.get("/v2/models/cnn-relu"), client.post("/v2/models/relu/infer", content=b"{")):
        assert "gzip" in response.request.headers["accept-encoding"]
        assert "content-encoding" not in response.headers
