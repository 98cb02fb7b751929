"""CIFAR-10 from disk: a zip or folder of class folders, or its official files.

Class folders are `<split>/<class>/<number>.jpg` (or `.png`), 32×32 RGB; classes in alphabetical order are the class
indices, which is CIFAR-10's own order. The official files are in `models.batches`. Nothing is downloaded.
"""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models import batches

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
"""Mean and standard deviation of the training set's pixels by channel, on the scale 0…1; see `statistics`."""

SUFFIXES = (".jpg", ".jpeg", ".png")

MAX_PICTURE_BYTES = 2**20
"""Of one file; those of CIFAR-10 have about a thousand."""

ANIMALS = frozenset({"bird", "cat", "deer", "dog", "frog", "horse"})
"""The classes that `binary` makes one; the others are vehicles."""
BINARY_CLASSES = ("vehicle", "animal")


@dataclass(frozen=True, slots=True)
class Split:
    """One labelled set of pictures.

    Attributes:
        images: uint8 [N, 32, 32, 3], RGB.
        targets: int64 [N], indices into `classes`.
        classes: class names by index.
        sha256: digest of what was read: of class folders over every file's split, class, name and bytes, in sorted
            order; of the official files over their names and bytes. The two versions of those differ in it.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.int64]
    classes: tuple[str, ...]
    sha256: str


def read(source: Path, split: str) -> Split:
    """Read one split (`train`, `validation`).

    Args:
        source: a zip or a folder of class folders; or CIFAR-10's official files: the folder `cifar-10-batches-py` or
            `cifar-10-batches-bin`, the folder that holds it, or the `.tar.gz` that is downloaded.

    Raises:
        FileNotFoundError: `source` is not there, or holds no picture of that split, or not all of its files.
        ValueError: a file is not what it should be: another format, another size, damaged.
    """
    official = _official(source, split)
    return _assembled(_files(source, split)) if official is None else official


def read_files(source: Path, split: str) -> tuple[Split, list[bytes]]:
    """Read one split, and its pictures as files: as they lie in class folders, of the official files as PNG.

    Raises:
        FileNotFoundError, ValueError: as `read`.
    """
    official = _official(source, split)
    if official is not None:
        return official, [_encoded(image) for image in official.images]
    named = list(_files(source, split))
    return _assembled(named), [content for _, content in named]


def hold_out(split: Split, each: int) -> tuple[Split, Split]:
    """Take the last `each` pictures of every class out of a split.

    Returns:
        The rest, and what was taken out; both in the split's order. Their digests are made of the split's and of what
        was done, so that they are known from the files, and differ for another `each`.

    Raises:
        ValueError: `each` is not positive, or leaves nothing of some class.
    """
    smallest = int(np.bincount(split.targets, minlength=len(split.classes)).min())
    if not 0 < each < smallest:
        raise ValueError(f"cannot hold out {each} of each class, expected 1 to {smallest - 1}: one has {smallest}")
    held = np.zeros(len(split.targets), dtype=bool)
    for target in range(len(split.classes)):
        held[np.flatnonzero(split.targets == target)[-each:]] = True
    return _part(split, ~held, f"without the last {each}"), _part(split, held, f"the last {each}")


def _part(split: Split, chosen: NDArray[np.bool_], which: str) -> Split:
    digest = hashlib.sha256(f"{split.sha256}, {which} of each class".encode()).hexdigest()
    return Split(split.images[chosen], split.targets[chosen], split.classes, digest)


def binary(split: Split) -> Split:
    """Return the same pictures with the classes vehicle (0) and animal (1); the digest, of what was read, stays.

    Raises:
        ValueError: a class is not one of CIFAR-10's.
    """
    unknown = [name for name in split.classes if name not in batches.CLASSES]
    if unknown:
        raise ValueError(f"neither vehicles nor animals: {', '.join(unknown)}; expected {', '.join(batches.CLASSES)}")
    animal = np.array([name in ANIMALS for name in split.classes], dtype=np.int64)
    return replace(split, targets=animal[split.targets], classes=BINARY_CLASSES)


def statistics(split: Split) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the pixels by channel, on the scale 0…1."""
    pixels = split.images.reshape(-1, 3).astype(np.float64) / 255
    return pixels.mean(axis=0), pixels.std(axis=0)


def _official(source: Path, split: str) -> Split | None:
    if not source.exists():
        raise FileNotFoundError(f"{source} is not there")
    found = batches.read(source, split)
    if found is None:
        return None
    images, targets, sha256 = found
    return Split(images, targets, batches.CLASSES, sha256)


def _assembled(files: Iterable[tuple[str, bytes]]) -> Split:
    """Decode pictures named `split/class/file`."""
    digest = hashlib.sha256()
    images: list[NDArray[np.uint8]] = []
    labels: list[str] = []
    for name, content in files:
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
        images.append(_decoded(name, content))
        labels.append(name.split("/")[-2])
    classes = tuple(sorted(set(labels)))
    targets = np.array([classes.index(label) for label in labels], dtype=np.int64)
    return Split(np.stack(images), targets, classes, digest.hexdigest())


def _files(source: Path, split: str) -> Iterator[tuple[str, bytes]]:
    """Yield (`split/class/file`, content) in sorted order; at least one."""
    if source.is_dir():
        paths = {path.relative_to(source).as_posix(): path for path in (source / split).glob("*/*")}
        for name in _pictures(source, split, paths, [path.name for path in source.iterdir()]):
            yield name, _content(name, paths[name].stat().st_size, paths[name].read_bytes)
        return
    try:
        with zipfile.ZipFile(source) as archive:
            names = archive.namelist()
            for name in _pictures(source, split, names, [name.split("/")[0] for name in names]):
                read = partial(archive.read, name)
                yield "/".join(name.split("/")[-3:]), _content(name, archive.getinfo(name).file_size, read)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # RuntimeError: it wants a password
        raise ValueError(f"{source} is neither a readable zip nor a .tar.gz: {error}") from error


def _pictures(source: Path, split: str, names: Iterable[str], top: Iterable[str]) -> list[str]:
    """Those of the names that are pictures of the split; `top` is what the error says was found."""
    chosen = [name for name in names if _is_picture(name.split("/"), split)]
    if not chosen:
        found = ", ".join(sorted(set(top))[:12]) or "nothing"
        raise FileNotFoundError(
            f"{source} holds no pictures under {split}/<class>/, and no batches of CIFAR-10; found {found}"
        )
    return sorted(chosen)


def _is_picture(parts: list[str], split: str) -> bool:
    """Hidden files are none: zips made on a Mac have `._0001.jpg` beside each picture."""
    name = parts[-1].lower()
    return len(parts) >= 3 and parts[-3] == split and name.endswith(SUFFIXES) and not name.startswith(".")


def _content(name: str, size: int, read: Callable[[], bytes]) -> bytes:
    if size > MAX_PICTURE_BYTES:
        raise ValueError(f"{name} has {size} bytes; expected a small picture, at most {MAX_PICTURE_BYTES}")
    return read()


def _decoded(name: str, content: bytes) -> NDArray[np.uint8]:
    try:
        picture = Image.open(io.BytesIO(content))
        width, height = picture.size
        if (width, height) == (batches.SIDE, batches.SIDE):
            return np.asarray(picture.convert("RGB"))
    except Exception as error:  # Pillow's decoders raise nearly anything for a damaged file
        raise ValueError(f"{name} is not a readable JPEG or PNG") from error
    raise ValueError(f"{name} is {width}x{height} pixels; expected {batches.SIDE}x{batches.SIDE}")


def _encoded(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()
