"""Counts HTTP requests by route and status, with their times: what the metrics tell of HTTP; pure ASGI."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.engine import callers
from service.errors import ClientLeft
from service.workers import histogram
from service.workers.blocks import added
from service.workers.workers import Workers

ELSEWHERE = "none"
"""The route of requests that no route matches; their paths are the client's, and without bound."""

LEFT = ClientLeft.status
"""The status of a request whose client left before it was answered, as nginx writes it."""

STATUSES = (*(status.value for status in HTTPStatus if status >= 200), LEFT)

ROUTE = "actserve.route"
"""Where in an ASGI scope the short way says which route it stands for."""

# Where each counter of a route is: nanoseconds, then a histogram of them, then one for each status.
_NS = 0
_BUCKETS = 1
_STATUSES = _BUCKETS + histogram.BUCKETS
_WIDTH = _STATUSES + len(STATUSES)


@dataclass(frozen=True, slots=True)
class Answered:
    """The requests to one route: how many had which status, and how long they took.

    Attributes:
        buckets: as `service.workers.histogram` has them.
    """

    route: str
    statuses: dict[int, int]
    ns: int
    buckets: list[int]


class Traffic:
    """Counters of all workers.

    Args:
        routes: the paths of all routes, as templates; the same, in the same order, in all workers.
    """

    def __init__(self, routes: Iterable[str], workers: Workers) -> None:
        self._places = {route: place * _WIDTH for place, route in enumerate(dict.fromkeys((ELSEWHERE, *routes)))}
        self._statuses = {status: _STATUSES + place for place, status in enumerate(STATUSES)}
        self._block = workers.block("traffic", len(self._places) * _WIDTH)
        self._own = self._block.own
        self.in_flight = 0

    def count(self, route: str, status: int, ns: int) -> None:
        """Count a request that has been answered; in the event loop's thread, as all requests are."""
        place = self._places.get(route, 0)
        own = self._own
        own[place] += ns
        own[place + self._statuses[status]] += 1
        histogram.add(own, place + _BUCKETS, ns)

    def answered(self) -> Iterator[Answered]:
        """Every route that was asked for."""
        blocks = self._block.all()
        for route, place in self._places.items():
            sums = added(blocks, place, place + _WIDTH)
            statuses = {status: sums[at] for status, at in self._statuses.items() if sums[at]}
            if statuses:
                yield Answered(route, statuses, sums[_NS], sums[_BUCKETS:_STATUSES])


class Counted:
    """The application, counted."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        services = scope["state"]["services"]
        traffic: Traffic = services.traffic
        status = LEFT
        started = time.perf_counter_ns()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        callers.watch(_left(receive), services.settings.deadline_seconds)
        traffic.in_flight += 1
        try:
            await self._app(scope, receive, watched)
        finally:
            traffic.in_flight -= 1
            traffic.count(_route(scope), status, time.perf_counter_ns() - started)


def _left(receive: Receive) -> callers.Left:
    """Whether the client has left.

    ASGI says so only to who waits for its next message, which would take a task for each request. Of uvicorn the object
    whose method `receive` is knows it; under another server nobody is seen to leave.
    """
    cycle = getattr(receive, "__self__", None)
    return lambda: bool(getattr(cycle, "disconnected", False))


def _route(scope: Scope) -> str:
    """The template of the route that answered; without one the path, which may be a template's that has no names."""
    if ROUTE in scope:
        return str(scope[ROUTE])
    return str(getattr(scope.get("route"), "path", scope["path"]))
