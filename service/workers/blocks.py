"""Counters that several processes add to: each in a block of its own, read together.

A block is 64-bit integers in a file that is mapped into memory, so adding costs no system call, and what a killed
process has counted stays. One process writes a block; others read it while it does, and may find one counter of a
request added and the next not yet.
"""

import contextlib
import logging
import mmap
import os
import weakref
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

log = logging.getLogger("actserve.workers")

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

    Where there is no room for the file it is in this process's memory, and others do not see it.

    Args:
        folder: of the blocks under one key; there is one for each process that has, or had, one.
    """

    def __init__(self, folder: Path, length: int) -> None:
        super().__init__(length)
        self._folder = folder
        self._is_shared = False
        try:
            self._share(length * ITEM)
        except OSError as error:
            log.warning("what this worker counts is not seen by the others: %s: %s", folder, error.strerror)

    def _share(self, size: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = _new(self._folder)
        weakref.finalize(self, path.unlink, missing_ok=True).atexit = False
        self.own = mapped(path, size)
        self._is_shared = True

    def all(self) -> list[Sequence[int]]:
        blocks: list[Sequence[int]] = [] if self._is_shared else [self.own]
        for path in sorted(self._folder.iterdir()):
            with contextlib.suppress(FileNotFoundError):  # let go at this moment
                blocks.append(memoryview(path.read_bytes()).cast("q"))
        return [block for block in blocks if len(block) == len(self.own)]  # one that is being made is empty


def mapped(path: Path, size: int) -> "memoryview[int]":
    """A file in memory, as integers: made as long if it is shorter.

    Its space is written and not only promised: a process that uses a page for which there is no room is killed.

    Raises:
        OSError: there is no room for it.
    """
    with path.open("a+b") as file:
        file.write(bytes(size - min(size, file.tell())))
        file.flush()
        return memoryview(mmap.mmap(file.fileno(), size)).cast("q")


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
