"""Memory that all runs of a model go through.

Rows are gathered in pinned memory and copied to a fixed place on the device; what comes of them is copied back from
another.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from service.engine.gpu.memory import Block, Bytes, Resident
from service.engine.runtime.session import Place, Session, Tensor

Runs: TypeAlias = Callable[[Mapping[str, Tensor], int], dict[str, Tensor]]
"""Inputs of so many rows to the outputs for them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an input or output."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


class Staging:
    """Of one model; for one run at a time.

    Args:
        rows: of the largest run.
    """

    def __init__(self, inputs: Sequence[Row], outputs: Sequence[Row], rows: int, resident: Resident) -> None:
        self._resident = resident
        self._inputs = [_Stage.of(row, rows, resident) for row in inputs]
        self._outputs = [_Stage.of(row, rows, resident) for row in outputs]

    def runs(self, session: Session, size: int, graph: int) -> Runs:
        """Runs of a session, of this size; what fills a smaller batch up is what lies there.

        Args:
            graph: as `Session.bind`.
        """
        memory = self._resident.memory
        inputs, outputs = ({s.row.name: s.place(size) for s in stages} for stages in (self._inputs, self._outputs))
        run_bound = session.bind(memory.device, inputs, outputs, graph=graph)

        def run(feeds: Mapping[str, Tensor], rows: int) -> dict[str, Tensor]:
            for stage in self._inputs:
                self._put(stage, feeds[stage.row.name])
            run_bound()
            return {stage.row.name: self._taken(stage, rows) for stage in self._outputs}

        return run

    def _put(self, stage: "_Stage", array: Tensor) -> None:
        block = self._resident.of(array)
        if block is not None:
            self._resident.memory.within(stage.block, block)
            return
        staged = stage.staged(len(array))
        np.copyto(staged, array)
        self._resident.memory.to_device(stage.block, staged)

    def _taken(self, stage: "_Stage", rows: int) -> Tensor:
        staged = stage.staged(rows)
        self._resident.memory.to_host(staged, stage.block)
        return staged.copy()


@dataclass(frozen=True, slots=True)
class _Stage:
    """Of one input or output: its memory on the host and on the device."""

    row: Row
    pinned: Bytes
    block: Block

    @classmethod
    def of(cls, row: Row, rows: int, resident: Resident) -> "_Stage":
        size = max(1, row.bytes * rows)
        return cls(row, resident.memory.pinned(size), resident.memory.allocate(size))

    def staged(self, rows: int) -> Tensor:
        """So many rows on the host."""
        return self.pinned[: self.row.bytes * rows].view(self.row.dtype).reshape(rows, *self.row.shape)

    def place(self, rows: int) -> Place:
        """So many rows on the device."""
        return Place(self.row.dtype, (rows, *self.row.shape), self.block.address)
