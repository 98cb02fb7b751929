"""A folder of models, read with suspicion: names, versions, what has changed, a model's file and its external data.

The layout is Triton's: `<name>/<version>/model.onnx`, and optionally `<name>/model.toml`. The model's own folder may be
a symbolic link, so that a deployment can point to where its models lie. Nothing below it may be one: ONNX Runtime
follows no link either, and what lies behind one could be exchanged unseen. A hard link is refused for external data
only: a model could name another's file there and read it out; `model.onnx` itself is what it is, and installers link.

ONNX Runtime is given bytes, never a path: it then opens no file of its own, maps none into memory (a mapped file that
is cut short kills the process), and a file that is changed later changes nothing that is served.
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import onnx
from google.protobuf.message import (  # type: ignore[import-untyped]  # protobuf comes without types
    DecodeError,
    Message,
)

from service.errors import ModelUnavailable, quoted

NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
VERSION = re.compile(r"[1-9][0-9]{0,17}")
FILE = "model.onnx"
CONFIG = "model.toml"
MAX_FILE_BYTES = 2**31 - 1
"""A serialised protobuf is never larger."""

Fingerprint: TypeAlias = tuple[tuple[str, int, int, int], ...]
"""Files by name, size, time of change in ns, and inode; a file written anew or renamed over another differs."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a model's folder held at one moment; two that are equal hold the same files."""

    config: Fingerprint
    versions: Mapping[int, Fingerprint]


def models(root: Path) -> list[str]:
    """Names of the models in a repository; other folders are ignored.

    Raises:
        OSError: the repository cannot be read.
    """
    return sorted(path.name for path in root.iterdir() if has(root, path.name))


def has(root: Path, name: str) -> bool:
    return NAME.fullmatch(name) is not None and (root / name).is_dir()


def snapshot(model: Path) -> Snapshot:
    """Look at a model's folder, without opening a file.

    Raises:
        OSError: it cannot be read.
    """
    versions = (path for path in model.iterdir() if VERSION.fullmatch(path.name) and path.is_dir())
    found = sorted((int(path.name), _fingerprint(path)) for path in versions)
    return Snapshot(tuple(entry for entry in _fingerprint(model) if entry[0] == CONFIG), dict(found))


def _fingerprint(folder: Path) -> Fingerprint:
    """All that is no folder; empty where it cannot be read, as while it is being deleted."""
    try:
        found = [(path.name, path.lstat()) for path in folder.iterdir()]
    except OSError:
        return ()
    return tuple(sorted((n, s.st_size, s.st_mtime_ns, s.st_ino) for n, s in found if not stat.S_ISDIR(s.st_mode)))


def read(path: Path, *, max_bytes: int = MAX_FILE_BYTES, max_links: int | None = None) -> bytes:
    """Read a regular file; a pipe or device of that name would block for ever.

    Args:
        max_links: how many names the file may have on its file system.

    Raises:
        ModelUnavailable: it is something else, a link, or too large.
        OSError: it cannot be read.
    """
    _check(path.name, path.lstat(), max_bytes, max_links)  # first, since opening a device can have effects
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
        status = os.fstat(file.fileno())
        _check(path.name, status, max_bytes, max_links)
        content = file.read(status.st_size + 1)
    if len(content) != status.st_size:
        raise ModelUnavailable(f"{path.name} was changed while it was read")
    return content


def _check(name: str, status: os.stat_result, max_bytes: int, max_links: int | None) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise ModelUnavailable(f"{name} is a symbolic link; copy the file instead")
    if not stat.S_ISREG(status.st_mode):
        raise ModelUnavailable(f"{name} is not a regular file")
    if status.st_size > max_bytes:
        raise ModelUnavailable(f"{name} has {status.st_size} bytes, expected at most {max_bytes}")
    if max_links is not None and status.st_nlink > max_links:
        raise ModelUnavailable(f"{name} is a hard link; copy the file instead")


def read_model(version: Path, *, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Read `model.onnx` of a version folder, with its external data put into it.

    Raises:
        ModelUnavailable: a file that may not be used, or more than `max_bytes` altogether.
        OSError: a file cannot be read.
    """
    if version.is_symlink():
        raise ModelUnavailable("the version folder is a symbolic link; copy the folder instead")
    content = read(version / FILE, max_bytes=max_bytes)
    if b"location" not in content:  # the key that names a file of external data
        return content
    try:
        proto = onnx.load_model_from_string(content)
    except DecodeError:
        return content  # ONNX Runtime says what is wrong with it
    external = [t for t in _tensors(proto) if t.data_location == onnx.TensorProto.EXTERNAL or t.external_data]
    if not external:
        return content
    _embed(external, version, max_bytes - len(content))
    serialised: bytes = proto.SerializeToString()
    return serialised


def _tensors(message: Message) -> Iterator[onnx.TensorProto]:
    """Every tensor, wherever it is: initializers, sparse ones, attributes, subgraphs, functions."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                yield from _tensors(part)


def _embed(tensors: list[onnx.TensorProto], version: Path, max_bytes: int) -> None:
    """Put the data into the tensors. The limit holds for their sum: a thousand tensors may share a file's bytes."""
    files: dict[str, bytes] = {}
    for tensor in tensors:
        keys = {entry.key: entry.value for entry in tensor.external_data}
        name = keys.get("location", "")
        if not name or name in (".", "..") or re.search(r"[/\\\0]", name):
            raise ModelUnavailable(
                f"external data {quoted(name)}: expected the name of a file beside {FILE}, without a path"
            )
        if name not in files:
            files[name] = read(version / name, max_links=1)
        start, length = _part(keys, name, len(files[name]))
        max_bytes -= length
        if max_bytes < 0:
            raise ModelUnavailable("the model with its external data has more bytes than a protobuf can have")
        tensor.raw_data = files[name][start : start + length]
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")


def _part(keys: Mapping[str, str], name: str, size: int) -> tuple[int, int]:
    """Where a tensor's bytes begin in the file, and how many they are."""
    numbers = [keys.get("offset", "0"), keys.get("length", "0")]
    if not all(re.fullmatch("[0-9]{1,18}", number) for number in numbers):
        raise ModelUnavailable(f"external data {quoted(name)}: offset and length are {numbers}, expected numbers")
    start = int(numbers[0])
    length = int(numbers[1]) if "length" in keys else max(0, size - start)
    if start + length > size:
        raise ModelUnavailable(f"external data {quoted(name)}: bytes {start} to {start + length} of {size} are wanted")
    return start, length
