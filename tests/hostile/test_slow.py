"""Clients that are slow are told so and cut, and nobody else notices."""

import contextlib
import json
import select
import socket
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import pytest

from tests.hostile import slow
from tests.hostile.answering import Server, nothing_left, read_answers, refusal, running
from tests.hostile.cases import post
from tests.hostile.slow import Slow
from tests.hostile.tensors import tensor
from tests.serving import eventually

PAUSE_S = 0.2
PATIENCE_S = 8
"""Eight times as long as the server's."""


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Server]:
    patience = {f"{what}_timeout_seconds": "1" for what in ("head", "body", "send")}
    folder = tmp_path_factory.mktemp("impatient")
    with running(folder, repository=str(repository), min_bytes_per_second=str(2**30), **patience) as server:
        yield server


@pytest.mark.parametrize("case", slow.CASES, ids=attrgetter("id"))
def test_a_slow_client_is_cut(impatient: Server, case: Slow) -> None:
    with socket.create_connection(impatient.place, PATIENCE_S) as connection:
        connection.sendall(case.sent)
        impatient.check_standing()  # while it waits
        for _ in range(int(PATIENCE_S / PAUSE_S) if case.drips else 0):
            if select.select([connection], [], [], PAUSE_S)[0] and not still_open(connection):
                break
            connection.sendall(b"x")
        answers = read_answers(connection, 1, closes=True)
    final = [answer for answer in answers if answer.status not in (100, 200)]
    if final or not case.may_be_cut:
        (answer,) = final
        assert answer.status in case.statuses
        assert refusal(answer)
    impatient.check_standing()


def still_open(connection: socket.socket) -> bool:
    """Whether the server has not begun to end it: an answer that is no error may have come meanwhile."""
    peeked = connection.recv(2**16, socket.MSG_PEEK)
    return peeked.startswith((b"HTTP/1.1 1", b"HTTP/1.1 2")) and b"HTTP/1.1 4" not in peeked


def test_a_client_that_reads_nothing_of_its_answer_is_cut(impatient: Server) -> None:
    """H30: 50 MB of zeros, asked for in a hundred bytes."""
    asked = {"inputs": [tensor("INT64", [3500, 3500], [2])], "parameters": {"binary_data_output": True}}

    def cut() -> float:
        return impatient.metric("actserve_rejected_total", reason="slow_reader")

    before = cut()
    with nothing_left(impatient), socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(impatient.place)
        connection.settimeout(PATIENCE_S)
        connection.sendall(b"".join(post("/v2/models/grow/infer", json.dumps(asked).encode())))
        assert connection.recv(1, socket.MSG_PEEK) == b"H"
        impatient.check_standing()
        eventually(lambda: cut() > before, within_s=PATIENCE_S)
        assert received(connection) < 40_000_000


def received(connection: socket.socket) -> int:
    """Bytes that come until the connection ends, or nothing comes."""
    count = 0
    with contextlib.suppress(OSError):
        while piece := connection.recv(2**20):
            count += len(piece)
    return count
