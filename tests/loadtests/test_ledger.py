"""Every request is sent once, and its end is told as it was."""

import asyncio

import pytest

from loadtests import answers
from loadtests.answers import Answer
from loadtests.ledger import client, golden
from loadtests.ledger.client import Client
from loadtests.ledger.golden import HOST, Golden
from loadtests.ledger.ledger import Ledger
from loadtests.ledger.load import Load
from loadtests.ledger.wire import Broken, Headers, parse
from loadtests.local.http import Request, as_http
from loadtests.local.servers import free_port
from tests.loadtests.answering import Say, answering, ok, reset, reset_after, saying
from tests.serving import DEADLINE_S

MESSAGE = as_http(HOST, Request("/", {}, b"please"))
CLOSE = "Connection: close\r\n"


def fine(answer: Answer) -> None:
    answers.require(answer.body == b"fine", "not fine")


def asked(**changed: object) -> Golden:
    return Golden("question", MESSAGE, fine, **changed)  # type: ignore[arg-type]


def driven(say: list[Say], most: int, connections: int = 1, question: Golden | None = None) -> Ledger:
    with answering(say) as port, Load([port], [question or asked()], connections, think_s=0, most=most) as load:
        load.wait()
    return load.ledger


def test_a_connection_stays_open_from_one_request_to_the_next() -> None:
    ledger = driven([ok()], most=20)

    assert (ledger.sent, ledger.answered, ledger.connected) == (20, {200: 20}, 1)
    assert len(ledger.latencies) == 20
    assert min(ledger.latencies) > 0
    assert ledger.balanced


def test_exactly_so_many_are_sent_however_many_clients_send_them() -> None:
    ledger = driven([ok()], most=101, connections=7)

    assert ledger.sent == ledger.answered.total() == 101


@pytest.mark.parametrize(
    ("say", "phase"),
    [
        (saying(b""), "before the answer"),
        (reset, "before the answer"),
        (saying(b"HTTP/1.1 200 OK\r\nConte"), "in the head"),
        (saying(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfi"), "in the body"),
        (saying(b"hello there\r\n\r\n"), "no HTTP"),
    ],
)
def test_a_request_without_a_whole_answer_is_lost_once_and_not_sent_again(say: Say, phase: str) -> None:
    ledger = driven([ok(), say, ok()], most=5)

    assert (ledger.sent, ledger.lost, ledger.answered) == (5, {phase: 1}, {200: 4})
    assert [entry.number for entry in ledger.losses] == [2]
    assert ledger.connected == 2


def test_a_client_that_tries_again_gives_up_only_what_no_try_got_answered() -> None:
    say = [reset, ok(), ok(status="503 Busy"), ok(), *3 * [reset], ok()]
    with answering(say) as port, Load([port], [asked()], 1, think_s=0, most=4, tries=3) as load:
        load.wait()

    assert load.ledger.sent == 8
    assert (load.ledger.answered, load.ledger.lost) == ({200: 3, 503: 1}, {"before the answer": 4})
    assert load.ledger.given_up == 1


def test_no_answer_in_time_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_S", 0.1)
    assert driven([saying(b"", stay=True), ok()], most=2).lost == {"time-out": 1}


def test_an_announced_end_loses_nothing_and_leads_to_the_next_replica() -> None:
    with (
        answering([ok(headers=CLOSE, stay=False)]) as ending,
        answering([ok()]) as other,
        Load([ending, other], [asked()], connections=1, think_s=0, most=10) as load,
    ):
        load.wait()

    assert (load.ledger.lost, load.ledger.answered) == ({}, {200: 10})
    assert load.ledger.connected == 2


@pytest.mark.parametrize("say", [ok(stay=False), reset_after(ok())], ids=["closed", "reset"])
def test_a_connection_that_is_seen_to_have_ended_is_not_sent_on(say: Say) -> None:
    async def ask_twice(port: int) -> None:
        asking = Client(ledger, [("127.0.0.1", port)], lambda: None)
        for _ in range(2):
            streams = await asking._connected()
            assert streams is not None
            await asking._ask(asked(), *streams)
            async with asyncio.timeout(DEADLINE_S):
                while not client._has_ended(streams[0]):  # noqa: ASYNC110  # nothing tells of it
                    await asyncio.sleep(0)
        asking._close()

    ledger = Ledger()
    with answering([say]) as port:
        asyncio.run(ask_twice(port))

    assert (ledger.lost, ledger.answered, ledger.connected) == ({}, {200: 2}, 2)


def test_a_refused_connection_has_lost_nothing() -> None:
    with answering([ok()]) as port, Load([free_port(), port], [asked()], 1, think_s=0, most=3) as load:
        load.wait()

    assert (load.ledger.refused, load.ledger.sent, load.ledger.answered) == (1, 3, {200: 3})


def test_clients_can_be_stopped_while_nobody_listens() -> None:
    with Load([free_port()], [asked()], connections=2) as load:
        pass

    assert load.ledger.sent == 0


def test_wrong_answers_are_told_with_their_reason() -> None:
    ledger = driven([ok(b"else"), ok(status="500 Oh"), ok()], most=3)

    assert ledger.answered == {200: 2, 500: 1}
    assert ledger.wrong == {"question: not fine": 1, "question: status 500, expected 200: fine": 1}


def test_a_client_that_leaves_has_lost_nothing() -> None:
    ledger = driven([ok()], most=4, question=asked(leaves=True))

    assert (ledger.sent, ledger.left, ledger.connected) == (4, 4, 4)
    assert ledger.balanced


def test_the_slowest_is_looked_for_in_its_time_only() -> None:
    ledger = Ledger()
    for sent, latency in ((1.0, 0.5), (2.0, 0.1), (3.0, 0.9)):
        ledger.starts.append(sent)
        ledger.latencies.append(latency)

    assert ledger.slowest(1.5, 2.5) == 0.1
    assert ledger.slowest(9, 10) == 0


def test_a_request_that_has_not_ended_unbalances_the_ledger() -> None:
    ledger = Ledger()
    entry = ledger.send("question", 1)
    assert not ledger.balanced

    ledger.lose(entry, "time-out")
    assert ledger.balanced


def test_the_same_bytes_are_right_again_and_others_only_where_they_may_be() -> None:
    first, second = Answer(200, Headers({}), b"fine"), Answer(200, Headers({}), b"fine too")
    free, exact = Golden("q", MESSAGE, lambda _: None), Golden("q", MESSAGE, lambda _: None, exact=True)

    assert [free.fault(first), free.fault(second)] == [None, None]
    assert [exact.fault(first), exact.fault(first), exact.fault(second)] == [None, None, "other bytes than before"]


def test_another_status_is_right_only_where_it_is_expected() -> None:
    missing = Answer(404, Headers({}), b'{"error": "no such model"}')

    assert asked(also=(404,)).fault(missing) is None
    assert Golden("q", MESSAGE, answers.refused, status=404).fault(missing) is None
    assert "status 404" in str(asked().fault(missing))
    assert Golden("q", MESSAGE, answers.refused, status=404).fault(Answer(404, Headers({}), b'{"detail": 1}'))


def test_headers_are_found_in_any_case() -> None:
    status, headers = parse(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nx:y")

    assert (status, dict(headers)) == (503, {"retry-after": "1", "x": "y"})
    assert headers["RETRY-AFTER"] == "1"
    with pytest.raises(Broken):
        parse(b"SSH-2.0")


def test_there_are_requests_of_several_kinds() -> None:
    kinds = {request.kind for request in golden.mixed()}

    assert {request.exact for request in golden.functions()} == {True}
    assert {"tensor /v2/models/{name}/infer", "binary /v2/models/cnn-relu/infer"} <= kinds
