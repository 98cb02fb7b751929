"""`python -m service`: settings from the environment, then uvicorn."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType


def _end(number: int, frame: FrameType | None) -> None:
    """End as the system would, and as the first process of a container too, which it would not end."""
    signal.signal(number, BEFORE)
    signal.raise_signal(number)
    sys.exit(0)  # pragma: no cover  # only such a process is still there


# Before all that follows, which takes seconds on a busy machine; uvicorn has a handler of its own once it serves.
BEFORE = signal.signal(signal.SIGTERM, _end)

from pydantic import ValidationError

from service import telemetry
from service.activations import evidence
from service.engine import processors
from service.engine.runtime.device import DeviceUnavailable, detect
from service.errors import in_words
from service.routes.keys import InvalidKeys, Keys
from service.server.serve import InvalidCertificate, check_tls, serve
from service.settings import Settings
from service.workers import FOLDER

MEMORY = Path("/dev/shm")
"""A file system without a disk: what workers count is never waited for."""


UNUSABLE = (
    DeviceUnavailable,
    evidence.InvalidEvidence,
    InvalidKeys,
    InvalidCertificate,
    telemetry.TelemetryUnavailable,
)
"""What keeps the server from starting, in words."""


def main() -> None:
    """Serve until told to stop; exit code 2 for settings that do not fit."""
    _occupy_standard_streams()
    try:
        settings = Settings()
    except ValidationError as error:
        for fault in error.errors():
            variable = f"ACTSERVE_{fault['loc'][0]}".upper()
            sys.stderr.write(f"actserve: {in_words([{**fault, 'loc': variable}])}\n")
        sys.exit(2)
    try:
        device = detect(settings.device)
        evidence.read(settings.evidence)
        Keys.read(settings)
        check_tls(settings)
        telemetry.check(settings.trace_exporter)
    except UNUSABLE as error:
        sys.exit(f"actserve: {error}")
    workers = settings.workers or (processors.available() if device.kind == "cpu" else 1)
    os.environ["ACTSERVE_WORKERS"] = str(workers)
    with nullcontext() if workers == 1 else _shared():
        serve(settings, workers)


def _occupy_standard_streams() -> None:
    """Open what we were started without: else the next socket has its number, and what is logged goes to a client."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


@contextmanager
def _shared() -> Iterator[None]:
    """A folder for what the worker processes share, which they inherit."""
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="actserve-", dir=place, ignore_cleanup_errors=True) as folder:
        os.environ[FOLDER] = folder
        yield


if __name__ == "__main__":  # pragma: no branch  # it is run, never imported
    main()
