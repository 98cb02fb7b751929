"""Counts HTTP requests by route and status, with their times, and writes each into the log; pure ASGI."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from service.engine import callers
from service.errors import REASONS, Reason
from service.logs import Level, Log
from service.routes import account
from service.routes.account import LEFT, Account
from service.workers import histogram
from service.workers.blocks import added
from service.workers.workers import Workers

ELSEWHERE = "none"
"""The route of requests that no route matches; their paths are the client's, and without bound."""

STATUSES = (*(status.value for status in HTTPStatus if status >= 200), LEFT)

ROUTE = "actserve.route"
"""Where in an ASGI scope the short way says which route it stands for."""

HEALTH = frozenset(("/v2/health/live", "/v2/health/ready"))
WATCHING = HEALTH | {"/metrics"}
"""Routes by which the service is watched: asked every few seconds, never refused for load, logged as debug only."""

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
        self._refusals = workers.block("refusals", len(REASONS) + 1)
        self.in_flight = 0

    def route(self, scope: Scope) -> str:
        """The template of the route that answered, or `ELSEWHERE`."""
        found = _route(scope)
        return found if found in self._places else ELSEWHERE

    def reject(self, reason: Reason) -> None:
        """Count a request that was refused or given up; in the event loop's thread."""
        self._refusals.own[REASONS.index(reason)] += 1

    def rejected(self) -> dict[Reason, int]:
        """How many were, by reason."""
        return dict(zip(REASONS, added(self._refusals.all(), 0, len(REASONS)), strict=True))

    def leave(self) -> None:
        """Count a client that left before its answer was whole."""
        self._refusals.own[-1] += 1

    def left(self) -> int:
        """How many did."""
        return sum(block[-1] for block in self._refusals.all())

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
        started = time.perf_counter_ns()
        kept = Account(scope, receive, send)
        account.keep(kept)
        callers.watch(_left(receive), services.settings.deadline_seconds)
        traffic.in_flight += 1
        try:
            await self._app(scope, receive if kept.announced else kept.counted, kept.send)
        finally:
            traffic.in_flight -= 1
            _close(kept, traffic, services.log, time.perf_counter_ns() - started)


def _close(kept: Account, traffic: Traffic, log: Log, ns: int) -> None:
    """Count a request that is over, and log it."""
    route = traffic.route(kept.scope)
    traffic.count(route, kept.status, ns)
    if kept.reason is not None:
        traffic.reject(kept.reason)
    if kept.status == LEFT or callers.current().left():
        traffic.leave()
    if log.requests is not None:
        level = _level(route, kept.status)
        if log.on[level]:
            log.requests.put(kept.line(level, route, ns))


def _level(route: str, status: int) -> Level:
    """Errors are faults of ours; that we could not take a request is a warning."""
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return "error"
    if route in WATCHING:
        return "debug"
    return "info" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "warning"


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
