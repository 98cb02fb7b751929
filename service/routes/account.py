"""What is known of one request while it is answered: its id, its size, what it cost, what became of it.

Whoever knows a part of it adds that to the account of the task that answers (`current`); in the end it is a line of the
log. Nothing in it is the client's text as it was sent: the id has been checked, errors have been made printable, and
the route is a template.
"""

import random
import re
import time
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
        """The request as a line of JSON, with its end.

        It is put together by hand, in a third of the time that a general writer of JSON takes between two requests: all
        texts but the error's are of letters that JSON writes as they are (the method is a token of HTTP, the client an
        address).
        """
        client = self.scope.get("client")
        return (
            f'{{"ts":"{stamp()}","level":"{level}","event":"request","id":"{self.id.decode()}",'
            f'"method":"{self.scope["method"]}","route":"{route}","status":{self.status},'
            f'{self._model()}"total_ms":{total_ns / 1e6:.3f},"bytes_in":{self.bytes_in},"bytes_out":{self.bytes_out},'
            f'"client":{_text(client[0] if client else None)}{self._rest()}}}\n'
        ).encode()

    def _model(self) -> str:
        named = f'"model":{_text(self.model)},"version":{_text(self.version)},'
        if self.rows is None or self.queue_ns is None or self.compute_ns is None:
            return named + '"rows":null,"queue_ms":null,"compute_ms":null,'
        ran = f'"rows":{self.rows},"queue_ms":{self.queue_ns / 1e6:.3f},"compute_ms":{self.compute_ns / 1e6:.3f},'
        return named + ran

    def _rest(self) -> str:
        """What few requests have."""
        rest = f',"trace_id":"{self.trace_id}"' if self.trace_id else ""
        if self.error is not None:
            kind, text = self.error
            rest += f',"error":{orjson.dumps({"kind": kind, "text": text}).decode()}'
        return rest


def _text(text: str | None) -> str:
    return "null" if text is None else f'"{text}"'


class _Clock:
    """The time as text; its seconds are written once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def __call__(self) -> str:
        """Now, in UTC and to the millisecond, as ISO 8601 has it."""
        now = time.time_ns() // 1_000_000
        second = now // 1000
        if second != self._second:
            self._second = second
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._text}.{now % 1000:03d}Z"


stamp = _Clock()


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
