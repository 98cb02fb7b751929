"""A server that is ended and started again, on the same port."""

import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from loadtests.local import service
from loadtests.local.http import Request
from loadtests.local.servers import Command, Server, free_port, running


@dataclass(frozen=True, slots=True)
class Ended:
    """How a server ended; None for one that did not in time."""

    code: int | None
    seconds: float

    def __str__(self) -> str:
        return f"exit code {self.code} after {self.seconds:.1f} s" if self.code is not None else "it did not end"


@dataclass(slots=True)
class Replica:
    """Use it as a context: it is started with it, waits until it is ready, and is ended with it.

    Args:
        settings: of the service, by their names in small letters.
        wrapped: what the command is run by, such as `["unshare", "--mount"]`.
        starts, start_s: how often it was started, and how long the last start took.
    """

    folder: Path
    settings: dict[str, object] = field(default_factory=dict)
    wrapped: list[str] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    starts: int = 0
    start_s: float = 0.0
    _server: Server | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def server(self) -> Server:
        assert self._server is not None, "not started"
        return self._server

    @property
    def pid(self) -> int:
        return self.server.process.pid

    def start(self) -> None:
        """Until it is ready.

        Raises:
            ServerFailed: it does not become so.
        """
        self._stack.close()
        self.starts += 1
        self.folder.mkdir(parents=True, exist_ok=True)
        plain = service.command(self.port, **self.settings)
        command = Command([*self.wrapped, *plain.argv], plain.environment)
        begin = time.monotonic()
        log = self.folder / f"{self.port}-{self.starts}.log"
        self._server = self._stack.enter_context(running(command, self.port, log))
        self.server.wait_until(service.READY, "GET")
        self.start_s = time.monotonic() - begin

    def terminate(self, patience_s: float) -> Ended:
        """Ask it to end, as a deployment does, and wait."""
        begin = time.monotonic()
        self.server.process.terminate()
        try:
            code: int | None = self.server.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            code = None
        return Ended(code, time.monotonic() - begin)

    def get(self, path: str) -> tuple[int, bytes]:
        status, _, body = self.server.ask(Request(path, {}, b""), "GET")
        return status, body

    def metric(self, name: str) -> float | None:
        """One without labels; None if it is not told."""
        _, body = self.get("/metrics")
        for line in body.decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        return None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def after(seconds: float, fact: Callable[[], bool], look_s: float = 0.02) -> float | None:
    """Seconds until it is so; None if it is not within that time. A server that does not answer is not so."""
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        try:
            if fact():
                return time.monotonic() - begin
        except OSError:
            pass
        time.sleep(look_s)
    return None
