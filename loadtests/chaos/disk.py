"""No space left: for messages, in the repository, and where the workers count. Inference goes on."""

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path

from loadtests.chaos.experiment import Options, Result, Skipped, all_right, none_lost, told
from loadtests.chaos.models import OLD, PACKAGED, content
from loadtests.chaos.replica import Replica
from loadtests.ledger import golden
from loadtests.ledger.load import Load
from loadtests.local.processes import tree
from loadtests.verdict import Line

OWN_MOUNTS = ["unshare", "--mount", "--map-root-user"]
"""In a namespace of its own, so that nothing is mounted where anybody else sees it."""
SHARED = "dev/shm"


def messages(options: Options) -> Result:
    """Both of the server's outputs lead to a device that is full."""
    wrapped = ["sh", "-c", 'exec "$@" >/dev/full 2>&1', "sh"]
    with Replica(options.folder, {"workers": 2, "log_level": "debug"}, wrapped) as replica:
        with Load([replica.port], golden.mixed()) as load:
            time.sleep(2 * options.seconds)
        alive = replica.server.process.poll() is None
    return told(load.ledger, [none_lost(load.ledger), all_right(load.ledger), Line(alive, "the server runs on")], [])


def repository(options: Options) -> Result:
    """A version that does not fit the disk is not served; the one before is."""
    folder = options.folder / "repository"
    room = len(content(OLD)) * 3 // 2  # for one version, and a part of another
    mounting = _in_own_mounts(f"mount -t tmpfs -o size={room} tmpfs '{folder}' && cp -r '{PACKAGED / OLD}' '{folder}'")
    folder.mkdir()
    settings: dict[str, object] = {"repository": folder, "reload_interval_seconds": 0.2, "workers": 1}
    with Replica(options.folder, settings, mounting) as replica:
        inside = _seen_by(replica.pid, folder)
        with Load([replica.port], golden.mixed()) as load:
            time.sleep(options.seconds)
            (inside / OLD / "2").mkdir()
            full = _fill(inside / OLD / "2" / "model.onnx", content(OLD))
            time.sleep(max(options.seconds, 2))
    goals = [none_lost(load.ledger), all_right(load.ledger), Line(full, "the disk was full in the middle of a file")]
    return told(load.ledger, goals, [])


def counters(options: Options) -> Result:
    """Where workers share their counters; models and routes that nobody had asked for need new ones there."""
    mounting = _in_own_mounts("mount -t tmpfs -o size=4m tmpfs /dev/shm")
    with Replica(options.folder, {"workers": 2}, mounting) as replica:
        inside = _seen_by(replica.pid, Path("/", SHARED))
        workers = {pid for pid, _ in tree(replica.pid)}
        full = _fill(inside / "filler", bytes(2**23))
        with Load([replica.port], golden.mixed()) as load:
            time.sleep(2 * options.seconds)
        died = workers - {pid for pid, _ in tree(replica.pid)}
    goals = [
        none_lost(load.ledger),
        all_right(load.ledger),
        Line(full, "the disk was full"),
        Line(not died, f"no process died{f': {len(died)} did' if died else ''}"),
    ]
    return told(load.ledger, goals, [])


def _in_own_mounts(script: str) -> list[str]:
    """What runs a command after the script, in a mount namespace of its own.

    Raises:
        Skipped: that is not allowed here.
    """
    possible = shutil.which("unshare") and subprocess.run(
        [*OWN_MOUNTS, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
    )
    if not possible or possible.returncode:
        raise Skipped("a disk of its own cannot be mounted here: it takes root, or user namespaces")
    return [*OWN_MOUNTS, "sh", "-c", f'{script} && exec "$@"', "sh"]


def _seen_by(pid: int, path: Path) -> Path:
    """The path as that process sees it, reached from outside of its namespace."""
    return Path(f"/proc/{pid}/root") / path.relative_to("/")


def _fill(path: Path, wanted: bytes) -> bool:
    """Write as much of it as there is space for; whether it ended before the end."""
    written = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        with contextlib.suppress(OSError):
            while written < len(wanted):
                written += os.write(descriptor, wanted[written : written + 4096])
    finally:
        os.close(descriptor)
    return written < len(wanted)
