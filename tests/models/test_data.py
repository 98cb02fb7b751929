"""Pictures are read alike from a zip and from a folder, in a fixed order, with a digest that notices any change.

The official files are in `test_batches`.
"""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models import data
from models.batches import CLASSES

COLORS = {"train/cat/0002.jpg": 10, "train/cat/0001.jpg": 20, "train/ant/0001.png": 30, "validation/cat/0001.jpg": 40}


def picture(level: int, suffix: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (level, level, level)).save(buffer, "PNG" if suffix == ".png" else "JPEG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, level in COLORS.items():
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(level, path.suffix))
    (tmp_path / "set/train/cat/notes.txt").write_text("no picture")
    return tmp_path / "set"


@pytest.fixture
def archive(folder: Path, tmp_path: Path) -> Path:
    """The same files, under one more folder, as zips often are."""
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in sorted(COLORS, reverse=True):
            file.write(folder / name, f"cifar/{name}")
    return path


def test_a_folder_and_its_zip_are_the_same(folder: Path, archive: Path) -> None:
    first, second = data.read(folder, "train"), data.read(archive, "train")

    assert first.sha256 == second.sha256
    np.testing.assert_array_equal(first.images, second.images)


def test_classes_are_alphabetical_and_pictures_in_order(folder: Path) -> None:
    split = data.read(folder, "train")

    assert split.classes == ("ant", "cat")
    assert split.targets.tolist() == [0, 1, 1]
    assert split.images[:, 0, 0, 0].tolist() == [30, 20, 10]
    assert split.images.shape == (3, 32, 32, 3)


def test_the_digest_notices_a_changed_byte_and_a_moved_file(folder: Path) -> None:
    before = data.read(folder, "train").sha256
    (folder / "train/cat/0001.jpg").write_bytes(picture(21, ".jpg"))
    changed = data.read(folder, "train").sha256
    (folder / "train/cat/0001.jpg").rename(folder / "train/ant/0002.jpg")

    assert len({before, changed, data.read(folder, "train").sha256}) == 3


def test_a_split_that_is_not_there_is_an_error(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no pictures under test/<class>/"):
        data.read(folder, "test")


def test_what_was_found_is_named_where_there_are_no_pictures(folder: Path, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source, found in ((folder, "train, validation"), (archive, "cifar"), (tmp_path / "empty", "nothing")):
        with pytest.raises(FileNotFoundError, match=f"and no batches of CIFAR-10; found {found}$"):
            data.read(source, "test")


def test_a_source_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.zip is not there"):
        data.read(tmp_path / "nothing.zip", "train")


def test_a_file_that_is_no_archive_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "page.zip").write_text("<html>Not Found")
    with pytest.raises(ValueError, match=r"page\.zip is neither a readable zip nor a \.tar\.gz"):
        data.read(tmp_path / "page.zip", "train")


def test_a_zip_that_is_damaged_is_an_error(archive: Path) -> None:
    content = archive.read_bytes()
    start = content.index(picture(40, ".jpg"))
    archive.write_bytes(content[:start] + bytes(20) + content[start + 20 :])

    with pytest.raises(
        ValueError, match=r"neither a readable zip .* Bad CRC-32 for file 'cifar/validation/cat/0001.jpg"
    ):
        data.read(archive, "validation")


def test_a_picture_of_another_size_is_an_error(folder: Path) -> None:
    Image.new("RGB", (64, 32)).save(folder / "train/cat/0003.png")
    with pytest.raises(ValueError, match=r"train/cat/0003\.png is 64x32 pixels; expected 32x32"):
        data.read(folder, "train")


@pytest.mark.parametrize("content", [b"", b"no picture", picture(10, ".png")[:60], picture(10, ".jpg")[:300]])
def test_a_picture_that_cannot_be_decoded_is_an_error(content: bytes, folder: Path) -> None:
    (folder / "train/cat/0003.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"train/cat/0003\.png is not a readable JPEG or PNG"):
        data.read(folder, "train")


def test_a_picture_that_is_too_large_is_not_read(folder: Path, tmp_path: Path) -> None:
    """On disk it has a hole of a tebibyte; in the zip it is small, and its zeros are not unpacked."""
    with zipfile.ZipFile(tmp_path / "large.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("train/cat/0001.jpg", bytes(data.MAX_PICTURE_BYTES + 1))
    with (folder / "train/cat/0001.jpg").open("r+b") as picture_file:
        picture_file.truncate(2**40)

    for source in (folder, tmp_path / "large.zip"):
        with pytest.raises(ValueError, match=r"train/cat/0001\.jpg has \d+ bytes; expected a small picture"):
            data.read(source, "train")


def test_a_macs_hidden_files_are_no_pictures(folder: Path, archive: Path) -> None:
    whole = data.read(folder, "train").sha256
    (folder / "train/cat/._0001.jpg").write_bytes(b"no picture")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("__MACOSX/cifar/train/cat/._0001.jpg", b"no picture")

    assert data.read(folder, "train").sha256 == data.read(archive, "train").sha256 == whole


def test_grey_pictures_become_rgb(folder: Path) -> None:
    Image.new("L", (32, 32), 77).save(folder / "validation/cat/0001.jpg")
    np.testing.assert_array_equal(data.read(folder, "validation").images, np.full((1, 32, 32, 3), 77))


def test_files_are_the_pictures_as_they_lie_there_in_order(folder: Path, archive: Path) -> None:
    names = ("train/ant/0001.png", "train/cat/0001.jpg", "train/cat/0002.jpg")
    for source in (folder, archive):
        split, contents = data.read_files(source, "train")

        assert contents == [(folder / name).read_bytes() for name in names]
        assert split.sha256 == data.read(folder, "train").sha256
        assert split.images[:, 0, 0, 0].tolist() == [30, 20, 10]


def numbered(*targets: int, classes: tuple[str, ...] = ("ape", "bee", "cat")) -> data.Split:
    """Pictures whose value is their number."""
    images = np.ones((1, 32, 32, 3), np.uint8) * np.arange(len(targets), dtype=np.uint8)[:, None, None, None]
    return data.Split(images, np.array(targets), classes, "digest")


def numbers(split: data.Split) -> list[int]:
    return [int(value) for value in split.images[:, 0, 0, 0]]


def test_the_last_pictures_of_every_class_are_held_out() -> None:
    split = numbered(2, 0, 0, 1, 0, 2, 1, 2, 1, 0)
    rest, held = data.hold_out(split, 2)

    assert (numbers(rest), rest.targets.tolist()) == ([0, 1, 2, 3], [2, 0, 0, 1])
    assert (numbers(held), held.targets.tolist()) == ([4, 5, 6, 7, 8, 9], [0, 2, 1, 2, 1, 0])
    assert rest.classes == held.classes == split.classes


def test_what_is_held_out_has_digests_of_its_own() -> None:
    """Known from the files and the number alone: of other files, or of another number, they are others."""
    split = numbered(0, 0, 0, 1, 1, 1, classes=("ape", "bee"))
    other = replace(split, sha256="another")
    digests = [part.sha256 for s in (split, other) for each in (1, 2) for part in data.hold_out(s, each)]

    assert len({*digests, "digest", "another"}) == 10
    assert [part.sha256 for part in data.hold_out(split, 1)] == digests[:2]
    assert all(len(digest) == 64 for digest in digests)


@pytest.mark.parametrize("each", [0, -1, 2, 3])
def test_as_much_is_held_out_as_leaves_some_of_every_class(each: int) -> None:
    with pytest.raises(ValueError, match=f"cannot hold out {each} of each class, expected 1 to 1: one has 2"):
        data.hold_out(numbered(0, 0, 0, 1, 1, classes=("ape", "bee")), each)


def test_animals_are_1_and_vehicles_0() -> None:
    split = numbered(*range(10), classes=CLASSES)
    two = data.binary(split)

    assert (two.classes, two.targets.dtype) == (("vehicle", "animal"), np.int64)
    assert two.targets.tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 0, 0]
    assert (numbers(two), two.sha256) == (numbers(split), split.sha256)
    assert {CLASSES[i] for i in two.targets.nonzero()[0]} == data.ANIMALS


def test_what_cifar_does_not_have_is_neither_animal_nor_vehicle() -> None:
    with pytest.raises(ValueError, match="neither vehicles nor animals: ape, bee; expected airplane"):
        data.binary(numbered(0, 1, 2))


def test_statistics_are_by_channel_on_the_scale_of_one() -> None:
    images = np.zeros((1, 1, 2, 3), np.uint8)
    images[0, 0, 1] = (255, 51, 0)
    mean, deviation = data.statistics(data.Split(images, np.zeros(1, np.int64), ("a",), ""))

    np.testing.assert_allclose(mean, [0.5, 0.1, 0])
    np.testing.assert_allclose(deviation, [0.5, 0.1, 0])
