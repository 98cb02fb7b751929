"""JPEGs that need nothing but decoding, past Pillow: it reads their markers in Python, and takes eight times as long.

Pillow's word is final: what is damaged, has EXIF or XMP data (which may turn the picture), or is neither grey nor YCbCr
is left to it. The pixels are the same bit for bit, for both decode with libjpeg-turbo at its most exact settings.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import simplejpeg
from numpy.typing import NDArray

START = b"\xff\xd8\xff"
APP1 = b"\xff\xe1"
"""The marker before EXIF and XMP. In the picture's own data a byte 0xFF is followed by others; anywhere else it is only
taken for a marker that it may not be."""

COLORS: dict[str, Literal["RGB", "L"]] = {"YCbCr": "RGB", "Gray": "L"}


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
