"""Hot reload: a thread that looks at the repository and has it serve what has changed there.

Looking is a few `stat` calls for each version, without opening a file. A change is taken once two looks in a row have
found the same, so a file that is still being written is left alone. Better is to write a version elsewhere on the same
file system and rename its folder in: it then appears whole. All workers look at the same moments, by the clock,
so that they take a change together.
"""

import logging
import threading
import time
from collections.abc import Mapping

from service.engine import folder
from service.engine.folder import Snapshot
from service.engine.repository import Repository

log = logging.getLogger("actserve.watcher")

CLOSE_LIMIT_S = 10.0
"""How long closing waits for a model that is being loaded; the thread does not keep the process alive."""


class Watcher:
    """Looks at a repository every so often.

    Args:
        interval_s: between two looks; 0 never looks by itself.
    """

    def __init__(self, repository: Repository, interval_s: float) -> None:
        self._repository = repository
        self._interval_s = interval_s
        self._last: Mapping[str, Snapshot] = {}
        self._trouble: str | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="actserve-watcher", daemon=True)

    def start(self) -> None:
        if self._interval_s > 0:
            self._thread.start()

    def close(self) -> None:
        """End the thread; a model that is being loaded is waited for, but not for ever."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_LIMIT_S)

    def _watch(self) -> None:
        while not self._closed.wait(self._interval_s - time.time() % self._interval_s):
            try:
                self.poll()
            except Exception:  # hot reload must outlive whatever one look meets
                log.exception("looking at the repository failed")

    def poll(self) -> None:
        """Look once; what is as it was at the look before, and not as it was when last loaded, is taken."""
        try:
            now = {name: folder.snapshot(self._repository.root / name) for name in folder.models(self._repository.root)}
        except OSError as error:
            self._complain(error)  # it may come back: what is served is served on
            return
        self._trouble = None
        before, self._last = self._last, now
        served = self._repository.entries
        for name in sorted({*now, *served}):
            seen = served[name].seen if name in served else None
            if now.get(name) != seen and now.get(name) == before.get(name):
                self._repository.refresh(name)

    def _complain(self, error: OSError) -> None:
        """Once, however often it is met."""
        if self._trouble != str(error):
            self._trouble = str(error)
            log.error("the repository cannot be read: %s", error)
