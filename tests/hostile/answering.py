"""A running server of the hostile tests, and what must hold of it after every case.

After each case: the status is one of those expected; an error is `{"error": …}` of at most 2 kB without internals; the
server is alive; known-good requests get the very same answers as before; its log has no traceback.
"""

import contextlib
import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import SAMPLES
from tests.hostile.cases import Answer, Case, get, post
from tests.routes.sending import INTERNALS, JPEG, JSON
from tests.serving import eventually, serving

PATIENCE_S = 10
"""For an answer; each takes milliseconds, on a busy machine many times that."""
MAX_ERROR_BYTES = 2048
TICKS = os.sysconf("SC_CLK_TCK")

HORSE = (SAMPLES / "horse.jpg").read_bytes()
GOOD_INFER = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [-1, 2]}]}'
GOOD_APPLY = b'{"data": [-1, 1], "parameters": {"alpha": 2}}'
LIVE = get("/v2/health/live")
GOLDEN = (
    post("/v1/models/cnn-relu/predict", HORSE, JPEG),
    post("/v1/activations/elu", GOOD_APPLY),
    post("/v2/models/relu/infer", GOOD_INFER),
)


@dataclass
class Server:
    """A server process, and its known-good answers."""

    process: subprocess.Popen[str]
    address: str
    log: Path
    temporary: Path
    """Its folder for temporary files."""
    good: list[bytes] = field(default_factory=list)
    read: int = 0
    """Bytes of the log that have been looked at."""

    @property
    def place(self) -> tuple[str, int]:
        parts = urlsplit(self.address)
        return parts.hostname or "", parts.port or 0

    def exchange(self, *sent: bytes, answers: int = 1, closes: bool = False) -> list[Answer]:
        """Send all of it over a connection of its own; read so many answers, or what comes before the end.

        Args:
            closes: read on to the connection's end.
        """
        with socket.create_connection(self.place, PATIENCE_S) as connection:
            with contextlib.suppress(OSError):  # it may answer, and close, before it has read all
                for piece in sent:
                    connection.sendall(piece)
            return read_answers(connection, answers, closes=closes)

    def one(self, *sent: bytes) -> Answer:
        """The only answer."""
        (answer,) = self.exchange(*sent)
        return answer

    def known_good(self) -> list[bytes]:
        """Bodies of the answers to GOLDEN, without their times."""
        found = [self.one(*request) for request in GOLDEN]
        assert [answer.status for answer in found] == [200] * len(GOLDEN)
        return [re.sub(rb'"timing_ms":{[^}]*}', b"", answer.body) for answer in found]

    def check(self, case: Case) -> None:
        """Send a case, and check all that must hold."""
        before = self.cpu_seconds()
        *first, last = self.exchange(*case.sent, answers=(case.before or 0) + 1, closes=case.closes) or [None]
        spent = self.cpu_seconds() - before
        self.check_answer(case, first, last)
        assert spent <= case.cpu_seconds
        self.check_standing()

    def check_answer(self, case: Case, first: list[Answer], last: Answer | None) -> None:
        assert {answer.status for answer in first} <= {200}
        assert case.before is None or len(first) == (case.before if last else 0)
        if last is None:
            assert case.may_be_cut, "the connection was closed without an answer"
            return
        assert last.status in case.statuses, last.body[:500]
        if last.status >= 400:
            assert case.text in refusal(last)
        assert case.holds is None or case.holds(last), (last.headers, last.body[:500])

    def check_standing(self) -> None:
        """Alive, as right as ever, and nothing in the log that we did not expect."""
        assert self.one(*LIVE).status == 200
        assert self.known_good() == self.good
        self.check_log()

    def check_log(self) -> None:
        with self.log.open("rb") as log:
            log.seek(self.read)
            written = log.read()
        self.read += len(written)
        assert b"Traceback" not in written, written.decode(errors="replace")[-4000:]

    def cpu_seconds(self) -> float:
        """Of the process, by all of its threads; in steps of a hundredth."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_bytes(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    @contextmanager
    def peak_growth(self) -> Iterator[list[int]]:
        """How much more memory than before it held at any moment meanwhile, in bytes: in the list, afterwards."""
        peak: list[int] = []
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")  # sets the peak back to what is held now
        before = self.resident_bytes()
        yield peak
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s*(\d+) kB", status)
        assert found
        peak.append(int(found[1]) * 1024 - before)

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def in_flight(self) -> float:
        """Requests that are being answered, without the one that asks."""
        return self.metric("actserve_requests_in_flight") - 1

    def metric(self, name: str, **labels: str) -> float:
        """0 for one that is not told yet."""
        families = text_string_to_metric_families(self.one(*get("/metrics")).body.decode())
        samples = (sample for family in families for sample in family.samples)
        return next((s.value for s in samples if s.name == name and s.labels == labels), 0.0)


STEADY = {"workers": "1", "reload_interval_seconds": "0", "request_log": "false", "lame_duck_seconds": "0"}
"""One process, in which nothing happens by itself."""


@contextmanager
def running(folder: Path, *, check: bool = True, **settings: str) -> Iterator[Server]:
    """A server for hostile tests: of one process, with its log and its temporary files in a folder.

    Args:
        check: learn its known-good answers, which it must give without a key.
    """
    log, temporary = folder / "log", folder / "temporary"
    temporary.mkdir()
    settings = STEADY | settings
    with serving(log, more={"TMPDIR": str(temporary)}, **settings) as (process, address):
        server = Server(process, address, log, temporary)
        server.good = server.known_good() if check else []
        yield server
        server.check_log()


@contextmanager
def nothing_left(server: Server) -> Iterator[None]:
    """Afterwards no request is in flight, no new temporary file is there, and no more descriptors are open."""
    server.check_standing()
    before, files = server.descriptors(), list(server.temporary.iterdir())  # ONNX Runtime writes one at its start
    yield
    eventually(lambda: server.in_flight() == 0)
    eventually(lambda: server.descriptors() <= before)
    assert list(server.temporary.iterdir()) == files
    server.check_standing()


def refusal(answer: Answer) -> str:
    """An error's text, after checking what every error promises."""
    assert answer.headers["content-type"] == JSON, answer
    assert len(answer.body) <= MAX_ERROR_BYTES
    document = json.loads(answer.body)
    assert list(document) == ["error"]
    text = document["error"]
    assert isinstance(text, str)
    assert text
    assert text.isprintable()
    assert not INTERNALS.search(text), text
    return text


def read_answers(connection: socket.socket, count: int, *, closes: bool = False) -> list[Answer]:
    """Read answers; fewer if the connection ends. With `closes` it must end."""
    received = bytearray()
    found: list[Answer] = []
    while closes or len(found) < count:
        try:
            piece = connection.recv(2**16)
        except ConnectionError:
            break
        if not piece:
            break
        received += piece
        while answer := _take(received):
            found.append(answer)
    assert not received, bytes(received[:200])
    return found


def _take(received: bytearray) -> Answer | None:
    """Cut the first answer off what was received, if it is there whole."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = received[:end].decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    whole = end + 4 + int(headers.get("content-length", "0"))
    if len(received) < whole:
        return None
    answer = Answer(int(first.split()[1]), headers, bytes(received[end + 4 : whole]))
    del received[:whole]
    return answer
