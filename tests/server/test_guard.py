"""What a connection may do: uvicorn itself with the guard, before an application that does as the test says."""

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from service.server.guard import Guarded
from service.settings import Settings
from tests.serving import DEADLINE_S

Answer: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Client: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]

SHORT = {"head_timeout_seconds": 0.2, "body_timeout_seconds": 0.3, "send_timeout_seconds": 0.3}
GET = b"GET /it HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /it HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
CLOSE = b"GET /it HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


async def body_of(receive: Receive) -> bytes | None:
    """None if the client has left."""
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            return body
    return None


async def passing(seconds: float) -> None:
    """Time that is longer than a limit."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


async def respond(send: Send, body: bytes = b"fine") -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def at_once(scope: Scope, receive: Receive, send: Send) -> None:
    if await body_of(receive) is not None:
        await respond(send)


class Guarding:
    """A server at a port of its own, in this loop."""

    def __init__(self, answer: Answer, limits: dict[str, Any]) -> None:
        self._answer = answer
        self.rejected: list[str] = []
        self._settings = Settings(**(SHORT | limits))
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            self._application, http=Guarded, ws="none", interface="asgi3", lifespan="on", log_config=None
        )
        self._server = uvicorn.Server(config)

    async def _application(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
            return
        scope["state"]["services"] = SimpleNamespace(
            settings=self._settings, traffic=SimpleNamespace(reject=self.rejected.append)
        )
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})

    async def connect(self) -> Client:
        return await asyncio.open_connection(*self._socket.getsockname())

    @property
    def connections(self) -> int:
        return len(self._server.server_state.connections)

    async def run(self, work: Callable[["Guarding"], Awaitable[None]]) -> None:
        self._socket.listen()
        serving = asyncio.create_task(self._server._serve([self._socket]))
        try:
            await asyncio.wait_for(work(self), DEADLINE_S)
        finally:
            self._server.should_exit = self._server.force_exit = True
            await serving


def guarding(work: Callable[[Guarding], Awaitable[None]], answer: Answer = at_once, **limits: Any) -> None:
    async def run() -> None:
        await Guarding(answer, limits).run(work)

    asyncio.run(run())


async def all_of(client: Client) -> bytes:
    """What the server sends until it closes."""
    reader, writer = client
    try:
        return await reader.read()
    finally:
        writer.close()


def refusal(received: bytes) -> tuple[int, str]:
    """Status and text of the last answer, which says that the connection is closed."""
    head, _, body = re.split(rb"HTTP/1\.1 (?=\d)", received)[-1].partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    assert b"connection: close" in lines
    assert b"content-type: application/json" in lines
    return int(status.split()[0]), json.loads(body)["error"]


SLOW_HEAD = (408, "the request's head was not received in time")
REASONS = {400: [], 408: ["slow_sender"], 431: ["head_too_large"]}
SLOW_BODY = (408, "the request's body was not received in time")


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"", SLOW_HEAD),
        (b"\r\n", SLOW_HEAD),
        (b"GET /it HTTP/1.1\r\nHost:", SLOW_HEAD),
        (GET + b"G", SLOW_HEAD),
        (POST + b"abc", SLOW_BODY),
        (POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"), SLOW_BODY),
        (POST.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"FFFFFFFFFFFFFFFF\r\n", SLOW_BODY),
        (GET.replace(b"Host: a\r\n", b""), (400, "the request has 0 Host header fields, expected one")),
        (GET.replace(b"\r\n\r\n", b"\r\nHost: b\r\n\r\n"), (400, "the request has 2 Host header fields, expected one")),
        (b"\x16\x03\x01", (400, "this is no HTTP/1.1 request")),
        (POST.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"), (400, "this is no HTTP/1.1 request")),
        (b"GET /" + b"x" * 2000, (431, "the request's head has more than 1024 bytes")),
        (b"GET /" + b"x" * 2000 + GET[7:], (431, "the request's head has more than 1024 bytes")),
        (GET[:-2] + b"a: b\r\n" * 20 + b"\r\n", (431, "the request has 21 header fields, at most 20")),
    ],
    ids=range(14),
)
def test_who_is_slow_floods_or_is_unclear_is_told_so_and_cut(sent: bytes, expected: tuple[int, str]) -> None:
    async def work(server: Guarding) -> None:
        client = await server.connect()
        client[1].write(sent)
        assert refusal(await all_of(client)) == expected
        assert server.rejected == REASONS[expected[0]]

    guarding(work, max_head_bytes=1024, max_headers=20)


def test_an_old_client_needs_no_host() -> None:
    async def work(server: Guarding) -> None:
        client = await server.connect()
        client[1].write(b"GET /it HTTP/1.0\r\n\r\n")
        assert (await all_of(client)).endswith(b"fine")

    guarding(work)


def test_a_body_is_no_part_of_the_head() -> None:
    """Nor is what was received with it."""

    async def work(server: Guarding) -> None:
        client = await server.connect()
        big = POST.replace(b"Content-Length: 5", b"Content-Length: 5000") + b"x" * 5000
        client[1].write(big + big + CLOSE)
        assert (await all_of(client)).count(b"fine") == 3

    guarding(work, max_head_bytes=1024)


def test_who_keeps_sending_has_the_time_that_the_rate_grants() -> None:
    """A second for each 1,000 bytes, so the body may take a little more than a second."""

    async def work(server: Guarding) -> None:
        client = await server.connect()
        client[1].write(POST.replace(b"Content-Length: 5", b"Content-Length: 2000") + b"x" * 1000)
        started = asyncio.get_running_loop().time()
        assert refusal(await all_of(client)) == SLOW_BODY
        assert asyncio.get_running_loop().time() - started >= 1.2

    guarding(work, min_bytes_per_second=1000)


def test_the_time_of_the_answer_is_not_the_clients() -> None:
    """Neither for its request, nor for the next, of which it has sent a part meanwhile."""

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await body_of(receive)
        await passing(2)
        await respond(send)

    async def work(server: Guarding) -> None:
        reader, writer = await server.connect()
        writer.write(GET + b"GET /it HT")
        assert (await reader.readuntil(b"fine")).startswith(b"HTTP/1.1 200")
        writer.write(GET.removeprefix(b"GET /it HT") + POST + b"ab")
        assert (await reader.readuntil(b"fine")).count(b"HTTP/1.1 200") == 1
        writer.write(b"cde")
        assert (await reader.readuntil(b"fine")).count(b"HTTP/1.1 200") == 1
        writer.close()

    guarding(work, slow, head_timeout_seconds=1, body_timeout_seconds=1)


def test_what_is_no_request_ends_the_connection_after_those_before_it() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await body_of(receive)
        await passing(0.3)
        await respond(send)

    async def work(server: Guarding) -> None:
        client = await server.connect()
        client[1].write(GET + GET + b"nonsense\r\n\r\n")
        answer = await all_of(client)
        assert answer.count(b"HTTP/1.1 200") == answer.count(b"fine") == 2
        assert answer.count(b"HTTP/1.1") == 2

    guarding(work, slow)


def test_who_sends_a_body_that_is_none_while_it_is_answered_is_cut() -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"fi", "more_body": True})
        await body_of(receive)

    async def work(server: Guarding) -> None:
        client = await server.connect()
        client[1].write(POST.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked"))
        await client[0].readuntil(b"fi")
        client[1].write(b"ZZ\r\n")
        assert await all_of(client) == b""

    guarding(work, early)


@pytest.mark.parametrize("rate", [1, 2**30])
@pytest.mark.parametrize("request_", [GET, CLOSE])
def test_who_does_not_take_its_answer_is_cut(request_: bytes, rate: int) -> None:
    """Whatever time the rate would grant: it takes nothing at all."""

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, bytes(50 * 2**20))

    async def work(server: Guarding) -> None:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(server._socket.getsockname())
        client.sendall(request_)
        while server.connections == 0:  # noqa: ASYNC110  # nothing tells when it changes
            await asyncio.sleep(0)
        while server.connections:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert server.rejected == ["slow_reader"]
        client.close()

    guarding(work, large, min_bytes_per_second=rate)


async def in_pieces(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % 2**25)]})
    for _ in range(2):
        await send({"type": "http.response.body", "body": bytes(2**24), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def test_who_takes_its_answer_slowly_is_not_cut() -> None:
    """A little within each limit of time, of which the whole takes several."""

    async def work(server: Guarding) -> None:
        reader, writer = await server.connect()
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(8):
            await passing(0.15)
            await reader.readexactly(2**22)
        writer.close()

    guarding(work, in_pieces, send_timeout_seconds=0.5, min_bytes_per_second=2**23)


def test_who_takes_its_answer_more_slowly_than_allowed_is_cut() -> None:
    """A little within each limit of time, but at a rate below the least."""

    async def work(server: Guarding) -> None:
        reader, writer = await server.connect()
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            while await reader.read(2**18):
                await passing(0.05)
        writer.close()
        assert server.rejected == ["slow_reader"]

    guarding(work, in_pieces, send_timeout_seconds=0.5, min_bytes_per_second=2**27)


def test_more_connections_than_allowed_are_refused() -> None:
    async def work(server: Guarding) -> None:
        first = [await server.connect() for _ in range(2)]
        for _, writer in first:
            writer.write(POST)
        while server.connections < 2:  # noqa: ASYNC110  # nothing tells when it changes
            await asyncio.sleep(0)
        answer = await all_of(await server.connect())
        assert refusal(answer) == (503, "2 connections are open, as many as may be")
        assert b"retry-after: 1" in answer
        for reader, writer in first:
            writer.write(b"abcde")
            assert (await reader.readuntil(b"fine")).startswith(b"HTTP/1.1 200")
            writer.close()

    guarding(work, max_connections=2, body_timeout_seconds=60)


def test_what_is_left_of_a_last_answer_is_not_kept_for_ever() -> None:
    """Too little for the transport to complain of, and the connection is closing: nobody else would look."""

    class Transport:
        aborted = False

        def is_closing(self) -> bool:
            return True

        def get_write_buffer_size(self) -> int:
            return 10

        def abort(self) -> None:
            self.aborted = True

    async def work(server: Guarding) -> None:
        reader, writer = await server.connect()
        writer.write(GET)
        await reader.readuntil(b"fine")
        (connection,) = server._server.server_state.connections
        real, fake = connection.transport, Transport()
        connection.transport = fake  # type: ignore[assignment]
        while not fake.aborted:  # noqa: ASYNC110  # nothing tells when it changes
            await asyncio.sleep(0.01)
        assert server.rejected == ["slow_reader"]
        connection.transport = real
        writer.close()

    guarding(work)
