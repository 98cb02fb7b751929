"""Requests leave by the schedule; a latency counts from when its request was due."""

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from loadtests.local.http import Request
from loadtests.peers import open_loop
from loadtests.peers.wrk import LoadFailed

REQUEST = Request("/v2/models/cnn/infer", {"Content-Type": "application/json"}, b'{"inputs":[]}')
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"


@contextmanager
def serving(*parts: bytes) -> Iterator[str]:
    """Answers every request in these parts; closes the connection if there are none."""

    class Handler(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self) -> None:
            while line := self.rfile.readline():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
                if line == b"\r\n":
                    assert self.rfile.read(length) == REQUEST.body
                    if not parts:
                        return
                    for part in parts:
                        self.wfile.write(part)
                        self.wfile.flush()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_the_schedule_is_the_same_every_time_and_has_the_rate() -> None:
    due = open_loop.schedule(1000, 20)

    assert np.array_equal(due, open_loop.schedule(1000, 20))
    assert len(due) == 20_000
    assert due[-1] == pytest.approx(20, rel=0.03)  # the sum of 20,000 random gaps: 4 standard deviations
    assert (np.diff(due) > 0).all()


@pytest.mark.parametrize("parts", [[ANSWER], [ANSWER[:9], ANSWER[9:-3], ANSWER[-3:]]], ids=["whole", "in parts"])
def test_every_request_is_sent_and_its_answer_awaited(parts: list[bytes]) -> None:
    with serving(*parts) as address:
        latencies = open_loop.drive(address, REQUEST, rate=2000, connections=4, seconds=0.1)

    assert latencies.count == 200
    assert 0 < latencies.p50_us <= latencies.p99_us


def test_waiting_for_a_free_connection_counts() -> None:
    """All are due almost at once, and one connection carries them one after the other.

    If only the time from sending counted, all latencies together could not be more than the whole time, and so the
    middle one no more than a 250th of it; what it is here is near the half.
    """
    with serving(ANSWER) as address:
        start = time.perf_counter()
        latencies = open_loop.drive(address, REQUEST, rate=1e6, connections=1, seconds=0.0005)
        all_us = (time.perf_counter() - start) * 1e6

    assert latencies.count == 500
    assert latencies.p50_us > all_us / 100


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([], "closed a connection"),
        ([b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"], "answered HTTP/1.1 503"),
        ([b"HTTP/1.1 200 OK\r\n\r\n"], "without a length"),
    ],
)
def test_what_is_no_good_answer_fails_the_measurement(parts: list[bytes], reason: str) -> None:
    with serving(*parts) as address, pytest.raises(LoadFailed, match=reason):
        open_loop.drive(address, REQUEST, rate=100, connections=2, seconds=0.1)


@pytest.mark.parametrize(
    ("head", "length"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 12", 12),
        (b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length:0", 0),
    ],
)
def test_the_length_is_found_however_it_is_written(head: bytes, length: int) -> None:
    assert open_loop.content_length(head) == length
