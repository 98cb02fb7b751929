"""An answer's head is sent with what follows it, and in any case in the next round of the event loop."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from service.server.joined import LARGE_BYTES, Joined

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Transport:
    """Keeps what each call sends."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 5

    def get_extra_info(self, name: str) -> str:
        return f"the {name}"

    def pause_reading(self) -> str:
        return "paused"


def sent(use: Callable[[Joined], object], *, rounds: int = 1) -> list[bytes]:
    """What goes out after the use, and so many rounds of the event loop."""
    transport = Transport()

    async def main() -> None:
        use(Joined(transport, asyncio.get_running_loop()))  # type: ignore[arg-type]
        for _ in range(rounds):
            await asyncio.sleep(0)

    asyncio.run(main())
    return transport.sent


def writes(*parts: bytes) -> Callable[[Joined], None]:
    def use(joined: Joined) -> None:
        for part in parts:
            joined.write(part)

    return use


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((HEAD, b"ok"), [HEAD + b"ok"]),
        ((HEAD, b"ok", HEAD, b"ok"), [HEAD + b"ok"] * 2),
        ((HEAD, b""), [HEAD]),
        ((HEAD, b"a", b"b"), [HEAD + b"a", b"b"]),
        ((b"a", b"b"), [b"a", b"b"]),
        ((memoryview(b"a"), memoryview(b"b")), [b"a", b"b"]),
        ((HEAD, bytes(LARGE_BYTES)), [HEAD, bytes(LARGE_BYTES)]),
        ((HEAD, memoryview(b"ok")), [HEAD + b"ok"]),
        ((HEAD, HEAD), [HEAD + HEAD]),
        ((HEAD,), [HEAD]),
    ],
)
def test_a_head_goes_out_with_what_follows_it(parts: tuple[Any, ...], expected: list[bytes]) -> None:
    assert sent(writes(*parts)) == expected


def test_nothing_is_sent_twice_later() -> None:
    assert sent(writes(HEAD, b"ok"), rounds=3) == [HEAD + b"ok"]


def test_a_head_that_nothing_follows_waits_for_one_round_only() -> None:
    transport = Transport()

    async def main() -> None:
        Joined(transport, asyncio.get_running_loop()).write(HEAD)  # type: ignore[arg-type]
        assert transport.sent == []
        await asyncio.sleep(0)
        assert transport.sent == [HEAD]

    asyncio.run(main())


def test_what_waits_is_sent_before_the_end() -> None:
    def use(joined: Joined) -> None:
        joined.write(HEAD)
        joined.close()
        assert joined.is_closing()

    assert sent(use) == [HEAD]


def test_what_waits_for_a_client_that_has_left_is_dropped() -> None:
    """uvloop raises for what is written to a connection that is closed."""
    transport = Transport()

    async def main() -> None:
        Joined(transport, asyncio.get_running_loop()).write(HEAD)  # type: ignore[arg-type]
        transport.close()
        await asyncio.sleep(0)

    asyncio.run(main())
    assert transport.sent == []


def test_what_waits_counts_as_not_sent() -> None:
    def use(joined: Joined) -> None:
        assert joined.get_write_buffer_size() == 5
        joined.write(HEAD)
        assert joined.get_write_buffer_size() == 5 + len(HEAD)

    sent(use)


def test_everything_else_is_the_transports() -> None:
    def use(joined: Joined) -> None:
        assert joined.get_extra_info("socket") == "the socket"
        assert joined.pause_reading() == "paused"

    sent(use)
