"""Content-Encoding: both directions, every cut, bombs; Accept-Encoding with its qualities."""

import gzip
import os
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BadRequest, PayloadTooLarge
from service.wire.compression import Encoding, choose_encoding, compress, decompress

ENCODINGS: tuple[Encoding, ...] = ("gzip", "deflate")
BODY = b'{"inputs": []}' * 20 + bytes(range(256))

every_encoding = pytest.mark.parametrize("encoding", ENCODINGS)


@given(st.lists(st.binary(max_size=100)), st.sampled_from(ENCODINGS))
def test_what_is_compressed_is_decompressed(chunks: list[bytes], encoding: Encoding) -> None:
    whole = b"".join(chunks)
    packed = compress([memoryview(chunk) for chunk in chunks], encoding)
    assert decompress(packed, encoding, max_bytes=len(whole)) == whole
    assert compress(chunks, encoding) == packed


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("gzip", gzip.compress(BODY)), ("deflate", zlib.compress(BODY)), ("gzip", gzip.compress(BODY, 0))],
)
def test_what_others_compress_is_decompressed_at_that_length_only(encoding: Encoding, packed: bytes) -> None:
    assert decompress(memoryview(packed), encoding, max_bytes=len(BODY)) == BODY
    for length in range(len(packed)):
        with pytest.raises(BadRequest, match="cut short"):
            decompress(packed[:length], encoding, max_bytes=len(BODY))
    for extra in (b"\0", packed):
        with pytest.raises(BadRequest, match="more after the end"):
            decompress(packed + extra, encoding, max_bytes=9999)


@every_encoding
def test_more_may_follow_in_another_piece(encoding: Encoding) -> None:
    """The data end exactly at a piece's end: what is left has not been shown to zlib."""
    for size in range(16_300, 16_400):
        packed = compress([os.urandom(size)], encoding)
        if len(packed) == 16 * 1024:
            break
    assert len(packed) == 16 * 1024
    assert len(decompress(packed, encoding, max_bytes=size)) == size
    with pytest.raises(BadRequest, match="more after the end"):
        decompress(packed + b"\0", encoding, max_bytes=size)


@every_encoding
def test_the_limit_is_exact(encoding: Encoding) -> None:
    for size in (0, 1, 100_000):
        packed = compress([os.urandom(size)], encoding)
        assert len(decompress(packed, encoding, max_bytes=size)) == size
        if size:
            with pytest.raises(PayloadTooLarge, match=f"more than {size - 1} bytes"):
                decompress(packed, encoding, max_bytes=size - 1)


@every_encoding
def test_a_bomb_is_refused_within_the_limit(encoding: Encoding) -> None:
    bomb = compress([bytes(1 << 20)] * 200, encoding)
    assert len(bomb) < 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLarge):
            decompress(bomb, encoding, max_bytes=1 << 20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", zlib.compress(BODY)),
        ("gzip", BODY),
        ("deflate", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)[2:-4]),
        ("deflate", BODY),
        ("gzip", gzip.compress(BODY)[:-8] + bytes(8)),
        ("deflate", zlib.compress(BODY)[:-1] + b"\0"),
    ],
    ids=["zlib", "plain", "gzip", "raw deflate", "plain", "wrong checksum", "wrong checksum"],
)
def test_other_formats_and_wrong_checksums_are_refused(encoding: Encoding, body: bytes) -> None:
    with pytest.raises(BadRequest, match=f"not valid {encoding} data"):
        decompress(body, encoding, max_bytes=9999)


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        (None, None),
        ("", None),
        (" , ,", None),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("GZIP ; Q=0.5", "gzip"),
        ("deflate", "deflate"),
        ("deflate, gzip", "gzip"),
        ("gzip;q=0.5, deflate;q=0.8", "deflate"),
        ("gzip;q=0, deflate", "deflate"),
        ("gzip;q=0", None),
        ("br, zstd", None),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip"),
        ("*", "gzip"),
        ("gzip;q=0, *", "deflate"),
        ("*;q=0", None),
        ("*;q=0, deflate", "deflate"),
        ("identity", None),
        ("identity, gzip", "gzip"),
        ("identity;q=1, gzip;q=0.5", None),
        ("identity;q=0.2, gzip;q=0.1, deflate;q=0.3", "deflate"),
        ("identity;q=0", None),
        ("gzip;q=2", None),
        ("gzip;q=abc, deflate;q=0.001", "deflate"),
        ("gzip;q=1.001", None),
        ("gzip;q=-1", None),
        ("gzip;q=", None),
        ("gzip;x=1", "gzip"),
        ("gzip, deflate, br", "gzip"),
    ],
)
def test_the_encoding_that_is_chosen(header: str | None, encoding: str | None) -> None:
    assert choose_encoding(header) == encoding


@given(st.text())
def test_any_header_is_read(header: str) -> None:
    assert choose_encoding(header) in {None, *ENCODINGS}
