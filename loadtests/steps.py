"""Stepping up to saturation: more users a step, until the service gives no more or no longer keeps to its limits."""

from collections.abc import Mapping
from dataclasses import dataclass

from loadtests.verdict import Limits

SETTLE_S = 3
"""Of each step, not counted: users start, and the queues find their length."""
GAIN = 0.1
"""A step counts as growth if it brings this much of what its users would have brought in proportion."""
PATIENCE = 2
"""Steps without growth before the service counts as saturated: one alone may be a hiccup."""


@dataclass(frozen=True)
class Counters:
    """Running totals of a test, as Locust keeps them: by second since the epoch, and by latency in ms."""

    requests: Mapping[int, int]
    failures: Mapping[int, int]
    latencies: Mapping[int, int]


@dataclass(frozen=True)
class Step:
    """What one step measured."""

    users: int
    requests_per_s: float
    error_share: float
    p95_ms: float

    def keeps(self, limits: Limits) -> bool:
        return self.error_share <= limits.max_error_share and self.p95_ms < limits.p95_ms


def measured(users: int, before: Mapping[int, int], after: Counters, start: int, end: int) -> Step:
    """From the seconds start…end-1; latencies from those counted in `after` but not in `before`."""
    requests = sum(after.requests.get(second, 0) for second in range(start, end))
    failures = sum(after.failures.get(second, 0) for second in range(start, end))
    latencies = {ms: count - before.get(ms, 0) for ms, count in after.latencies.items()}
    return Step(users, requests / (end - start), failures / max(requests, 1), percentile(latencies, 0.95))


def percentile(counts: Mapping[int, int], share: float) -> float:
    """The least value that at least this share of the counted ones does not exceed; 0 of none."""
    wanted = share * sum(counts.values())
    for value in sorted(counts):
        wanted -= counts[value]
        if wanted <= 0:
            return value
    return 0.0


class Ladder:
    """How many users there are to be now, second by second, and what each step came to."""

    def __init__(self, limits: Limits, step_users: int, step_s: int, most_users: int, lag_s: int) -> None:
        """Begin at the first call of `users`.

        Args:
            step_users: added by each step.
            step_s: length of a step, in seconds; more than what is not counted of it.
            lag_s: how long it may take until a request is counted: workers report every few seconds.
        """
        if step_s < SETTLE_S + lag_s + 2:
            raise ValueError(f"a step must take {SETTLE_S + lag_s + 2} s or more here, not {step_s}")
        if step_users < 1:
            raise ValueError(f"a step must add a user at least, not {step_users}")
        self.limits = limits
        self.step_users = step_users
        self.step_s = step_s
        self.most_users = most_users
        self.lag_s = lag_s
        self.steps: list[Step] = []
        self.reason = ""
        self._start: float | None = None
        self._before: Mapping[int, int] | None = None

    def users(self, now: float, counters: Counters) -> int | None:
        """Users to be there at `now`, in seconds since the epoch; None when the test is over."""
        if self._start is None:
            self._start = now
        if self._before is None and now >= self._start + SETTLE_S:
            self._before = dict(counters.latencies)
        if self._before is not None and now >= self._start + self.step_s:
            self._finish(now, self._start, self._before, counters)
        return None if self.reason else self._wanted

    @property
    def _wanted(self) -> int:
        return min((len(self.steps) + 1) * self.step_users, self.most_users)

    def _finish(self, now: float, start: float, before: Mapping[int, int], counters: Counters) -> None:
        first, last = int(start) + SETTLE_S + 1, int(now) - self.lag_s
        self.steps.append(measured(self._wanted, before, counters, first, last))
        self.reason = why_stop(self.steps, self.limits, self.most_users)
        self._start, self._before = now, None

    @property
    def best(self) -> Step | None:
        """The step that gave most, of those within the limits."""
        within = [step for step in self.steps if step.keeps(self.limits)]
        return max(within, key=lambda step: step.requests_per_s, default=None)


def why_stop(steps: list[Step], limits: Limits, most_users: int) -> str:
    """The reason to stop after these steps; empty to go on."""
    last = steps[-1]
    if last.error_share > limits.max_error_share:
        return f"error share {last.error_share:.2%} passed {limits.max_error_share:.2%}"
    if last.p95_ms >= limits.p95_ms:
        return f"p95 {last.p95_ms:g} ms reached {limits.p95_ms:g} ms"
    if len(steps) > PATIENCE and not any(grew(steps[:-PATIENCE], step) for step in steps[-PATIENCE:]):
        return "throughput no longer grew"
    if last.users >= most_users:
        return f"{most_users} users are the most allowed: not saturated yet"
    return ""


def grew(earlier: list[Step], step: Step) -> bool:
    """Whether a step gave more than the best before it, by a fair part of what its added users would have brought."""
    best = max(earlier, key=lambda step: step.requests_per_s)
    in_proportion = best.requests_per_s * (step.users / best.users - 1)
    return step.requests_per_s > best.requests_per_s + GAIN * in_proportion


def table(ladder: Ladder) -> list[str]:
    """The steps and the point of saturation, in lines."""
    lines = [f"{'users':>6} {'requests/s':>11} {'errors':>8} {'p95 ms':>7}"]
    lines += [f"{s.users:>6} {s.requests_per_s:>11.1f} {s.error_share:>8.2%} {s.p95_ms:>7g}" for s in ladder.steps]
    if not ladder.steps:
        return ["no step was finished"]
    if ladder.best is None:
        return [*lines, f"saturation: already below {ladder.step_users} users; {ladder.reason}"]
    best = f"saturation: {ladder.best.requests_per_s:.1f} requests/s with {ladder.best.users} users"
    return [*lines, f"{best}, p95 {ladder.best.p95_ms:g} ms; {ladder.reason or 'ended from outside'}"]
