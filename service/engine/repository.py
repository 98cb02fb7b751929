"""Models by name and version, loaded, loaded again and let go while requests run.

A folder is read by `service.engine.folder`, a version made by `service.engine.loading`. Here is what is served: an
`Entry` for each name. Entries and the table of them are never changed but replaced, so a reader needs no lock; a
request holds its `Model`, and finishes on it whatever happens to the entry. A version that cannot be loaded never
takes the place of one that was: that one is served on, with the reason beside it.
"""

import logging
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from service.engine import folder, statistics
from service.engine.entry import Entry, IndexEntry, Load, renewed
from service.engine.folder import VERSION, Snapshot
from service.engine.gate import MODEL
from service.engine.gpu.memory import Resident
from service.engine.loading import Loader, Prove, unproven
from service.engine.model import Model
from service.engine.overrides import Overrides
from service.engine.rules import Limits
from service.engine.runtime.device import Device
from service.engine.runtime.precision import Precision
from service.engine.statistics import Statistics
from service.errors import ModelUnavailable, NotFound, did_you_mean, printable, quoted
from service.workers.workers import Alone, State, Workers

log = logging.getLogger("actserve.repository")

UNLOADED = "unloaded"

KIND = MODEL
"""Of the parts of the service of which loading and unloading is wanted."""


class Repository:
    """Models by name and version; every method may be called from several threads at once.

    Loading and unloading by name is wanted of all workers: it is written down, and each takes it on (`follow`).

    Args:
        root: the folder.
        make: loads a version.
        reserved: names that a model may not have.
        workers: the processes that serve the same folder.
    """

    def __init__(self, root: Path, make: Load, reserved: Iterable[str] = (), workers: Workers | None = None) -> None:
        self.root = root
        self.entries: Mapping[str, Entry] = {}
        self._make = make
        self._reserved = frozenset(reserved)
        self._workers = workers or Alone()
        self._workers.follow(KIND, self.follow)
        self._taken_on: dict[str, State] = {}
        self._loading: set[tuple[str, int]] = set()
        self._leaving: weakref.WeakSet[Model] = weakref.WeakSet()  # let go, and still held by a request
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def models(self) -> list[Model]:
        """The served version of each name: the highest that loaded."""
        return [entry.models[max(entry.models)] for entry in self.entries.values() if entry.models]

    def entry(self, name: str) -> Entry:
        """All versions of a name.

        Raises:
            NotFound: there is no such name; suggests the nearest.
        """
        found = self.entries.get(name)
        if found is None:
            nearest = did_you_mean(name, self.entries)
            raise NotFound(f"Request for unknown model: {quoted(name)} is not found.{nearest}")
        return found

    def find(self, name: str, version: str | None = None) -> Model:
        """Return the model; without a version the highest that loaded.

        Raises:
            NotFound: no such name or version, or it is unloaded; suggests the nearest name.
            ModelUnavailable: it is there and could not be loaded; says why.
        """
        entry = self.entry(name)
        if entry.reason == UNLOADED:
            raise NotFound(f"Request for unknown model: {name!r} has no available versions: it is unloaded")
        if version is None:
            if entry.models:
                return entry.models[max(entry.models)]
            reasons = dict.fromkeys([entry.reason] if entry.reason else entry.reasons.values())
            raise ModelUnavailable(f"model {name!r} is not served: {'; '.join(reasons)}")
        number = int(version) if VERSION.fullmatch(version) else 0
        if number in entry.models:
            return entry.models[number]
        if number in entry.reasons:
            raise ModelUnavailable(f"model {name!r} version {number} is not served: {entry.reasons[number]}")
        served = ", ".join(str(v) for v in sorted(entry.models)) or "none"
        raise NotFound(
            f"Request for unknown model: {name!r} version {printable(version, 80)} is not found; versions: {served}"
        )

    def index(self, ready_only: bool = False) -> list[IndexEntry]:
        """Every version of every model, by name and number, and its state."""
        with self._lock:
            entries, loading = self.entries, set(self._loading)
            leaving = {(model.name, model.version) for model in self._leaving}
        lines: list[IndexEntry] = []
        for name in sorted({*entries, *(name for name, _ in loading | leaving)}):
            busy = [{version for other, version in keys if other == name} for keys in (loading, leaving)]
            lines += (entries.get(name) or Entry(name)).lines(*busy)
        return [line for line in lines if line.state == "READY" or not ready_only]

    def load(self, name: str) -> None:
        """Read a model's folder again: new and changed versions are loaded, missing ones let go.

        Returns when all that can be is served, after loads of the same model that were begun before.

        Raises:
            NotFound: there is no such model.
            ModelUnavailable: something in it cannot be served; what was served before is served on.
        """
        self._check(name, "load")
        faults = self._workers.change(f"{KIND}/{name}", partial(_wanted, unloaded=False))
        if faults:
            raise ModelUnavailable(f"failed to load {name!r}, {'; '.join(faults)}")

    def unload(self, name: str) -> None:
        """Let go of every version of a model, until it is loaded by name; requests that run finish.

        Raises:
            NotFound: there is no such model.
        """
        self._check(name, "unload")
        self._workers.change(f"{KIND}/{name}", partial(_wanted, unloaded=True))

    def follow(self, name: str) -> list[str]:
        """Load or unload a model in this process, as is wanted, and return why it cannot be loaded."""
        with self._lock_of(name):
            wanted, is_new = self._take_note(name)
            if is_new and wanted["unloaded"]:
                self._unload(name)
            elif is_new:
                self._renew(name, again=True)
            return [] if wanted["unloaded"] else (self.entries.get(name) or Entry(name)).faults()

    def _unload(self, name: str) -> None:
        old = self.entries.get(name) or Entry(name)
        if old.models:
            log.info("model %s is unloaded", name)
        self._publish_unloaded(name, {*old.models, *old.reasons}, old.seen)

    def _publish_unloaded(self, name: str, versions: Iterable[int], seen: Snapshot | None) -> None:
        self._publish(Entry(name, {}, dict.fromkeys(sorted(versions), UNLOADED), UNLOADED, seen))

    def _take_note(self, name: str) -> tuple[State, bool]:
        """What is wanted of a model, and whether this process is only now to take it on."""
        wanted = self._workers.wanted(f"{KIND}/{name}")
        is_new = wanted != self._taken_on.get(name, {})
        self._taken_on[name] = wanted
        return wanted, is_new

    def refresh(self, name: str) -> None:
        """Serve what the folder holds now, unless the model was unloaded; its faults are logged, not raised."""
        with self._lock_of(name):
            wanted, is_new = self._take_note(name)
            if not folder.has(self.root, name):
                self._drop(name)
            elif wanted.get("unloaded"):
                seen = folder.snapshot(self.root / name)
                self._publish_unloaded(name, seen.versions, seen)
            else:
                self._renew(name, again=is_new)

    def _check(self, name: str, action: str) -> None:
        if name not in self.entries and not folder.has(self.root, name):
            nearest = did_you_mean(name, self.entries)
            raise NotFound(f"failed to {action} {quoted(name)}, there is no such model in the repository.{nearest}")

    def _lock_of(self, name: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(name, threading.Lock())

    def _renew(self, name: str, *, again: bool) -> None:
        if name in self._reserved:
            entry = Entry(name, reason="the name is an activation's", seen=folder.snapshot(self.root / name))
        else:
            entry = renewed(self.entries.get(name) or Entry(name), self.root / name, self._load, again=again)
        self._publish(entry)

    def _load(self, path: Path, version: int, overrides: Overrides, seen: Snapshot) -> Model:
        """Make a version; meanwhile the index shows that. Its statistics are shared with what others make of it."""
        with self._lock:
            self._loading.add((path.name, version))
        try:
            started = time.perf_counter_ns()
            made = self._make(path, version, overrides)
            shared = Statistics(self._workers.block(self._key(path.name, version, seen), statistics.LENGTH))
            shared.loaded(time.perf_counter_ns() - started)
            return replace(made, statistics=shared)
        finally:
            with self._lock:
                self._loading.discard((path.name, version))

    def _key(self, name: str, version: int, seen: Snapshot) -> str:
        """The same in all workers, and another once the version was unloaded or its files have changed."""
        unloads = self._taken_on.get(name, {}).get("unloads", 0)
        return f"model {name} {version} {unloads} {seen.config} {seen.versions.get(version)}"

    def _publish(self, entry: Entry) -> None:
        with self._lock:
            self._leave(entry.name, entry.models)
            self.entries = dict(sorted({**self.entries, entry.name: entry}.items()))

    def _drop(self, name: str) -> None:
        with self._lock:
            if name in self.entries:
                log.info("model %s is gone from the repository", name)
            self._leave(name, {})
            self.entries = {key: entry for key, entry in self.entries.items() if key != name}

    def _leave(self, name: str, staying: Mapping[int, Model]) -> None:
        for version, model in (self.entries.get(name) or Entry(name)).models.items():
            if staying.get(version) is not model:
                self._leaving.add(model)


def _wanted(last: State, *, unloaded: bool) -> State:
    """What is wanted of a model from now on: a change each time, also where it is wanted again."""
    return {
        "changes": last.get("changes", 0) + 1,
        "unloads": last.get("unloads", 0) + unloaded,
        "unloaded": unloaded,
    }


def load(
    root: Path,
    device: Device,
    *,
    threads: int,
    reserved: Iterable[str] = (),
    limits: Limits | None = None,
    workers: Workers | None = None,
    prove: Prove = unproven,
    precision: Precision = "float32",
    resident: Resident | None = None,
) -> Repository:
    """Load every version of every model in the folder, each warmed up with one run.

    Args:
        reserved: names that a model may not have.
        limits: what the service sets for all models.
        workers: the processes that serve the same folder.
        prove, precision, resident: as `Loader`.
    """
    loader = Loader(device, threads, limits or Limits(), prove, precision, resident)
    repository = Repository(root, loader, reserved, workers)
    try:
        names = folder.models(root)
    except OSError as error:
        log.error("the repository %s cannot be read, no models are served: %s", root, error.strerror)
        return repository
    for name in names:
        repository.refresh(name)
    return repository
