"""JPEGs that need nothing but decoding, past Pillow: it reads their markers in Python, and takes eight times as long.

Pillow's word is final: what is damaged, has EXIF or XMP data (which may turn the picture), or is neither grey nor YCbCr
is left to it. The pixels are the same bit for bit, for both decode with libjpeg-turbo at its most exact settings.
"""

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import simplejpeg
from numpy.typing import NDArray

START = b"\xff\xd8\xff"
APP1 = b"\xff\xe1"
"""The marker before EXIF and XMP. In the picture's own data a byte 0xFF is followed by others; anywhere else it is only
taken for a marker that it may not be."""

MAX_SCANS = 50
"""Passes over the picture; encoders write at most about 15. Each takes 60 bytes, and 0.7 ms a megapixel (a core of an
AMD EPYC, 2026-11)."""

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # neither a byte 0xFF of the picture's data, nor a restart in it
_SCAN, _END, _ALONE = 0xDA, 0xD9, (0x01, 0xD8)

COLORS: dict[str, Literal["RGB", "L"]] = {"YCbCr": "RGB", "Gray": "L"}


def has_too_many_scans(content: bytes) -> bool:
    """Whether a JPEG would take minutes to decode: libjpeg goes through all of a picture for each of its scans."""
    if content.count(bytes((0xFF, _SCAN))) <= MAX_SCANS:  # at memory's speed; metadata may hold the bytes by chance
        return False
    scans = at = 0
    while (found := _MARKER.search(content, at)) and found[0][1] != _END:
        scans += found[0][1] == _SCAN
        at = found.end()
        if found[0][1] not in _ALONE:
            at += int.from_bytes(content[at : at + 2])
    return scans > MAX_SCANS


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A JPEG of which only the header has been read; sizes in pixels, colors as Pillow names them."""

    height: int
    width: int
    color: Literal["RGB", "L"]
    content: bytes

    @classmethod
    def read(cls, content: bytes) -> "Jpeg | None":
        """Read the header; None if it is Pillow's to read."""
        if not content.startswith(START) or APP1 in content:
            return None
        try:
            height, width, space, _ = simplejpeg.decode_jpeg_header(content)
        except ValueError:
            return None
        return cls(height, width, COLORS[space], content) if space in COLORS else None

    def pixels(self) -> NDArray[np.uint8] | None:
        """Decode: [height, width, channels]; None if it is damaged, of which Pillow can say more."""
        try:
            found: NDArray[np.uint8] = simplejpeg.decode_jpeg(self.content, "GRAY" if self.color == "L" else "RGB")
        except ValueError:
            return None
        return found
