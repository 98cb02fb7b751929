"""Models by name and version, loaded, loaded again and let go while requests run.

A folder is read by `service.engine.folder`, a version made by `service.engine.loading`. Here is what is served: an
`Entry` for each name. Entries and the table of them are never changed but replaced, so a reader needs no lock; a
request holds its `Model`, and finishes on it whatever happens to the entry. A version that cannot be loaded never
takes the place of one that was: that one is served on, with the reason beside it.
"""

import logging
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from service.engine import folder
from service.engine.entry import Entry, IndexEntry, Load, renewed
from service.engine.folder import VERSION
from service.engine.loading import Loader
from service.engine.model import Model
from service.engine.overrides import Overrides
from service.engine.session import Device
from service.errors import ModelUnavailable, NotFound, did_you_mean, printable, quoted

log = logging.getLogger("actserve.repository")

UNLOADED = "unloaded"


class Repository:
    """Models by name and version; every method may be called from several threads at once.

    Args:
        root: the folder.
        make: loads a version.
        reserved: names that a model may not have.
    """

    def __init__(self, root: Path, make: Load, reserved: Iterable[str] = ()) -> None:
        self.root = root
        self.entries: Mapping[str, Entry] = {}
        self._make = make
        self._reserved = frozenset(reserved)
        self._unloaded: set[str] = set()
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
        with self._claim(name, "load"):
            self._unloaded.discard(name)
            faults = self._renew(name, again=True)
        if faults:
            raise ModelUnavailable(f"failed to load {name!r}, {'; '.join(faults)}")

    def unload(self, name: str) -> None:
        """Let go of every version of a model, until it is loaded by name; requests that run finish.

        Raises:
            NotFound: there is no such model.
        """
        with self._claim(name, "unload"):
            self._unloaded.add(name)
            old = self.entries.get(name) or Entry(name)
            if old.models:
                log.info("model %s is unloaded", name)
            self._publish(
                Entry(name, {}, dict.fromkeys(sorted({*old.models, *old.reasons}), UNLOADED), UNLOADED, old.seen)
            )

    def refresh(self, name: str) -> None:
        """Serve what the folder holds now, unless the model was unloaded; its faults are logged, not raised."""
        with self._lock_of(name):
            if not folder.has(self.root, name):
                self._drop(name)
            elif name in self._unloaded:
                seen = folder.snapshot(self.root / name)
                self._publish(Entry(name, {}, dict.fromkeys(seen.versions, UNLOADED), UNLOADED, seen))
            else:
                self._renew(name, again=False)

    @contextmanager
    def _claim(self, name: str, action: str) -> Iterator[None]:
        """Hold a model for a change that was asked for by name."""
        if name not in self.entries and not folder.has(self.root, name):
            nearest = did_you_mean(name, self.entries)
            raise NotFound(f"failed to {action} {quoted(name)}, there is no such model in the repository.{nearest}")
        with self._lock_of(name):
            yield

    def _lock_of(self, name: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(name, threading.Lock())

    def _renew(self, name: str, *, again: bool) -> list[str]:
        if name in self._reserved:
            entry = Entry(name, reason="the name is an activation's", seen=folder.snapshot(self.root / name))
        else:
            entry = renewed(self.entries.get(name) or Entry(name), self.root / name, self._load, again=again)
        self._publish(entry)
        return entry.faults()

    def _load(self, path: Path, version: int, overrides: Overrides) -> Model:
        """Make a version; meanwhile the index shows that."""
        with self._lock:
            self._loading.add((path.name, version))
        try:
            return self._make(path, version, overrides)
        finally:
            with self._lock:
                self._loading.discard((path.name, version))

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


def load(
    root: Path, device: Device, *, threads: int, reserved: Iterable[str] = (), max_batch_size: int = 1024
) -> Repository:
    """Load every version of every model in the folder, each warmed up with one run.

    Args:
        reserved: names that a model may not have.
        max_batch_size: rows of one run where `model.toml` sets no other number.
    """
    repository = Repository(root, Loader(device, threads, max_batch_size), reserved)
    try:
        names = folder.models(root)
    except OSError as error:
        log.error("the repository %s cannot be read, no models are served: %s", root, error.strerror)
        return repository
    for name in names:
        repository.refresh(name)
    return repository
