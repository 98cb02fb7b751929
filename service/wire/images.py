"""Pictures to arrays and back: a hostile file is refused before its pixels are decoded.

Only PNG, JPEG, WebP, BMP and GIF are read, and of a moving picture only the first frame. What comes out is 8-bit grey
("L") or colour ("RGB"), turned upright as its EXIF tag says, without its transparency. A picture that Pillow has doubts
about (a warning) is refused like one that it cannot read. Nothing is fetched: a URL is an error.
Models and activations are not known here; how a model wants its pictures is a `Preprocessing`.
"""

import binascii
import io
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from service.errors import BadRequest, PayloadTooLarge, quoted
from service.wire.arrays import Array, DType
from service.wire.jpeg import MAX_SCANS, START, Jpeg, has_too_many_scans

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
CONTENT_TYPES: Mapping[str, str] = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/bmp": "BMP",
    "image/x-ms-bmp": "BMP",
    "image/gif": "GIF",
}

# Process-wide and once: `warnings.catch_warnings` around each picture is not safe in threads before Python 3.14.
# Above Image.MAX_IMAGE_PIXELS (89 Mpx) this makes Pillow's bomb warning a refusal, whatever our own limit is.
warnings.filterwarnings("error", module=r"PIL\.")

_UNREADABLE = "is not a readable image: expected PNG, JPEG, WebP, BMP or GIF"
_BASE64_PIECE = 2**20
"""Characters; four of them make three bytes."""
_DATA_URL = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE)
_URL = re.compile(r"\s*[a-z][a-z0-9+.-]*:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of which only the header has been read.

    Attributes:
        name: what it is called in error texts.
        pixels: width times height.
    """

    name: str
    pixels: int
    max_pixels: int
    _image: Image.Image | Jpeg

    @classmethod
    def open(cls, content: bytes, *, max_pixels: int, max_side: int, name: str = "image") -> "Picture":
        """Read the header.

        Args:
            max_pixels: limit of width times height; Pillow's own limit of 89 million stays in force.
            max_side: limit of the width and of the height, in pixels.
            name: what the picture is called in error texts.

        Raises:
            BadRequest: not one of FORMATS, or a JPEG of many scans.
            PayloadTooLarge: too many pixels.
        """
        if content.startswith(START) and has_too_many_scans(content):
            raise BadRequest(f"{name} is a JPEG of more than {MAX_SCANS} scans")
        with _readable(name, max_pixels):
            image = Jpeg.read(content) or _opened(content)
            _check_size(image.width, image.height, max_pixels, max_side, name)
        return cls(name, image.width * image.height, max_pixels, image)

    def load(self) -> Image.Image:
        """Decode the pixels.

        Returns:
            A picture in mode "L" or "RGB". 16-bit grey is scaled to 8 bits; of 16-bit colours Pillow keeps the high
            byte.

        Raises:
            BadRequest: damaged or truncated.
        """
        with _readable(self.name, self.max_pixels):
            image = _opened(self._image.content) if isinstance(self._image, Jpeg) else self._image
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _normalised(image)

    def prepared(self, how: "Preprocessing") -> NDArray[np.float32]:
        """Decode the pixels and make a model's input of them: `load`, then `preprocess`."""
        jpeg = self._image
        if isinstance(jpeg, Jpeg) and (jpeg.height, jpeg.width, jpeg.color) == (how.height, how.width, how.color):
            pixels = jpeg.pixels()
            if pixels is not None:
                return _scaled(pixels, how)
        return preprocess(self.load(), how)


def _opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content), formats=FORMATS)


def decode(content: bytes, *, max_pixels: int, max_side: int, name: str = "image") -> Image.Image:
    """Read a picture: `Picture.open`, then `Picture.load`."""
    return Picture.open(content, max_pixels=max_pixels, max_side=max_side, name=name).load()


@contextmanager
def _readable(name: str, max_pixels: int) -> Iterator[None]:
    """Turn whatever Pillow raises into errors of ours."""
    try:
        yield
    except PayloadTooLarge:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise PayloadTooLarge(f"{name} has too many pixels, expected at most {max_pixels}") from exc
    except Exception as exc:  # Pillow's decoders raise nearly anything for a hostile file
        raise BadRequest(f"{name} {_UNREADABLE}{_cause(exc)}") from exc


def _check_size(width: int, height: int, max_pixels: int, max_side: int, name: str) -> None:
    if width * height > max_pixels or max(width, height) > max_side:
        limits = f"at most {max_pixels} pixels and {max_side} per side"
        raise PayloadTooLarge(f"{name} is {width}x{height} pixels, expected {limits}")


def _cause(exc: Exception) -> str:
    """Return Pillow's reason, unless it shows an object or a path."""
    text = str(exc)
    return f" ({text[:120]})" if text and not re.search(r"[<>/\\]|0x", text) else ""


def _normalised(image: Image.Image) -> Image.Image:
    if image.mode == "I;16":  # convert("L") would clip at 255
        wide = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8))  # 65535 = 255 * 257, to nearest
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB Pillow warns
    return _in_mode(image, "L" if image.mode in {"1", "L", "LA"} else "RGB")


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """Converted if it has another mode; Pillow would copy it in any case."""
    return image if image.mode == mode else image.convert(mode)


# --- picture to array -------------------------------------------------------------------------------------------------


def to_array(image: Image.Image, dtype: DType, *, signed: bool) -> Array:
    """Return the pixels as [height, width, channels] in 0…1, or in -1…1 when `signed`; each correctly rounded."""
    levels = np.arange(256, dtype=np.float64)
    table = ((2 * levels - 255) / 255 if signed else levels / 255).astype(dtype)
    return table[_pixels(image)]


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image, dtype=np.uint8).reshape(image.height, image.width, -1)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a model wants a picture: sizes in pixels; `mean` and `std` of each channel, of the scaled values."""

    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    color: Literal["RGB", "L"]
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    scale: float = 1 / 255

    @classmethod
    def from_dict(cls, obj: object) -> "Preprocessing":
        """Read a model's metadata: `size` [height, width], `color`, `mean`, `std`, and optionally `layout`, `scale`.

        Raises:
            ValueError: something is missing, unknown or out of range.
        """
        if not isinstance(obj, dict):
            raise ValueError("preprocessing: expected an object")
        required, optional = {"size", "color", "mean", "std"}, {"layout", "scale"}
        if not required <= set(obj) <= required | optional:
            wanted = f"{sorted(required)} and optionally {sorted(optional)}"
            raise ValueError(f"preprocessing: has the keys {sorted(map(str, obj))}, expected {wanted}")
        color = _one_of(obj["color"], ("RGB", "L"), "color")
        height, width = _size(obj["size"])
        return cls(
            height=height,
            width=width,
            mean=_numbers(obj["mean"], len(color), "mean", positive=False),
            std=_numbers(obj["std"], len(color), "std", positive=True),
            color=cast(Literal["RGB", "L"], color),
            layout=cast(Literal["NCHW", "NHWC"], _one_of(obj.get("layout", "NCHW"), ("NCHW", "NHWC"), "layout")),
            scale=_numbers([obj.get("scale", 1 / 255)], 1, "scale", positive=True)[0],
        )

    def to_dict(self) -> dict[str, object]:
        """Return what `from_dict` reads."""
        return {
            "size": [self.height, self.width],
            "color": self.color,
            "mean": list(self.mean),
            "std": list(self.std),
            "layout": self.layout,
            "scale": self.scale,
        }


def _one_of(value: object, known: tuple[str, ...], key: str) -> str:
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"preprocessing: {key} is {quoted(value)}, expected one of {', '.join(known)}")
    return value


def _size(value: object) -> tuple[int, int]:
    sizes = value if isinstance(value, list) else []
    if len(sizes) == 2 and all(type(size) is int and 1 <= size <= 8192 for size in sizes):
        return sizes[0], sizes[1]
    raise ValueError(f"preprocessing: size is {quoted(value)}, expected [height, width], each in 1…8192")


def _numbers(value: object, count: int, key: str, *, positive: bool) -> tuple[float, ...]:
    numbers = value if isinstance(value, list) else []
    good = [type(x) in {int, float} and math.isfinite(x) and (x > 0 or not positive) for x in numbers]
    if len(numbers) != count or not all(good):
        kind = "positive" if positive else "finite"
        raise ValueError(f"preprocessing: {key} is {quoted(value)}, expected {count} {kind} number(s)")
    return tuple(map(float, numbers))


def preprocess(image: Image.Image, how: Preprocessing) -> NDArray[np.float32]:
    """Return one picture as a model's input: [channels, height, width], or [height, width, channels] for NHWC.

    The picture is cropped around its centre to the wanted aspect ratio and resized; one that has the wanted size keeps
    its pixels bit for bit. Then (pixel * scale - mean) / std, computed in float64 and rounded once.
    """
    # Bicubic: Pillow widens the filter when it shrinks (no aliasing) and it is smooth when it enlarges, where a box
    # filter gives blocks.
    fitted = _in_mode(image, how.color)
    if fitted.size != (how.width, how.height):
        fitted = ImageOps.fit(fitted, (how.width, how.height), Image.Resampling.BICUBIC)
    return _scaled(_pixels(fitted), how)


def _scaled(pixels: NDArray[np.uint8], how: Preprocessing) -> NDArray[np.float32]:
    levels = _levels(how)
    values = np.empty((len(levels), how.height, how.width), np.float32)
    for index, table in enumerate(levels):
        table.take(pixels[..., index], out=values[index], mode="clip")  # no level is beyond it: NumPy need not look
    return values if how.layout == "NCHW" else np.ascontiguousarray(values.transpose(1, 2, 0))


@lru_cache(maxsize=64)
def _levels(how: Preprocessing) -> NDArray[np.float32]:
    """What each of the 256 levels of a pixel becomes: float32 [channels, 256]."""
    mean, std = (np.array(values)[:, None] for values in (how.mean, how.std))
    levels: NDArray[np.float32] = ((np.arange(256) * how.scale - mean) / std).astype(np.float32)
    return levels


# --- array to picture -------------------------------------------------------------------------------------------------


def encode_png(array: Array) -> tuple[bytes, float, float]:
    """Draw an array as an 8-bit PNG, its finite minimum black and its finite maximum white.

    Args:
        array: floats, [height, width, 1] (grey) or [height, width, 3] (colour). NaN and constant arrays are drawn
            black, infinities like the finite extremes.

    Returns:
        The file, and the minimum and maximum (0, 0 if nothing is finite).
    """
    if array.ndim != 3 or array.shape[2] not in {1, 3} or not array.size:
        raise BadRequest(f"a PNG needs an array of shape [height, width, 1 or 3], got {list(array.shape)}")
    with np.errstate(invalid="ignore"):  # a signalling NaN
        values = array.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    pixels = _grey_levels(values, low, high)
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue(), low, high


def _grey_levels(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.uint8]:
    if low == high:
        return np.zeros(values.shape, np.uint8)
    unit = max(abs(low), abs(high))  # high - low itself may overflow
    clipped = np.clip(np.nan_to_num(values, nan=low, posinf=high, neginf=low), low, high) / unit
    share = (clipped - low / unit) / (high / unit - low / unit)
    return np.rint(share * 255).astype(np.uint8)


# --- base64 -----------------------------------------------------------------------------------------------------------


def from_base64(text: object, *, name: str, max_bytes: int) -> bytes:
    """Read base64 (RFC 4648 section 4, padded), alone or as a `data:image/...;base64,` URL.

    Whitespace, line breaks and the URL-safe alphabet are refused: RFC 4648 section 3.3 asks for it.

    Raises:
        BadRequest: not base64, or a URL of another kind.
        PayloadTooLarge: more than `max_bytes`; found before decoding.
    """
    if not isinstance(text, str) or not text:
        raise BadRequest(f"{name} is not a string of base64" if text != "" else f"{name} is empty")
    prefix = _DATA_URL.match(text)
    if prefix is None and _URL.match(text):
        expected = "base64 or data:image/...;base64,..."
        raise BadRequest(f"{name} is {quoted(text[:40])}: URLs are not fetched, expected {expected}")
    payload = text[prefix.end() :] if prefix else text
    size = len(payload) * 3 // 4 - payload.count("=", -2)
    if size > max_bytes:
        raise PayloadTooLarge(f"{name} has {size} bytes, expected at most {max_bytes}")
    try:
        return b"".join(_pieces_of_base64(payload))
    except ValueError as exc:
        raise BadRequest(f"{name} is not base64 (A-Z a-z 0-9 + / padded with =, no line breaks): {exc}") from exc


def _pieces_of_base64(payload: str) -> Iterator[bytes]:
    """Decoded one after the other: while one is, no other thread runs."""
    for start in range(0, len(payload), _BASE64_PIECE):
        piece = payload[start : start + _BASE64_PIECE]
        if piece.endswith("=") and start + len(piece) < len(payload):
            raise ValueError("Excess data after padding")
        yield binascii.a2b_base64(piece, strict_mode=True)
