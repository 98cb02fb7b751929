"""The GPU as the driver sees it."""

import subprocess
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, as the driver's own tool reports it."""

    name: str
    memory_total_mib: int
    memory_used_mib: int


def gpu() -> Gpu | None:
    """Ask `nvidia-smi` for the first GPU; None without it."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,memory.used", "--format=csv,noheader,nounits", "--id=0"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_gpu(answer)


def parse_gpu(answer: str) -> Gpu | None:
    """Read one line of `nvidia-smi`: name, total MiB, used MiB; None if it is something else."""
    fields = [part.strip() for part in answer.strip().split(",")]
    if len(fields) != 3 or not (fields[1].isdigit() and fields[2].isdigit()):
        return None
    return Gpu(fields[0], int(fields[1]), int(fields[2]))
