"""A client with one connection that stays open: it sends, waits for the answer, thinks, and sends the next request."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from loadtests.answers import Answer
from loadtests.ledger.golden import Golden
from loadtests.ledger.ledger import Entry, Ledger
from loadtests.ledger.wire import Broken, closes, receive

ANSWER_S = 20.0
"""A request that has waited so long for its answer is lost."""
CONNECT_S = 5.0
RETRY_S = 0.02
"""Between two tries to connect, where nobody listens."""
AGAIN_S = 0.1
"""Before a request is sent for the second time; twice that before the third, and so on."""

Address = tuple[str, int]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True)
class Client:
    """Sends until told to stop.

    Args:
        addresses: of the replicas; when a connection ends the next one is made to the next.
        pick: the next request, or None if there is to be none.
        think_s: mean of a random pause between an answer and the next request.
        tries: how often a request is sent at most, until it is answered as it should be.
    """

    ledger: Ledger
    addresses: Sequence[Address]
    pick: Callable[[], Golden | None]
    think_s: float = 0.0
    tries: int = 1
    rng: random.Random = field(default_factory=random.Random)
    turn: int = 0
    streams: Streams | None = None
    stopped: bool = False

    async def run(self) -> None:
        try:
            while not self.stopped and (golden := self.pick()) is not None:
                if await self._sent(golden):
                    await asyncio.sleep(self.rng.expovariate(1 / self.think_s) if self.think_s else 0)
        finally:
            self._close()

    async def _sent(self, golden: Golden) -> bool:
        """Send it until it is answered; False if it was not sent, because the client was told to stop."""
        for number in range(self.tries):
            if number:
                await asyncio.sleep(AGAIN_S * 2 ** (number - 1))
            streams = await self._connected()
            if streams is None and number == 0:
                return False
            if streams is not None and await self._ask(golden, *streams):
                return True
        self.ledger.given_up += 1
        return True

    async def _connected(self) -> Streams | None:
        """The open connection, or a new one as soon as somebody listens; None if told to stop before."""
        if self.streams and _has_ended(self.streams[0]):
            self._close()
        while self.streams is None and not self.stopped:
            self.streams = await self._connect()
        return self.streams

    async def _connect(self) -> Streams | None:
        """Try once."""
        address = self.addresses[self.turn % len(self.addresses)]
        try:
            async with asyncio.timeout(CONNECT_S):
                streams = await asyncio.open_connection(*address)
        except OSError:  # time-outs are among them
            self.ledger.refused += 1
            self.turn += 1
            await asyncio.sleep(RETRY_S)
            return None
        self.ledger.connected += 1
        return streams

    async def _ask(self, golden: Golden, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send it once; whether it ended as it should."""
        entry = self.ledger.send(golden.kind, writer.get_extra_info("sockname")[1])
        writer.write(golden.message)
        if golden.leaves:
            await self._leave(entry, writer)
            return True
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await receive(reader)
        except TimeoutError:
            self._lost(entry, "time-out")
        except Broken as broken:
            self._lost(entry, str(broken))
        else:
            return self._answered(entry, golden, answer)
        return False

    def _answered(self, entry: Entry, golden: Golden, answer: Answer) -> bool:
        fault = golden.fault(answer)
        self.ledger.answer(entry, answer.status, fault)
        if closes(answer):
            self._close()
        return fault is None

    def _lost(self, entry: Entry, phase: str) -> None:
        self.ledger.lose(entry, phase)
        self._close()

    async def _leave(self, entry: Entry, writer: asyncio.StreamWriter) -> None:
        """Go away when the request has left."""
        with suppress(OSError):
            await writer.drain()
        self.ledger.leave(entry)
        self._close()

    def _close(self) -> None:
        if self.streams:
            self.streams[1].close()
            self.streams = None
            self.turn += 1


def _has_ended(reader: asyncio.StreamReader) -> bool:
    """The server has closed or reset the connection while nothing was asked: nobody would send on it."""
    return reader.at_eof() or reader.exception() is not None
