"""Pictures are decoded to documented pixels, and hostile ones are refused before they cost anything."""

import base64
import io
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.errors import BadRequest, PayloadTooLarge
from service.wire import images
from service.wire.images import Preprocessing

RANDOM = np.random.default_rng(7)
COLOR = RANDOM.integers(0, 256, (5, 7, 3), dtype=np.uint8)
LIMITS = {"max_pixels": 25_000_000, "max_side": 8192}


def decode(content: bytes, **options: Any) -> Image.Image:
    return images.decode(content, **{**LIMITS, **options})


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png(
    color_type: int, depth: int, size: tuple[int, int], rows: bytes, extra: tuple[tuple[bytes, bytes], ...] = ()
) -> bytes:
    """Write a PNG that Pillow itself would not write; `rows` with a filter byte before each row."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, color_type, 0, 0, 0))
    middle = b"".join(chunk(kind, data) for kind, data in extra)
    return b"\x89PNG\r\n\x1a\n" + head + middle + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


# --- decode -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "options"), [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True}), ("GIF", {}), ("JPEG", {})]
)
def test_each_format_is_read(format: str, options: dict[str, Any]) -> None:
    image = Image.new("RGB", (5, 4), (200, 100, 50))
    got = decode(encoded(image, format, **options))
    assert (got.mode, got.size) == ("RGB", (5, 4))
    assert np.abs(np.asarray(got).astype(int) - np.asarray(image)).max() <= (2 if format == "JPEG" else 0)
    assert format in images.FORMATS
    assert format in images.CONTENT_TYPES.values()


def palette(transparency: bytes | int | None) -> bytes:
    image = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    return encoded(image, **({} if transparency is None else {"transparency": transparency}))


GOLDEN = [
    ("1-bit", encoded(Image.fromarray(np.array([[False, True]]))), "L", [0, 255]),
    ("1-bit with tRNS", png(0, 1, (2, 1), b"\0\x40", ((b"tRNS", b"\0\1"),)), "L", [0, 255]),
    ("L", encoded(Image.fromarray(np.array([[3, 250]], np.uint8))), "L", [3, 250]),
    ("L with tRNS", png(0, 8, (2, 1), b"\0\3\4", ((b"tRNS", b"\0\3"),)), "L", [3, 4]),
    ("LA", encoded(Image.merge("LA", [Image.new("L", (1, 1), 77), Image.new("L", (1, 1), 0)])), "L", [77]),
    ("I;16", encoded(Image.fromarray(np.array([[0, 128, 129, 257, 65535]], np.uint16))), "L", [0, 0, 1, 1, 255]),
    ("P", palette(None), "RGB", [10, 20, 30, 200, 100, 50]),
    ("P with one transparent colour", palette(0), "RGB", [10, 20, 30, 200, 100, 50]),
    ("P with an alpha table", palette(b"\x80\0"), "RGB", [10, 20, 30, 200, 100, 50]),
    ("RGBA, transparent", encoded(Image.new("RGBA", (1, 1), (9, 8, 7, 0))), "RGB", [9, 8, 7]),
    ("RGB with tRNS", png(2, 8, (1, 1), b"\0\1\2\3", ((b"tRNS", b"\0\1\0\2\0\3"),)), "RGB", [1, 2, 3]),
    ("RGB of 16 bits", png(2, 16, (1, 1), b"\0\x01\xff\x80\x00\xff\xff"), "RGB", [1, 128, 255]),
    ("CMYK", encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "JPEG"), "RGB", [0] * 192),
]  # fmt: skip


@pytest.mark.parametrize(("content", "mode", "pixels"), [g[1:] for g in GOLDEN], ids=[g[0] for g in GOLDEN])
def test_each_mode_becomes_grey_or_colour(content: bytes, mode: str, pixels: list[int]) -> None:
    got = decode(content)
    assert (got.mode, list(got.tobytes())) == (mode, pixels)


@pytest.mark.parametrize("orientation", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65535])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_the_picture_is_turned_as_its_exif_says(orientation: int, format: str) -> None:
    image, exif = Image.fromarray(COLOR), Image.Exif()
    exif[0x0112] = orientation
    methods = [None, 0, 3, 1, 5, 4, 6, 2]  # of Image.Transpose, for 1…8
    method = methods[orientation - 1] if 1 <= orientation <= 8 else None
    options = {"quality": 95} if format == "JPEG" else {"lossless": True} if format == "WEBP" else {}
    plain = decode(encoded(image, format, **options))
    expected = plain if method is None else plain.transpose(Image.Transpose(method))
    assert decode(encoded(image, format, exif=exif, **options)).tobytes() == expected.tobytes()


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_only_the_first_frame_is_read(format: str) -> None:
    frames = [Image.new("RGB", (4, 4), (shade, shade, shade)) for shade in range(0, 250, 5)]
    options = {"lossless": True} if format == "WEBP" else {}
    content = encoded(frames[0], format, save_all=True, append_images=frames[1:], duration=10, **options)
    assert decode(content).getextrema() == ((0, 0),) * 3


@pytest.mark.parametrize("size", [(1, 1), (1, 8192), (8192, 1)])
def test_thin_pictures_are_read(size: tuple[int, int]) -> None:
    assert decode(encoded(Image.new("L", size))).size == size


NOT_IMAGES = {
    "empty": b"",
    "text": b"hello",
    "random": RANDOM.bytes(1000),
    "html": b"<html></html>",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "pdf": b"%PDF-1.7\n",
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n",
    "zip": b"PK\x03\x04" + bytes(100),
    "wav": b"RIFF\x24\0\0\0WAVEfmt ",
    "png magic": b"\x89PNG\r\n\x1a\n",
    "jpeg magic": b"\xff\xd8\xff\xe0",
    "gif magic": b"GIF89a",
    "bmp magic": b"BM",
    "webp magic": b"RIFF\x24\0\0\0WEBPVP8 ",
    "tiff": encoded(Image.new("L", (4, 4)), "TIFF"),
    "0x0 png": png(2, 8, (0, 0), b""),
    "bad crc": encoded(Image.fromarray(COLOR))[:-20] + b"x" * 20,
    "zTXt bomb": png(0, 8, (1, 1), b"\0\0", ((b"zTXt", b"a\0\0" + zlib.compress(bytes(70_000_000), 9)),)),
    "iCCP bomb": png(0, 8, (1, 1), b"\0\0", ((b"iCCP", b"a\0\0" + zlib.compress(bytes(70_000_000), 9)),)),
}


@pytest.mark.parametrize("content", NOT_IMAGES.values(), ids=NOT_IMAGES)
def test_what_is_not_an_image_is_refused_without_internals(content: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        decode(content, name="image 'x'")
    assert caught.value.text.startswith("image 'x' is not a readable image: expected PNG, JPEG, WebP, BMP or GIF")
    assert not any(leak in caught.value.text for leak in ("0x", "<", "/", "BytesIO"))


@pytest.mark.parametrize("format", ["PNG", "BMP", "WEBP", "GIF", "JPEG"])
def test_a_truncated_picture_is_refused_or_complete(format: str) -> None:
    """What may be missing is only what comes after the pixels."""
    content = encoded(Image.fromarray(np.tile(COLOR, (4, 4, 1))), format)
    whole, accepted = decode(content).tobytes(), []
    for length in range(len(content)):
        try:
            image = decode(content[:length])
        except (BadRequest, PayloadTooLarge):
            continue
        accepted.append(length)
        assert image.tobytes() == whole
    assert all(len(content) - length <= 32 for length in accepted), (accepted, len(content))


def test_bytes_after_the_end_of_a_jpeg_are_ignored() -> None:
    assert decode(encoded(Image.fromarray(COLOR), "JPEG") + b"garbage").size == (7, 5)


@pytest.mark.parametrize("size", [(20_000, 20_000), (8193, 1), (1, 10_000_000), (5001, 5000), (2**31 - 1, 2**31 - 1)])
@pytest.mark.parametrize("bits", [1, 8])
def test_a_huge_picture_is_refused_by_its_header(size: tuple[int, int], bits: int) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLarge, match="expected at most 25000000"):
            decode(png(0, bits, size, b""))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("side", [10_000, 65_535])  # above Pillow's warning, above its error
def test_pillows_own_limit_is_an_answer_too(side: int) -> None:
    with pytest.raises(PayloadTooLarge):
        decode(png(0, 1, (side, side), b""), max_pixels=2**62, max_side=2**31)


def test_a_gif_that_says_it_is_huge_is_refused() -> None:
    content = bytearray(encoded(Image.new("L", (4, 4)), "GIF"))
    content[6:10] = b"\xff\xff\xff\xff"
    with pytest.raises(PayloadTooLarge):
        decode(bytes(content))


def test_a_picture_that_pillow_warns_about_is_refused() -> None:
    """Also in a process whose warnings are not errors, as in production."""
    content = png(0, 8, (1, 1), b"\0\0", ((b"acTL", bytes(8)),))
    code = f"""
from service.errors import BadRequest
from service.wire import images
try:
    images.decode({content!r}, max_pixels=1, max_side=1)
except BadRequest as exc:
    print(exc.text)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "not a readable image" in done.stdout
    assert "Invalid APNG" in done.stdout
    assert done.stderr == ""


# --- to_array ---------------------------------------------------------------------------------------------------------


def halfway(dtype: np.dtype[Any], value: Any) -> tuple[Fraction, Fraction]:
    """Return the neighbourhood of `value` in which nothing else is nearer."""
    down, up = (np.nextafter(value, dtype.type(end)) for end in (-np.inf, np.inf))
    middle = Fraction(float(value))
    return (middle + Fraction(float(down))) / 2, (middle + Fraction(float(up))) / 2


@pytest.mark.parametrize("dtype", [np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)], ids=str)
@pytest.mark.parametrize("signed", [False, True])
def test_each_level_is_the_nearest_number_of_its_dtype(dtype: np.dtype[Any], signed: bool) -> None:
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    array = images.to_array(image, dtype, signed=signed)
    assert (array.dtype, array.shape) == (dtype, (16, 16, 1))
    for level, value in enumerate(array.ravel()):
        low, high = halfway(dtype, value)
        assert low <= (Fraction(2 * level - 255, 255) if signed else Fraction(level, 255)) <= high
    assert array.min() == (-1 if signed else 0)
    assert array.max() == 1


def test_colours_are_the_last_axis() -> None:
    array = images.to_array(Image.fromarray(COLOR), np.dtype(np.float64), signed=False)
    assert np.array_equal(array, COLOR / 255)


# --- preprocess -------------------------------------------------------------------------------------------------------

MNIST = {"size": [28, 28], "color": "L", "mean": [0.1307], "std": [0.3081]}
CIFAR = {"size": [5, 7], "color": "RGB", "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 1], "layout": "NHWC", "scale": 1}


@pytest.mark.parametrize("metadata", [MNIST, CIFAR])
def test_metadata_survives_a_round_trip(metadata: dict[str, Any]) -> None:
    how = Preprocessing.from_dict(metadata)
    assert Preprocessing.from_dict(how.to_dict()) == how
    assert {**how.to_dict(), **metadata} == how.to_dict()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"size": [28]}, "size"),
        ({"size": [28, 0]}, "size"),
        ({"size": [28, 9000]}, "size"),
        ({"size": [28.0, 28]}, "size"),
        ({"size": [True, 28]}, "size"),
        ({"size": "28"}, "size"),
        ({"color": "BGR"}, "color is 'BGR', expected one of RGB, L"),
        ({"color": None}, "color"),
        ({"mean": [0, 0, 0]}, "mean is .*, expected 1 finite"),
        ({"mean": 0}, "mean"),
        ({"mean": ["0"]}, "mean"),
        ({"mean": [float("nan")]}, "mean"),
        ({"std": [0]}, "std is .*, expected 1 positive"),
        ({"std": [True]}, "std"),
        ({"scale": 0}, "scale"),
        ({"scale": None}, "scale"),
        ({"layout": "CHW"}, "layout"),
        ({"crop": True}, "keys"),
    ],
)
def test_malformed_metadata_is_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Preprocessing.from_dict({**MNIST, **change})


@pytest.mark.parametrize("metadata", [None, [], {}, {"size": [1, 1]}, {1: 2}])
def test_incomplete_metadata_is_refused(metadata: object) -> None:
    with pytest.raises(ValueError, match="preprocessing"):
        Preprocessing.from_dict(metadata)


def test_a_picture_of_the_right_size_keeps_its_pixels() -> None:
    how = Preprocessing(5, 7, (0, 0, 0), (1, 1, 1), "RGB", "NHWC", 1)
    assert np.array_equal(images.preprocess(Image.fromarray(COLOR), how), COLOR)


def test_channels_come_first_or_last() -> None:
    how = Preprocessing.from_dict(CIFAR)
    last = images.preprocess(Image.fromarray(COLOR), how)
    first = images.preprocess(Image.fromarray(COLOR), Preprocessing.from_dict({**CIFAR, "layout": "NCHW"}))
    assert (first.shape, last.shape) == ((3, 5, 7), (5, 7, 3))
    assert np.array_equal(first, last.transpose(2, 0, 1))
    assert first.flags.c_contiguous
    expected = (COLOR.astype(np.float64) - [0.5, 0.4, 0.3]) / [0.2, 0.25, 1]
    assert np.array_equal(last, expected.astype(np.float32))


@pytest.mark.parametrize(("mode", "color", "channels"), [("RGB", "L", 1), ("L", "RGB", 3), ("L", "L", 1)])
def test_colour_is_what_the_model_wants(mode: str, color: Any, channels: int) -> None:
    how = Preprocessing(4, 4, (0.0,) * channels, (1.0,) * channels, color)
    got = images.preprocess(Image.new(mode, (9, 6), "white"), how)
    assert (got.shape, got.dtype) == ((channels, 4, 4), np.float32)
    assert (got == 1).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 8192), (8192, 1), (3, 500), (64, 64)])
def test_any_size_is_fitted(size: tuple[int, int]) -> None:
    got = images.preprocess(Image.new("L", size, 51), Preprocessing.from_dict({**MNIST, "mean": [0], "std": [1]}))
    assert got.shape == (1, 28, 28)
    assert np.allclose(got, 0.2)


def test_a_wide_picture_is_cropped_around_its_centre_and_not_aliased() -> None:
    pixels = np.zeros((64, 192), np.uint8)
    pixels[:, 64:128:2] = 255  # the middle square: stripes of one pixel, whose average is half
    got = images.preprocess(Image.fromarray(pixels), Preprocessing(8, 8, (0,), (1,), "L"))
    assert np.abs(got[0, :, 1:-1] - 0.5).max() < 0.05


# --- encode_png -------------------------------------------------------------------------------------------------------

NAN, INF, BIG = float("nan"), float("inf"), np.finfo(np.float64).max


@pytest.mark.parametrize(
    ("values", "pixels", "low", "high"),
    [
        ([0, 1, 2, 5], [0, 51, 102, 255], 0, 5),
        ([-1, 0, 1, 1], [0, 128, 255, 255], -1, 1),
        ([3, 3, 3, 3], [0, 0, 0, 0], 3, 3),
        ([0, NAN, INF, 1], [0, 0, 255, 255], 0, 1),
        ([-INF, -5, 5, INF], [0, 0, 255, 255], -5, 5),
        ([NAN, NAN, INF, -INF], [0, 0, 0, 0], 0, 0),
        ([-BIG, BIG, 0, 0], [0, 255, 128, 128], -BIG, BIG),
        ([0, 5e-324, 1e-323, 0], [0, 128, 255, 0], 0, 1e-323),
    ],
)
def test_an_array_is_drawn_from_its_minimum_to_its_maximum(
    values: list[float], pixels: list[int], low: float, high: float
) -> None:
    content, *got = images.encode_png(np.array(values, np.float64).reshape(2, 2, 1))
    image = decode(content)
    assert (image.mode, list(image.tobytes()), got) == ("L", pixels, [low, high])


def test_a_signalling_nan_is_drawn_black() -> None:
    values = np.array([0x7F800001, 0x3F800000, 0x40000000], np.uint32).view(np.float32)
    content, low, high = images.encode_png(values.reshape(1, 3, 1))
    assert (decode(content).tobytes(), low, high) == (b"\0\0\xff", 1, 2)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_colour_picture_survives_to_array_and_back(dtype: Any) -> None:
    pixels = COLOR.copy()
    pixels[0, 0] = (0, 255, 0)
    array = images.to_array(Image.fromarray(pixels), np.dtype(dtype), signed=True)
    content, low, high = images.encode_png(array)
    assert (decode(content).tobytes(), low, high) == (pixels.tobytes(), -1, 1)


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 2), (2, 2, 4), (0, 2, 1), (2, 0, 3), (1, 2, 2, 1), ()])
def test_an_array_that_is_not_a_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadRequest, match="height, width"):
        images.encode_png(np.zeros(shape, np.float32))


# --- from_base64 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"a", b"ab", b"abc", bytes(range(256)), b"\xff\xfe\xfd" * 100])
@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,", "DATA:image/svg+xml;BASE64,"])
def test_base64_is_read_alone_or_as_a_data_url(content: bytes, prefix: str) -> None:
    text = prefix + base64.b64encode(content).decode()
    assert images.from_base64(text, name="image", max_bytes=len(content)) == content
    with pytest.raises(PayloadTooLarge, match=f"image has {len(content)} bytes, expected at most {len(content) - 1}"):
        images.from_base64(text, name="image", max_bytes=len(content) - 1)


@pytest.mark.parametrize(
    "text",
    [None, 5, b"YQ==", ["YQ=="], "", "YQ", "YQ=", "YQ===", "Y", "=", "YQ==YQ==", "YR==x", "YW Jj", "YWJj\n", "-_-_",
     "ä", "\ud800", "YWJj*", "data:text/plain;base64,YQ==", "data:image/png,YQ==", "data:image/png;base64,YQ"],
)  # fmt: skip
def test_what_is_not_base64_is_refused(text: object) -> None:
    with pytest.raises(BadRequest, match=r"^image is"):
        images.from_base64(text, name="image", max_bytes=1000)


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/latest", "https://x/y.png", "file:///etc/passwd", "gopher://x", " http://x", "FTP://x"],
)
def test_a_url_is_not_fetched(url: str) -> None:
    with pytest.raises(BadRequest, match="URLs are not fetched"):
        images.from_base64(url, name="image", max_bytes=1000)


@pytest.mark.parametrize("content", [b"", b"a", b"ab", b"abc", bytes(range(40))], ids=len)
def test_a_long_text_is_read_in_pieces(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_BASE64_PIECE", 8)
    text = base64.b64encode(b"123456" * 3 + content).decode()
    assert images.from_base64(text, name="image", max_bytes=1000) == b"123456" * 3 + content
    for wrong in ("YWJjZA==" + text, text + "a", text.replace("M", "?", 1)):
        with pytest.raises(BadRequest, match="is not base64"):
            images.from_base64(wrong, name="image", max_bytes=1000)


def test_a_long_text_that_is_not_base64_is_refused_at_once() -> None:
    started = time.perf_counter()
    with pytest.raises(BadRequest):
        images.from_base64("!" * 5_000_000, name="image", max_bytes=10_000_000)
    with pytest.raises(PayloadTooLarge):
        images.from_base64("a" * 5_000_000, name="image", max_bytes=1000)
    assert time.perf_counter() - started < 1
