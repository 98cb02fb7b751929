"""A device whose memory is the host's: what runs with fixed memory do, without a GPU."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine.gpu.memory import Block, Bytes


class HostMemory:
    """Counts what is copied where."""

    device = "cpu"

    def __init__(self) -> None:
        self.copies: list[tuple[str, int]] = []
        self._blocks: dict[int, Bytes] = {}

    def allocate(self, size: int) -> Block:
        content = np.full(size, 0xFF, np.uint8)  # not numbers, as floats: what is read before it is written shows
        block = Block(content.ctypes.data, size)
        self._blocks[block.address] = content
        return block

    def pinned(self, size: int) -> Bytes:
        return np.full(size, 0xFF, np.uint8)

    def to_device(self, block: Block, array: NDArray[Any]) -> None:
        assert array.flags.c_contiguous
        self._blocks[block.address][: array.nbytes] = array.reshape(-1).view(np.uint8)
        self.copies.append(("to device", array.nbytes))

    def to_host(self, array: NDArray[Any], block: Block) -> None:
        array.reshape(-1).view(np.uint8)[:] = self._blocks[block.address][: array.nbytes]
        self.copies.append(("to host", array.nbytes))

    def within(self, to: Block, block: Block) -> None:
        self._blocks[to.address][: block.size] = self._blocks[block.address]
        self.copies.append(("within", block.size))
