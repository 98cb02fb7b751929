"""A profile divides what a server did by the requests that it answered."""

import json

import pytest

from loadtests.local.http import Request
from loadtests.local.servers import ServerFailed
from loadtests.peers import profile
from loadtests.peers.goals import Profile
from loadtests.peers.measuring import Results
from loadtests.peers.works import Work

WORK = Work(Request("/v2/models/cnn/infer", {}, b""), 4, {})


def stats(run: int, decode: int, encode: int) -> bytes:
    times = {"compute_input": {"ns": decode}, "compute_output": {"ns": encode}}
    batches = [{"compute_infer": {"ns": run // 2}}, {"compute_infer": {"ns": run - run // 2}}]
    return json.dumps({"model_stats": [{"inference_stats": times, "batch_stats": batches}]}).encode()


class Process:
    pid = 1


class Asked:
    """A server that answers as it was told to, in turn."""

    process = Process()

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        self.paths: list[str] = []
        self._answers = list(answers)

    def ask(self, request: Request, method: str) -> tuple[int, dict[str, str], bytes]:
        assert method == "GET"
        self.paths.append(request.path)
        status, body = self._answers.pop(0)
        return status, {}, body


class Options:
    seconds = 2


class Driving:
    """Answers 1,000 requests a second, and spends three seconds of processors on them."""

    options = Options()

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._spent = 0.5
        monkeypatch.setattr(profile, "cpu_seconds", lambda pid: self._spent)
        monkeypatch.setattr(profile.machine, "cores", lambda: 2)

    def per_second(self, server: object, work: Work) -> float:
        self._spent += 3.0
        return 1000.0


def taken(monkeypatch: pytest.MonkeyPatch, *answers: tuple[int, bytes], name: str = "ours") -> Profile:
    server, results = Asked(*answers), Results()
    profile.take(Driving(monkeypatch), results, server, WORK, ("one", name))  # type: ignore[arg-type]
    assert server.paths == ["/v2/models/cnn/stats"] * len(answers)
    (found,) = results.profiles
    return found


def test_of_a_server_with_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 requests: 2 ms of the machine each, 1.5 ms of the server's processors."""
    before, after = stats(10**9, 10**6, 0), stats(10**9 + 2 * 10**9, 10**6 + 2 * 10**8, 10**8)
    found = taken(monkeypatch, (200, before), (200, after))
    assert found == Profile("one", "ours", 2000, 1500, 1000, 100, 50)
    assert found.rest == 350


def test_of_another_server_only_the_processors_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    found = taken(monkeypatch, name="Ray Serve")
    assert found == Profile("one", "Ray Serve", 2000, 1500)
    assert found.rest is None


@pytest.mark.parametrize("body", [b"", b"{}", b'{"model_stats": []}', b'{"model_stats": [{}]}'])
def test_statistics_that_cannot_be_read_are_told(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    with pytest.raises(ServerFailed, match="statistics of cnn"):
        taken(monkeypatch, (200, body), (200, body))
