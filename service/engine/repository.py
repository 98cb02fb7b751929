"""A folder of models → loaded models. Layout, as Triton's: `<name>/<version>/model.onnx`.

A file that cannot be served is listed with the reason, and never keeps the others from being served. A model carries
its description in the file's own `metadata_props`; any other ONNX file is served too, as plain tensors.
"""

import json
import logging
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from service.engine.session import Device, Session, Tensor, TensorSpec
from service.errors import BadRequest, ModelUnavailable, NotFound, did_you_mean, quoted
from service.wire.datatypes import Datatype, by_numpy, by_onnx
from service.wire.images import Preprocessing

log = logging.getLogger("actserve.repository")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
VERSION = re.compile(r"[1-9][0-9]{0,17}")
FILE = "model.onnx"
MAX_FILE_BYTES = 2**31 - 1
"""A serialised protobuf is never larger."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a model file says of itself; all empty for a plain ONNX file.

    Attributes:
        activation: the hidden activation that it was trained with.
        labels: class names by index.
        card: where it comes from and what it was measured to do, as the trainer wrote it.
    """

    kind: str | None = None
    activation: str | None = None
    labels: tuple[str, ...] | None = None
    preprocessing: Preprocessing | None = None
    card: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> "Description":
        """Read the metadata properties that are ours.

        Raises:
            ValueError: one of them is malformed.
        """
        labels, preprocessing, card = (
            json.loads(metadata[key]) if key in metadata else None for key in ("labels", "preprocessing", "card")
        )
        if labels is not None and not (isinstance(labels, list) and all(isinstance(label, str) for label in labels)):
            raise ValueError("metadata 'labels' is not a JSON list of strings")
        if card is not None and not isinstance(card, dict):
            raise ValueError("metadata 'card' is not a JSON object")
        return cls(
            kind=metadata.get("kind"),
            activation=metadata.get("activation"),
            labels=None if labels is None else tuple(labels),
            preprocessing=None if preprocessing is None else Preprocessing.from_dict(preprocessing),
            card=card,
        )


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output in the protocol's terms; None in the shape where any length goes."""

    name: str
    datatype: Datatype
    shape: tuple[int | None, ...] | None

    @classmethod
    def of(cls, spec: TensorSpec) -> "Port":
        try:
            return cls(spec.name, by_onnx(spec.type), spec.shape)
        except ValueError as error:
            raise ModelUnavailable(f"{spec.name!r}: {error}") from error

    def admits(self, shape: tuple[int, ...]) -> bool:
        if self.shape is None:
            return True
        fixed = zip(shape, self.shape, strict=False)
        return len(shape) == len(self.shape) and all(d in (got, None) for got, d in fixed)

    def shown(self) -> list[int]:
        """The shape as the protocol writes it: -1 where any length goes."""
        return [-1 if d is None else d for d in self.shape or ()]


@dataclass(frozen=True, slots=True)
class Model:
    """One loaded version of a model."""

    name: str
    version: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    description: Description
    session: Session = field(repr=False)

    def run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Check the inputs against the model's and run it.

        Raises:
            BadRequest: inputs missing or unknown, of another dtype or shape; says what the model expects.
        """
        self._check_names(feeds)
        for port in self.inputs:
            self._check(port, feeds[port.name])
        return self.session.run({name: _for_runtime(array) for name, array in feeds.items()})

    def _check_names(self, feeds: Mapping[str, Tensor]) -> None:
        expected = [port.name for port in self.inputs]
        missing = [name for name in expected if name not in feeds]
        unknown = [name for name in feeds if name not in expected]
        if missing or unknown:
            faults = [f"missing {missing}"] * bool(missing) + [f"unknown {quoted(unknown)}"] * bool(unknown)
            raise BadRequest(f"model {self.name!r} takes inputs {expected}: {', '.join(faults)}")

    def _check(self, port: Port, array: Tensor) -> None:
        want, kind = port.datatype, array.dtype.kind
        same = kind in "OSU" if want.name == "BYTES" else array.dtype == want.numpy
        if not same or not port.admits(array.shape):
            shape = "any shape" if port.shape is None else str(port.shown())
            got = "BYTES" if kind in "OSU" else by_numpy(array.dtype).name
            place = f"input {port.name!r} of model {self.name!r}"
            raise BadRequest(f"{place}: expected {want.name} {shape}, got {got} {list(array.shape)}")


def _for_runtime(array: Tensor) -> Tensor:
    """Strings go in as Python str, which is what ONNX Runtime takes."""
    if array.dtype.kind != "O":
        return array
    texts = [item.decode("utf-8") if isinstance(item, bytes) else item for item in array.flat]
    return np.array(texts, dtype=object).reshape(array.shape)


@dataclass(slots=True)
class Entry:
    """All versions of one name: those that are served, and why the others are not."""

    name: str
    models: dict[int, Model] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    reason: str | None = None


class Repository:
    """Models by name and version."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries: dict[str, Entry] = {entry.name: entry for entry in entries}

    def models(self) -> list[Model]:
        """The served version of each name: the highest that loaded."""
        return [entry.models[max(entry.models)] for entry in self.entries.values() if entry.models]

    def find(self, name: str, version: str | None = None) -> Model:
        """Return the model; without a version the highest that loaded.

        Raises:
            NotFound: no such name or version; suggests the nearest name.
            ModelUnavailable: it is there and could not be loaded; says why.
        """
        entry = self.entries.get(name)
        if entry is None:
            nearest = did_you_mean(name, self.entries)
            raise NotFound(f"Request for unknown model: {quoted(name)} is not found.{nearest}")
        if version is None:
            if entry.models:
                return entry.models[max(entry.models)]
            raise ModelUnavailable(f"model {name!r} is not served: {entry.reason or '; '.join(entry.reasons.values())}")
        number = int(version) if VERSION.fullmatch(version) else 0
        if number in entry.models:
            return entry.models[number]
        if number in entry.reasons:
            raise ModelUnavailable(f"model {name!r} version {number} is not served: {entry.reasons[number]}")
        served = ", ".join(str(v) for v in sorted(entry.models)) or "none"
        raise NotFound(
            f"Request for unknown model: {name!r} version {quoted(version)} is not found; versions: {served}"
        )


def load(folder: Path, device: Device, *, threads: int, reserved: Iterable[str] = ()) -> Repository:
    """Load every version of every model in the folder, each warmed up with one run.

    Args:
        reserved: names that a model may not have.
    """
    if not folder.is_dir():
        log.error("the repository %s is not a folder: no models are served", folder)
        return Repository([])
    taken = frozenset(reserved)
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and NAME.fullmatch(path.name))
    return Repository(_entry(path, device, threads, path.name in taken) for path in folders)


def _entry(folder: Path, device: Device, threads: int, taken: bool) -> Entry:
    entry = Entry(folder.name)
    if taken:
        entry.reason = "the name is an activation's"
        return entry
    versions = sorted(int(path.name) for path in folder.iterdir() if path.is_dir() and VERSION.fullmatch(path.name))
    for version in versions:
        try:
            entry.models[version] = _model(folder, version, device, threads)
        except (ModelUnavailable, ValueError, OSError) as error:
            entry.reasons[version] = _reason(error)
            log.error("model %s version %d is not served: %s", entry.name, version, entry.reasons[version])
    if not versions:
        entry.reason = "it has no version folder (1, 2, …)"
    return entry


def _reason(error: Exception) -> str:
    """Why, for a client to read: an operating system error without the server's path."""
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)


def _model(folder: Path, version: int, device: Device, threads: int) -> Model:
    session = Session.load(_read(folder / str(version) / FILE), device, threads=threads)
    inputs, outputs = (tuple(Port.of(spec) for spec in specs) for specs in (session.inputs, session.outputs))
    model = Model(folder.name, version, inputs, outputs, Description.of(session.metadata), session)
    _warm_up(model)
    return model


def _read(path: Path) -> bytes:
    """Read a regular file; a pipe or device of that name would block for ever.

    From bytes ONNX Runtime finds no external data, so a model cannot make it open other files.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ModelUnavailable(f"{FILE} is not a regular file")
    if status.st_size > MAX_FILE_BYTES:
        raise ModelUnavailable(f"{FILE} has {status.st_size} bytes; a model has at most {MAX_FILE_BYTES}")
    return path.read_bytes()


def _warm_up(model: Model) -> None:
    """Run once on zeros, with 1 wherever any length goes. A model may refuse such an input and still be sound."""
    feeds = {}
    for port in model.inputs:
        shape = tuple(1 if d is None else d for d in port.shape or ())
        feeds[port.name] = (
            np.full(shape, "", dtype=object) if port.datatype.name == "BYTES" else np.zeros(shape, port.datatype.numpy)
        )
    try:
        model.session.run(feeds)
    except BadRequest as error:
        log.warning("model %s version %d: the warm-up run failed: %s", model.name, model.version, error)
