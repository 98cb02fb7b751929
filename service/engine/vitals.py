"""What one worker process says of itself at this moment: memory, processor time, open files."""

import os
from pathlib import Path
from typing import TypedDict

PROC = Path("/proc/self")


class Vitals(TypedDict):
    """Of one process; memory and files are None where there is no /proc."""

    resident_bytes: int | None
    cpu_seconds: float
    open_files: int | None


def vitals(proc: Path = PROC) -> Vitals:
    """Look."""
    times = os.times()
    return {
        "resident_bytes": _resident(proc),
        "cpu_seconds": times.user + times.system,
        "open_files": _files(proc),
    }


def _resident(proc: Path) -> int | None:
    try:
        return int((proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def _files(proc: Path) -> int | None:
    try:
        return len(os.listdir(proc / "fd"))
    except OSError:
        return None
