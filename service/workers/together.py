"""Several processes: what is wanted lies in files, and a socket of each worker takes the news that it has changed.

The socket takes questions too: a line that begins with `?` asks for a report. Answers are JSON.

The order of things is what makes a worker that starts meanwhile miss nothing: it opens its socket first and reads what
is wanted after that; who changes something writes it first and looks for sockets after that. News for a worker that is
still starting waits at its socket.
"""

import contextlib
import json
import logging
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from service.workers.blocks import Block, SharedBlock, place
from service.workers.lock import exclusive
from service.workers.workers import State, Workers

log = logging.getLogger("actserve.workers")

MAX_NEWS_BYTES = 4096

REPORT_LIMIT_S = 1.0
"""How long a report is waited for."""


class Together(Workers):
    """One worker of several.

    Args:
        folder: shared by all workers of one server, and by nobody else.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        for name in ("counters", "wanted", "sockets"):
            (folder / name).mkdir(exist_ok=True)
        self._path = folder / "sockets" / str(os.getpid())
        self._path.unlink(missing_ok=True)  # an ended worker had the same process id
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(self._path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._listen, name="actserve-news", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """What waits at the socket is not answered any more, which its sender takes for the end that it is."""
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._socket.close()
        if self._thread.ident is not None:
            self._thread.join()

    def wanted(self, part: str) -> State:
        try:
            state: State = json.loads(self._file(part).read_text())
        except FileNotFoundError:
            return {}
        return state

    def locked(self, kind: str = "") -> AbstractContextManager[None]:
        return exclusive(self._folder / f"{kind}lock")

    def block(self, key: str, length: int) -> Block:
        return SharedBlock(place(self._folder / "counters", key), length)

    def _file(self, part: str) -> Path:
        return self._folder / "wanted" / f"{part.replace('/', '+')}.json"

    def _put(self, part: str, state: State) -> None:
        path = self._file(part)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(state))
        partial.rename(path)

    def _asked(self, name: str) -> Sequence[State | None]:
        return self._ask(f"?{name}", REPORT_LIMIT_S)

    def _tell(self, part: str) -> list[str]:
        return [fault for answer in self._ask(part, None) if answer for fault in answer]

    def _ask(self, line: str, limit_s: float | None) -> list[Any]:
        """Each worker's answer, None for none: to all first, then wait for each, for they work at the same time."""
        with ExitStack() as connections:
            asked = [connections.enter_context(each) for each in self._connections()]
            for connection in asked:
                connection.settimeout(limit_s)
                with contextlib.suppress(OSError):
                    connection.sendall(line.encode() + b"\n")
            return [_answer(connection) for connection in asked]

    def _connections(self) -> Iterator[socket.socket]:
        for path in sorted((self._folder / "sockets").iterdir()):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(str(path))
            except OSError:  # it was killed, or has just ended
                connection.close()
            else:
                yield connection

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # closed
                return
            # A thread each: loading one model must not hold up another.
            threading.Thread(target=self._serve, args=(connection,), name="actserve-news", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # who asked may be gone
            line = connection.makefile("rb").readline(MAX_NEWS_BYTES).decode().strip()
            connection.sendall(json.dumps(self._answered(line)).encode())

    def _answered(self, line: str) -> State | list[str]:
        """A fault of ours must not leave the asker waiting."""
        try:
            return self._reporters[line[1:]]() if line.startswith("?") else self.take_on(line)
        except Exception as error:
            log.exception("%s failed", line)
            return {} if line.startswith("?") else [f"a worker failed: {type(error).__name__}"]


def _answer(connection: socket.socket) -> Any:
    """What a worker answers; None if it ended before it could, for its successor reads what is wanted."""
    try:
        text = connection.makefile("rb").read()
    except OSError:
        return None
    return json.loads(text) if text else None
