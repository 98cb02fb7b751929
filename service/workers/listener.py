"""An event loop whose servers share new connections evenly with the other workers'.

All workers wait at one listening socket, and the system wakes whom it likes: a burst of connections mostly falls to one
worker, and with connections that stay open it keeps them. So a worker that holds more of them than another leaves a new
one to the others for a moment. It takes it all the same if they do not: they may be busy, or gone.

When a listening socket is closed the system resets the connections that still wait at it, with the requests that they
have brought. So before the server ends, no client can begin a connection (`turn_away`), and those that have begun are
taken. Who is turned away has sent nothing: it tries again, and is refused once the socket is closed.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from service.workers import FOLDER
from service.workers.shares import Alone, Shares

log = logging.getLogger("actserve.workers")

PAUSE_S = 0.001
PATIENCE = 20
"""Pauses for which a connection is left to others: some of their longest runs in the event loop."""
AT_ONCE = 64
"""Connections taken in one round of the event loop."""
HANDSHAKE_S = 10.0
"""For TLS to begin."""
FULL_PAUSE_S = 0.1
"""Until the next try, when no more files can be open."""

SO_ATTACH_FILTER = 26
NO_SYN = (
    (0x30, 0, 0, 13),  # load the flags of the TCP header
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone? else skip the next
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # pass
)
"""A filter of Linux's sockets that drops what begins a connection: (code, jump if true, if false, constant) of each
step. Source: the kernel's Documentation/networking/filter.rst, socket(7)."""


class Listener:
    """Takes connections from a listening socket; what an event loop's server is, as far as uvicorn asks it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        factory: Callable[[], asyncio.BaseProtocol],
        sock: socket.socket,
        shares: Shares | Alone,
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

    def turn_away(self) -> None:
        """Let no client begin a connection, if all workers are about to end: the socket is theirs too."""
        if self._shares.all_end():
            with contextlib.suppress(OSError):  # only Linux has this
                _drop_syn(self._socket)

    async def wait_closed(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _watch(self) -> None:
        if self._open:
            self._loop.add_reader(self._socket, self._connections_wait)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._socket)
        self._loop.call_later(seconds, self._watch)

    def _connections_wait(self) -> None:
        """Take those that are this worker's to take: when the loop is busy its next round is late."""
        if self._left_to_others < PATIENCE and self._shares.excess() > 0:
            self._left_to_others += 1
            self._pause(PAUSE_S)
            return
        self._left_to_others = 0
        for _ in range(AT_ONCE):
            if not self._take() or self._shares.excess() > 0:
                return

    def _take(self) -> bool:
        """One connection, if there is one."""
        try:
            accepted, _ = self._socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):  # another worker was faster
            return False
        except OSError as error:
            log.error("no connection can be taken: %s", error.strerror)
            self._pause(FULL_PAUSE_S)
            return False
        connection = _Counted(accepted, self._shares)
        task = self._loop.create_task(self._serve(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

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

    def __init__(self, accepted: socket.socket, shares: Shares | Alone) -> None:
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


def _drop_syn(sock: socket.socket) -> None:
    steps = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in NO_SYN))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(NO_SYN), ctypes.addressof(steps)))


class SharingLoop(uvloop.Loop):
    """uvloop's event loop but for one thing: a server on a given socket is a `Listener`.

    Args:
        folder: what the workers share; None where there is one.
    """

    def __init__(self, folder: Path | None) -> None:
        super().__init__()
        self._folder = folder
        self._listeners: list[Listener] = []

    async def create_server(  # type: ignore[override]  # the arguments that are looked at, and the rest
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], *args: Any, **options: Any
    ) -> asyncio.AbstractServer | Listener:
        sock = options.get("sock")
        if sock is None:
            return await super().create_server(protocol_factory, *args, **options)
        sock.setblocking(False)
        sock.listen(options.get("backlog", 100))
        shares = Alone() if self._folder is None else Shares(self._folder)
        self._listeners.append(Listener(self, protocol_factory, sock, shares, options.get("ssl")))
        return self._listeners[-1]

    def turn_away(self) -> None:
        """Let no client begin a connection, before the server is closed."""
        for listener in self._listeners:
            listener.turn_away()


def new_loop() -> asyncio.AbstractEventLoop:
    """The event loop of a server's process; for uvicorn's setting `loop`."""
    folder = os.environ.get(FOLDER)
    return SharingLoop(Path(folder) if folder else None)
