"""Hostile pictures and forms: a short reason, and the next request is answered as ever.

The numbers I01, M05 … are those of the catalogue of bad input.
"""

import base64
import io
import struct
import time
import zlib

import httpx2
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.routes.sending import PNG, answered, encoded, refused_safely, send

pytestmark = pytest.mark.usefixtures("golden")

APPLY, PREDICT = "/v1/activations/relu", "/v1/models/cnn-relu/predict"


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces its size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return start + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


GOOD = encoded(np.full((32, 32, 3), 90, np.uint8))

PICTURES = {
    "I01 empty": (b"", 400),
    "I01 text": (b"not a picture", 400),
    "I01 magic only": (b"\x89PNG\r\n\x1a\n", 400),
    "I01 random": (bytes(range(256)) * 50, 400),
    "I01 HTML": (b"<!DOCTYPE html><html></html>", 400),
    "I01 SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', 400),
    "I01 PDF": (b"%PDF-1.7\n", 400),
    "I01 EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 400),
    "I01 ZIP": (b"PK\x03\x04" + bytes(100), 400),
    "I01 WAV": (b"RIFF\x24\x00\x00\x00WAVEfmt ", 400),
    "I02 20000 × 20000": (png_header(20_000, 20_000), 413),
    "I02 2**31 wide": (png_header(2**31 - 1, 1), 413),
    "I02 no pixels": (png_header(0, 0), 400),
    "I02 long": (png_header(1, 10_000_000), 413),
    "I03 12000 × 12000": (png_header(12_000, 12_000), 413),
    "I05 truncated": (GOOD[:-30], 400),
    "I05 bad checksum": (GOOD[:30] + b"\0\0" + GOOD[32:], 400),
    "I13 polyglot": (b"GIF89a" + GOOD, 400),
}


@pytest.mark.parametrize("path", [APPLY, PREDICT])
@pytest.mark.parametrize(("picture", "status"), [pytest.param(*case, id=name) for name, case in PICTURES.items()])
def test_what_is_no_picture_is_refused(client: TestClient, path: str, picture: bytes, status: int) -> None:
    """As the body, in a form, and in base64: alike; large ones from their header, before a pixel is decoded."""
    ways = [send(client, path, picture, PNG), client.post(path, files={"file": ("a.png", picture)})]
    if path == PREDICT:
        ways.append(client.post(path, json={"images": [base64.b64encode(picture).decode()]}))
    for response in ways:
        refused_safely(response, status)


def test_a_truncated_jpeg_is_refused_and_one_with_a_tail_is_read(client: TestClient, horse: bytes) -> None:
    refused_safely(send(client, PREDICT, horse[: len(horse) // 2], "image/jpeg"), 400)
    answered(send(client, PREDICT, horse + b"tail" * 100, "image/jpeg"))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 8192), (8192, 1)])
def test_extreme_sizes_within_the_limits_are_read(client: TestClient, width: int, height: int) -> None:
    """I12."""
    picture = encoded(np.zeros((height, width), np.uint8))
    answered(send(client, PREDICT, picture, PNG))
    assert send(client, APPLY, picture, PNG).status_code == 200


@pytest.mark.parametrize(
    "text",
    [
        "", "====", "AAA", "AA==A", "A A=", "QUJD\n", "_-__", "data:image/png;base64,", "data:text/html;base64,QUJD",
        "data:image/png,QUJD", "http://169.254.169.254/", "file:///etc/passwd", "gopher://x", "//x/y", "😀" * 1000,
        "\0", "x" * 100_001, 1, None, [], {},
    ],
    ids=lambda text: ascii(text)[:24],
)  # fmt: skip
def test_what_is_not_base64_is_refused_and_nothing_is_fetched(client: TestClient, text: object) -> None:
    """I10, I11."""
    refused_safely(client.post(PREDICT, json={"images": [text]}), 400)


@pytest.mark.parametrize("member", ["image_url", "url", "model_uri", "file"])
def test_no_member_names_a_place_to_fetch_from(client: TestClient, member: str) -> None:
    refused_safely(client.post(PREDICT, json={member: "http://127.0.0.1:9/"}), 400)


def test_only_the_first_frame_of_a_moving_picture_counts(client: TestClient, horse: bytes) -> None:
    first = Image.open(io.BytesIO(horse)).convert("P")
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=[Image.new("P", (32, 32))] * 20)
    still = io.BytesIO()
    first.save(still, "GIF")
    moving, alone = (send(client, PREDICT, file.getvalue(), "image/gif") for file in (buffer, still))
    assert answered(moving)["predictions"] == answered(alone)["predictions"]


# --- forms ------------------------------------------------------------------------------------------------------------

BOUNDARY = b"xYz"
END = b"--xYz--\r\n"
FILE = b'Content-Disposition: form-data; name="file"; filename="a.png"'
FIELD = b'Content-Disposition: form-data; name="a"'


def part(head: bytes, content: bytes = GOOD) -> bytes:
    return b"--xYz\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


def send_form(
    client: TestClient, body: bytes, boundary: bytes = b"boundary=xYz", path: str = PREDICT
) -> httpx2.Response:
    return client.post(path, content=body, headers={b"content-type": b"multipart/form-data; " + boundary})


FORMS = {
    "M03 another boundary": (part(FILE) + END, b"boundary=other"),
    "M02 empty boundary": (part(FILE) + END, b"boundary="),
    "M02 empty quoted boundary": (part(FILE) + END, b'boundary=""'),
    "M01 no boundary": (part(FILE) + END, b""),
    "M04 long boundary": ((part(FILE) + END).replace(BOUNDARY, b"a" * 10_000), b"boundary=" + b"a" * 10_000),
    "M05 no name": (part(b"Content-Disposition: form-data") + END, None),
    "M06 no disposition": (part(b"Content-Type: image/png") + END, None),
    "M07 20 headers": (part(FILE + b"".join(b"\r\nX-%d: 1" % i for i in range(20))) + END, None),
    "M08 long header": (part(FILE + b"\r\nX: " + b"a" * 10_000) + END, None),
    "M09 1001 files": (part(FILE, b"x") * 1001 + END, None),
    "M10 1001 fields": (part(FIELD, b"x") * 1001 + END, None),
    "M11 no end": (part(FILE), None),
    "M11 cut in the file": (part(FILE)[:100], None),
    "M11 cut in the header": (part(FILE)[:20], None),
    "M13 field": (part(FILE.replace(b'; filename="a.png"', b"")) + END, None),
    "M15 nested": (part(FILE + b"\r\nContent-Type: multipart/mixed; boundary=z", b"--z\r\n\r\nx\r\n--z--") + END, None),
    "M17 empty file": (part(FILE, b"") + END, None),
    "M19 base64": (part(FILE + b"\r\nContent-Transfer-Encoding: base64", base64.b64encode(GOOD)) + END, None),
    "M22 encoded name": (part(b"Content-Disposition: form-data; name=file; filename*=utf-8''%2e%2e%2f") + END, None),
    "M23 1 MB name": (part(FILE.replace(b'"file"', b'"' + b"a" * 2**20 + b'"')) + END, None),
    "empty": (b"", None),
    "end alone": (END, None),
    "another name": (part(FILE.replace(b'"file"', b'"image"')) + END, None),
    "names of emoji": (part(FILE.replace(b'"file"', b'"' + "😀".encode() * 900 + b'"')) + END, None),
    "a file and a field": (part(FILE) + part(FIELD, b"3") + END, None),
    "long field": (part(FIELD, b"x" * 2_000_000) + END, None),
    "line feeds alone": ((part(FILE) + END).replace(b"\r\n", b"\n"), None),
    "control boundary": (part(FILE) + END, b"boundary=\x01"),
    "boundary that is not ASCII": (part(FILE) + END, "boundary=é".encode()),
}


@pytest.mark.parametrize(("body", "boundary"), [pytest.param(*case, id=name) for name, case in FORMS.items()])
@pytest.mark.parametrize("path", [APPLY, PREDICT])
def test_a_malformed_form_is_refused(client: TestClient, path: str, body: bytes, boundary: bytes | None) -> None:
    text = refused_safely(send_form(client, body, b"boundary=xYz" if boundary is None else boundary, path), 400)
    assert "multipart" in text or "is not a readable image" in text


def test_a_form_of_two_files_is_one_too_many_for_an_activation(client: TestClient) -> None:
    """M16."""
    text = refused_safely(send_form(client, part(FILE) * 2 + END, path=APPLY), 400)
    assert text == "the multipart body cannot be read: Too many files. Maximum number of files is 1."


def test_a_form_that_is_urlencoded_is_415(client: TestClient) -> None:
    """M14."""
    refused_safely(send(client, PREDICT, b"file=abc&" + b"a&" * 100_000, "application/x-www-form-urlencoded"), 415)


@pytest.mark.parametrize(
    ("body", "boundary"),
    [
        pytest.param(part(FILE) + END, b'boundary="xYz"', id="quoted"),
        pytest.param(part(FILE) + END, b"charset=x; Boundary=xYz", id="another case"),
        pytest.param((part(FILE) + END).replace(BOUNDARY, b"a,'(b)?"), b'boundary="a,\'(b)?"', id="all characters"),
        pytest.param(part(FILE.replace(b"a.png", b"../../etc/passwd")) + END, b"boundary=xYz", id="M12 path"),
        pytest.param(part(FILE) + END[:-2], b"boundary=xYz", id="no last line end"),
    ],
)
def test_an_unusual_form_is_read(client: TestClient, body: bytes, boundary: bytes) -> None:
    """The name of a file is never used."""
    wanted = answered(send(client, PREDICT, GOOD, PNG))["predictions"]
    assert answered(send_form(client, body, boundary))["predictions"] == wanted


@pytest.mark.parametrize(("before", "after"), [(b"\r\n" * 200_000, b""), (b"", b"\r\n" * 200_000)])
def test_line_ends_around_a_form_cost_nothing(client: TestClient, before: bytes, after: bytes) -> None:
    """M18: a parser that looked at each byte of them took minutes."""
    started = time.perf_counter()
    answered(send_form(client, before + part(FILE) + END + after))
    assert time.perf_counter() - started < 2  # it takes 10 ms; this machine may be busy
