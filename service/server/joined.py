"""A connection's transport that sends an answer's head together with what follows it.

uvicorn writes the head and the body one after the other, and uvloop sends each with a system call of its own, so the
client is woken twice; and an answer of which only the head went out before the process was killed cannot be asked for
again by a proxy. So a head waits for the next write, at most until the event loop's next round.
"""

import asyncio
from typing import Any

HEAD = b"HTTP/1."
"""What an answer begins with."""

LARGE_BYTES = 2**16
"""A body as large is sent by itself: to copy it to behind its head takes as long as a system call."""


class Joined:
    """As much of `asyncio.Transport` as uvicorn uses; everything but writing is the transport's own."""

    __slots__ = ("_head", "_loop", "_transport", "get_extra_info", "is_closing")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""
        """Of an answer, if it waits."""
        self.get_extra_info = transport.get_extra_info
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes | memoryview) -> None:
        head = self._head
        if head:
            self._head = b""
            if len(data) < LARGE_BYTES:
                self._transport.write(head + data)
                return
            self._transport.write(head)
        elif data[:7] == HEAD:
            self._head = bytes(data)
            self._loop.call_soon(self._send_head)
            return
        self._transport.write(data)

    def close(self) -> None:
        self._send_head()
        self._transport.close()

    def get_write_buffer_size(self) -> int:
        return len(self._head) + self._transport.get_write_buffer_size()

    def _send_head(self) -> None:
        head, self._head = self._head, b""
        if head and not self.is_closing():  # the client may have left since
            self._transport.write(head)
