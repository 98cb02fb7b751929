"""How many connections each worker holds, in memory that all of them map."""

import contextlib
import os
from pathlib import Path

from service.workers.blocks import mapped
from service.workers.lock import exclusive

SLOTS = 512
"""Workers at most: twice what the settings allow, for those that start while others end."""

ENDING = "ending"
"""A file in the folder, once all workers are told to end."""


def announce_end(folder: Path) -> None:
    """Let the workers know that all of them are about to be told to end."""
    with contextlib.suppress(OSError):  # no room: they end as each alone does
        (folder / ENDING).touch()


class Alone:
    """What `Shares` is to a worker that has no others."""

    def add(self, count: int) -> None:
        pass

    def excess(self) -> int:
        return 0

    def leave(self) -> None:
        pass

    def all_end(self) -> bool:
        return True


class Shares:
    """This worker's count of connections, beside the others'.

    Each worker has a slot of two integers, its process id and its count. Slots of processes that are gone are freed
    when the next worker starts.
    """

    def __init__(self, folder: Path) -> None:
        self._ending = folder / ENDING
        with exclusive(folder / "connections.lock"):
            self._slots = _slots(folder / "connections")
            for slot in range(0, 2 * SLOTS, 2):
                if self._slots[slot] and not _is_alive(self._slots[slot]):
                    self._slots[slot] = self._slots[slot + 1] = 0
            self._slot = next(slot for slot in range(0, 2 * SLOTS, 2) if not self._slots[slot])
            self._slots[self._slot + 1] = 0
            self._slots[self._slot] = os.getpid()
        self._left = False

    def add(self, count: int) -> None:
        """Count connections that have come, or with a negative number gone."""
        if not self._left:
            self._slots[self._slot + 1] += count

    def excess(self) -> int:
        """How many more connections this worker holds than the one with the fewest; 0 for that one."""
        own = self._slots[self._slot + 1]
        pids, counts = self._slots[::2].tolist(), self._slots[1::2].tolist()
        return own - min((count for pid, count in zip(pids, counts, strict=True) if pid), default=own)

    def leave(self) -> None:
        """Give the slot back: this worker takes no more connections."""
        self._left = True
        self._slots[self._slot] = 0

    def all_end(self) -> bool:
        """Whether this worker ends because the server does."""
        return self._ending.exists()


def _slots(path: Path) -> "memoryview[int]":
    """Shared with the others; where there is no room for that, of this worker alone, which then takes what comes."""
    try:
        return mapped(path, SLOTS * 16)
    except OSError:
        return memoryview(bytearray(SLOTS * 16)).cast("q")


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
