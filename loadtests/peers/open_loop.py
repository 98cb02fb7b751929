"""Open-loop load: requests leave by a schedule, whether or not earlier ones have been answered.

Latency counts from the moment a request was due, not from when it could be sent: a server that stalls is charged for
every request that should have been made meanwhile, which a closed loop would not even send (coordinated omission).
Due times are random as those of many independent callers are (exponential gaps), and the same for every server.

One thread with `select`, which takes its wait in microseconds; asyncio and uvloop round theirs to milliseconds.
"""

import gc
import select
import socket
import time
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadtests.local.http import Request, as_http
from loadtests.peers.wrk import LoadFailed

SEED = 1
READ_BYTES = 1 << 20
GIVE_UP_S = 10
"""After the last request was due."""


@dataclass(frozen=True, slots=True)
class Latencies:
    """Of all requests of a run, in microseconds from when each was due."""

    count: int
    p50_us: float
    p99_us: float


class _Connection:
    """Carries one request at a time."""

    def __init__(self, address: str) -> None:
        host, port = address.split(":")
        self.socket = socket.create_connection((host, int(port)), GIVE_UP_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self._received = b""
        self._missing = -1

    def send(self, message: bytes, due: float) -> None:
        """It fits the socket's buffer, which is empty between requests, so this does not wait."""
        self.due, self._received, self._missing = due, b"", -1
        self.socket.sendall(message)

    def answered(self) -> bool:
        """Take what has come.

        Raises:
            LoadFailed: the connection is closed, or the answer is not a 200 with a length.
        """
        part = self.socket.recv(READ_BYTES)
        if not part:
            raise LoadFailed("the server closed a connection")
        if self._missing >= 0:
            self._missing -= len(part)
            return self._missing <= 0
        self._received += part
        head, end, body = self._received.partition(b"\r\n\r\n")
        if end:
            self._missing = content_length(head) - len(body)
        return bool(end) and self._missing <= 0


def drive(address: str, request: Request, rate: float, connections: int, seconds: float) -> Latencies:
    """Send `rate` requests a second over at most so many connections; what finds none free waits, and its time counts.

    Raises:
        LoadFailed: an answer is not a 200, a connection fails, or the server does not catch up in time.
    """
    due = schedule(rate, seconds)
    message = as_http(address, request)
    open_connections = [_Connection(address) for _ in range(connections)]
    gc.disable()  # a pause of ours would count as the server's
    try:
        latencies = _send_all(open_connections, message, due)
    except OSError as error:
        raise LoadFailed(f"a connection failed: {error}") from error
    finally:
        gc.enable()
        for connection in open_connections:
            connection.socket.close()
    p50, p99 = np.percentile(latencies, [50, 99]) * 1e6
    return Latencies(len(due), float(p50), float(p99))


def schedule(rate: float, seconds: float) -> NDArray[np.float64]:
    """When requests are due, in seconds from the start."""
    gaps = np.random.default_rng(SEED).exponential(1 / rate, max(1, round(rate * seconds)))
    return np.cumsum(gaps)


def content_length(head: bytes) -> int:
    """Of an answer's status line and headers.

    Raises:
        LoadFailed: it is not a 200, or says no length.
    """
    status, *lines = head.split(b"\r\n")
    if status.split(b" ")[1:2] != [b"200"]:
        raise LoadFailed(f"answered {status.decode(errors='replace')}")
    for line in lines:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    raise LoadFailed("an answer without a length")


def _send_all(connections: list[_Connection], message: bytes, due: NDArray[np.float64]) -> list[float]:
    by_socket = {connection.socket: connection for connection in connections}
    free, latencies = deque(connections), []
    start = time.perf_counter()
    waiting = deque((start + due).tolist())
    last = waiting[-1]
    while waiting or len(free) < len(connections):
        now = time.perf_counter()
        while waiting and free and waiting[0] <= now:
            free.popleft().send(message, waiting.popleft())
        if now > last + GIVE_UP_S:
            raise LoadFailed(f"{len(waiting)} requests are still to be sent {GIVE_UP_S} s after the last was due")
        pause = max(0.0, waiting[0] - now) if waiting and free else GIVE_UP_S
        readable, _, _ = select.select(by_socket, [], [], pause)
        for ready in readable:
            connection = by_socket[ready]
            if connection.answered():
                latencies.append(time.perf_counter() - connection.due)
                free.append(connection)
    return latencies
