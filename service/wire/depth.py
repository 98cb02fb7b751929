"""How deeply JSON is nested, found without reading it: parsers that recurse have run out of stack on less.

Most documents have fewer brackets than may be open at a time, and counting them is all. In others they are added up,
but for those in strings; only if that says too deep, or there are backslashes, is it looked at token by token.
"""

import re
from collections.abc import Iterator

import numpy as np

from service.errors import BadRequest

PIECE = 2**18

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)

_OTHERS = bytes(set(range(256)) - set(b"[]{}"))

_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1


def check_depth(body: bytes | bytearray | memoryview, limit: int) -> bool:
    """Look, before any parser does.

    Args:
        limit: lists and objects that may be open at a time.

    Returns:
        Whether it has more brackets than that at all, those in strings too.

    Raises:
        BadRequest: more are open at a time.
    """
    text = body if isinstance(body, bytes | bytearray) else bytes(body)
    if not _has_more_brackets(text, limit):
        return False
    if _may_be_deeper(text, limit) and _is_deeper(text, limit):
        raise BadRequest(f"the JSON is nested more than {limit} levels deep")
    return True


def _has_more_brackets(text: bytes | bytearray, most: int) -> bool:
    """From one to the next, for they are few: that is faster than looking at each byte."""
    found = 0
    for sign in (b"[", b"{"):
        place = text.find(sign)
        while place >= 0:
            found += 1
            if found > most:
                return True
            place = text.find(sign, place + 1)
    return False


def _pieces(text: bytes | bytearray) -> Iterator[bytes | bytearray]:
    """Between them other threads have their turn."""
    return (text[at : at + PIECE] for at in range(0, len(text), PIECE))


def _may_be_deeper(text: bytes | bytearray, limit: int) -> bool:
    """False if it is not; without a backslash, what lies between every other pair of quotes is in no string."""
    level = in_string = 0
    for piece in _pieces(text):
        if b"\\" in piece:
            return True
        parts = piece.split(b'"')
        outside = b"".join(parts[in_string::2])
        in_string ^= (len(parts) - 1) % 2
        levels = level + np.cumsum(_STEPS[np.frombuffer(outside.translate(None, _OTHERS), np.uint8)], dtype=np.int32)
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
