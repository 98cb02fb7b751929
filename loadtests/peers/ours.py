"""The service itself, and an empty route in its framework."""

import shutil
import sys
from pathlib import Path

from loadtests.peers.servers import Command


def service(port: int, workers: int, repository: Path | None = None) -> Command:
    """With its defaults but for the device, and a thread a worker; without a repository the packaged models."""
    environment = {
        "ACTSERVE_PORT": str(port),
        "ACTSERVE_WORKERS": str(workers),
        "ACTSERVE_THREADS": "1",
        "ACTSERVE_DEVICE": "cpu",
    }
    if repository is not None:
        environment["ACTSERVE_REPOSITORY"] = str(repository)
    return Command([sys.executable, "-m", "service"], environment)


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
