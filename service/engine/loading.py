"""From a version folder to a model that has run: its file, a session, what `model.toml` changes, a trial of its rows.

Whether the first axis is a batch cannot be read off a file: a softmax over axis 0 has the same shapes as a model of
independent rows. So it is tried: rows that are run together must give what each gives alone. Only then are requests
split, filled up, or later merged with others'; `model.toml` can say otherwise.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

import numpy as np

from service.engine import folder, trying
from service.engine.gpu.memory import Resident
from service.engine.gpu.sized import Sized
from service.engine.gpu.staging import Row
from service.engine.model import BINARY, Description, Model, Port
from service.engine.overrides import Overrides
from service.engine.rules import Limits, Rules
from service.engine.runtime.device import Device
from service.engine.runtime.precision import Precision, opened
from service.engine.runtime.session import Session, Tensor, TensorSpec
from service.engine.runtime.words import is_about_memory
from service.errors import BadRequest, ModelUnavailable

log = logging.getLogger("actserve.repository")

TRIAL_ROWS = 3
TOLERANCE = 1e-3
"""Between a row alone and together with others, by the largest number."""
TRIAL_LIMIT_S = 60.0
"""For a run at loading: a file may hold an endless loop."""
MAX_TRIAL_ELEMENTS = 2**26
"""A model with larger inputs is served without having been tried: a shape of 2⁴⁰ costs a file only a few bytes."""

Feeds = dict[str, Tensor]

Prove: TypeAlias = Callable[[Path, int], str | None]
"""Opens a version elsewhere first, and gives its digest; None where that is not asked for."""


def unproven(_: Path, __: int) -> None:
    """Open it at once."""


@dataclass(frozen=True, slots=True)
class Loader:
    """Makes models for one device.

    Attributes:
        threads: CPU threads of one run.
        limits: what holds where `model.toml` says nothing else.
        prove: is asked before a version is opened; raises `ModelUnavailable` if that may not be.
        precision: of the arithmetic, where the model can be converted to it.
        resident: memory of the GPU, for runs in sizes that are tried here; None without.
    """

    device: Device
    threads: int
    limits: Limits
    prove: Prove = unproven
    precision: Precision = "float32"
    resident: Resident | None = None

    def __call__(self, path: Path, version: int, overrides: Overrides) -> Model:
        """Load a version of the model in the folder, and run it.

        Raises:
            ModelUnavailable, ValueError, OSError: it cannot be served; says why.
        """
        proven = self.prove(path, version)
        content = folder.read_model(path / str(version))
        digest = sha256(content).hexdigest()
        if proven not in (None, digest):
            raise ModelUnavailable("its file was changed while it was tried")
        label = f"model {path.name} version {version}"
        captures = self.device.cuda.runs == "auto" and self.resident is not None
        session, precision = opened(
            content, self.device, self.precision, label, threads=self.threads, captures=captures
        )
        inputs, outputs = (tuple(Port.of(spec) for spec in specs) for specs in (session.inputs, session.outputs))
        description = Description.of(session.metadata, overrides)
        _check_labels(description, outputs)
        warm = _warm_up(session, inputs, label)
        max_batch_size, fixed_rows = self._batch(session, inputs, overrides, warm)
        if max_batch_size and fixed_rows:  # model.toml says that what the file fixes is a batch: so any number goes
            inputs, outputs = (tuple(port.with_any_rows() for port in ports) for ports in (inputs, outputs))
        waiting = {"max_queue_size": self.limits.max_queue_rows} | dict(overrides.batching)
        rules = Rules(**waiting, max_batch_size=max_batch_size or fixed_rows)
        return Model(
            path.name,
            version,
            inputs,
            outputs,
            description,
            session,
            max_batch_size,
            fixed_rows,
            rules,
            self.limits.max_request_rows,
            read=partial(_read_again, path / str(version), digest),
            digest=digest,
            precision=precision,
            sized=self._sized(session, inputs, outputs, max_batch_size),
        )

    def _sized(self, session: Session, inputs: Sequence[Port], outputs: Sequence[Port], most_rows: int) -> Sized | None:
        """Runs in sizes that are tried now, on a GPU, of a model that batches and whose rows have one size."""
        if self.resident is None or not most_rows or not all(_has_sized_rows(port) for port in (*inputs, *outputs)):
            return None
        given, made = ([Row(p.name, p.datatype.numpy, _shape(p)[1:]) for p in ports] for ports in (inputs, outputs))
        return Sized(session, given, made, most_rows, self.resident, wanted=self.device.cuda.runs)

    def _batch(self, session: Session, inputs: Sequence[Port], overrides: Overrides, warm: bool) -> tuple[int, int]:
        """Rows of a run at most, and the number that the file fixes: the model's `max_batch_size` and `fixed_rows`."""
        wanted = overrides.max_batch_size
        if wanted is not None:
            rows = _rows(session.inputs)
            if wanted and rows is None:
                raise ModelUnavailable(
                    f"{folder.CONFIG}: max_batch_size is {wanted}, but the inputs' first axes are not one batch"
                )
            return wanted, rows or 0 if wanted else 0
        rows = _rows([*session.inputs, *session.outputs]) if inputs else None
        if rows is None or (rows != 1 and not (warm and rows_are_independent(session, inputs, rows))):
            return 0, 0
        return (0, rows) if rows else (self.limits.max_batch_size, 0)


def _read_again(version: Path, digest: str) -> bytes:
    try:
        content = folder.read_model(version)
    except OSError as error:
        raise ModelUnavailable(f"its file cannot be read again: {error.strerror}") from error
    if sha256(content).hexdigest() != digest:
        raise ModelUnavailable("its file has changed since it was loaded; try again when the new one is served")
    return content


def _rows(specs: Sequence[TensorSpec]) -> int | None:
    """The length of the first axis that all share: 0 if it is free, None if there is no such axis."""
    firsts = {(None if s.shape is None else s.shape[0] or 0) for s in specs}
    symbols = {s.symbol for s in specs if s.symbol is not None}
    return firsts.pop() if len(firsts) == 1 and len(symbols) <= 1 else None


def _check_labels(description: Description, outputs: Sequence[Port]) -> None:
    shapes = {port.name: port.shape for port in outputs}
    unknown = [name for name in description.output_labels or {} if name not in shapes]
    if unknown:
        raise ModelUnavailable(f"{folder.CONFIG}: labels of {unknown}, but the model has outputs {list(shapes)}")
    classes = (shapes.get("probabilities") or (None,))[-1]
    if description.labels is not None:
        _check_count(len(description.labels), classes, binary=description.is_binary)


def _check_count(labels: int, classes: int | None, *, binary: bool) -> None:
    """Check the number of labels against that of the probabilities; None where any number of these goes."""
    if binary and labels != 2:
        raise ModelUnavailable(f"there are {labels} labels, but kind {BINARY!r} has two")
    if binary and classes not in (None, 1):
        raise ModelUnavailable(f"there are {classes} probabilities, but kind {BINARY!r} has one, the second label's")
    if not binary and classes not in (None, labels):
        raise ModelUnavailable(f"there are {labels} labels for {classes} classes")


def _warm_up(session: Session, inputs: Sequence[Port], name: str) -> bool:
    """Run once on zeros, with 1 wherever any length goes; a model may refuse such an input and still be sound.

    Returns:
        Whether the model has run.

    Raises:
        ModelUnavailable: there is not enough memory for one such run.
    """
    if _elements(inputs) > MAX_TRIAL_ELEMENTS:
        log.warning("%s: its inputs are too large for a warm-up run", name)
        return False
    feeds = {port.name: _strings(port, 1) if _is_text(port) else _zeros(port) for port in inputs}
    try:
        session.run(feeds, limit_s=TRIAL_LIMIT_S)
    except BadRequest as error:
        if is_about_memory(error):
            raise ModelUnavailable(f"one run takes more memory than there is: {error}") from error
        log.warning("%s: the warm-up run failed: %s", name, error)
        return False
    return True


def rows_are_independent(session: Session, inputs: Sequence[Port], fixed: int) -> bool:
    """Try whether several rows together give what each gives alone.

    Args:
        inputs: whose first axis is in question; anything below 2 rows goes for a free one.
        fixed: the number of rows that every run must have; 0 if any number goes. A row is then alone among copies.
    """
    rows = fixed or TRIAL_ROWS
    if _elements(inputs) // (fixed or 1) * rows > MAX_TRIAL_ELEMENTS:
        return False
    feeds = {port.name: _strings(port, rows) if _is_text(port) else _numbers(port, rows) for port in inputs}
    try:
        together = session.run(feeds, limit_s=TRIAL_LIMIT_S)
        if any(array.shape[:1] != (rows,) for array in together.values()):
            return False
        for row, alone in _alone(feeds, fixed):
            outputs = session.run(alone, limit_s=TRIAL_LIMIT_S)
            if not all(_alike(outputs[name], array[row : row + 1]) for name, array in together.items()):
                return False
    except BadRequest:
        return False
    return True


def _alone(feeds: Mapping[str, Tensor], fixed: int) -> Iterator[tuple[int, Feeds]]:
    for row in (0, fixed - 1) if fixed else range(TRIAL_ROWS):
        yield row, {name: np.repeat(array[row : row + 1], fixed or 1, axis=0) for name, array in feeds.items()}


def _alike(outputs: Tensor, row: Tensor) -> bool:
    """Whether each of the outputs is the row."""
    if outputs.ndim != row.ndim or outputs.shape[1:] != row.shape[1:]:
        return False
    return trying.is_close(outputs, row, TOLERANCE)


def _shape(port: Port) -> tuple[int, ...]:
    return tuple(1 if d is None else d for d in port.shape or ())


def _elements(inputs: Sequence[Port]) -> int:
    elements = 0
    for port in inputs:
        count = 1
        for length in _shape(port):
            count *= length  # Python's integers do not overflow
        elements += count
    return elements


def _has_sized_rows(port: Port) -> bool:
    """Whether a row always has as many numbers, of a kind that NumPy knows."""
    return port.shape is not None and None not in port.shape[1:] and port.datatype.numpy.kind in "fiub"


def _is_text(port: Port) -> bool:
    return port.datatype.name == "BYTES"


def _strings(port: Port, rows: int) -> Tensor:
    shape = _shape(port)
    return np.full((rows, *shape[1:]) if rows > 1 else shape, "", dtype=object)


def _zeros(port: Port) -> Tensor:
    return np.zeros(_shape(port), port.datatype.numpy)


def _numbers(port: Port, rows: int) -> Tensor:
    return trying.numbers((rows, *_shape(port)[1:]), port.datatype.numpy)
