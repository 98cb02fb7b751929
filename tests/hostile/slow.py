"""H: clients that are slow, or silent."""

from dataclasses import dataclass

from tests.hostile.heads import CHUNKED, HOST, LINE, post_with

HALF_A_HEAD = LINE + HOST + b"X-Header: "
HALF_A_BODY = post_with(b"Content-Length: 1000")[0]
EXPECTING = post_with(b"Content-Length: 1000", b"Expect: 100-continue", body=b"")[0]


@dataclass(frozen=True, slots=True)
class Slow:
    """What a client sends, and goes on sending a byte at a time; it is told 408, or cut where `may_be_cut`."""

    id: str
    sent: bytes
    drips: bool = False
    statuses: tuple[int, ...] = (408,)
    may_be_cut: bool = False


CASES = [
    Slow("H17 endless chunk, then silence", post_with(CHUNKED, body=b"F" * 16 + b"\r\n")[0], statuses=(400, 408, 413)),
    Slow("H23 expects 100, then silence", EXPECTING),
    Slow("H25 nothing", b"", may_be_cut=True),
    Slow("H26 half a head, then silence", HALF_A_HEAD),
    Slow("H26 half a head, byte by byte", HALF_A_HEAD, drips=True),
    Slow("H26 a second request, byte by byte", LINE + HOST + b"\r\n" + HALF_A_HEAD, drips=True),
    Slow("H27 half a body, then silence", HALF_A_BODY),
    Slow("H27 half a body, byte by byte", HALF_A_BODY, drips=True),
]
