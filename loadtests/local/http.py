"""Requests as they are sent: made once, so that making them costs nothing while something is measured."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """A POST unless it is sent otherwise; `path` begins with a slash."""

    path: str
    headers: Mapping[str, str]
    body: bytes


def as_http(address: str, request: Request, method: str = "POST") -> bytes:
    """The bytes that go over the wire.

    Args:
        address: host:port.
    """
    headers = {"Host": address, **request.headers, "Content-Length": str(len(request.body))}
    lines = [f"{method} {request.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + request.body
