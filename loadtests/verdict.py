"""Pass or fail: what was measured, held against limits from the environment."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

MAX_ERROR_SHARE, P95_MS = "ACTSERVE_LOAD_MAX_ERROR_SHARE", "ACTSERVE_LOAD_P95_MS"


@dataclass(frozen=True)
class Limits:
    """What a run must keep to; the defaults are a choice, made to be replaced by what a service has promised."""

    max_error_share: float = 0.0
    """Failed requests of all, 0…1."""
    p95_ms: float = 500.0
    """The 95th percentile of the latency must be below."""


@dataclass(frozen=True)
class Measured:
    """What a run came to."""

    requests: int
    failures: int
    p95_ms: float
    exceptions: int = 0
    """Raised by the load test itself, which then measured something else than it says."""

    @property
    def error_share(self) -> float:
        return self.failures / self.requests if self.requests else 0.0


@dataclass(frozen=True)
class Line:
    """One thing judged, in one line."""

    kept: bool
    text: str

    def __str__(self) -> str:
        return f"{'PASS' if self.kept else 'FAIL'} {self.text}"


def limits(environment: Mapping[str, str]) -> Limits:
    """The limits that the environment names, and the defaults.

    Raises:
        ValueError: one is no number or out of range; the text says which.
    """
    return Limits(
        max_error_share=number(environment, MAX_ERROR_SHARE, Limits.max_error_share, 1.0),
        p95_ms=number(environment, P95_MS, Limits.p95_ms, math.inf),
    )


def number(environment: Mapping[str, str], name: str, default: float, most: float) -> float:
    text = environment.get(name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise ValueError(f"{name} is {text!r}, expected a number from 0" + (f" to {most:g}" if most < math.inf else ""))
    return value


def judge(limits: Limits, measured: Measured) -> list[Line]:
    if not measured.requests:
        return [Line(False, "no request was answered or failed: nothing was measured")]
    share = f"error share {measured.error_share:.2%}, {measured.failures} of {measured.requests} requests"
    return [
        Line(measured.error_share <= limits.max_error_share, f"{share} (limit: at most {limits.max_error_share:.2%})"),
        Line(measured.p95_ms < limits.p95_ms, f"p95 {measured.p95_ms:g} ms (limit: below {limits.p95_ms:g} ms)"),
    ]


def unsound(measured: Measured) -> list[Line]:
    """What makes the figures themselves doubtful."""
    if not measured.exceptions:
        return []
    return [Line(False, f"{measured.exceptions} exceptions in the load test itself")]
