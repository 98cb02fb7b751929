"""What wrk printed is a figure, or a failure with its reason; never a figure of errors."""

import json

import pytest

from loadtests.peers import wrk
from loadtests.peers.wrk import LoadFailed

NO_ERRORS = {"connect": 0, "read": 0, "write": 0, "status": 0, "timeout": 0}
RESULT = {"requests": 3000, "duration_us": 2_000_000, "p50_us": 610, "p99_us": 4200, "errors": NO_ERRORS}


def printed(**changes: object) -> str:
    """The report for people around the line for us."""
    return f"""Running 2s test @ http://127.0.0.1:1/v2/models/cnn/infer
  1 threads and 32 connections
Requests/sec:   1500.00
{wrk.MARK}{json.dumps(RESULT | changes)}
"""


def test_the_scripts_line_is_read() -> None:
    assert wrk.parse(printed()) == wrk.Load(requests_per_s=1500.0, p50_us=610.0, p99_us=4200.0)


@pytest.mark.parametrize("kind", NO_ERRORS)
def test_any_error_fails_the_measurement_and_is_named(kind: str) -> None:
    with pytest.raises(LoadFailed, match=f"'{kind}': 2}} among 3000 requests"):
        wrk.parse(printed(errors=NO_ERRORS | {kind: 2}))


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("", "no result"),
        ("unable to connect to 127.0.0.1:1 Connection refused\n", "Connection refused"),
        (printed() + printed(), "no result"),
        (f"{wrk.MARK}{{", "cannot be read"),
        (f"{wrk.MARK}[]", "cannot be read"),
        (f"{wrk.MARK}{{}}", "cannot be read"),
        (printed(requests=None), "cannot be read"),
        (printed(duration_us=0), "cannot be read"),
        (printed(errors=None), "cannot be read"),
        (printed(requests=0), "no request was answered"),
    ],
)
def test_what_is_no_result_is_a_failure(output: str, reason: str) -> None:
    with pytest.raises(LoadFailed, match=reason):
        wrk.parse(output)
