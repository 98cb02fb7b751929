"""A repository for the service, and an empty route in its framework."""

import shutil
import sys
from pathlib import Path

from loadtests.local.servers import Command


def repository(folder: Path, model: Path) -> Path:
    """A repository with this model as `cnn`; functions are built in."""
    version = folder / "cnn" / "1"
    version.mkdir(parents=True)
    shutil.copy(model, version / "model.onnx")
    return folder


def empty_route(port: int, workers: int) -> Command:
    """FastAPI as everybody serves it, with nothing behind the route."""
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers), "--no-access-log"]
    quiet = ["--log-level", "warning", "--no-server-header"]
    return Command([sys.executable, "-m", "uvicorn", "loadtests.peers.empty:app", *options, *quiet])
