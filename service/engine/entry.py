"""All versions of one name, and how a look at its folder makes the next entry from the last."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from service.engine import folder
from service.engine.folder import Snapshot
from service.engine.model import Model
from service.engine.overrides import Overrides
from service.errors import BadRequest, ModelUnavailable

log = logging.getLogger("actserve.repository")

REFUSALS = (ModelUnavailable, BadRequest, ValueError, OSError, MemoryError, RecursionError)
"""What a file can do; anything else is a fault of ours."""

State: TypeAlias = Literal["READY", "UNAVAILABLE", "LOADING", "UNLOADING"]
Load: TypeAlias = Callable[[Path, int, Overrides], Model]
LoadSeen: TypeAlias = Callable[[Path, int, Overrides, Snapshot], Model]


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A line of the protocol's repository index; no version where the model has none."""

    name: str
    version: str | None
    state: State
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """All versions of one name: those that are served, and why others, or newer files of the same version, are not.

    Attributes:
        reason: what is wrong with the whole folder.
        seen: the folder as it was when it was last read.
    """

    name: str
    models: Mapping[int, Model] = field(default_factory=dict)
    reasons: Mapping[int, str] = field(default_factory=dict)
    reason: str | None = None
    seen: Snapshot | None = None

    def faults(self) -> list[str]:
        """What is not served, and why."""
        if self.reason is not None:
            return [self.reason]
        return [f"version {version}: {reason}" for version, reason in self.reasons.items()]

    def lines(self, loading: Collection[int], leaving: Collection[int]) -> Iterator[IndexEntry]:
        """The entry in the repository's index.

        Args:
            loading: versions that are being loaded.
            leaving: those that were let go and still run a request.
        """
        versions = {*self.models, *self.reasons, *loading, *leaving}
        for version in sorted(versions):
            reason = self.reasons.get(version, self.reason)
            if version in self.models:
                yield IndexEntry(self.name, str(version), "READY", reason)
            elif version in loading:
                yield IndexEntry(self.name, str(version), "LOADING")
            elif version in leaving:
                yield IndexEntry(self.name, str(version), "UNLOADING")
            else:
                yield IndexEntry(self.name, str(version), "UNAVAILABLE", reason)
        if not versions:
            yield IndexEntry(self.name, None, "UNAVAILABLE", self.reason)


def renewed(old: Entry, path: Path, load: LoadSeen, *, again: bool) -> Entry:
    """Read a model's folder, load what is new or has changed, and keep what has not.

    Args:
        load: loads a version of the folder as it was seen.
        again: also try what failed before and has not changed since.
    """
    seen = Snapshot((), {})
    try:
        seen = folder.snapshot(path)
        overrides = Overrides.read(path)
    except REFUSALS as error:
        reason = reason_of(error)
        log.error("model %s is not served as its folder says: %s", old.name, reason)
        return Entry(old.name, old.models, old.reasons, reason, seen)
    chosen = overrides.chosen(seen.versions)
    models = {version: old.models[version] for version in chosen if version in old.models}
    reasons = {version: old.reasons[version] for version in chosen if version in old.reasons}
    for version in chosen:
        failed = version in reasons
        if not (_changed(old.seen, seen, version) or (again and failed) or (version not in models and not failed)):
            continue
        reasons.pop(version, None)
        try:
            models[version] = load(path, version, overrides, seen)
            log.info("model %s version %d is served", old.name, version)
        except REFUSALS as error:
            reasons[version] = reason_of(error)
            kept = "; the one loaded before is served on" if version in models else ""
            log.error("model %s version %d is not served: %s%s", old.name, version, reasons[version], kept)
    return Entry(old.name, models, reasons, None if chosen else "it has no version folder (1, 2, …)", seen)


def _changed(before: Snapshot | None, now: Snapshot, version: int) -> bool:
    """Whether a version is to be loaded anew: other files, or another `model.toml`."""
    if before is None or before.config != now.config:
        return True
    return before.versions.get(version) != now.versions.get(version)


def reason_of(error: Exception) -> str:
    """Why, for a client to read: an operating system error without the server's path."""
    text = error.strerror if isinstance(error, OSError) else str(error)
    return text or type(error).__name__
