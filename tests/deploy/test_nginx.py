"""Replicas behind nginx as deploy/nginx configures it: load is spread, and what befalls a replica costs no request."""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadtests.chaos import nginx
from loadtests.chaos.experiment import Skipped
from loadtests.chaos.replica import Ended, Replica
from loadtests.ledger import golden
from loadtests.ledger.ledger import Ledger
from loadtests.ledger.load import Load
from loadtests.local import service
from loadtests.local.http import Request
from loadtests.local.servers import Server
from service.settings import Settings
from tests.serving import DEADLINE_S, ROOT, eventually

FOLDER = ROOT / "deploy" / "nginx"
CONFIGURATION = (FOLDER / "nginx.conf").read_text()
DEFAULTS = Settings.model_construct()
REPLICAS = 3
ENOUGH = 100
"""Answers for each replica to have had some, and between two harms: a second's worth on a free machine."""
AT_ONCE_S = 5.0
"""For nginx and a client to see, on a busy machine, that a process has gone."""
INFERENCES = re.compile(r'^actserve_requests_total\{.*route="/v[12]/.*(?:infer|predict|\{name\})".*\} (\S+)$', re.M)


@dataclass(frozen=True)
class Story:
    """Three replicas under load: each has its share, one is killed, one is ended; then there is none.

    Attributes:
        shares: requests that each replica says it has answered, before anything happened.
        killed: when the first was, by the monotonic clock.
        ended: how the one that was told to did.
        log: nginx's, line by line.
        last: the answer of nginx when the last replica was killed too.
    """

    ledger: Ledger
    shares: list[float]
    killed: float
    ended: Ended
    refused: dict[str, tuple[int, dict[str, str]]]
    last: tuple[int, dict[str, str]]
    log: list[str]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("replicas")
    with ExitStack() as stack:
        replicas = [stack.enter_context(Replica(folder, {"workers": 1})) for _ in range(REPLICAS)]
        try:
            server = stack.enter_context(nginx.proxy([replica.port for replica in replicas], folder / "nginx"))
        except Skipped as reason:
            pytest.skip(str(reason))
        yield told(replicas, server, folder / "nginx" / "access.log")


def told(replicas: list[Replica], server: Server, log: Path) -> Story:
    killed, drained, left = replicas
    with Load([int(server.address.rpartition(":")[2])], golden.mixed()) as load:
        answers(load.ledger, REPLICAS * ENOUGH)
        shares = [answered(replica) for replica in replicas]
        at = time.monotonic()
        os.kill(killed.pid, signal.SIGKILL)
        answers(load.ledger, ENOUGH)
        ended = drained.terminate(DEADLINE_S)
        answers(load.ledger, ENOUGH)
    too_large = Request("/v2/models/relu/infer", {"Content-Length": str(DEFAULTS.max_body_bytes + 1)}, b"")
    refused = {"metrics": ask(server, Request("/metrics", {}, b""), "GET"), "too large": ask(server, too_large)}
    os.kill(left.pid, signal.SIGKILL)
    last = ask(server, service.READY, "GET")
    return Story(load.ledger, shares, at, ended, refused, last, log.read_text().splitlines())


def answers(ledger: Ledger, more: int) -> None:
    """Wait for so many more of them."""
    enough = ledger.answered.total() + more
    eventually(lambda: ledger.answered.total() >= enough)


def answered(replica: Replica) -> float:
    """Requests for inference, as the replica counts them; probes are not among them."""
    _, exposition = replica.get("/metrics")
    return sum(map(float, INFERENCES.findall(exposition.decode())))


def ask(server: Server, request: Request, method: str = "POST") -> tuple[int, dict[str, str]]:
    status, headers, body = server.ask(request, method)
    assert headers["content-type"] == "application/json"
    return status, json.loads(body)


def test_every_replica_has_its_share(story: Story) -> None:
    assert sum(story.shares) >= REPLICAS * ENOUGH
    assert min(story.shares) > sum(story.shares) / REPLICAS / 3


def test_a_replica_that_is_killed_and_one_that_is_ended_cost_no_request(story: Story) -> None:
    """An answer that has begun cannot be asked for again; but small ones leave a replica whole or not at all."""
    assert story.ledger.lost == {}
    assert all(story.killed <= entry.ended < story.killed + AT_ONCE_S for entry in story.ledger.losses)
    assert not story.ledger.wrong
    assert set(story.ledger.answered) == {200}
    assert story.ledger.answered.total() >= (REPLICAS + 2) * ENOUGH
    assert story.ended.code in (0, -signal.SIGTERM)


def test_what_nginx_itself_refuses_is_told_in_the_services_form(story: Story) -> None:
    statuses = {name: status for name, (status, _) in story.refused.items()}

    assert statuses == {"metrics": 404, "too large": 413}
    assert story.last[0] == 502
    assert all(list(said) == ["error"] for _, said in [*story.refused.values(), story.last])


def test_the_log_says_who_was_asked_and_by_what_id_the_service_knows_the_request(story: Story) -> None:
    inferred = [line for line in story.log if '"POST /v' in line and " 200 " in line]
    asked = [re.findall(r" id=(\w+) replicas=(.+) answered=(.+) took=", line) for line in inferred]

    assert len(inferred) >= story.ledger.answered.total()
    assert all(len(found) == 1 for found in asked)
    assert any((replicas.count(":"), answered) == (2, "502, 200") for ((_, replicas, answered),) in asked)


def value(directive: str) -> str:
    """What the configuration has it at; the directive is there once."""
    (found,) = re.findall(rf"^ *{directive} (.+?);", CONFIGURATION, re.M)
    return str(found)


def seconds(directive: str) -> float:
    return float(value(directive).removesuffix("s"))


def test_times_and_sizes_are_in_accord_with_the_services_defaults() -> None:
    longest = DEFAULTS.deadline_seconds + DEFAULTS.max_run_seconds

    assert int(value("client_max_body_size").removesuffix("m")) * 2**20 == DEFAULTS.max_body_bytes
    assert seconds("client_header_timeout") == DEFAULTS.head_timeout_seconds
    assert seconds("client_body_timeout") == DEFAULTS.body_timeout_seconds
    assert seconds("send_timeout") == DEFAULTS.send_timeout_seconds
    assert seconds("keepalive_timeout") < DEFAULTS.keep_alive_timeout_seconds
    assert longest < seconds("proxy_read_timeout") < 1.2 * longest
    assert seconds("proxy_next_upstream_timeout") <= DEFAULTS.deadline_seconds


def test_every_setting_that_the_configuration_names_is_one() -> None:
    named = re.findall(r"ACTSERVE_(\w+)", CONFIGURATION)

    assert named
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_the_files_that_a_user_edits_have_the_lines_that_are_tested(tmp_path: Path) -> None:
    """But for the addresses and where the log is."""
    nginx.write([8001, 8002, 8003], tmp_path / "nginx", 8000)
    written = {name: lines((tmp_path / "nginx" / name).read_text()) for name in ("replicas.conf", "site.conf")}

    assert lines((FOLDER / "replicas.conf").read_text()) == written["replicas.conf"]
    assert placeless((FOLDER / "site.conf").read_text()) == placeless("\n".join(written["site.conf"][:2]))
    assert sorted(path.name for path in FOLDER.iterdir()) == ["nginx.conf", "replicas.conf", "site.conf"]


def placeless(text: str) -> list[str]:
    return [re.sub(r"/\S+/", "…/", line) for line in lines(text)]


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]
