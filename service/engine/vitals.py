"""What one worker process says of itself at this moment: memory and open files, and its processor time so far."""

import os
from pathlib import Path
from typing import TypedDict

PROC = Path("/proc/self")


class Vitals(TypedDict):
    """Of one process; memory and files are None where there is no /proc."""

    resident_bytes: int | None
    open_files: int | None


def vitals(proc: Path = PROC) -> Vitals:
    """Look."""
    return {"resident_bytes": resident_bytes(proc), "open_files": _files(proc)}


def cpu_seconds() -> float:
    """Processor time of this process, in all its threads."""
    times = os.times()
    return times.user + times.system


def mapped_bytes(proc: Path = PROC) -> int | None:
    """Address space of a process; None where there is no /proc."""
    return _memory(proc, 0)


def resident_bytes(proc: Path = PROC) -> int | None:
    """Memory that it holds; None where there is no /proc."""
    return _memory(proc, 1)


def _memory(proc: Path, place: int) -> int | None:
    """Source: proc_pid_statm(5)."""
    try:
        return int((proc / "statm").read_text().split()[place]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def _files(proc: Path) -> int | None:
    try:
        return len(os.listdir(proc / "fd"))
    except OSError:
        return None
