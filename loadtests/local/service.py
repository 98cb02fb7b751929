"""The service itself, as a command: on the CPU, a thread a worker."""

import sys

from loadtests.local.http import Request
from loadtests.local.servers import Command

READY = Request("/v2/health/ready", {}, b"")
LIVE = Request("/v2/health/live", {}, b"")


def command(port: int, **settings: object) -> Command:
    """With its defaults, but for the device, the threads and these settings; a release that lacks one ignores it."""
    chosen = {"port": port, "device": "cpu", "threads": 1} | settings
    return Command(
        [sys.executable, "-m", "service"], {f"ACTSERVE_{name.upper()}": str(value) for name, value in chosen.items()}
    )
