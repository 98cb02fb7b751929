"""An event loop whose servers share new connections evenly with the other workers'.

All workers wait at one listening socket, and the system wakes whom it likes: a burst of connections mostly falls to one
worker, and with connections that stay open it keeps them. So a worker that holds more of them than another leaves a new
one to the others for a moment. It takes it all the same if they do not: they may be busy, or gone.
"""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from service.workers import FOLDER
from service.workers.shares import Shares

log = logging.getLogger("actserve.workers")

PAUSE_S = 0.001
PATIENCE = 20
"""Pauses for which a connection is left to others: some of their longest runs in the event loop."""
HANDSHAKE_S = 10.0
"""For TLS to begin."""
FULL_PAUSE_S = 0.1
"""Until the next try, when no more files can be open."""


class Listener:
    """Takes connections from a listening socket; what an event loop's server is, as far as uvicorn asks it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        factory: Callable[[], asyncio.BaseProtocol],
        sock: socket.socket,
        shares: Shares,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._loop = loop
        self._factory = factory
        self._socket = sock
        self._shares = shares
        self._tls = tls
        self._left_to_others = 0
        self._open = True
        self._tasks: set[asyncio.Task[Any]] = set()
        self._watch()

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._socket)
            self._shares.leave()

    async def wait_closed(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _watch(self) -> None:
        if self._open:
            self._loop.add_reader(self._socket, self._connection_waits)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._socket)
        self._loop.call_later(seconds, self._watch)

    def _connection_waits(self) -> None:
        if self._left_to_others < PATIENCE and self._shares.excess() > 0:
            self._left_to_others += 1
            self._pause(PAUSE_S)
            return
        self._left_to_others = 0
        try:
            accepted, _ = self._socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):  # another worker was faster
            return
        except OSError as error:
            log.error("no connection can be taken: %s", error.strerror)
            self._pause(FULL_PAUSE_S)
            return
        connection = _Counted(accepted, self._shares)
        task = self._loop.create_task(self._serve(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        try:
            limit = HANDSHAKE_S if self._tls else None
            await self._loop.connect_accepted_socket(
                self._factory, connection, ssl=self._tls, ssl_handshake_timeout=limit
            )
        except OSError:  # the client has gone, or does not speak TLS
            connection.close()


class _Counted(socket.socket):
    """A connection that is counted until it is closed; uvloop detaches it then, and closes the descriptor itself."""

    def __init__(self, accepted: socket.socket, shares: Shares) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self.setblocking(False)
        self._shares = shares
        self._count = 1
        shares.add(self._count)

    def close(self) -> None:
        self._end()
        super().close()

    def detach(self) -> int:
        self._end()
        return super().detach()

    def _end(self) -> None:
        self._shares.add(-self._count)
        self._count = 0


class SharingLoop(uvloop.Loop):
    """uvloop's event loop but for one thing: a server on a given socket is a `Listener`."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    async def create_server(  # type: ignore[override]  # the arguments that are looked at, and the rest
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], *args: Any, **options: Any
    ) -> asyncio.AbstractServer | Listener:
        sock = options.get("sock")
        if sock is None:
            return await super().create_server(protocol_factory, *args, **options)
        sock.setblocking(False)
        sock.listen(options.get("backlog", 100))
        return Listener(self, protocol_factory, sock, Shares(self._folder), options.get("ssl"))


def new_loop() -> asyncio.AbstractEventLoop:
    """The event loop of a worker process; for uvicorn's setting `loop`."""
    return SharingLoop(Path(os.environ[FOLDER]))
