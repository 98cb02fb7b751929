"""CIFAR-10 from disk: a zip of class folders, or the same as a folder.

Layout: `<split>/<class>/<number>.jpg` (or `.png`), 32×32 RGB. Classes in alphabetical order are the class
indices, which is CIFAR-10's own order. Nothing is downloaded.
"""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
"""Mean and standard deviation of the training set's pixels by channel, on the scale 0…1; see `statistics`."""

SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, slots=True)
class Split:
    """One labelled set of pictures.

    Attributes:
        images: uint8 [N, 32, 32, 3], RGB.
        targets: int64 [N], indices into `classes`.
        classes: class names by index.
        sha256: digest over every file's split, class, name and bytes, in sorted order.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.int64]
    classes: tuple[str, ...]
    sha256: str


def read(source: Path, split: str) -> Split:
    """Read one split (`train`, `validation`) from a zip or a folder.

    Raises:
        FileNotFoundError: `source` is not there, or holds no picture of that split.
    """
    digest = hashlib.sha256()
    images: list[NDArray[np.uint8]] = []
    labels: list[str] = []
    for name, content in _files(source, split):
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
        images.append(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
        labels.append(name.split("/")[-2])
    if not images:
        raise FileNotFoundError(f"{source} holds no pictures under {split}/<class>/")
    classes = tuple(sorted(set(labels)))
    targets = np.array([classes.index(label) for label in labels], dtype=np.int64)
    return Split(np.stack(images), targets, classes, digest.hexdigest())


def statistics(split: Split) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the pixels by channel, on the scale 0…1."""
    pixels = split.images.reshape(-1, 3).astype(np.float64) / 255
    return pixels.mean(axis=0), pixels.std(axis=0)


def _files(source: Path, split: str) -> Iterator[tuple[str, bytes]]:
    """Yield (`split/class/file`, content) in sorted order."""
    if source.is_dir():
        for path in sorted((source / split).glob("*/*")):
            if path.suffix.lower() in SUFFIXES:
                yield path.relative_to(source).as_posix(), path.read_bytes()
        return
    with zipfile.ZipFile(source) as archive:
        for name in sorted(archive.namelist()):
            parts = name.split("/")
            if len(parts) >= 3 and parts[-3] == split and name.lower().endswith(SUFFIXES):
                yield "/".join(parts[-3:]), archive.read(name)
