"""Every error that a client can be answered with; each class knows its HTTP status.

* ServiceError
  x BadRequest              400  what was sent is wrong; the text says what was expected
    + ModelFailed                … by the model itself, which ran and failed on it
  x Unauthorized            401  an admin route without a key
  x Forbidden               403  an admin route with another key, or while no key is set
  x NotFound                404  no such activation, model or version
  x NotAcceptable           406  none of the answers' content types is in `Accept`
  x SlowClient              408  a head or a body that was not received in time
  x Conflict                409  what was sent would replace what must stay: a version that is there
  x PayloadTooLarge         413  more bytes, elements or pixels than the settings allow
  x UnsupportedMediaType    415  a body of a content type that the route does not read
    + UnsupportedEncoding        … or of a content encoding that none reads
  x TooManyRequests         429  more requests than the key may send in a second
  x HeadTooLarge            431  more bytes or fields in the request's head than the settings allow
  x LoadFailed              500  the protocol's status for a load that was asked for and failed
  x Unsupported             501  a part of the protocol that is left out on purpose
  x ModelUnavailable        503  the model is in the repository but could not be loaded
    + DeviceFailed               … or the device that it runs on no longer works
    + Stopping                   … or the server is, and takes no more
  x QueueFull               503  as many rows wait for the model as may
    + TooLongAWait               … or more than can be run in time
  x TooManyInFlight         503  as many requests are being answered as may
  x TooMuchInFlight         503  as many bytes of bodies are being answered as may
  x TooManyConnections      503  as many connections are open as may
  x QueueTimeout            503  the request's own `timeout` passed before it was its turn
  x StorageFull             507  the repository has no room for what was sent
  x ClientLeft              499  the client closed the connection while its request waited; nobody reads this answer
  x DeadlineExceeded        504  it still waited for its run, or for a thread, when the server's deadline passed
  x RunStopped              504  its run took longer than runs may, and was told to stop

The text goes to the client as `{"error": text}`: facts and names from the request, never paths or internals.
Anything else that is raised is our fault: logged whole, answered with a fixed text and 500.
"""

import difflib
import math
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import ClassVar, Literal, get_args

MAX_TEXT_LENGTH = 500
"""Longest error text sent, in characters: at most 2 kB in UTF-8, so an answer never echoes a large body."""

MAX_RETRY_SECONDS = 30
"""Longest wait that a refused client is asked for."""


SOON: Mapping[str, str] = MappingProxyType({"Retry-After": "1"})
Reason = Literal[
    "queue_full",
    "predicted_wait",
    "too_many_connections",
    "too_many_requests_in_flight",
    "bytes_in_flight",
    "quota",
    "unauthorized",
    "forbidden",
    "draining",
    "too_large",
    "head_too_large",
    "slow_sender",
    "slow_reader",
    "deadline",
    "timeout",
]
"""Why a request was refused or given up, as the metrics count it; not that there was something wrong in it."""

REASONS: tuple[Reason, ...] = get_args(Reason)


class ServiceError(Exception):
    """Base class; not raised itself."""

    status: ClassVar[int] = HTTPStatus.INTERNAL_SERVER_ERROR
    headers: Mapping[str, str] = MappingProxyType({})
    """Headers that go with the status."""
    reason: ClassVar[Reason | None] = None
    """What a request that it answers counts as refused for."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = printable(text)


class BadRequest(ServiceError):
    status = HTTPStatus.BAD_REQUEST


class ModelFailed(BadRequest):
    pass


class Unauthorized(ServiceError):
    status = HTTPStatus.UNAUTHORIZED
    headers = MappingProxyType({"WWW-Authenticate": "Bearer"})
    reason = "unauthorized"


class Forbidden(ServiceError):
    status = HTTPStatus.FORBIDDEN
    reason = "forbidden"


class NotFound(ServiceError):
    status = HTTPStatus.NOT_FOUND


class NotAcceptable(ServiceError):
    status = HTTPStatus.NOT_ACCEPTABLE


class SlowClient(ServiceError):
    status = HTTPStatus.REQUEST_TIMEOUT
    reason = "slow_sender"


class Conflict(ServiceError):
    status = HTTPStatus.CONFLICT


class PayloadTooLarge(ServiceError):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    reason = "too_large"


class UnsupportedMediaType(ServiceError):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class UnsupportedEncoding(UnsupportedMediaType):
    headers = MappingProxyType({"Accept-Encoding": "gzip, deflate"})


class TooManyRequests(ServiceError):
    status = HTTPStatus.TOO_MANY_REQUESTS
    headers = SOON
    reason = "quota"


class HeadTooLarge(ServiceError):
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    reason = "head_too_large"


class LoadFailed(ServiceError):
    status = HTTPStatus.INTERNAL_SERVER_ERROR


class Unsupported(ServiceError):
    status = HTTPStatus.NOT_IMPLEMENTED


class QueueFull(ServiceError):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    reason: ClassVar[Reason | None] = "queue_full"

    def __init__(self, text: str, wait_s: float = 0.0) -> None:
        super().__init__(text)
        self.headers = {"Retry-After": str(max(1, min(math.ceil(wait_s), MAX_RETRY_SECONDS)))}


class TooLongAWait(QueueFull):
    reason = "predicted_wait"


class TooManyInFlight(ServiceError):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers = SOON
    reason = "too_many_requests_in_flight"


class TooMuchInFlight(ServiceError):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers = SOON
    reason = "bytes_in_flight"


class TooManyConnections(ServiceError):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers = SOON
    reason = "too_many_connections"

    def __init__(self, most: int) -> None:
        super().__init__(f"{most} connections are open, as many as may be")


class QueueTimeout(ServiceError):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    reason = "timeout"


class ClientLeft(ServiceError):
    status = 499

    def __init__(self) -> None:
        super().__init__("the client left while its request waited")


class StorageFull(ServiceError):
    status = HTTPStatus.INSUFFICIENT_STORAGE


class DeadlineExceeded(ServiceError):
    status = HTTPStatus.GATEWAY_TIMEOUT
    reason = "deadline"

    def __init__(self) -> None:
        super().__init__("the request was not begun before the server's deadline and has been dropped")


class RunStopped(ServiceError):
    status = HTTPStatus.GATEWAY_TIMEOUT


class ModelUnavailable(ServiceError):
    status = HTTPStatus.SERVICE_UNAVAILABLE


class Stopping(ModelUnavailable):
    headers = SOON
    reason = "draining"

    def __init__(self) -> None:
        super().__init__("the server is stopping")


class DeviceFailed(ModelUnavailable):
    pass


def printable(text: str, length: int = MAX_TEXT_LENGTH) -> str:
    """Escape what is not printable (line ends, lone surrogates, terminal codes) and cut to `length` characters."""
    if len(text) <= length and text.isprintable():
        return text
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: length + 1])
    return safe if len(safe) <= length else safe[: length - 1] + "…"


def quoted(value: object, length: int = 80) -> str:
    """Show a client's value in an error text, shortened."""
    return printable(repr(value), length)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the nearest known name, or nothing."""
    nearest = difflib.get_close_matches(name[:64].lower().replace("-", "_"), list(known), n=1)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""


def in_words(faults: Iterable[Mapping[str, object]]) -> str:
    """Pydantic's list of faults as one sentence."""
    return "; ".join(_fault(fault) for fault in list(faults)[:5])


def _fault(fault: Mapping[str, object]) -> str:
    location = fault["loc"]
    path = ".".join(str(part) for part in location) if isinstance(location, tuple) else str(location)
    if fault["type"] == "extra_forbidden":
        return f"unknown member {quoted(path)}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{quoted(path)}: {message[:1].lower()}{message[1:]}"
