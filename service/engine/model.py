"""One loaded version of a model: what it says of itself, which inputs it takes, and how a request is run.

How rows become runs. A model batches if its first axis is one of independent rows (`service.engine.loading` finds out,
or `model.toml` says so); a request of more than `max_batch_size` rows is then run in parts. A model whose file fixes
the number of rows takes any other number too, in parts of that size, the last one filled up with copies of its last
row. The answer is the same as for one row at a time; that is what independent means.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from service.engine.gpu.sized import Sized
from service.engine.overrides import Labels, Overrides
from service.engine.rules import Rules
from service.engine.runtime.precision import Precision
from service.engine.runtime.session import Session, Tensor, TensorSpec
from service.engine.statistics import Statistics
from service.errors import BadRequest, ModelUnavailable, quoted
from service.wire.datatypes import Datatype, by_numpy, by_onnx
from service.wire.images import Preprocessing

BINARY = "binary_classifier"
"""The kind of a model with two labels and one probability, the second's; all others have a probability a label."""


MAX_FITTING = 256
"""Kinds of inputs that a model remembers."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a model file says of itself, and `model.toml` of it; all empty for a plain ONNX file.

    Attributes:
        activation: the hidden activation that it was trained with.
        labels: class names by index.
        card: where it comes from and what it was measured to do, as the trainer wrote it.
        output_labels: class names of single outputs, where they have their own.
    """

    kind: str | None = None
    activation: str | None = None
    labels: Labels | None = None
    preprocessing: Preprocessing | None = None
    card: Mapping[str, Any] | None = None
    output_labels: Mapping[str, Labels] | None = None

    @classmethod
    def of(cls, metadata: Mapping[str, str], overrides: Overrides | None = None) -> "Description":
        """Read the metadata properties that are ours; an override comes before them.

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
        wanted = overrides or Overrides()
        own: Labels | None = None if labels is None else tuple(labels)
        by_output = None
        if isinstance(wanted.labels, tuple):
            own = wanted.labels
        elif wanted.labels is not None:
            by_output = wanted.labels
            own = by_output.get("probabilities", own)
        return cls(
            kind=metadata.get("kind"),
            activation=metadata.get("activation"),
            labels=own,
            preprocessing=wanted.preprocessing
            or (None if preprocessing is None else Preprocessing.from_dict(preprocessing)),
            card=card,
            output_labels=by_output,
        )

    @property
    def is_binary(self) -> bool:
        return self.kind == BINARY

    def labels_of(self, output: str) -> Labels | None:
        """Class names of one output: its own, else those of the model, whose elements a binary classifier's are not."""
        return (self.output_labels or {}).get(output, None if self.is_binary else self.labels)


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

    def with_any_rows(self) -> "Port":
        """The same with any length of the first axis; unchanged where the shape is not known."""
        return Port(self.name, self.datatype, self.shape and (None, *self.shape[1:]))

    def shown(self) -> list[int]:
        """The shape as the protocol writes it: -1 where any length goes."""
        return [-1 if d is None else d for d in self.shape or ()]


@dataclass(frozen=True, slots=True)
class Execution:
    """What came of a request.

    Attributes:
        rows: of the request; 1 if the model does not batch.
        batch_sizes: rows of each run, copies that filled one up included; none for a request that shared another's.
        infer_ns: time in ONNX Runtime, of all runs together.
        started_ns: when the first run began, by `time.perf_counter_ns`.
        queue_ns: how long the request waited before that.
    """

    outputs: dict[str, Tensor]
    rows: int
    batch_sizes: tuple[int, ...]
    infer_ns: int
    started_ns: int = 0
    queue_ns: int = 0

    def after(self, queue_ns: int) -> "Execution":
        """The same after so long a wait; `dataclasses.replace` takes three times as long."""
        return Execution(self.outputs, self.rows, self.batch_sizes, self.infer_ns, self.started_ns, queue_ns)


def _no_file() -> bytes:
    raise ModelUnavailable("the model was made without a file")


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Model:
    """One loaded version of a model.

    Attributes:
        max_batch_size: rows of one run at most, where the first axis of all inputs and outputs is a batch; 0 elsewhere.
        fixed_rows: the number of rows that the file fixes, where it fixes one and the rows are independent; else 0.
        rules: how its requests wait and are merged.
        max_request_rows: of one request, if it batches.
        read: gives the file again that the session was made of; raises `ModelUnavailable` if it has changed.
        digest: SHA-256 of that file, its external data put in; hexadecimal.
        precision: of its arithmetic.
        sized: its runs on a GPU, in sizes that were tried; None elsewhere, or where it has none.
    """

    name: str
    version: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    description: Description
    session: Session = field(repr=False)
    max_batch_size: int = 0
    fixed_rows: int = 0
    rules: Rules = field(default_factory=Rules, repr=False)
    max_request_rows: int = 2**16
    statistics: Statistics = field(default_factory=Statistics, repr=False)
    read: Callable[[], bytes] = field(default=_no_file, repr=False)
    digest: str = field(default="", repr=False)
    precision: Precision = "float32"
    sized: Sized | None = field(default=None, repr=False)
    _fitting: set[object] = field(default_factory=set, init=False, repr=False)
    """Names, dtypes and shapes of inputs that were found to fit: a client mostly sends the same again."""

    def run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Check the inputs against the model's and run it.

        Raises:
            BadRequest: inputs missing or unknown, of another dtype or shape; says what the model expects.
        """
        self.check(feeds)
        return self.execute(feeds).outputs

    def execute(self, feeds: Mapping[str, Tensor], merged: bool = False) -> Execution:
        """Run what `check` lets through, and say what it took.

        Args:
            merged: the rows are several requests', so the outputs must have as many.

        Raises:
            BadRequest: bytes that are no UTF-8, or the model fails on this input.
            ModelUnavailable: the outputs are not as many rows as the inputs; `model.toml` is wrong about the batch.
        """
        rows = self.rows(feeds)
        ready = {name: _for_runtime(name, array) for name, array in feeds.items()}
        step = self.fixed_rows or self.max_batch_size
        if not step or rows == self.fixed_rows or (rows <= step and not self.fixed_rows):
            started = time.perf_counter_ns()
            outputs, size = self._run(ready, rows)
            if merged:
                self._check_rows(outputs, rows)
            return Execution(outputs, rows, (size,), time.perf_counter_ns() - started, started)
        first = time.perf_counter_ns()
        infer_ns = 0
        parts: list[dict[str, Tensor]] = []
        sizes: list[int] = []
        for part, count in self._parts(ready, rows, step):
            given = len(next(iter(part.values())))
            started = time.perf_counter_ns()
            outputs, size = self._run(part, given)
            infer_ns += time.perf_counter_ns() - started
            self._check_rows(outputs, given)
            parts.append({name: array[:count] for name, array in outputs.items()})
            sizes.append(size)
        whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return Execution(whole, rows, tuple(sizes), infer_ns, first)

    def _run(self, feeds: Mapping[str, Tensor], rows: int) -> tuple[dict[str, Tensor], int]:
        """The outputs, and how many rows the run had."""
        if self.sized is None:
            return self.session.run(feeds), rows
        return self.sized.run(feeds, rows)

    def _parts(self, feeds: Mapping[str, Tensor], rows: int, step: int) -> Iterator[tuple[dict[str, Tensor], int]]:
        """Inputs of each run, and how many of its rows are the request's."""
        for start in range(0, rows, step):
            count = min(step, rows - start)
            part = {name: array[start : start + count] for name, array in feeds.items()}
            if self.fixed_rows and count < step:
                part = {n: np.concatenate([a, np.repeat(a[-1:], step - count, axis=0)]) for n, a in part.items()}
            yield part, count

    def check(self, feeds: Mapping[str, Tensor]) -> None:
        """Check names, dtypes and shapes.

        Raises:
            BadRequest: as `run`.
        """
        sent = tuple([(name, array.dtype, array.shape) for name, array in feeds.items()])
        if sent in self._fitting:
            return
        check_inputs(self.name, [p.with_any_rows() for p in self.inputs] if self.fixed_rows else self.inputs, feeds)
        self._check_row_counts(feeds)
        if len(self._fitting) < MAX_FITTING:
            self._fitting.add(sent)

    def ordered(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What `check` lets through, in the order of the model's inputs."""
        return {port.name: feeds[port.name] for port in self.inputs}

    def rows(self, feeds: Mapping[str, Tensor]) -> int:
        """Rows of what `check` lets through; 1 if the model does not batch."""
        return next(iter(feeds.values())).shape[0] if self.fixed_rows or self.max_batch_size else 1

    def _check_row_counts(self, feeds: Mapping[str, Tensor]) -> None:
        if not self.fixed_rows and not self.max_batch_size:
            return
        counts: dict[str, int] = {name: array.shape[0] for name, array in feeds.items()}
        rows = next(iter(counts.values()))
        if rows > self.max_request_rows:
            raise BadRequest(f"the request has {rows} rows, expected at most {self.max_request_rows}")
        for name, count in counts.items():
            if count != rows:
                text = f"input {name!r} batch size does not match other inputs for {self.name!r}"
                raise BadRequest(f"{text}: {count}, the first input's is {rows}")
        if not rows and self.fixed_rows:
            raise BadRequest(f"model {self.name!r}: the inputs have no rows, expected at least 1")

    def _check_rows(self, outputs: Mapping[str, Tensor], rows: int) -> None:
        for name, array in outputs.items():
            if array.shape[:1] != (rows,):
                raise ModelUnavailable(
                    f"model {self.name!r}: output {name!r} has shape {list(array.shape)} for {rows} rows, so its first "
                    "axis is no batch; model.toml must say max_batch_size = 0"
                )


def check_inputs(model: str, ports: Sequence[Port], feeds: Mapping[str, Tensor]) -> None:
    """Check that a request has the inputs that a model takes. The texts are Triton's, which scripts look for.

    Raises:
        BadRequest: one is missing, unknown, or of another dtype or shape.
    """
    expected = [port.name for port in ports]
    for name in feeds:
        if name not in expected:
            raise BadRequest(f"unexpected inference input {quoted(name)} for model {model!r}; it takes {expected}")
    missing = [name for name in expected if name not in feeds]
    if missing:
        raise BadRequest(
            f"expected {len(expected)} inputs but got {len(feeds)} inputs for model {model!r}. "
            f"Got input(s) {list(feeds)}, but missing required input(s) {missing}"
        )
    for port in ports:
        _check_input(model, port, feeds[port.name])


def _check_input(model: str, port: Port, array: Tensor) -> None:
    got = "BYTES" if array.dtype.kind in "OSU" else by_numpy(array.dtype).name
    if got != port.datatype.name:
        raise BadRequest(
            f"inference input {port.name!r} data-type is {got!r}, but model {model!r} expects {port.datatype.name!r}"
        )
    if not port.admits(array.shape):
        raise BadRequest(
            f"unexpected shape for input {port.name!r} for model {model!r}. "
            f"Expected {_dimensions(port.shown())}, got {_dimensions(array.shape)}"
        )


def _dimensions(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _for_runtime(name: str, array: Tensor) -> Tensor:
    """Strings go in as Python str, which is what ONNX Runtime takes.

    Raises:
        BadRequest: bytes that are no UTF-8; ONNX has no other strings.
    """
    if array.dtype.kind != "O":
        return array
    texts = np.empty(array.size, dtype=object)
    for index, item in enumerate(array.flat):
        try:
            texts[index] = item.decode() if isinstance(item, bytes) else item
        except UnicodeDecodeError as error:
            raise BadRequest(
                f"input {name!r}: element {index} is not valid UTF-8 (byte {error.start}), which ONNX's strings are"
            ) from error
    return texts.reshape(array.shape)
