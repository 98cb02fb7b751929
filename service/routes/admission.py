"""Who is let in, decided from a request's head before its body is read; pure ASGI, around the whole application.

A refused request costs one look at its head. In this order: the key, the key's quota, how much is being answered, and
whether it could be answered in time.
The health routes and the metrics are always answered: who watches a full service must not be told that it is gone.
"""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.engine import callers
from service.errors import (
    Forbidden,
    ServiceError,
    TooLongAWait,
    TooManyInFlight,
    TooMuchInFlight,
    Unauthorized,
)
from service.routes import account
from service.routes.flow import Flow
from service.routes.http import closing, error_response
from service.routes.keys import given
from service.routes.state import Services
from service.routes.traffic import HEALTH, WATCHING
from service.settings import Settings

PAGES = ("/web/", "/docs/")
PUBLIC = HEALTH | {"/", "/docs", "/openapi.json"}
"""With all below `PAGES`: what needs no key. The pages are the same for everybody, and tell nothing of the models."""

DISCARDED_BYTES = 2**20
"""Up to this length the body of a refused request is read and dropped, which costs less than a new connection."""


REMEMBERED = 256
"""Paths to which nothing is being sent."""

PUNCTUAL = 0.5
"""What is expected to take more than this share of its time is not let in: a longer line would serve nobody, it would
only be longer. Less than the batcher's share, which is asked only when most of the work is done."""


class Admission:
    """Lets requests in, and knows how many there are and how much they hold."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._most_requests = settings.max_requests_in_flight
        self._most_bytes = settings.max_bytes_in_flight
        self._max_body_bytes = settings.max_body_bytes
        self._longest_wait_ns = PUNCTUAL * settings.deadline_seconds * 1e9
        self._requests = self._bytes = 0
        self._flows: dict[str, Flow] = {}
        """Of the paths to which something is being sent now, and of some to which much was."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        services: Services = scope["state"]["services"]
        length = _announced(scope, self._max_body_bytes)
        try:
            if services.keys.api:
                _check_key(scope, services)
            if scope["path"] in WATCHING:
                length = 0
            else:
                self._check_room(length)
                self._check_flow(scope["path"])
        except ServiceError as error:
            await _refuse(error, length, scope, receive, send)
            return
        self._requests += 1
        self._bytes += length
        flow, caller = self._flow(scope["path"]), callers.current()
        flow.begun += 1
        caller.on_arrival = flow.arrived
        try:
            await self._app(scope, receive, _closing(send) if services.drain.on else send)
        finally:
            self._requests -= 1
            self._bytes -= length
            status = account.current().status
            flow.ended(arrived=caller.on_arrival is None, served=status < account.LEFT)
            if not flow.begun and not (flow.best_ns and len(self._flows) <= REMEMBERED):
                del self._flows[scope["path"]]

    def _flow(self, path: str) -> Flow:
        flow = self._flows.get(path)
        if flow is None:
            flow = self._flows[path] = Flow()
        return flow

    def _check_flow(self, path: str) -> None:
        flow = self._flows.get(path)
        if flow is not None and self._longest_wait_ns:
            wait_ns = flow.wait_ns()
            if wait_ns > self._longest_wait_ns:
                text = f"{flow.count} such requests wait, which take about {wait_ns / 1e9:.3g} s: longer than one may"
                raise TooLongAWait(text, wait_ns / 1e9)

    def _check_room(self, length: int) -> None:
        if self._requests >= self._most_requests:
            raise TooManyInFlight(f"{self._requests} requests are being answered, as many as may")
        if self._bytes + length > self._most_bytes and self._bytes:
            raise TooMuchInFlight(
                f"the requests that are being answered hold {self._bytes} bytes, {length} more are too many"
            )


def _check_key(scope: Scope, services: Services) -> None:
    path = scope["path"]
    if path in PUBLIC or path.startswith(PAGES):
        return
    key = given(scope)
    if key is None:
        raise Unauthorized("send an API key, as 'Authorization: Bearer …' or 'X-API-Key: …'")
    holder = services.keys.holder(key)
    if holder is None:
        raise Forbidden("the key sent is none of this service's")
    if holder >= 0:
        services.quota.take(holder, int(time.time()))


def _announced(scope: Scope, unknown: int) -> int:
    """How long the body is; one that does not say so may be as long as any."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value[:20]) if value.isdigit() else 0  # what is no number is refused later
        if name == b"transfer-encoding":
            return unknown
    return 0


async def _refuse(error: ServiceError, length: int, scope: Scope, receive: Receive, send: Send) -> None:
    waits = any(name == b"expect" for name, _ in scope["headers"])
    close = waits or length > DISCARDED_BYTES
    await error_response(error)(scope, receive, _closing(send) if close else send)


def _closing(send: Send) -> Send:
    """Have the connection closed after the answer."""

    async def last(message: Message) -> None:
        await send(closing(message))

    return last
