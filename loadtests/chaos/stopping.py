"""SIGTERM while a client holds on: the server ends in its time all the same, and at once when told twice."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from loadtests.chaos.experiment import Options, Result, told
from loadtests.chaos.replica import Ended, Replica
from loadtests.ledger.golden import HOST
from loadtests.ledger.ledger import Ledger
from loadtests.local.http import Request, as_http
from loadtests.verdict import Line

LAME_DUCK_S, STOP_S = 1, 3
"""Shorter than the defaults, so that the experiment is."""
ROOM_S = 2.0
SECOND_S = 1.2
"""After the first signal; within a second it would count as the same."""
AT_ONCE_S = 2.0
PATIENCE_S = 40.0


def stuck(options: Options) -> Result:
    """A client that has sent half of its request's body, and neither goes on nor goes away."""
    with _replica(options) as replica, _half_sent(replica.port):
        ended = replica.terminate(PATIENCE_S)
    most = LAME_DUCK_S + STOP_S + ROOM_S
    fine = ended.code is not None and ended.seconds <= most
    return told(Ledger(), [Line(fine, f"ends within {most:g} s: {ended}")], ["one request half sent, by design"])


def twice(options: Options) -> Result:
    """The same client, and a second signal as soon as it counts as one of its own."""
    with _replica(options) as replica, _half_sent(replica.port):
        replica.server.process.send_signal(signal.SIGTERM)
        time.sleep(SECOND_S)
        ended = replica.terminate(PATIENCE_S)
    return told(Ledger(), [_at_once(ended)], ["one request half sent, by design"])


def _at_once(ended: Ended) -> Line:
    fine = ended.code is not None and ended.seconds <= AT_ONCE_S
    return Line(fine, f"ends within {AT_ONCE_S:g} s of the second signal: {ended}")


def _replica(options: Options) -> Replica:
    settings: dict[str, object] = {"workers": 1, "lame_duck_seconds": LAME_DUCK_S, "stop_timeout_seconds": STOP_S}
    return Replica(options.folder, settings)


@contextmanager
def _half_sent(port: int) -> Iterator[None]:
    message = as_http(HOST, Request("/v1/activations/relu", {"Content-Type": "application/json"}, bytes(1000)))
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client:
        client.sendall(message[:-500])
        time.sleep(0.2)  # for the server to have begun with it
        yield
