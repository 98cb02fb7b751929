"""A worker leaves a new connection to one that holds fewer, and takes it all the same if nobody does."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.workers import FOLDER
from service.workers.listener import AT_ONCE, PATIENCE, Listener, SharingLoop, new_loop
from service.workers.shares import SLOTS, Shares, announce_end

ENDED = 2**30
"""No process has this id: Linux's are below 2²²."""


def shares(folder: Path, monkeypatch: pytest.MonkeyPatch, pid: int) -> Shares:
    """Another worker's; our parent's process id serves for one that lives."""
    with monkeypatch.context() as patched:
        patched.setattr(os, "getpid", lambda: pid)
        return Shares(folder)


def test_the_excess_is_over_the_worker_with_the_fewest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = Shares(tmp_path), shares(tmp_path, monkeypatch, os.getppid())
    own.add(3)
    assert (own.excess(), other.excess()) == (3, 0)
    other.add(2)
    assert (own.excess(), other.excess()) == (1, 0)
    own.add(-2)
    assert (own.excess(), other.excess()) == (0, 1)


def test_who_has_left_counts_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = Shares(tmp_path), shares(tmp_path, monkeypatch, os.getppid())
    own.add(3)
    other.leave()
    successor = Shares(tmp_path)
    other.add(5)
    assert (own.excess(), successor.excess()) == (3, 0)


def test_the_place_of_a_process_that_is_gone_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = [shares(tmp_path, monkeypatch, ENDED + number) for number in range(SLOTS - 1)]
    assert len(gone) == SLOTS - 1
    own = Shares(tmp_path)
    own.add(2)
    assert Shares(tmp_path).excess() == 0
    assert own.excess() == 2


class Echo(asyncio.Protocol):
    """Answers with what it was sent."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


@pytest.fixture
def loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SharingLoop]:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    made = new_loop()
    assert isinstance(made, SharingLoop)
    yield made
    made.close()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


async def echo(port: int, text: bytes = b"x") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    answer = await reader.readexactly(len(text))
    writer.close()
    await writer.wait_closed()
    return answer


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # nothing tells when it changes
        await asyncio.sleep(0)


def serve(loop: SharingLoop, sock: socket.socket, work: Callable[[Listener], Any]) -> None:
    """Run `work` beside a listener that echoes."""

    async def served() -> None:
        listener = await loop.create_server(Echo, sock=sock)
        assert isinstance(listener, Listener)
        await asyncio.wait_for(work(listener), 10)
        listener.close()
        listener.close()
        await listener.wait_closed()

    loop.run_until_complete(served())


def test_connections_are_served_and_counted_while_they_are_open(loop: SharingLoop, listening: socket.socket) -> None:
    async def work(listener: Listener) -> None:
        count = listener._shares._slots
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        assert count[1] == 1
        writer.close()
        await until(lambda: count[1] == 0)

    serve(loop, listening, work)


def test_a_connection_is_left_to_one_with_fewer_but_not_for_ever(
    loop: SharingLoop, listening: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other, which holds none, does nothing."""
    other = shares(tmp_path, monkeypatch, os.getppid())
    pauses: list[float] = []

    async def work(listener: Listener) -> None:
        pause = listener._pause
        monkeypatch.setattr(listener, "_pause", lambda seconds: (pauses.append(seconds), pause(seconds)))
        listener._shares.add(1)
        assert await echo(listening.getsockname()[1]) == b"x"
        listener._shares.add(-1)
        assert await echo(listening.getsockname()[1]) == b"x"

    serve(loop, listening, work)
    assert len(pauses) == PATIENCE
    assert other.excess() == 0


def test_many_that_wait_are_taken_in_one_round(loop: SharingLoop, listening: socket.socket) -> None:
    async def work(listener: Listener) -> None:
        clients = [socket.create_connection(listening.getsockname()) for _ in range(AT_ONCE)]
        listener._connections_wait()
        assert len(listener._tasks) == AT_ONCE
        for client in clients:
            client.close()

    serve(loop, listening, work)


class Failing:
    """A listening socket whose `accept` fails as often as it is told."""

    def __init__(self, sock: socket.socket, *errors: OSError) -> None:
        self._sock = sock
        self._errors = list(errors)

    def accept(self) -> tuple[socket.socket, Any]:
        if self._errors:
            raise self._errors.pop(0)
        return self._sock.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def test_what_cannot_be_taken_is_tried_again(
    loop: SharingLoop, listening: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(listener: Listener) -> None:
        full = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        monkeypatch.setattr(listener, "_socket", Failing(listening, BlockingIOError(), full))
        assert await echo(listening.getsockname()[1]) == b"x"

    serve(loop, listening, work)


def test_a_client_that_is_gone_at_once_leaves_nothing(
    loop: SharingLoop, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: Any, **__: Any) -> None:
        raise ConnectionResetError

    async def work(listener: Listener) -> None:
        monkeypatch.setattr(loop, "connect_accepted_socket", gone)
        with socket.create_connection(listening.getsockname()):
            await until(lambda: bool(listener._tasks))
            await until(lambda: not listener._tasks)
        assert listener._shares._slots[1] == 0

    serve(loop, listening, work)


def test_a_listener_that_is_closed_while_it_pauses_stays_closed(
    loop: SharingLoop, listening: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares(tmp_path, monkeypatch, os.getppid())

    async def work(listener: Listener) -> None:
        listener._shares.add(1)
        with socket.create_connection(listening.getsockname()) as client:
            await until(lambda: listener._left_to_others > 0)
            listener.close()
            listener._watch()
            client.setblocking(False)
            client.send(b"x")
            with pytest.raises(BlockingIOError):
                client.recv(1)

    serve(loop, listening, work)


def test_closing_waits_for_connections_that_are_being_taken(loop: SharingLoop, listening: socket.socket) -> None:
    async def work(listener: Listener) -> None:
        with socket.create_connection(listening.getsockname()):
            await until(lambda: bool(listener._tasks))
            listener.close()
            await listener.wait_closed()
            assert not listener._tasks

    serve(loop, listening, work)


def test_a_server_without_a_given_socket_is_uvloops(loop: SharingLoop) -> None:
    async def served() -> None:
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        assert not isinstance(server, Listener)
        assert await echo(server.sockets[0].getsockname()[1]) == b"x"  # type: ignore[attr-defined]  # it has them
        server.close()
        await server.wait_closed()

    loop.run_until_complete(served())


def test_where_there_is_no_room_to_share_a_worker_takes_what_comes(tmp_path: Path) -> None:
    (tmp_path / "connections").symlink_to("/dev/full")
    shares = Shares(tmp_path)
    shares.add(3)

    assert shares.excess() == 0
    shares.leave()


async def is_turned_away(address: Any) -> bool:
    """Whether a connection cannot be begun: nothing answers, until the client asks again."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(*address), 0.2)
    except TimeoutError:
        return True
    writer.close()
    await writer.wait_closed()
    return False


def test_before_the_end_no_connection_is_begun_and_those_that_wait_are_taken(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    loop = new_loop()
    assert isinstance(loop, SharingLoop)

    async def work(_: Listener) -> None:
        address = listening.getsockname()
        with socket.create_connection(address) as waiting:
            waiting.sendall(b"x")
            loop.turn_away()
            assert await is_turned_away(address)
            waiting.setblocking(False)
            assert await loop.sock_recv(waiting, 1) == b"x"

    serve(loop, listening, work)
    address = listening.getsockname()
    listening.close()
    loop.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_a_worker_that_ends_alone_turns_nobody_away(
    loop: SharingLoop, listening: socket.socket, tmp_path: Path
) -> None:
    async def work(listener: Listener) -> None:
        address = listening.getsockname()
        listener.turn_away()
        assert not await is_turned_away(address)
        announce_end(tmp_path)
        listener.turn_away()
        assert await is_turned_away(address)

    serve(loop, listening, work)


def test_where_the_system_cannot_turn_away_it_does_not(
    loop: SharingLoop, listening: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(*_: Any) -> None:
        raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))

    async def work(listener: Listener) -> None:
        announce_end(tmp_path)
        limited = Failing(listening)
        limited.setsockopt = lacks  # type: ignore[attr-defined]  # as a socket has it
        monkeypatch.setattr(listener, "_socket", limited)
        listener.turn_away()
        assert await echo(listening.getsockname()[1]) == b"x"

    serve(loop, listening, work)


def test_where_there_is_no_room_for_a_file_the_end_is_not_announced(tmp_path: Path) -> None:
    announce_end(tmp_path / "missing")
    assert not Shares(tmp_path).all_end()
