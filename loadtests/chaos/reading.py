"""A client that asks for 50 MB and never reads: nobody else notices, it is cut, and its memory comes back."""

import contextlib
import socket
import time
from collections.abc import Iterator

import numpy as np

from loadtests.chaos.experiment import Options, Result, all_right, none_lost, told
from loadtests.chaos.replica import Replica, after
from loadtests.ledger import golden
from loadtests.ledger.golden import HOST
from loadtests.ledger.load import Load
from loadtests.local import connections
from loadtests.local.http import as_http
from loadtests.local.processes import resident_bytes
from loadtests.local.servers import ServerFailed
from loadtests.peers import bodies
from loadtests.verdict import Line

MB = 1_000_000
NUMBERS = 12_500_000
"""float32, so 50 MB; within the service's limits for a body and for a tensor."""
SEND_TIMEOUT_S = 2
CUT_S = 3 * SEND_TIMEOUT_S
BACK_S = 10.0
ROOM_MB = 25
"""What may be left of 50 MB in and 50 MB out: half of one of them."""
SMALL_BUFFER = 4096
SLOWEST_S = 1.0
"""For anybody else's request: 50 MB are copied and computed beside it."""


def never(options: Options) -> Result:
    """Once before for the allocator to take its blocks, with a client that reads; then one that does not."""
    settings: dict[str, object] = {"workers": 1, "send_timeout_seconds": SEND_TIMEOUT_S}
    message = as_http(HOST, bodies.binary("relu", "x", np.ones((1, NUMBERS), np.float32)))
    with Replica(options.folder, settings) as replica:
        _read(replica.port, message)
        with Load([replica.port], golden.mixed()) as load:
            time.sleep(options.seconds)
            before, begin = resident_bytes(replica.pid), time.monotonic()
            with _asking(replica.port, message) as client:
                port = client.getsockname()[1]
                cut = after(CUT_S, lambda: port not in connections.of(replica.pid, replica.port))
                back = after(BACK_S, lambda: resident_bytes(replica.pid) < before + ROOM_MB * MB)
                left = (resident_bytes(replica.pid) - before) / MB
            end = time.monotonic()
            time.sleep(options.seconds)
    slowest = load.ledger.slowest(begin, end)
    goals = [
        none_lost(load.ledger),
        all_right(load.ledger),
        Line(cut is not None, f"its connection is cut within {CUT_S} s{f' ({cut:.1f} s)' if cut else ''}"),
        Line(back is not None, f"its memory comes back: {left:.0f} MB more than before (at most {ROOM_MB})"),
        Line(slowest < SLOWEST_S, f"the slowest request of others took {slowest * 1000:.0f} ms"),
    ]
    return told(load.ledger, goals, [])


@contextlib.contextmanager
def _asking(port: int, message: bytes) -> Iterator[socket.socket]:
    """A client that has sent its request, and has a small buffer for the answer."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        client.settimeout(30)
        client.connect(("127.0.0.1", port))
        client.sendall(message)
        yield client


def _read(port: int, message: bytes) -> None:
    with _asking(port, message) as client:
        received = 0
        while received < 4 * NUMBERS:
            part = client.recv(2**20)
            if not part:
                raise ServerFailed("it broke off a long answer")
            received += len(part)
