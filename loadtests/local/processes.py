"""A process with all that it started: its memory, and its end. Only Linux has the files that are read here."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtests.local.repeating import repeating

GRACE_S = 20
"""For a server to end when asked."""
LOOK_S = 0.1
"""Between two looks at the memory; one takes some milliseconds of a core."""
KIB = 1024
MB = 1_000_000

Started = tuple[int, int]
"""A process's id, and when it started: together they never mean another process."""


def tree(root: int) -> list[Started]:
    """The process and its descendants, as long as their parents live."""
    parents = {pid: (parent, start) for pid, parent, start in _all()}
    known = {root}
    while more := {pid for pid, (parent, _) in parents.items() if parent in known} - known:
        known |= more
    return [(pid, parents[pid][1]) for pid in sorted(known & parents.keys())]


def memory_mb(root: int) -> float:
    """Proportional set size of the tree, in 10⁶ bytes: pages that several processes share count once in all."""
    total = 0
    for pid, _ in tree(root):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * KIB
    return total / MB


def resident_bytes(root: int) -> int:
    """Resident set sizes of the tree, added: quick to read, but pages that processes share count for each."""
    pages = 0
    for pid, _ in tree(root):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors(root: int) -> int:
    """Open files of the tree."""
    count = 0
    for pid, _ in tree(root):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
            count += len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return count


def cpu_seconds(root: int) -> float:
    """Processor time of the tree since it started, of those of its processes that still run."""
    ticks = 0
    for pid, _ in tree(root):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
            fields = _fields(Path(f"/proc/{pid}"))
            ticks += int(fields[11]) + int(fields[12])  # in user mode, and in the kernel
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def watched_memory(root: int) -> Iterator[list[float]]:
    """Look all the time that the block runs; gives what was seen, in MB."""
    seen = [memory_mb(root)]
    with repeating(lambda: seen.append(memory_mb(root)), LOOK_S):
        yield seen


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end; kill what then still runs of it and of what it had started."""
    started = tree(process.pid)
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    deadline = time.monotonic() + GRACE_S
    while (left := _still(started)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.poll()  # takes the exit status, so that it is gone from the list
        time.sleep(LOOK_S)
    process.wait()


def _still(started: list[Started]) -> list[int]:
    running = {(pid, start) for pid, _, start in _all()}
    return [pid for pid, start in started if (pid, start) in running]


def _fields(process: Path) -> list[str]:
    """Of its `stat`, from its state on.

    Source: proc_pid_stat(5); the name in parentheses may hold anything, so it is counted from its end.
    """
    return (process / "stat").read_text().rpartition(")")[2].split()


def _all() -> Iterator[tuple[int, int, int]]:
    """Process id, parent's id, start time in clock ticks; without those that have ended and wait for their parent."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                fields = _fields(entry)
                if fields[0] != "Z":
                    yield int(entry.name), int(fields[1]), int(fields[19])
