"""How deeply JSON is nested, found without reading it: parsers that recurse have run out of stack on less.

Most documents have fewer brackets than may be open at a time, and counting them is all. In others they are added up,
those in strings too; only if that says too deep are strings left out, token by token.
"""

import re
from collections.abc import Iterator

import numpy as np

from service.errors import BadRequest

PIECE = 2**20

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)

_OTHERS = bytes(set(range(256)) - set(b"[]{}"))

_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1


def check_depth(body: bytes | bytearray | memoryview, limit: int) -> None:
    """Look, before any parser does.

    Args:
        limit: lists and objects that may be open at a time.

    Raises:
        BadRequest: there are more.
    """
    text = body if isinstance(body, bytes | bytearray) else bytes(body)
    if _opened(text) > limit and _may_be_deeper(text, limit) and _is_deeper(text, limit):
        raise BadRequest(f"the JSON is nested more than {limit} levels deep")


def _pieces(text: bytes | bytearray) -> Iterator[bytes | bytearray]:
    """Between them other threads have their turn."""
    return (text[at : at + PIECE] for at in range(0, len(text), PIECE))


def _opened(text: bytes | bytearray) -> int:
    return sum(piece.count(b"[") + piece.count(b"{") for piece in _pieces(text))


def _may_be_deeper(text: bytes | bytearray, limit: int) -> bool:
    """As if there were no strings."""
    level = 0
    for piece in _pieces(text):
        levels = level + np.cumsum(_STEPS[np.frombuffer(piece.translate(None, _OTHERS), np.uint8)], dtype=np.int32)
        if levels.max(initial=0) > limit:
            return True
        level = int(levels[-1]) if len(levels) else level
    return False


def _is_deeper(text: bytes | bytearray, limit: int) -> bool:
    level = 0
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        level += int(_STEPS[first])
        if level > limit:
            return True
    return False
