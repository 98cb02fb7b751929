"""Which versions may be opened: those that were there at the start, and those that a trial has found well.

What lies in the repository when the server starts is the operator's own, and is opened at once. What comes later, or
all where the operator does not vouch for the folder, is tried first (`service.engine.probe`): one version at a time and
once for all workers, by writing down where all find it what came of it. A worker that replaces another finds that too:
a file that ended one process must not end its successor.
"""

import contextlib
import logging
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from service.engine import folder
from service.engine.entry import REFUSALS, reason_of
from service.errors import ModelUnavailable
from service.workers.workers import State, Workers

log = logging.getLogger("actserve.repository")

PRESENT = "present"
TRIAL = "trial"
"""What the workers agree on: the versions of the start, by `<name> <version>`, and the trial of each later one."""

MODEL = "model"
"""The part of the service whose number of changes tells one attempt to load a model from the next."""


class Gate:
    """Asked before a version is opened.

    Args:
        trusted: the repository, whose versions at the start need no trial; None if all do.
        probe: tries a version and returns its digest; raises what is wrong with it.
    """

    def __init__(self, trusted: Path | None, probe: Callable[[Path, int], str], workers: Workers) -> None:
        self._probe = probe
        self._workers = workers
        self._present: State = workers.agree(PRESENT, lambda known: known or {"files": _listed(trusted)})["files"]

    def __call__(self, path: Path, version: int) -> str | None:
        """Let a version pass, or try it; blocks while that takes.

        Returns:
            The digest that the file must have; None for one that was there at the start.

        Raises:
            ModelUnavailable: the trial found something wrong.
        """
        key, files = _key(path, version), _files(folder.snapshot(path), version)
        if self._present.get(key) == files:
            return None
        found = self._workers.agree(f"{TRIAL}/{key}", lambda last: self._decided(last, path, version, files))
        if "reason" in found:
            raise ModelUnavailable(found["reason"])
        return str(found["digest"])

    def _decided(self, last: State, path: Path, version: int, files: str) -> State:
        """What came of the trial of these files: of the last one, unless it failed and the load was asked for anew."""
        attempt = self._workers.wanted(f"{MODEL}/{path.name}").get("changes", 0)
        if last.get("files") == files and ("digest" in last or last["attempt"] == attempt):
            return last
        log.info("model %s version %d is tried in a process of its own", path.name, version)
        try:
            return {"files": files, "attempt": attempt, "digest": self._probe(path, version)}
        except REFUSALS as error:
            return {"files": files, "attempt": attempt, "reason": reason_of(error)}


def _listed(root: Path | None) -> dict[str, str]:
    """Every version that is there; what cannot be read is not served either."""
    found: dict[str, str] = {}
    if root is None:
        return found
    with contextlib.suppress(OSError):
        for name in folder.models(root):
            with contextlib.suppress(OSError):
                snapshot = folder.snapshot(root / name)
                found |= {_key(root / name, version): _files(snapshot, version) for version in snapshot.versions}
    return found


def _key(path: Path, version: int) -> str:
    return f"{path.name} {version}"


def _files(snapshot: folder.Snapshot, version: int) -> str:
    """Stands for the files of a version: another if one of them was written anew."""
    return sha256(repr(snapshot.versions.get(version)).encode()).hexdigest()
