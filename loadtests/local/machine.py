"""What was measured on, and with what."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from loadtests.local.servers import ROOT


def cores() -> int:
    """That this process may run on."""
    return len(os.sched_getaffinity(0))


def describe() -> str:
    """The processor, its cores, its widest vectors, memory and system, in a line."""
    information = Path("/proc/cpuinfo").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in information if ":" in line)
    values = {name.strip(): value.strip() for name, value in fields.items()}
    flags = values.get("flags", "").split()
    vectors = next((name for flag, name in VECTORS.items() if flag in flags), "no AVX2")
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name = values.get("model name", platform.machine())
    return f"{name} ({vectors}), {cores()} cores, {memory_gib:.0f} GiB, {platform.system()} {platform.release()}"


VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2"}


def load() -> float:
    """Processes that ran or wanted to, over the last minute, before anything was measured: 0 on a quiet machine."""
    return os.getloadavg()[0]


def versions() -> dict[str, str]:
    """Of what runs in our own environment."""
    names = ("onnxruntime-gpu", "onnxruntime")
    runtime = next(version for name in names if (version := _version(name)))
    return {
        "actserve": _commit(),
        "Python": platform.python_version(),
        "ONNX Runtime": runtime,
        "FastAPI": _version("fastapi"),
        "uvicorn": _version("uvicorn"),
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _commit() -> str:
    """With a plus sign if files have been changed since."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return "not from a repository"
