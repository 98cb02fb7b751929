"""The open loop keeps its schedule and tells every end; a phase fails where it should."""

from dataclasses import replace

import pytest

from loadtests.ledger.golden import HOST
from loadtests.local.http import Request, as_http
from loadtests.local.servers import free_port
from loadtests.overload import judging, phases, report
from loadtests.overload.arrivals import Arrival, OpenLoop, Outcome
from loadtests.overload.judging import Phase
from loadtests.overload.phases import Run
from tests.loadtests.answering import answering, ok, reset, saying

LARGE = 4_000_000
"""More than the buffers of a connection take."""
FULL = "503 Service Unavailable"


def arrivals(count: int, gap: float = 0.001, body: bytes = b"please") -> list[Arrival]:
    message = as_http(HOST, Request("/", {}, body))
    return [Arrival(gap * number, message) for number in range(count)]


def test_every_request_is_sent_when_it_is_due_and_its_end_told() -> None:
    with answering([ok()]) as port:
        outcomes = OpenLoop(port).run(arrivals(200))

    assert [outcome.status for outcome in outcomes] == [200] * 200
    assert sorted(outcome.due for outcome in outcomes) == [0.001 * number for number in range(200)]
    assert all(o.due <= o.began <= o.answered for o in outcomes)


def test_large_requests_go_out_and_long_answers_come_in_piece_by_piece() -> None:
    with answering([ok(bytes(LARGE))]) as port:
        outcomes = OpenLoop(port).run(arrivals(4, body=bytes(LARGE)))

    assert [outcome.status for outcome in outcomes] == [200] * 4


def test_a_refusal_before_the_body_is_read_is_no_loss() -> None:
    with answering([ok(status=FULL, headers="Retry-After: 1\r\nConnection: close\r\n")], early=True) as port:
        outcomes = OpenLoop(port).run(arrivals(3, body=bytes(LARGE)))

    assert [(outcome.status, outcome.retry) for outcome in outcomes] == [(503, True)] * 3


@pytest.mark.parametrize("say", [saying(b""), reset, saying(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfi")])
def test_what_ends_without_a_whole_answer_is_lost(say: object) -> None:
    with answering([say, ok()]) as port:  # type: ignore[list-item]
        outcomes = OpenLoop(port).run(arrivals(5, gap=0.05))

    assert sorted(outcome.status for outcome in outcomes) == [0, 200, 200, 200, 200]


def test_where_nobody_listens_all_is_lost() -> None:
    assert [outcome.status for outcome in OpenLoop(free_port()).run(arrivals(3))] == [0, 0, 0]


def test_probes_have_connections_of_their_own() -> None:
    probe = replace(arrivals(1)[0], due=0.01, probe=True)
    with answering([ok()]) as port:
        outcomes = OpenLoop(port).run([*arrivals(5), probe])

    assert sum(outcome.probe for outcome in outcomes) == 1


def test_a_phase_offers_its_rate_and_probes_throughout() -> None:
    run = Run(0, phases.binary(1), seconds=4, deadline=1)
    made = run._arrivals([(100, 4), (10, phases.AFTER_S)])
    requests = [arrival.due for arrival in made if not arrival.probe]

    assert len([due for due in requests if due < 4]) == pytest.approx(400, rel=0.2)
    assert len([due for due in requests if due >= 4]) == pytest.approx(60, rel=0.5)
    assert len(made) - len(requests) == 100
    assert [arrival.due for arrival in made] == sorted(arrival.due for arrival in made)


@pytest.mark.parametrize("make", phases.REQUESTS.values())
def test_a_request_holds_as_many_images_as_it_is_told(make: object) -> None:
    few, many = make(2), make(20)  # type: ignore[operator]
    assert len(many.message) > 5 * len(few.message)


def outcome(due: float, latency: float = 0.01, status: int = 200, **changed: object) -> Outcome:
    return Outcome(due, due, due + latency, status, **changed)  # type: ignore[arg-type]


def phase(outcomes: list[Outcome], factor: float = 1) -> Phase:
    return Phase(factor, 10, 1, [*outcomes, outcome(5, probe=True)])


GOOD = [outcome(number / 10) for number in range(99)]


def missed(*phases: Phase) -> list[str]:
    return [line.text for line in judging.judge(phases) if not line.kept]


def test_a_good_phase_meets_every_goal() -> None:
    refused = [outcome(number / 10, 0.02, 503, retry=True) for number in range(99)]
    assert missed(phase(GOOD), phase([*GOOD, *refused], 2)) == []


@pytest.mark.parametrize(
    ("outcomes", "goal"),
    [
        (GOOD[:80], "goodput"),
        ([*GOOD, *[outcome(2, 1.5)] * 2], "p99 of what is accepted"),
        ([*GOOD, outcome(3, 0.06, 503, retry=True)], "refused"),
        ([*GOOD, outcome(3, 0.01, 503)], "not each with Retry-After"),
        ([*GOOD, outcome(3, status=0)], "1 lost"),
        ([*GOOD, outcome(3, status=500)], "but 1 × 500"),
        ([*GOOD, outcome(3, status=503, probe=True)], "health"),
        ([replace(good, began=good.due + 0.02, answered=good.due + 0.03) for good in GOOD], "the client was late"),
    ],
)
def test_a_bad_phase_misses_the_goal(outcomes: list[Outcome], goal: str) -> None:
    texts = missed(phase(GOOD), phase(outcomes, 2))
    assert len(texts) == 1
    assert goal in texts[0]
    assert texts[0].startswith("2×: ")


def test_what_is_answered_after_the_deadline_or_the_phase_is_no_goodput() -> None:
    assert phase(GOOD).goodput == 9.9
    assert phase([*GOOD, outcome(3, 1.1), outcome(9.8, 0.3)]).goodput == 9.9


def test_recovery_is_the_first_window_as_good_as_the_calm() -> None:
    slow, refused = [outcome(0.1, 0.5)], [outcome(0.6, status=503)]
    calm = phase(GOOD)

    assert judging.recovery(calm, [*slow, *refused, outcome(1.2), outcome(1.7, 9)]) == 1.0
    assert judging.recovery(calm, slow) is None
    assert judging.recovered(1.0).kept
    assert not judging.recovered(2.5).kept
    assert not judging.recovered(None).kept


def test_times_after_the_burst_count_from_its_end() -> None:
    assert phases.shifted(outcome(12, 0.5), 10) == outcome(2, 0.5)


def test_the_table_has_a_row_a_phase() -> None:
    text = report.render([phase(GOOD), phase([*GOOD, outcome(3, 0.06, 503)], 2)], judging.judge([phase(GOOD)]), ["now"])

    assert "| 1× | 9.9 | 9.9 | 10 ms, 10 ms | 0 |  | 0 | 0 | 10 ms |" in text
    assert "| 2× | 10 | 9.9 | 10 ms, 10 ms | 0.1 | 60 ms, 60 ms | 0 | 0 | 10 ms |" in text
    assert "* PASS 1×: goodput 100% of the peak (at least 90%)" in text
