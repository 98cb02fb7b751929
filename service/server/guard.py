"""uvicorn's HTTP protocol, guarded: a client that is slow, floods or is ambiguous is told so and cut.

uvicorn waits for ever for a head or a body, takes heads of any size, and for ever keeps what a client does not read.
Here a connection has one timer. It does not count a request's time but looks, now and then, whether the client has
been sending its present head or body, or taking its answer, for too long: a request costs no timer.

This builds on uvicorn's protocol for httptools and its attributes; `tests/server/test_guard.py` is what tells when a
release of uvicorn changes them.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.errors import BadRequest, HeadTooLarge, ServiceError, SlowClient, TooManyConnections
from service.routes.http import error_response
from service.routes.state import Services
from service.server.joined import Joined
from service.settings import Settings

IDLE, HEAD, BODY = range(3)
"""What a client is expected to go on sending."""


@dataclass(slots=True)
class Unsent:
    """What is to be sent and was not yet taken.

    Attributes:
        at_least_rate: when the last byte of it would be taken at the least rate that is allowed.
        since: when a byte of it was last seen to be taken.
        left: how many bytes there were then.
    """

    at_least_rate: float
    since: float
    left: int


class Guarded(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._services: Services = self.app_state["services"]
        self._settings: Settings = self._services.settings
        self._reading = IDLE
        self._since = 0.0
        """When the client began to send what is being read."""
        self._received = 0
        """Bytes of it."""
        self._unsent: Unsent | None = None
        """What the client has not taken; None while it takes what there is."""
        self._refusal: ServiceError | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(Joined(transport, self.loop))  # type: ignore[arg-type]  # all that is used of one
        if len(self.connections) > self._settings.max_connections:
            self._refuse(TooManyConnections(self._settings.max_connections))
            return
        self._expect(HEAD)
        self._look_again(self._shortest())

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._reading == IDLE:
            self._expect(HEAD)
        if self._reading == HEAD:
            self._received += len(data)
        super().data_received(data)
        if self._reading == BODY:  # with the head, if that came along: a little more time, and no call for each chunk
            self._received += len(data)
        elif (
            self._reading == HEAD and self._received > self._settings.max_head_bytes and not self.transport.is_closing()
        ):
            self._refuse(HeadTooLarge(f"the request's head has more than {self._settings.max_head_bytes} bytes"))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._reading != HEAD:
            self._expect(HEAD)

    def on_headers_complete(self) -> None:
        self._check_head()
        super().on_headers_complete()
        self._expect(BODY)

    def on_message_complete(self) -> None:
        self._reading = IDLE
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unsent = self._to_be_taken()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unsent = None

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for what its parser refuses, or one of the methods here."""
        self._refuse(self._refusal or BadRequest("this is no HTTP/1.1 request"))

    def _expect(self, reading: int) -> None:
        self._reading = reading
        self._since = self.loop.time()
        self._received = 0

    def _check_head(self) -> None:
        """Raise in the parser, which stops then and has `send_400_response` called."""
        settings = self._settings
        names = [name for name, _ in self.headers]
        if len(names) > settings.max_headers:
            self._stop(HeadTooLarge(f"the request has {len(names)} header fields, at most {settings.max_headers}"))
        # What was received may hold a body too, or an earlier request's end: only then are the fields added up.
        if self._received > settings.max_head_bytes and self._head_bytes() > settings.max_head_bytes:
            self._stop(HeadTooLarge(f"the request's head has more than {settings.max_head_bytes} bytes"))
        hosts = names.count(b"host")
        if hosts > 1 or (not hosts and self.parser.get_http_version() != "1.0"):
            self._stop(BadRequest(f"the request has {hosts} Host header fields, expected one"))

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _stop(self, error: ServiceError) -> None:
        self._refusal = error
        raise error

    def _look(self) -> None:
        """Cut the client off if it is too slow, and look again when it next may be."""
        now = self.loop.time()
        if self.transport.is_closing() and self._unsent is None:  # nobody else waits for the rest to be sent
            self._unsent = self._to_be_taken()
        if self._unsent is not None and now >= self._send_deadline(self._unsent, now):
            self._services.traffic.reject("slow_reader")
            self.transport.abort()
            return
        if self.flow.read_paused or self._is_ahead():  # it is we who take the time
            self._since = now
        if self._reading != IDLE and now >= self._deadline() and not self.transport.is_closing():
            what = "head" if self._reading == HEAD else "body"
            self._refuse(SlowClient(f"the request's {what} was not received in time"))
        deadlines = [now + self._shortest()]
        if self._reading != IDLE:
            deadlines.append(self._deadline())
        if self._unsent is not None:
            deadlines.append(self._send_deadline(self._unsent, now))
        self._look_again(max(0.05, min(deadlines) - now))

    def _is_ahead(self) -> bool:
        """Whether the client has begun its next request while one is being answered."""
        has_head = self._reading == HEAD and self.cycle is not None and not self.cycle.response_complete
        return has_head or bool(self.pipeline)

    def _deadline(self) -> float:
        if self._reading == HEAD:
            return self._since + self._settings.head_timeout_seconds
        granted = self._received / self._settings.min_bytes_per_second
        return self._since + self._settings.body_timeout_seconds + granted

    def _to_be_taken(self) -> Unsent:
        now, size = self.loop.time(), self.transport.get_write_buffer_size()
        return Unsent(now + size / self._settings.min_bytes_per_second, now, size)

    def _send_deadline(self, unsent: Unsent, now: float) -> float:
        """For the next byte, but not later than for the last one at the least rate."""
        left = self.transport.get_write_buffer_size()
        if left < unsent.left:
            unsent.left, unsent.since = left, now
        return min(unsent.since, unsent.at_least_rate) + self._settings.send_timeout_seconds

    def _shortest(self) -> float:
        """No time that begins from now on ends before."""
        settings = self._settings
        return min(settings.head_timeout_seconds, settings.body_timeout_seconds, settings.send_timeout_seconds)

    def _look_again(self, delay_s: float) -> None:
        self._timer = self.loop.call_later(delay_s, self._look)

    def _refuse(self, error: ServiceError) -> None:
        """Answer and close; if an earlier request is being answered, close after that without a word."""
        if error.reason is not None:
            self._services.traffic.reject(error.reason)
        if self._is_ahead():
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            response = error_response(error)
            head = [STATUS_LINE[response.status_code], b"connection: close\r\n"]
            fields = [*self.server_state.default_headers, *response.raw_headers]
            self.transport.write(
                b"".join([*head, *(b"%s: %s\r\n" % field for field in fields), b"\r\n", response.body])
            )
        self.transport.close()
