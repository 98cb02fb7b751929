"""Very many numbers in the JSON of a V2 request, taken out of it and read piece by piece.

While a parser runs no other thread does, so an event loop would stand still for as long as all of 64 MiB take. And a
parser of JSON makes a Python object of each number, or copies all of them at once.

Only what is sure is taken out: in JSON the bytes `"data"` without a backslash before them, then a colon, are the key of
a member. What follows is one flat list if all of its pieces are lists of numbers. Else the whole is read as it always
is, and says what is wrong with it.
"""

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

LEAST_BYTES = 2**20
"""A list that is shorter is read at once, in about ten milliseconds."""
PIECE_BYTES = 2**16
MAX_KEYS = 256
"""A request has 64 inputs at most; whoever writes `"data"` more often is not to have us look for it for ever."""

_KEY = b'"data"'
_OPENS = re.compile(rb'"data"\s{0,16}:\s{0,16}\[')
_MARK = secrets.token_hex(16)
"""Stands in the JSON for what was taken out. A client cannot know it, so it cannot be in what is sent."""

Body = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Numbers:
    """The inside of a list, without its brackets, and the body that it is in."""

    text: memoryview
    body: Body

    def pieces(self) -> Iterator[bytes]:
        """JSON lists that follow each other in it; each ends at a comma, or where there is none it is too long."""
        start = 0
        while start < len(self.text):
            piece = bytes(self.text[start : start + PIECE_BYTES])
            if start + len(piece) < len(self.text):
                piece = piece[: piece.rfind(b",") + 1]
                if not piece:
                    raise ValueError("a number of very many digits")
                start += len(piece)
                piece = piece[:-1]
            else:
                start = len(self.text)
            yield b"[" + piece + b"]"


def taken_out(body: Body) -> tuple[bytes, list[Numbers]]:
    """The JSON with a mark in the place of each very long `data`, and what was there, in that order."""
    view = memoryview(body)
    rest: list[bytes | memoryview] = []
    found: list[Numbers] = []
    end, close = 0, -1
    for start in _lists(view):
        if start > close:
            close = _find(view, b"]", start)
        if close < 0:
            break
        if start >= end and close - start >= LEAST_BYTES:
            rest += [view[end : start - 1], f'"{_MARK}{len(found)}"'.encode()]
            found.append(Numbers(view[start:close], body))
            end = close + 1
    return b"".join([*rest, view[end:]]), found


def number_of(data: object) -> int | None:
    """Which of them a `data` stands for; None for any other."""
    return int(data[len(_MARK) :]) if isinstance(data, str) and data.startswith(_MARK) else None


def _lists(view: memoryview) -> Iterator[int]:
    """Where the lists begin that are a member `data`, behind their bracket; more than `MAX_KEYS` are not looked at."""
    end = 0
    for _ in range(MAX_KEYS):
        at = _find(view, _KEY, end)
        if at < 0:
            return
        end = at + len(_KEY)
        opens = _OPENS.match(view, at)
        if opens and bytes(view[at - 1 : at]) != b"\\":
            yield opens.end()


def _find(view: memoryview, what: bytes, start: int) -> int:
    """Where it is, from `start` on; looked for in pieces too."""
    for begin in range(start, len(view), PIECE_BYTES):
        place = bytes(view[begin : begin + PIECE_BYTES + len(what) - 1]).find(what)
        if place >= 0:
            return begin + place
    return -1
