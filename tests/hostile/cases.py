"""What is sent, and what must come of it: a case of the catalogue of hostile input.

To add a case, put a `Case` into the table of its section (heads, documents, tensors, binary, pictures, forms, queries,
names): its id begins with its number in the catalogue (`catalogue.py`, where a new number gets its line). The test of
the table sends it to a running server, and checks what holds for every case: see `answering.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.routes.sending import JSON

KEY = "correct horse battery"
ADMIN = f"Authorization: Bearer {KEY}"
"""A header that the server of the tests takes for the admin's."""

HOST = b"Host: localhost\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; the headers' names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Case:
    """Bytes for a connection of their own, and the answer.

    Attributes:
        sent: one after the other; several only so that large bodies are shared.
        statuses: those that the last answer may have.
        text: what the error must say, among other things.
        before: answers of 200 that come first; None for any number of them.
        closes: the server must end the connection.
        may_be_cut: the server may end the connection while we are still sending, and then its answer can be lost.
        cpu_seconds: of the server, at most.
        holds: a further claim about the last answer.
    """

    id: str
    sent: tuple[bytes, ...]
    statuses: tuple[int, ...]
    text: str = ""
    before: int | None = 0
    closes: bool = False
    may_be_cut: bool = False
    cpu_seconds: float = 1.0
    holds: Callable[[Answer], bool] | None = None

    @property
    def number(self) -> str:
        """In the catalogue."""
        return self.id.partition(" ")[0]


def head(method: str, path: str | bytes, *headers: str | bytes) -> bytes:
    """A request's head, of a connection that ends with its answer; non-ASCII text goes as UTF-8."""
    lines = [_bytes(method) + b" " + _bytes(path) + b" HTTP/1.1", HOST.strip(), b"Connection: close"]
    return b"\r\n".join([*lines, *map(_bytes, headers), b"", b""])


def get(path: str | bytes, *headers: str | bytes) -> tuple[bytes, ...]:
    return (head("GET", path, *headers),)


def post(path: str | bytes, body: bytes = b"", kind: str | bytes | None = JSON, *headers: str | bytes) -> Any:
    """A request with a body and its length; no content type if that is None."""
    type_ = [] if kind is None else [b"Content-Type: " + _bytes(kind)]
    return head("POST", path, *type_, f"Content-Length: {len(body)}", *headers), body


def segment(name: str) -> str:
    """A name as one segment of a path: no slash is left, and no dot that would make it a step."""
    return quote(name, safe="").replace(".", "%2e")


def short(value: object, length: int = 30) -> str:
    """For ids: ASCII, without blanks; of what is longer the beginning, and how long it is."""
    shown = ascii(value)
    return (shown if len(shown) <= length else f"{shown[:length]}…{len(shown)}").replace(" ", "·")


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
