"""Growth is seen, noise is not taken for it, and the mix has everything."""

import random
import subprocess
import sys
from collections import Counter

import pytest

from loadtests.ledger.ledger import Ledger
from loadtests.local.processes import descriptors, resident_bytes
from loadtests.soak import judging, report
from loadtests.soak.judging import MB, Sample
from loadtests.soak.mix import SHARES, bad, mixed

WANTED = 1_000_000


def samples(grows: float = 0.0, leaks: float = 0.0, noise: float = 0.5) -> list[Sample]:
    """A hundred: 100 MB more while it warms up; then 400 MB with noise, and a growth of so many MB and files in all."""
    rng = random.Random(1)
    made = []
    for number in range(1, 101):
        warm = min(1.0, number / 20)
        resident = 300 + 100 * warm + grows * number / 100 + rng.uniform(-noise, noise)
        made.append(Sample(number * 10_000, int(resident * MB), int(80 + leaks * number / 100)))
    return made


def ledger(answered: int = WANTED) -> Ledger:
    return Ledger(sent=WANTED, answered=Counter({200: answered}))


def missed(seen: list[Sample], counted: Ledger) -> list[str]:
    return [line.text for line in judging.judge(seen, counted, WANTED) if not line.kept]


def test_what_is_flat_after_its_warm_up_is_flat() -> None:
    assert missed(samples(), ledger()) == []


@pytest.mark.parametrize("grows", [8, 20, 100])
def test_a_leak_of_a_few_bytes_a_request_is_seen(grows: float) -> None:
    """8 MB in a million requests are 8 bytes each."""
    (text,) = missed(samples(grows), ledger())
    assert text.startswith("resident memory +")


def test_single_samples_do_not_bend_the_line() -> None:
    seen = samples()
    seen[-3:] = [Sample(s.requests, s.resident + 50 * MB, s.descriptors + 30) for s in seen[-3:]]
    assert missed(seen, ledger()) == []


def test_open_files_that_stay_open_are_seen() -> None:
    (text,) = missed(samples(leaks=10), ledger())
    assert text.startswith("open files +")


def test_a_process_that_leaks_is_caught_by_what_is_read_from_it() -> None:
    """The same readings and the same judge as of a server: 2 MB and a file a step."""
    step = "kept.append((b'x' * 2_000_000, open('/dev/null'))); print(flush=True)"
    leak = f"import sys; kept = []\nfor line in sys.stdin: {step}"
    with subprocess.Popen([sys.executable, "-c", leak], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        seen = []
        for number in range(1, 21):
            process.stdin.write(b"\n")
            process.stdin.flush()
            process.stdout.readline()
            seen.append(Sample(number, resident_bytes(process.pid), descriptors(process.pid)))
        process.stdin.close()

    assert [text.split(" +")[0] for text in missed(seen, ledger())] == ["resident memory", "open files"]


@pytest.mark.parametrize(
    ("counted", "goal"),
    [
        (Ledger(sent=10, answered=Counter({200: 10})), "10 of 1,000,000 requests sent"),
        (Ledger(sent=WANTED, answered=Counter({200: 5, 503: 2})), "2 answers of 5xx"),
        (Ledger(sent=WANTED), "0 answers of 5xx"),
        (Ledger(sent=WANTED, answered=Counter({200: 5}), wrong=Counter({"q:\nodd": 1})), "1 wrong answers; 1 × q: odd"),
        (Ledger(sent=WANTED, answered=Counter({200: 5}), lost=Counter({"time-out": 1})), "1 lost"),
    ],
)
def test_every_fault_is_a_goal_missed(counted: Ledger, goal: str) -> None:
    assert missed(samples(), counted) == [goal]


def test_a_few_samples_say_nothing() -> None:
    assert "too few" in missed(samples()[:5], ledger())[0]
    assert "too few" in missed([], ledger())[0]


def test_the_mix_has_every_kind_by_its_share() -> None:
    sent = mixed()

    assert len(sent) == sum(SHARES.values()) == 1000
    assert sum(request.leaves for request in sent) == SHARES["left"]
    assert sum(request.status >= 400 for request in sent) == SHARES["bad"]
    assert {request.kind for request in bad()} <= {request.kind for request in sent}
    assert {400, 404, 415} == {request.status for request in bad()}
    assert sum("inspect" in request.kind for request in sent) == SHARES["inspections"]


def test_the_table_ends_with_the_last_sample() -> None:
    text = report.render(samples(), ledger(), [], ["today"])

    assert text.startswith("* today\n* 1,000,000 sent, 1,000,000 × 200 answered, 0 left by their clients\n")
    lines = report.samples_table(samples()).splitlines()
    assert len(lines) == 2 + report.ROWS
    assert lines[-1].startswith("| 1,000,000 | ")
