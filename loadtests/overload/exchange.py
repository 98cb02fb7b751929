"""One connection of the open loop, with sockets that never block; it carries one request at a time."""

import errno
import select
import socket
import time

from loadtests.ledger.wire import Broken, parse

READ_BYTES = 1 << 18
BUSY = (errno.EINPROGRESS, errno.EAGAIN)


class Exchange:
    """Connects when it is made.

    Attributes:
        due, began: when the request should have been sent, and when the first byte was given to the system.
        status, retry: of the answer, once its head is there, and whether it says when to come back; 0 before.
        answered: when the head was there.
        dead: the connection has ended; a request under way is lost.
    """

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.dead = False
        self._closing = False
        self._forget()
        error = self.socket.connect_ex(("127.0.0.1", port))
        if error not in (0, *BUSY):
            self.close()

    def send(self, message: bytes, due: float) -> None:
        """Begin; what does not fit the socket's buffer follows when there is room."""
        self._forget()
        self._left, self.due = memoryview(message), due
        self.go_on()

    def go_on(self) -> None:
        """Write and read what can be; after it `done` or `dead` may be so."""
        try:
            if len(self._left):
                self._write()
            self._read()
        except BlockingIOError:
            pass
        except (OSError, Broken):
            self.close()

    @property
    def events(self) -> int:
        """What it waits for: an answer always, since a refusal can come before all is written."""
        return select.EPOLLIN | (select.EPOLLOUT if len(self._left) else 0)

    @property
    def done(self) -> bool:
        """The answer is whole; the request may not be, if it was refused before its end."""
        return self.status > 0 and self._missing <= 0

    @property
    def reusable(self) -> bool:
        return self.done and not self.dead and not self._closing and not len(self._left)

    def ended(self) -> bool:
        """Has the server closed it while nothing was asked? It is closed here too then."""
        try:
            self.socket.recv(1)
        except BlockingIOError:
            return False
        except OSError:
            pass
        self.close()
        return True

    def close(self) -> None:
        self.dead = True
        self.socket.close()

    def _forget(self) -> None:
        self._left, self._head, self._missing = memoryview(b""), b"", 0
        self.status, self.retry, self.due, self.began, self.answered = 0, False, 0.0, 0.0, 0.0

    def _write(self) -> None:
        """A refusal may come before all is written: then it is read, and the rest is not sent."""
        try:
            while len(self._left):
                sent = self.socket.send(self._left)
                self.began = self.began or time.perf_counter()
                self._left = self._left[sent:]
        except BlockingIOError:
            pass
        except OSError:
            self._left, self._closing = memoryview(b""), True  # its answer may still be there to be read

    def _read(self) -> None:
        while not self.done:
            part = self.socket.recv(READ_BYTES)
            if not part:
                raise Broken("ended")
            if self.status:
                self._missing -= len(part)
            else:
                self._head += part
                self._begin_answer()

    def _begin_answer(self) -> None:
        head, end, body = self._head.partition(b"\r\n\r\n")
        if end:
            self.answered = time.perf_counter()
            status, headers = parse(head)
            self._missing = int(headers.get("content-length", 0)) - len(body)
            self._closing = self._closing or headers.get("connection", "").lower() == "close"
            self.status, self.retry = status, "retry-after" in headers
