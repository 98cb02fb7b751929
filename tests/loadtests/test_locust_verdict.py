"""Pass or fail, by limits from the environment."""

import pytest

from loadtests import verdict
from loadtests.verdict import Limits, Measured

MEASURED = Measured(requests=1000, failures=10, p95_ms=40.0)


def judged(limits: Limits, measured: Measured = MEASURED) -> list[tuple[bool, str]]:
    return [(line.kept, str(line)) for line in verdict.judge(limits, measured)]


def test_limits_come_from_the_environment() -> None:
    environment = {"ACTSERVE_LOAD_MAX_ERROR_SHARE": "0.02", "ACTSERVE_LOAD_P95_MS": "75.5"}
    assert verdict.limits(environment) == Limits(0.02, 75.5)
    assert verdict.limits({}) == Limits()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("ACTSERVE_LOAD_MAX_ERROR_SHARE", "1.5", "from 0 to 1"),
        ("ACTSERVE_LOAD_MAX_ERROR_SHARE", "5 %", "from 0 to 1"),
        ("ACTSERVE_LOAD_P95_MS", "-1", "from 0$"),
        ("ACTSERVE_LOAD_P95_MS", "nan", "from 0$"),
        ("ACTSERVE_LOAD_P95_MS", "", "from 0$"),
    ],
)
def test_a_limit_that_is_none_is_refused_by_name(name: str, text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is '{text}', expected a number {expected}"):
        verdict.limits({name: text})


def test_a_run_within_its_limits_passes_line_by_line() -> None:
    assert judged(Limits(0.01, 41.0)) == [
        (True, "PASS error share 1.00%, 10 of 1000 requests (limit: at most 1.00%)"),
        (True, "PASS p95 40 ms (limit: below 41 ms)"),
    ]


def test_each_missed_limit_is_one_line() -> None:
    assert judged(Limits(0.0, 40.0)) == [
        (False, "FAIL error share 1.00%, 10 of 1000 requests (limit: at most 0.00%)"),
        (False, "FAIL p95 40 ms (limit: below 40 ms)"),
    ]


def test_a_limit_of_0_ms_is_missed_even_by_what_rounds_to_0() -> None:
    assert not verdict.judge(Limits(p95_ms=0.0), Measured(5, 0, 0.0))[1].kept


def test_a_run_without_requests_fails() -> None:
    assert judged(Limits(), Measured(0, 0, 0.0)) == [
        (False, "FAIL no request was answered or failed: nothing was measured")
    ]
    assert Measured(0, 0, 0.0).error_share == 0.0


def test_a_fault_of_the_load_test_fails_the_run() -> None:
    assert verdict.unsound(Measured(10, 0, 1.0)) == []
    (line,) = verdict.unsound(Measured(10, 0, 1.0, exceptions=3))
    assert str(line) == "FAIL 3 exceptions in the load test itself"
