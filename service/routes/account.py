"""What is known of one request while it is answered: its id, its size, what it cost, what became of it.

Whoever knows a part of it adds that to the account of the task that answers (`current`); in the end it is a line of the
log. Nothing in it is the client's text as it was sent: the id has been checked, errors have been made printable, and
the route is a template.
"""

import random
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.types import Message, Receive, Scope, Send

from service.errors import ClientLeft, Reason

LEFT = ClientLeft.status
"""The status of a request whose client left before it was answered, as nginx writes it."""

ID_HEADER = b"x-request-id"
_SANE = re.compile(rb"[A-Za-z0-9._-]{1,64}")

SEVERAL = "(several)"
"""Stands for the model of a request that more than one was run for; no model can be called that."""

_AS_LINE = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z


class Account:
    """Of one request; it counts what goes through its `counted` and `send`, and adds the id to the answer.

    Attributes:
        announced: the request says how long its body is, which `bytes_in` then is.
        id: the client's where it sent one that is sane, else a new one.
        rows, queue_ns, compute_ns: of all runs that were made for it; None where none was.
        error: what kind it was, and its text.
        reason: why it was refused, if that is counted.
    """

    __slots__ = (
        "_receive", "_send", "announced", "bytes_in", "bytes_out", "compute_ns", "error", "id", "model", "queue_ns",
        "reason", "rows", "scope", "status", "trace_id", "version",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = length = b""
        for name, value in scope["headers"]:
            if name == ID_HEADER:
                given = b"\n" if given else value  # two are none
            elif name == b"content-length":
                length = value
        self.id = given if _SANE.fullmatch(given) else f"{random.getrandbits(128):032x}".encode()
        self.scope = scope
        self._receive, self._send = receive, send
        self.announced = bool(length)
        self.bytes_in = int(length) if length.isdigit() and len(length) < 19 else 0
        self.bytes_out = 0
        self.status = LEFT
        self.model: str | None = None
        self.version: str | None = None
        self.rows: int | None = None
        self.queue_ns: int | None = None
        self.compute_ns: int | None = None
        self.error: tuple[str, str] | None = None
        self.reason: Reason | None = None
        self.trace_id: str | None = None

    async def counted(self) -> Message:
        """Receive, and count: for a body whose length is not announced."""
        message = await self._receive()
        self.bytes_in += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        """Send on, with the id."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), (ID_HEADER, self.id)]}
        else:
            self.bytes_out += len(message.get("body", b""))
        await self._send(message)

    def name(self, model: str, version: str) -> None:
        """Say which model is asked for."""
        if self.model in (None, model):
            self.model, self.version = model, version
        else:
            self.model, self.version = SEVERAL, None

    def ran(self, rows: int, queue_ns: int, compute_ns: int) -> None:
        """Add what a run took."""
        self.rows = (self.rows or 0) + rows
        self.queue_ns = (self.queue_ns or 0) + queue_ns
        self.compute_ns = (self.compute_ns or 0) + compute_ns

    def failed(self, kind: str, text: str, reason: Reason | None = None) -> None:
        """Say what it is answered with in place of a result; the text is printable."""
        self.error = kind, text
        self.reason = reason

    def line(self, level: str, route: str, total_ns: int) -> bytes:
        """The request as a line of JSON, with its end."""
        client = self.scope.get("client")
        told: dict[str, object] = {
            "ts": datetime.now(UTC),
            "level": level,
            "event": "request",
            "id": self.id.decode(),
            "method": self.scope["method"],
            "route": route,
            "status": self.status,
            "model": self.model,
            "version": self.version,
            "rows": self.rows,
            "queue_ms": milliseconds(self.queue_ns),
            "compute_ms": milliseconds(self.compute_ns),
            "total_ms": milliseconds(total_ns),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "client": client[0] if client else None,
        }
        if self.error:
            told["error"] = dict(zip(("kind", "text"), self.error, strict=True))
        if self.trace_id:
            told["trace_id"] = self.trace_id
        return orjson.dumps(told, option=_AS_LINE)


def milliseconds(ns: int | None) -> float | None:
    """Rounded to microseconds."""
    return None if ns is None else round(ns / 1e6, 3)


async def _nothing(*_: object) -> Any:
    """Nothing is sent or received outside of a request."""


_NOBODYS = Account({"headers": ()}, _nothing, _nothing)
_current: ContextVar[Account] = ContextVar("account", default=_NOBODYS)


def keep(account: Account) -> None:
    """Make it the account of this task."""
    _current.set(account)


def current() -> Account:
    """The account of this task; outside of a request one that nobody reads."""
    return _current.get()
