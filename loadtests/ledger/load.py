"""Clients that send in a thread of their own, while something is done to the server."""

import asyncio
import random
import threading
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Self

import uvloop

from loadtests.ledger.client import Address, Client
from loadtests.ledger.golden import Golden
from loadtests.ledger.ledger import Ledger

CONNECTIONS = 20
THINK_S = 0.02
"""20 connections make some hundred requests a second: a load, and a machine that is not full."""
SEED = 7


class Load:
    """Use it as a context: the clients start with it, and at its end finish what they have under way.

    Args:
        ports: of replicas on this machine; connections are spread over them.
        goldens: what is sent, in random order; one that is there twice is sent twice as often.
        most: requests in all; then the clients end by themselves.
        tries: how often a request is sent at most, until it is answered as it should be.
    """

    def __init__(
        self,
        ports: Sequence[int],
        goldens: Sequence[Golden],
        connections: int = CONNECTIONS,
        think_s: float = THINK_S,
        most: int | None = None,
        tries: int = 1,
    ) -> None:
        self.ledger = Ledger()
        self._goldens, self._left = goldens, most
        addresses: list[Address] = [("127.0.0.1", port) for port in ports]
        self._clients = []
        for number in range(connections):
            rng = random.Random(SEED + number)
            pick = partial(self._pick, rng)
            self._clients.append(Client(self.ledger, addresses, pick, think_s, tries, rng, number))
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()))
        self._failed: BaseException | None = None

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def wait(self) -> None:
        """Until all that is to be sent has been."""
        self._thread.join()

    def _pick(self, rng: random.Random) -> Golden | None:
        if self._left is not None:
            if not self._left:
                return None
            self._left -= 1
        return rng.choice(self._goldens)

    async def _run(self) -> None:
        try:
            await asyncio.gather(*(client.run() for client in self._clients))
        except BaseException as error:
            self._failed = error  # told by the thread that waits for this one

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            client.stopped = True
        self._thread.join()
        if error is None and (self._failed or not self.ledger.balanced):
            raise RuntimeError("the clients did not end as they should") from self._failed
