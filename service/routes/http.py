"""What every route needs of HTTP: content types, query strings, bodies, JSON answers. Nothing of models."""

import logging
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import TypeVar

import orjson
from fastapi import Request
from pydantic import BaseModel, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from service.engine.scheduler import Scheduler
from service.errors import BadRequest, NotAcceptable, ServiceError, UnsupportedMediaType, in_words, printable, quoted
from service.routes import account
from service.wire import arrays
from service.wire.negotiation import qualities

log = logging.getLogger("actserve")

JSON = "application/json"
NPY = "application/x-npy"
PNG = "image/png"
SVG = "image/svg+xml"
MULTIPART = "multipart/form-data"

Body = TypeVar("Body", bound=BaseModel)


def json_response(content: object, status: int = 200) -> Response:
    """Answer with JSON; NumPy arrays are written as nested numbers."""
    pieces = arrays.dumps_in_pieces(content)
    return Response(pieces[0], status, media_type=JSON) if len(pieces) == 1 else Pieces(pieces, [JSON_TYPE], status)


def error_response(error: ServiceError) -> Response:
    """The answer that an error of ours is."""
    account.current().failed(type(error).__name__, error.text, error.reason)
    response = json_response({"error": error.text}, error.status)
    response.headers.update(error.headers)
    return response


INTERNAL = "internal error"


def internal_error(scope: Scope, error: Exception) -> Response:
    """The answer to a fault of ours: the log has it all, the client nothing of our insides."""
    log.error("%s %s failed", scope["method"], printable(scope["path"]), exc_info=error)
    account.current().failed(type(error).__name__, INTERNAL)
    return json_response({"error": INTERNAL}, HTTPStatus.INTERNAL_SERVER_ERROR)


def other_error(error: Exception, text: str, status: int) -> Response:
    """The answer to an error of the framework's, whose text is the client's to read once it is printable."""
    shown = printable(text)
    account.current().failed(type(error).__name__, shown)
    return json_response({"error": shown}, status)


def closing(message: Message) -> Message:
    """A message of ASGI; if an answer begins with it, the connection is closed after that."""
    if message["type"] != "http.response.start":
        return message
    return {**message, "headers": [*message["headers"], (b"connection", b"close")]}


JSON_TYPE = (b"content-type", JSON.encode())
JOINED_BYTES = 2**16
PIECE_BYTES = 2**18
"""Of a multipart body, which are parsed in some milliseconds."""


class Pieces(Response):
    """An answer whose body is in pieces. Small ones are joined; large ones are sent as they are, without a copy."""

    def __init__(
        self, pieces: Sequence[bytes | memoryview], headers: Sequence[tuple[bytes, bytes]], status: int = 200
    ) -> None:
        length = sum(map(len, pieces))
        self._pieces = [b"".join(pieces)] if length <= JOINED_BYTES else list(pieces)
        # In place of Starlette's own, which looks at each header by itself.
        self.status_code, self.background = status, None
        self.raw_headers = [*headers, (b"content-length", str(length).encode())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for piece in self._pieces[:-1]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": self._pieces[-1]})


def media_type(request: Request) -> str:
    """The body's content type without its parameters, in lower case; empty if there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def unsupported(request: Request, accepted: Iterable[str]) -> UnsupportedMediaType:
    got = media_type(request)
    shown = f"content type {quoted(got)}" if got else "no content type"
    return UnsupportedMediaType(f"{shown}; this route reads {', '.join(accepted)}")


def negotiate(request: Request, offers: tuple[str, ...]) -> str:
    """Choose the answer's content type by `Accept`: the offer of highest quality, of equals the first.

    Raises:
        NotAcceptable: none of the offers is wanted.
    """
    header = ", ".join(request.headers.getlist("accept")).strip()
    if not header:
        return offers[0]
    wanted = qualities(header)
    best = max(offers, key=lambda offer: _quality(offer, wanted))  # max keeps the first of equals
    if _quality(best, wanted) <= 0:
        raise NotAcceptable(f"Accept is {quoted(header)}; this route can answer with {', '.join(offers)}")
    return best


def _quality(offer: str, wanted: list[tuple[str, float]]) -> float:
    """The quality of the most specific range that matches, as RFC 9110 §12.5.1 has it."""
    for pattern in (offer, offer.partition("/")[0] + "/*", "*/*"):
        matching = [quality for media, quality in wanted if media == pattern]
        if matching:
            return max(matching)
    return 0.0


def query(request: Request, known: Iterable[str] | None = None) -> dict[str, str]:
    """The query as a dictionary; a name given twice, or one that is not known, is refused rather than dropped.

    Args:
        known: the names that the route has; None lets all through.
    """
    found: dict[str, str] = {}
    names = None if known is None else set(known)
    for name, value in request.query_params.multi_items():
        if name in found:
            raise BadRequest(f"query parameter {quoted(name)} is given twice")
        if names is not None and name not in names:
            raise BadRequest(f"unknown query parameter {quoted(name)}; this route has {sorted(names) or 'none'}")
        found[name] = value
    return found


def literal(text: str) -> object:
    """A query's value as JSON where it is JSON (`0.1`, `[1, 2]`, `true`), else as the string that it is."""
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return value


def checked(model: type[Body], content: object, place: str) -> Body:
    """Validate decoded JSON or query options.

    Raises:
        BadRequest: the first fault, in words; never an echo of the input.
    """
    if not isinstance(content, Mapping):
        raise BadRequest(f"{place} must be a JSON object, got {arrays.describe(content)}")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise BadRequest(f"{place}: {in_words(error.errors())}") from error


async def read_files(request: Request, limit: int) -> list[bytes]:
    """Read the `file` parts of a multipart body.

    Args:
        limit: most parts.

    Raises:
        BadRequest: the body is truncated or malformed, or has no part named `file`, or one that is no file.
    """
    body = await request.body()
    boundary = parse_options_header(request.headers["content-type"])[1].get(b"boundary")
    if not boundary:
        raise BadRequest("the multipart body's content type has no boundary")
    if b"--" + boundary + b"--" not in body:  # the parser would silently drop the part that was cut
        raise BadRequest("the multipart body is truncated: its closing boundary is missing")
    pieces = _in_pieces(body, request.state.services.scheduler)
    try:
        form = await MultiPartParser(
            request.headers, pieces, max_files=limit, max_fields=limit, max_part_size=2**20
        ).parse()
    except MultiPartException as error:
        raise BadRequest(f"the multipart body cannot be read: {error.message}") from error
    try:
        return await _files(form)
    finally:
        await form.close()


async def _in_pieces(body: bytes, scheduler: Scheduler) -> AsyncGenerator[bytes, None]:
    """So that other requests get their turn while a long body is parsed, or many short ones are."""
    for start in range(0, len(body), PIECE_BYTES):
        await scheduler.turn()
        begun = time.perf_counter_ns()
        yield body[start : start + PIECE_BYTES]
        scheduler.spent(time.perf_counter_ns() - begun)


async def _files(form: FormData) -> list[bytes]:
    parts = form.getlist("file")
    others = sorted(set(form) - {"file"})
    if others or not parts:
        got = quoted(others) if others else "none"
        raise BadRequest(f"the multipart body must hold one or more files named 'file', got {got}")
    if any(isinstance(part, str) for part in parts):
        raise BadRequest("the multipart part 'file' must be a file, with a filename")
    return [await part.read() for part in parts if not isinstance(part, str)]
