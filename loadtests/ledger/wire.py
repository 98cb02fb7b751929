"""An answer, as it comes over the wire."""

import asyncio
from collections.abc import Iterator, Mapping

from loadtests.answers import Answer

LONGEST_HEAD = 2**16


class Broken(Exception):
    """No whole answer came; the text is the phase in which it ended."""


class Headers(Mapping[str, str]):
    """Found by their names in any case."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = {name.lower(): value for name, value in values.items()}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def parse(head: bytes) -> tuple[int, Headers]:
    """Status and headers, of all before the empty line.

    Raises:
        Broken: it is no HTTP.
    """
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise Broken("no HTTP")
    fields = (line.partition(":") for line in lines)
    return int(rest[:3]), Headers({name.strip(): value.strip() for name, _, value in fields})


async def receive(reader: asyncio.StreamReader) -> Answer:
    """Read one answer with a length; what says none has no body.

    Raises:
        Broken: the connection ended before the answer was whole.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        raise Broken("in the head" if error.partial else "before the answer") from error
    except OSError as error:
        raise Broken("before the answer") from error
    status, headers = parse(head[:-4])
    if "transfer-encoding" in headers:
        raise Broken("an answer in chunks, which is not read here")
    try:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    except (asyncio.IncompleteReadError, OSError) as error:
        raise Broken("in the body") from error
    return Answer(status, headers, body)


def closes(answer: Answer) -> bool:
    """Does the server end the connection after it?"""
    return answer.headers.get("connection", "").lower() == "close"
