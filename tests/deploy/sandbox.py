"""The service as a container's runtime would start it, without one.

Its variables are the manifest's and no others of ours; it has a network of its own, so that its port is free; the root
cannot be written to; /dev/shm and /tmp are new, in memory, as large as the manifest says; folders are mounted where
the manifest has them; and with root's help it is the manifest's user, without capabilities. Python and the sources are
this checkout's, not the image's.
"""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from tests.deploy.manifests import Pod
from tests.serving import DEADLINE_S, ROOT, command, uncounted

TOOLS = ("unshare", "setpriv", "nsenter", "mount")
LOOPBACK = "from loadtests.peers.isolation import raise_loopback; raise_loopback()"
ASKING = Path(__file__).parent / "asking.py"

Request = tuple[str, str] | tuple[str, str, str]
"""Method, path, and for some a body in JSON."""


@dataclass(frozen=True)
class Contained:
    """A service that runs, and how to reach it."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def ask(self, *requests: Request) -> list[tuple[int, str]]:
        """Status and text of each answer, once the service answers at all."""
        inside = ["nsenter", "--target", str(self.process.pid), "--net"]
        inside += [] if _is_root() else ["--user", "--preserve-credentials"]
        done = subprocess.run(
            [*inside, sys.executable, str(ASKING), str(self.port)],
            input=json.dumps([(*request, None)[:3] for request in requests]),
            capture_output=True,
            text=True,
            env=uncounted(),
            timeout=4 * DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, f"{done.stderr}\n{self.log.read_text()}"
        return [(status, text) for status, text in json.loads(done.stdout)]


def _is_root() -> bool:
    return os.geteuid() == 0


@contextmanager
def contained(pod: Pod, folders: Mapping[str, Path | str], log: Path) -> Iterator[Contained]:
    """Start it, and kill it afterwards if it has not ended.

    Args:
        folders: what is mounted below /mnt, by where; a text is what a symbolic link points to.
        log: where its messages go.
    """
    namespaces = ["unshare", "--mount", "--net", *([] if _is_root() else ["--map-root-user"])]
    _skip_unless_possible(namespaces)
    with log.open("w") as messages:
        process = subprocess.Popen(
            [*namespaces, "sh", "-c", _script(pod, folders), "sh", *_lowered(pod), *command()],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **pod.variables},
            stdout=subprocess.DEVNULL,
            stderr=messages,
            start_new_session=True,
        )
    try:
        yield Contained(process, pod.settings.port, log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(DEADLINE_S)


def _skip_unless_possible(namespaces: list[str]) -> None:
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        pytest.skip(f"{', '.join(missing)} not found: install util-linux and mount")
    trial = [*namespaces, "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    if subprocess.run(trial, capture_output=True, check=False).returncode:
        pytest.skip("file systems and a network of one's own take root, or user namespaces")
    if not all(Path(file).stat().st_mode & stat.S_IROTH for file in (__file__, uvicorn.__file__)):
        pytest.skip("this checkout, or its environment, can be read by its owner only: umask 022")


def _script(pod: Pod, folders: Mapping[str, Path | str]) -> str:
    """Set the place up, then become what follows."""
    covered = {"/tmp": pod.memory("/tmp"), "/dev/shm": pod.memory("/dev/shm")}
    kept = [
        path for path in dict.fromkeys((ROOT, Path(sys.prefix), Path(sys.base_prefix))) if _needs_help(path, covered)
    ]
    covered |= {f"/{path.parts[1]}": 2**20 for path in kept if not str(path).startswith(tuple(covered))}
    lines = ["set -e", "mount -t tmpfs tmpfs /mnt"]
    for number, path in enumerate(kept):
        lines += [f"mkdir /mnt/.{number}", f"mount --rbind '{path}' /mnt/.{number}"]
    for place, folder in folders.items():
        if isinstance(folder, str):
            lines += [f"ln -s {folder} {place}"]
        else:
            lines += [f"mkdir -p {place}", f"mount --rbind '{folder}' {place}", f"mount -o remount,bind,ro {place}"]
    lines += [f"mount -t tmpfs -o mode=1777,size={size} tmpfs {place}" for place, size in covered.items()]
    for number, path in enumerate(kept):
        lines += [f"mkdir -p '{path}'", f"mount --rbind /mnt/.{number} '{path}'"]
    lines += [f"cd '{ROOT}'", f"'{sys.executable}' -c '{LOOPBACK}'", "mount -o remount,bind,ro /"]
    return "\n".join([*lines, 'exec "$@"'])


def _needs_help(path: Path, covered: Iterable[str]) -> bool:
    """Python and this checkout may lie where another user may not look, or in what is covered."""
    is_closed = not all(parent.stat().st_mode & stat.S_IXOTH for parent in (path, *path.parents))
    return is_closed or str(path).startswith(tuple(covered))


def _lowered(pod: Pod) -> list[str]:
    """In a user namespace of our own there is no other user to become."""
    security = pod.spec.get("securityContext", {}) | pod.container["securityContext"]
    user = [f"--reuid={security['runAsUser']}", f"--regid={security['runAsGroup']}", "--clear-groups"]
    return ["setpriv", *(user if _is_root() else []), "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
