"""CIFAR-10's official files: the Python and the binary version, as a folder or as the `.tar.gz` that is downloaded.

Both are five training batches and a test batch, of 10,000 pictures each, and a file of class names. An archive is read
in one pass and in memory: nothing is unpacked to disk, and no name in it becomes a path. The Python version is pickled.
It goes through an unpickler that knows three names, NumPy's for an array; each stands for a class of this module that
keeps what it is given, so that no pickle calls anything, and NumPy itself sees bytes of a checked length.

Source of the layouts: Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html
"""

import gzip
import hashlib
import io
import pickle
import pickletools
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""CIFAR-10's, by index; alphabetical."""

SIDE = 32
"""Height and width of a picture, in pixels."""
PIXELS = 3 * SIDE * SIDE

BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "validation": ("test_batch",)}
"""The batches of each split, in order."""

MAX_FILE_BYTES = 40 * 2**20
"""A batch has 31 MB in either version."""
MAX_ARCHIVE_BYTES = 256 * 2**20
"""Of an archive unpacked; the larger one has 187 MB."""
MAX_MEMBERS = 100
"""Of an archive; both have 9."""

Bytes: TypeAlias = NDArray[np.uint8]
Labels: TypeAlias = list[int]
Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class Version:
    """One of the two ways in which CIFAR-10 is published.

    Attributes:
        folder: its name, in the archive too.
        suffix: of a batch's file.
        names: class names from the content of the file `meta`.
        records: pixels uint8 [N, 3072], channel by channel, and N labels, from the content of a batch.
    """

    folder: str
    suffix: str
    meta: str
    names: Callable[[bytes], tuple[str, ...]]
    records: Callable[[bytes], tuple[Bytes, Labels]]

    def files(self, split: str) -> tuple[str, ...]:
        """What a split is read from: the batches in order, then the class names."""
        return (*(batch + self.suffix for batch in BATCHES[split]), self.meta)

    @property
    def known(self) -> list[str]:
        """All of its files that are read for some split."""
        return sorted({name for split in BATCHES for name in self.files(split)})


def read(source: Path, split: str) -> tuple[Bytes, NDArray[np.int64], str] | None:
    """Read one split: `train` is the five batches, `validation` the test batch.

    Args:
        source: the folder of the batches, its parent, or the archive; the Python version is taken where both are.

    Returns:
        Pictures uint8 [N, 32, 32, 3], targets int64 [N] into `CLASSES`, and a digest over the names and contents of the
        files, the same for a folder and its archive. None where `source` holds none of the files.

    Raises:
        FileNotFoundError: there is no such split, or some of its files are missing.
        ValueError: a file is not what it should be, or too large.
    """
    located = _in_archive(source) if source.is_file() else _in_folder(source)
    if located is None:
        return None
    version, found, content = located
    if split not in BATCHES:
        raise FileNotFoundError(f"{source} has the splits {', '.join(BATCHES)}, not {split!r}")
    wanted = version.files(split)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise FileNotFoundError(f"{source} lacks {', '.join(missing)} of {version.folder}; found {', '.join(found)}")
    files = {name: content(name) for name in wanted}
    return *_pictures(version, files), _digest(version, files)


Located: TypeAlias = tuple[Version, list[str], Callable[[str], bytes]]
"""A version, the names of those of its files that are there, and what reads one of them."""


def _in_folder(source: Path) -> Located | None:
    for version in VERSIONS:
        for folder in (source, source / version.folder):
            found = [name for name in version.known if (folder / name).is_file()]
            if found:
                return version, found, lambda name, folder=folder: _content(folder / name)
    return None


def _content(path: Path) -> bytes:
    _check_size(str(path), path.stat().st_size)
    return path.read_bytes()


def _in_archive(source: Path) -> Located | None:
    """Read every known file of a `.tar.gz`; None if it is none.

    Raises:
        FileNotFoundError: it has no such file.
    """
    with source.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return None
    try:
        with gzip.open(source) as unpacked:
            members = dict(_members(source, cast(BinaryIO, _Limited(unpacked))))
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{source} is not a whole .tar.gz: {error}") from error
    for version in VERSIONS:
        names = [name for name in version.known if members.get(f"{version.folder}/{name}") is not None]
        if names:
            return version, names, lambda name, folder=version.folder: cast(bytes, members[f"{folder}/{name}"])
    raise FileNotFoundError(f"{source} holds no batches of CIFAR-10; found {', '.join(members)[:200] or 'nothing'}")


def _members(source: Path, unpacked: BinaryIO) -> Iterator[tuple[str, bytes | None]]:
    """Yield each member's name and, if it is a known file, its content, in the archive's order."""
    known = {f"{version.folder}/{name}" for version in VERSIONS for name in version.known}
    with tarfile.open(fileobj=unpacked, mode="r|") as archive:
        for count, member in enumerate(archive, start=1):
            if count > MAX_MEMBERS:
                raise ValueError(f"{source} has more than {MAX_MEMBERS} members; CIFAR-10's archives have 9")
            name = member.name.removeprefix("./")
            file = archive.extractfile(member) if name in known else None
            _check_size(f"{source}: {name}", member.size if file else 0)
            yield name, file.read() if file else None


class _Limited:
    """What `tarfile` reads a stream from; stops at an archive that unpacks to more than it may."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file
        self._left = MAX_ARCHIVE_BYTES

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise ValueError(f"the archive unpacks to more than {MAX_ARCHIVE_BYTES} bytes")
        return content


def _check_size(name: str, size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise ValueError(f"{name} has {size} bytes; expected at most {MAX_FILE_BYTES}")


def _pictures(version: Version, files: Mapping[str, bytes]) -> tuple[Bytes, NDArray[np.int64]]:
    names = _parsed(version.names, version.meta, files)
    if names != CLASSES:
        got = ", ".join(names)[:200]
        raise ValueError(f"{version.meta} names the classes {got}; expected {', '.join(CLASSES)}")
    batches = [_parsed(version.records, name, files) for name in files if name != version.meta]
    channels_first = np.concatenate([pixels for pixels, _ in batches]).reshape(-1, 3, SIDE, SIDE)
    targets = np.array([label for _, labels in batches for label in labels], dtype=np.int64)
    return np.ascontiguousarray(channels_first.transpose(0, 2, 3, 1)), targets


def _parsed(parse: Callable[[bytes], Parsed], name: str, files: Mapping[str, bytes]) -> Parsed:
    try:
        return parse(files[name])
    except ValueError as error:
        raise ValueError(f"{name} is not a file of CIFAR-10: {error}") from error


def _checked(pixels: Bytes, labels: object) -> tuple[Bytes, Labels]:
    """Pixels [N, 3072] and their N labels, if that is what they are."""
    if pixels.ndim != 2 or pixels.shape[1] != PIXELS or not len(pixels):
        raise ValueError(f"its pixels have the shape {list(pixels.shape)}, expected [N, {PIXELS}]")
    if not isinstance(labels, list) or len(labels) != len(pixels):
        raise ValueError(f"expected a label for each of its {len(pixels)} pictures")
    if not all(type(label) is int and 0 <= label < len(CLASSES) for label in labels):
        raise ValueError(f"a label is not a number from 0 to {len(CLASSES) - 1}")
    return pixels, labels


def _binary_names(content: bytes) -> tuple[str, ...]:
    return tuple(content.decode("ascii").split())


def _binary_records(content: bytes) -> tuple[Bytes, Labels]:
    """Each record is a byte with the label and the pixels."""
    size = 1 + PIXELS
    if len(content) % size:
        raise ValueError(f"it has {len(content)} bytes, expected records of {size}")
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    return _checked(records[:, 1:], records[:, 0].tolist())


def _pickled_names(content: bytes) -> tuple[str, ...]:
    names = _unpickled(content).get(b"label_names")
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise ValueError("it has no list of names 'label_names'")
    return tuple(name.decode("ascii") for name in names)


def _pickled_records(content: bytes) -> tuple[Bytes, Labels]:
    batch = _unpickled(content)
    pixels = batch.get(b"data")
    if not isinstance(pixels, _Array):
        raise ValueError("it has no array 'data'")
    return _checked(pixels.read(), batch.get(b"labels"))


def _unpickled(content: bytes) -> dict[object, object]:
    """Read a pickled dictionary of Python 2; its strings become bytes."""
    try:
        _check_memo(content)
        value = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a damaged pickle raises nearly anything, says Python's documentation
        raise ValueError(f"it cannot be unpickled: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"it is a pickled {type(value).__name__}, expected a dictionary")
    return value


def _check_memo(content: bytes) -> None:
    """Refuse a memo index that skips some: the unpickler would fill a table of that length, up to 64 GB.

    It also finds lengths beyond the end, for which the unpickler would set memory aside.
    """
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and cast(int, argument) > count:
            raise ValueError(f"its memo has an entry {argument} after {count} steps")


class _DType:
    """Stands for `numpy.dtype`."""

    def __init__(self, code: object, *flags: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        """Byte order and the like, which a byte does not have."""


class _Array:
    """Stands for `numpy.core.multiarray._reconstruct`, which makes an empty array for `__setstate__` to fill."""

    _state: object = None

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        self._state = state

    def read(self) -> Bytes:
        """Return the array.

        Raises:
            ValueError: it is not a matrix of bytes, or its length does not fit its shape.
        """
        match self._state:
            case (int(), (int(rows), int(columns)), _DType(code=b"u1"), bool(fortran), bytes(content)):
                if rows > 0 and rows * columns == len(content):
                    return np.frombuffer(content, np.uint8).reshape(rows, columns, order="F" if fortran else "C")
                raise ValueError(f"its array has {len(content)} bytes and claims the shape [{rows}, {columns}]")
        raise ValueError("its array is not a matrix of bytes")


class _Unpickler(pickle.Unpickler):
    """Knows the three names of which NumPy's pickled arrays consist, and nothing else."""

    NAMES: Mapping[tuple[str, str], object] = {
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy", "ndarray"): None,  # only ever an argument of `_reconstruct`
        ("numpy", "dtype"): _DType,
    }

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in self.NAMES:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}; only NumPy's arrays are read")
        return self.NAMES[module, name]


VERSIONS = (
    Version("cifar-10-batches-py", "", "batches.meta", _pickled_names, _pickled_records),
    Version("cifar-10-batches-bin", ".bin", "batches.meta.txt", _binary_names, _binary_records),
)


def _digest(version: Version, files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{version.folder}/{name}".encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()
