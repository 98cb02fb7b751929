"""A JPEG that is decoded past Pillow has Pillow's pixels; what is not quite plain, or damaged, Pillow decides on."""

import io
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.errors import BadRequest, ServiceError
from service.wire import images
from service.wire.images import Picture, Preprocessing
from service.wire.jpeg import MAX_SCANS, Jpeg, has_too_many_scans

HORSE = Image.open("service/web/samples/horse.jpg")


def saved(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def noise(width: int, height: int, mode: str, seed: int = 0) -> Image.Image:
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from(["RGB", "L"]),
    st.fixed_dictionaries(
        {
            "quality": st.integers(1, 100),
            "subsampling": st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
            "progressive": st.booleans(),
            "optimize": st.booleans(),
            "restart_marker_blocks": st.integers(0, 3),
        }
    ),
)
def test_the_pixels_are_pillows(width: int, height: int, mode: str, options: dict[str, Any]) -> None:
    content = saved(noise(width, height, mode), **options)
    jpeg = Jpeg.read(content)
    assert jpeg is not None
    assert (jpeg.width, jpeg.height, jpeg.color) == (width, height, mode)
    expected = np.asarray(Image.open(io.BytesIO(content))).reshape(height, width, -1)
    np.testing.assert_array_equal(jpeg.pixels(), expected)


def test_a_photo_and_a_colour_profile_change_nothing() -> None:
    for options in ({"quality": 90}, {"quality": 90, "icc_profile": b"profile" * 9}, {"comment": b"a comment"}):
        content = saved(HORSE, **options)
        jpeg = Jpeg.read(content)
        assert jpeg is not None
        np.testing.assert_array_equal(jpeg.pixels(), np.asarray(Image.open(io.BytesIO(content))))


def exif() -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = 6  # orientation
    return found


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xd8\xff",
        saved(HORSE)[:40],
        saved(HORSE, exif=exif()),
        saved(HORSE, xmp=b"<x:xmpmeta/>"),
        saved(HORSE.convert("CMYK")),
        saved(HORSE, keep_rgb=True),
        b"\x89PNG\r\n\x1a\n",
        b" " + saved(HORSE),
    ],
    ids=["nothing", "start", "cut header", "EXIF", "XMP", "CMYK", "RGB", "PNG", "blank before"],
)
def test_what_is_not_plain_is_pillows_to_read(content: bytes) -> None:
    assert Jpeg.read(content) is None


def how(color: str, width: int = 32, height: int = 32) -> Preprocessing:
    count = len(color)
    return Preprocessing.from_dict(
        {"size": [height, width], "color": color, "mean": [0.5] * count, "std": [0.25] * count}
    )


def told(content: bytes, wanted: Preprocessing, *, by_pillow: bool) -> object:
    """The model's input, or the error's text."""
    try:
        picture = Picture.open(content, max_pixels=10**6, max_side=1000)
        return (images.preprocess(picture.load(), wanted) if by_pillow else picture.prepared(wanted)).tobytes()
    except ServiceError as error:
        return error.text


CONTENTS = {
    "colour": saved(noise(32, 32, "RGB")),
    "grey": saved(noise(32, 32, "L")),
    "turned": saved(noise(32, 32, "RGB"), exif=exif()),
    "another size": saved(noise(20, 33, "RGB")),
    "progressive": saved(HORSE, progressive=True),
}


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("color", ["RGB", "L"])
def test_a_models_input_is_the_same_either_way(name: str, color: str) -> None:
    wanted = how(color)
    found = told(CONTENTS[name], wanted, by_pillow=False)
    assert found == told(CONTENTS[name], wanted, by_pillow=True)
    assert isinstance(found, bytes)


@pytest.mark.parametrize("name", ["colour", "progressive"])
def test_damage_is_told_as_pillow_tells_it(name: str) -> None:
    """Cut at every place, and with one byte changed at many."""
    content, wanted = CONTENTS[name], how("RGB")
    chance = random.Random(0)
    damaged = [content[:end] for end in range(0, len(content), 7)]
    for _ in range(150):
        place = chance.randrange(len(content))
        damaged.append(content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :])
    told_apart = [d for d in damaged if told(d, wanted, by_pillow=False) != told(d, wanted, by_pillow=True)]
    assert told_apart == []


def test_a_scan_too_many_is_found_and_chance_bytes_are_none() -> None:
    """What looks like a scan's marker in metadata, or behind the end, is none."""
    content = saved(HORSE, progressive=True)
    last = content.rindex(b"\xff\xda")
    scan, there = content[last:-2], content.count(b"\xff\xda")
    head, tail = content[:-2], b"\xff\xd9"
    assert not has_too_many_scans(head + scan * (MAX_SCANS - there) + tail)
    assert has_too_many_scans(head + scan * (MAX_SCANS - there + 1) + tail)
    chance = b"\xff\xda" * MAX_SCANS
    comment = b"\xff\xfe" + (len(chance) + 2).to_bytes(2) + chance
    assert not has_too_many_scans(content + chance)
    assert not has_too_many_scans(content[:2] + comment + content[2:])
    assert not has_too_many_scans(b"\xff\xd8\xff\xda\xff\xff" + chance)  # a segment longer than all there is
    with pytest.raises(BadRequest, match="more than 50 scans"):
        Picture.open(head + scan * MAX_SCANS + tail, max_pixels=10**6, max_side=1000)
