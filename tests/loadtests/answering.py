"""A server that says exactly what it is told to, request by request."""

import contextlib
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

Say = Callable[[socket.socket], bool]
"""Answers a request over its connection; whether the connection stays open."""
RESET = struct.pack("ii", 1, 0)


def ok(body: bytes = b"fine", status: str = "200 OK", headers: str = "", stay: bool = True) -> Say:
    """A whole answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode()
    return saying(head + body, stay)


def saying(content: bytes, stay: bool = False) -> Say:
    def say(connection: socket.socket) -> bool:
        connection.sendall(content)
        return stay

    return say


def reset(connection: socket.socket) -> bool:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    return False


def reset_after(say: Say) -> Say:
    """The answer is read, and then the connection is reset."""

    def both(connection: socket.socket) -> bool:
        say(connection)
        with contextlib.suppress(TimeoutError):
            connection.settimeout(0.01)  # the client must have the answer before
            connection.recv(1, socket.MSG_PEEK)
        return reset(connection)

    return both


@contextmanager
def answering(say: Sequence[Say], early: bool = False) -> Iterator[int]:
    """Answers with these in turn, over any connection, and with the last one for ever; gives the port.

    Args:
        early: as soon as a request's head has come, and its body is not read.
    """
    waiting = list(say)

    class Handler(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self) -> None:
            try:
                while self._request():
                    if not (waiting.pop(0) if len(waiting) > 1 else waiting[0])(self.connection):
                        return
            except ConnectionError:
                return

        def _request(self) -> bool:
            length = 0
            while line := self.rfile.readline():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
                if line == b"\r\n":
                    return early or len(self.rfile.read(length)) == length
            return False

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
