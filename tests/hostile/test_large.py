"""What is large, or is many: bounded time, bounded memory, and no byte of it left behind."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.hostile import documents, forms, pictures
from tests.hostile.answering import GOOD_INFER, Server, nothing_left, refusal, running
from tests.hostile.binary import binary
from tests.hostile.cases import ADMIN, head, post
from tests.hostile.heads import APPLY, BODY, CHUNKED, INFER, LIMIT_BYTES
from tests.hostile.tensors import infer, tensor
from tests.routes.sending import JPEG, JSON, LENGTH, PNG
from tests.serving import eventually
from tests.wire.tensors import binary_input

MB = 2**20


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Server]:
    """A server of the limits that a service has by itself."""
    with running(tmp_path_factory.mktemp("large"), repository=str(repository)) as server:
        yield server


@pytest.mark.parametrize("path", [APPLY, INFER])
def test_a_million_chunks_of_a_byte(server: Server, path: str) -> None:
    """H19: the body is read, in the time that a parser of HTTP needs for as many lines."""
    body = BODY if path == APPLY else GOOD_INFER
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"1\r\n \r\n" * (10**6 - len(body)) + b"0\r\n\r\n"
    before = server.cpu_seconds()
    with nothing_left(server), server.peak_growth() as peak:
        answer = server.one(head("POST", path, CHUNKED, f"Content-Type: {JSON}"), chunks)
    assert answer.status == 200
    assert server.cpu_seconds() - before < 5  # it takes 0.3 s
    assert peak[0] < 32 * MB


@pytest.mark.parametrize("encoding", documents.BOMBS)
@pytest.mark.parametrize("path", [APPLY, INFER])
def test_a_bomb_is_not_unpacked(server: Server, path: str, encoding: str) -> None:
    """J19: a gigabyte in a megabyte; what is held is bounded by the limit, and one step of zlib beyond it."""
    with server.peak_growth() as peak:
        answer = server.one(*documents.encoded(path, documents.BOMBS[encoding], encoding))
    assert answer.status == 413
    assert peak[0] < 2 * LIMIT_BYTES + 20 * MB
    server.check_standing()


@pytest.mark.parametrize("name", [name for name in pictures.PICTURES if name.startswith(("I02", "I03", "I04", "I09"))])
def test_a_picture_that_would_be_large_costs_nothing(server: Server, name: str) -> None:
    """I02, I03, I04, I09: refused before the bomb in it is opened; 12000 × 12000 pixels would be 144 MB."""
    content, statuses = pictures.PICTURES[name]
    with server.peak_growth() as peak:
        answer = server.one(*post(forms.PREDICT, content, PNG))
    assert answer.status in statuses
    assert peak[0] < 16 * MB


def test_64_megabytes_of_tensor_come_back_bit_for_bit(large: Server) -> None:
    """B14."""
    numbers = np.random.default_rng(0).integers(0, 2**32, 16 * MB - 1000, np.uint32)
    header = {"inputs": [binary_input("UINT32", [1, numbers.size], numbers.nbytes)],
              "parameters": {"binary_data_output": True}}  # fmt: skip
    sent = json.dumps(header).encode()
    request = binary("echo_uint32", sent + numbers.tobytes(), len(sent))
    with nothing_left(large):
        answer = large.one(*request)
    assert answer.status == 200
    assert answer.body[int(answer.headers[LENGTH]) :] == numbers.tobytes()
    settled = large.resident_bytes()
    for _ in range(3):
        assert large.one(*request).status == 200
    assert large.resident_bytes() - settled < 16 * MB  # it keeps what it has used, and no more with each


def in_pieces(server: Server, size: int, *lines: str) -> int:
    """Send so many bytes of a form until it is answered; the status, 0 if the connection was cut without one."""
    start = b"--xYz\r\n" + forms.FILE + b"\r\n\r\n"
    kind = "Content-Type: multipart/form-data; boundary=xYz"
    sent = head("POST", forms.PREDICT, kind, *lines) + start
    answers = server.exchange(sent, *[bytes(MB)] * (size // MB))
    return answers[0].status if answers else 0


def test_a_file_of_200_megabytes_is_refused_and_leaves_nothing(server: Server) -> None:
    """M20."""
    with nothing_left(server), server.peak_growth() as peak:
        assert in_pieces(server, 200 * MB, f"Content-Length: {200 * MB}") in (413, 0)
        assert server.one(head("POST", forms.PREDICT, f"Content-Length: {200 * MB}")).status == 413
    assert peak[0] < 4 * LIMIT_BYTES


def test_uploads_that_break_off_leave_nothing(server: Server) -> None:
    """M21: two hundred clients leave in the middle of a form."""
    request = head(
        "POST", forms.PREDICT, "Content-Type: multipart/form-data; boundary=xYz", f"Content-Length: {3 * MB}"
    )
    with nothing_left(server):
        for _ in range(200):
            with socket.create_connection(server.place, 10) as connection:
                connection.sendall(request + forms.part(forms.FILE, bytes(2**16)))


@pytest.mark.parametrize(
    "request_", [post(INFER, GOOD_INFER), post(forms.PREDICT, pictures.HORSE, JPEG)], ids=["V2", "V1"]
)
def test_clients_that_leave_at_once_leave_nothing(server: Server, request_: tuple[bytes, ...]) -> None:
    """H31: a thousand of them."""
    with nothing_left(server):
        for _ in range(1000):
            with socket.create_connection(server.place, 10) as connection:
                connection.sendall(b"".join(request_))


def test_a_bad_row_fails_alone(server: Server) -> None:
    """T21: of 32 clients whose rows are run together one asks for a place that is not there."""
    wanted = [row % 3 for row in range(32)]
    wanted[17] = 7
    with ThreadPoolExecutor(32) as clients:
        requests = [infer("pick", tensor("INT64", [place], [1, 1])) for place in wanted]
        answers = list(clients.map(lambda request: server.one(*request), requests))
    assert "out of data bounds" in refusal(answers.pop(17))
    assert {answer.status for answer in answers} == {200}
    found = [json.loads(answer.body)["outputs"][0]["data"] for answer in answers]
    assert found == [[place + 1.0] for place in wanted if place != 7]


def test_loads_and_unloads_in_a_storm_leave_a_server_that_is_ready(server: Server) -> None:
    """R08: eight clients load, unload and use the same model, a thousand times together."""
    at = "/v2/repository/models/versions"
    requests = [
        post(f"{at}/load", b"{}", JSON, ADMIN),
        post("/v2/models/versions/infer", GOOD_INFER),
        post(f"{at}/unload", b"{}", JSON, ADMIN),
    ]
    with nothing_left(server), ThreadPoolExecutor(8) as clients:
        statuses = set(clients.map(lambda n: server.one(*requests[n % 3]).status, range(999)))
    assert statuses <= {200, 404, 503}
    assert server.one(*requests[0]).status == 200
    assert server.one(*requests[1]).status == 200
    assert server.one(head("GET", "/v2/health/ready")).status == 200


def test_no_address_that_a_client_sends_is_called(server: Server) -> None:
    """I11: a listener of ours is offered in every member that could be one, and nobody comes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        for member in ("images", "data", "image_url", "url", "model_uri", "file", "callback"):
            for value in (url, [url], {"url": url}):
                body = json.dumps({member: value}).encode()
                for path in (forms.PREDICT, APPLY, INFER, "/v1/models/cnn-relu/inspect", "/v1/compare/models"):
                    assert refusal(server.one(*post(path, body)))
        load = json.dumps({"parameters": {"model_uri": url}}).encode()
        assert refusal(server.one(*post("/v2/repository/models/cnn-relu/load", load, JSON, ADMIN)))
        server.check_standing()
        with socket.create_connection(listener.getsockname()) as own:
            came, place = listener.accept()
            came.close()
            assert place == own.getsockname()  # the first to come, and it is ours


def test_what_lies_beside_the_repository_is_not_served(server: Server, folder: Path) -> None:
    """P: the canary, after all of the names were tried; its file is as it was written."""
    index = json.loads(server.one(*post("/v2/repository/index", b"{}")).body)
    assert "canary" not in {line["name"] for line in index}
    assert (folder / "canary" / "1" / "model.onnx").read_bytes() == (
        folder / "repository" / "wide" / "1" / "model.onnx"
    ).read_bytes()
    eventually(lambda: server.in_flight() == 0)
