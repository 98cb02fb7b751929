"""Pictures are read alike from a zip and from a folder, in a fixed order, with a digest that notices any change."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models import data

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


def test_statistics_are_by_channel_on_the_scale_of_one() -> None:
    images = np.zeros((1, 1, 2, 3), np.uint8)
    images[0, 0, 1] = (255, 51, 0)
    mean, deviation = data.statistics(data.Split(images, np.zeros(1, np.int64), ("a",), ""))

    np.testing.assert_allclose(mean, [0.5, 0.1, 0])
    np.testing.assert_allclose(deviation, [0.5, 0.1, 0])
