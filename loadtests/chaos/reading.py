"""Clients that ask for 50 MB and never read: nobody else notices, they are cut, and their memory comes back."""

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
from loadtests.peers import bodies
from loadtests.verdict import Line

MB = 1_000_000
CLIENTS = 6
"""Their answers together are more than the allocator may keep of what is freed."""
NUMBERS = 12_500_000
"""float32, so 50 MB; within the service's limits for a body and for a tensor."""
SEND_TIMEOUT_S = 2
CUT_S = 3 * SEND_TIMEOUT_S
BACK_S = 10.0
KEPT_MB = 128 + 25
"""What may stay: what the service has its allocator keep for the next request, and room for the noise of a load."""
SMALL_BUFFER = 4096
SLOWEST_S = 1.0
"""For anybody else's request: 50 MB are copied and computed beside it, several times."""


def never(options: Options) -> Result:
    settings: dict[str, object] = {"workers": 1, "send_timeout_seconds": SEND_TIMEOUT_S}
    message = as_http(HOST, bodies.binary("relu", "x", np.ones((1, NUMBERS), np.float32)))
    with Replica(options.folder, settings) as replica, Load([replica.port], golden.mixed()) as load:
        time.sleep(options.seconds)
        before, begin = resident_bytes(replica.pid), time.monotonic()
        with contextlib.ExitStack() as stack:
            clients = {stack.enter_context(_asking(replica.port, message)) for _ in range(CLIENTS)}
            held = (resident_bytes(replica.pid) - before) / MB
            cut = after(CUT_S, lambda: not clients & connections.of(replica.pid, replica.port))
            back = after(BACK_S, lambda: resident_bytes(replica.pid) < before + KEPT_MB * MB)
            left = (resident_bytes(replica.pid) - before) / MB
        end = time.monotonic()
        time.sleep(options.seconds)
    slowest = load.ledger.slowest(begin, end)
    goals = [
        none_lost(load.ledger),
        all_right(load.ledger),
        Line(cut is not None, f"their connections are cut within {CUT_S} s{f' ({cut:.1f} s)' if cut else ''}"),
        Line(back is not None, f"their memory comes back: {left:.0f} MB more than before (below {KEPT_MB})"),
        Line(
            slowest < SLOWEST_S,
            f"the slowest request of others took {slowest * 1000:.0f} ms (below {SLOWEST_S * 1000:.0f} ms; "
            f"{load.ledger.slowest(0, begin) * 1000:.0f} ms before)",
        ),
    ]
    return told(load.ledger, goals, [f"{CLIENTS} such clients; {held:.0f} MB more than before when all had asked"])


@contextlib.contextmanager
def _asking(port: int, message: bytes) -> Iterator[int]:
    """A client that has sent its request, and has a small buffer for the answer; gives its port."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        client.settimeout(30)
        client.connect(("127.0.0.1", port))
        client.sendall(message)
        yield client.getsockname()[1]
