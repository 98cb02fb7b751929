"""Counters that several processes add to: each in a block of its own, read together.

A block is 64-bit integers in a file that is mapped into memory, so adding costs no system call, and what a killed
process has counted stays. One process writes a block; others read it while it does, and may find one counter of a
request added and the next not yet.
"""

import contextlib
import mmap
import os
import weakref
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

ITEM = 8
"""Bytes of a counter."""


class Block:
    """Counters of one process: `own`, by index, and those of all processes under the same key."""

    def __init__(self, length: int) -> None:
        self.own = memoryview(bytearray(length * ITEM)).cast("q")

    def all(self) -> list[Sequence[int]]:
        """This process's and every other's; those of ended processes too, as long as the server runs."""
        return [self.own]


class SharedBlock(Block):
    """A block in a file; it is deleted when the block is let go, but not when the process ends.

    Args:
        folder: of the blocks under one key; there is one for each process that has, or had, one.
    """

    def __init__(self, folder: Path, length: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        path = _new(folder)
        with path.open("r+b") as file:
            file.truncate(length * ITEM)
            self.own = memoryview(mmap.mmap(file.fileno(), length * ITEM)).cast("q")
        weakref.finalize(self, path.unlink, missing_ok=True).atexit = False

    def all(self) -> list[Sequence[int]]:
        blocks: list[Sequence[int]] = []
        for path in sorted(self._folder.iterdir()):
            with contextlib.suppress(FileNotFoundError):  # let go at this moment
                blocks.append(memoryview(path.read_bytes()).cast("q"))
        return [block for block in blocks if len(block) == len(self.own)]  # one that is being made is empty


def added(blocks: Sequence[Sequence[int]], start: int, stop: int) -> list[int]:
    """The counters from `start` to `stop`, those of all blocks added."""
    return [sum(values) for values in zip(*(block[start:stop] for block in blocks), strict=True)]


def _new(folder: Path) -> Path:
    """A file of our own: by our process id, which an ended process may have had before us, and a number."""
    number = 0
    while True:
        path = folder / f"{os.getpid()}-{number}"
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            number += 1
        else:
            return path


def place(folder: Path, key: str) -> Path:
    """Where the blocks of a key lie, whatever characters it has."""
    return folder / sha256(key.encode()).hexdigest()[:32]
