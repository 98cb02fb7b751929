"""I: files that are no pictures, or more of one than they seem."""

import base64
import io
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from tests.hostile.answering import HORSE
from tests.hostile.cases import Case, post, short
from tests.hostile.forms import FILE, form, part
from tests.hostile.heads import APPLY
from tests.routes.sending import JPEG, PNG, encoded

PREDICT = "/v1/models/cnn-relu/predict"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_IMAGES = 4
"""The server's `max_images` in these tests."""


def chunk(kind: bytes, data: bytes) -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces its size and holds next to nothing."""
    start = SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return start + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def one_bit(side: int) -> bytes:
    """A whole PNG of a bit a pixel: 17.6 kB for 12000 × 12000."""
    rows = zlib.compress(bytes((side // 8 + 1) * side), 9)
    start = SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return start + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


GOOD = encoded(np.full((32, 32, 3), 90, np.uint8))


def with_chunk(kind: bytes, data: bytes) -> bytes:
    """A good PNG with a chunk before its pixels."""
    at = GOOD.index(b"IDAT") - 4
    return GOOD[:at] + chunk(kind, data) + GOOD[at:]


ZEROS = zlib.compress(bytes(70 * 2**20), 9)


def exif_loop(entries: int) -> bytes:
    """A JPEG whose EXIF directory names itself as the next, and inside of itself."""
    tags = struct.pack("<HHII", 0x8769, 4, 1, 8) * entries
    tiff = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", entries) + tags + struct.pack("<I", 8)
    app1 = b"Exif\0\0" + tiff
    return HORSE[:2] + b"\xff\xe1" + struct.pack(">H", len(app1) + 2) + app1 + HORSE[2:]


def scans(count: int, side: int) -> bytes:
    """A progressive JPEG with its last scan repeated: each makes a decoder go through all of the picture again."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), 128).save(buffer, "JPEG", progressive=True, quality=1)
    content = buffer.getvalue()
    last = content.rindex(b"\xff\xda")
    tables = content.rindex(b"\xff\xc4", 0, last)
    return content[:-2] + content[tables:-2] * count + b"\xff\xd9"


def frames(count: int) -> bytes:
    """A GIF that moves; the frames after the first are one pixel each."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(HORSE)).convert("P").save(buffer, "GIF")
    frame = b"\x21\xf9\x04\0\0\0\0\0" + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    return buffer.getvalue()[:-1] + frame * count + b";"


PICTURES: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "I01 empty": (b"", (400,)),
    "I01 text": (b"not a picture", (400,)),
    "I01 magic only": (SIGNATURE, (400,)),
    "I01 random": (bytes(range(256)) * 50, (400,)),
    "I01 HTML": (b"<!DOCTYPE html><html></html>", (400,)),
    "I01 SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', (400,)),
    "I01 PDF": (b"%PDF-1.7\n", (400,)),
    "I01 EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", (400,)),
    "I01 ZIP": (b"PK\x03\x04" + bytes(100), (400,)),
    "I01 WAV": (b"RIFF\x24\x00\x00\x00WAVEfmt ", (400,)),
    "I02 20000 × 20000": (png_header(20_000, 20_000), (413,)),
    "I02 2**31 wide": (png_header(2**31 - 1, 1), (413,)),
    "I02 no pixels": (png_header(0, 0), (400,)),
    "I02 1 × 10000000": (png_header(1, 10_000_000), (413,)),
    "I03 12000 × 12000": (one_bit(12_000), (413,)),
    "I04 zTXt bomb": (with_chunk(b"zTXt", b"Comment\0\0" + ZEROS), (400,)),
    "I04 iTXt bomb": (with_chunk(b"iTXt", b"Comment\0\1\0\0\0" + ZEROS), (400,)),
    "I04 iCCP bomb": (with_chunk(b"iCCP", b"ICC\0\0" + ZEROS), (400,)),
    "I04 EXIF in a circle": (exif_loop(1), (200, 400)),
    "I04 EXIF in 5000 circles": (exif_loop(5000), (200, 400)),
    "I05 truncated PNG": (GOOD[:-30], (400,)),
    "I05 truncated JPEG": (HORSE[: len(HORSE) // 2], (400,)),
    "I05 bad checksum": (GOOD[:30] + b"\0\0" + GOOD[32:], (400,)),
    "I05 a tail": (HORSE + b"tail" * 100, (200,)),
    "I08 10000 frames": (frames(10_000), (200,)),
    "I09 10000 scans of 25 megapixels": (scans(10_000, 4990), (400,)),
    "I12 1 × 1": (encoded(np.zeros((1, 1), np.uint8)), (200,)),
    "I12 1 × 8192": (encoded(np.zeros((8192, 1), np.uint8)), (200,)),
    "I12 8192 × 1": (encoded(np.zeros((1, 8192), np.uint8)), (200,)),
    "I13 GIF and PNG": (b"GIF89a" + GOOD, (400,)),
    "I13 PNG and ZIP": (GOOD + b"PK\x03\x04" + bytes(100), (200,)),
}


def in_json(*texts: object, member: str = "images") -> Any:
    return post(PREDICT, json.dumps({member: list(texts)}).encode())


def _every_way() -> Iterator[Case]:
    """As the body, in a form, and in base64."""
    for name, (content, statuses) in PICTURES.items():
        for path in (APPLY, PREDICT):
            yield Case(f"{name} {path}", post(path, content, PNG), statuses)
            yield Case(f"{name} in a form {path}", form(part(FILE, content), path=path), statuses)
        yield Case(f"{name} in base64", in_json(base64.b64encode(content).decode()), statuses)
        yield Case(f"{name} as JPEG", post(PREDICT, content, JPEG), statuses)


TEXTS = (
    "", "====", "AAA", "AA==A", "A A=", "QUJD\n", "_-__", "data:image/png;base64,", "data:text/html;base64,QUJD",
    "data:image/png,QUJD", "😀" * 1000, "\0", "x" * 100_001, 1, None, [], {}, True,
)  # fmt: skip
PLACES = ("http://169.254.169.254/", "file:///etc/passwd", "gopher://x", "//x/y", "ftp://x", "/etc/passwd")
SMALL = base64.b64encode(GOOD).decode()

CASES = [
    *_every_way(),
    *(Case(f"I10 {number} {short(text)}", in_json(text), (400,)) for number, text in enumerate(TEXTS)),
    *(Case(f"I11 {place}", in_json(place), (400,)) for place in PLACES),
    Case("I14 one too many in JSON", in_json(*[SMALL] * (MAX_IMAGES + 1)), (400,), f"expected 1 to {MAX_IMAGES}"),
    Case("I14 200 in JSON", in_json(*[SMALL] * 200), (400,), f"expected 1 to {MAX_IMAGES}"),
    Case("I14 200 in a form", form(part(FILE, GOOD) * 200, path=PREDICT), (400,), "Too many files"),
]
