"""What a phase of the open loop came to, and what it must."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loadtests.overload.arrivals import Outcome
from loadtests.verdict import Line

SHARE_OF_PEAK = 0.9
REFUSED_S = 0.05
RECOVERED_S = 2.0
WINDOW_S = 0.5
LATE_S = 0.01
"""A client whose 99th percentile is later than this did not offer what it says."""
REFUSALS = (503, 429)
EXPIRED = 504


@dataclass(frozen=True, slots=True)
class Phase:
    """A rate, kept for so many seconds, and how its requests ended.

    Args:
        factor: of what the service can answer.
        deadline: seconds; what is answered later is no good to anybody.
    """

    factor: float
    seconds: float
    deadline: float
    outcomes: Sequence[Outcome]

    @property
    def requests(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if not outcome.probe]

    @property
    def statuses(self) -> Counter[int]:
        """0 for those lost."""
        return Counter(outcome.status for outcome in self.requests)

    @property
    def probes(self) -> Counter[int]:
        return Counter(outcome.status for outcome in self.outcomes if outcome.probe)

    @property
    def offered(self) -> float:
        return len(self.requests) / self.seconds

    @property
    def goodput(self) -> float:
        """Answered with 200 in time, a second.

        What still waits at the end of the phase is not counted, so that its queue helps no phase.
        """
        good = [o for o in self.requests if o.status == 200 and o.latency <= self.deadline]
        return sum(o.answered <= self.seconds for o in good) / self.seconds

    @property
    def accepted(self) -> list[float]:
        """Latencies of those answered with 200, in seconds from when they were due."""
        return [o.latency for o in self.requests if o.status == 200]

    @property
    def refused(self) -> list[float]:
        """Seconds from sending to the refusal."""
        return [o.answered - o.began for o in self.requests if o.status in REFUSALS]

    @property
    def health(self) -> list[float]:
        return [o.latency for o in self.outcomes if o.probe and o.status == 200]

    @property
    def lateness(self) -> list[float]:
        """By how much the client sent later than was due."""
        return [o.began - o.due for o in self.outcomes if o.began > 0]

    @property
    def said_when(self) -> bool:
        """Does every refusal say when to come back?"""
        return all(o.retry for o in self.requests if o.status in REFUSALS)


def percentile(values: Sequence[float], percent: float) -> float:
    """0 of nothing."""
    return float(np.percentile(values, percent)) if values else 0.0


def judge(phases: Sequence[Phase]) -> list[Line]:
    """What holds for every phase."""
    peak = max(phase.goodput for phase in phases)
    return [line for phase in phases for line in _judge(phase, peak)]


def _judge(phase: Phase, peak: float) -> list[Line]:
    name, statuses = f"{phase.factor:g}×", phase.statuses
    share = phase.goodput / peak if peak else 0.0
    slow, refused = percentile(phase.accepted, 99), percentile(phase.refused, 99)
    strange = {status: count for status, count in statuses.items() if status not in (200, *REFUSALS, EXPIRED, 0)}
    late = percentile(phase.lateness, 99)
    return [
        Line(share >= SHARE_OF_PEAK, f"{name}: goodput {share:.0%} of the peak (at least {SHARE_OF_PEAK:.0%})"),
        Line(
            0 < slow <= phase.deadline,
            f"{name}: p99 of what is accepted {slow * 1000:.0f} ms (at most {phase.deadline * 1000:.0f} ms)",
        ),
        Line(
            refused < REFUSED_S and phase.said_when,
            f"{name}: {len(phase.refused)} refused, p99 {refused * 1000:.0f} ms (below {REFUSED_S * 1000:.0f} ms), "
            f"{'each' if phase.said_when else 'not each'} with Retry-After",
        ),
        Line(not statuses[0] and not strange, f"{name}: {statuses[0]} lost, no other status{_shown(strange)}"),
        Line(set(phase.probes) == {200}, f"{name}: health {_statuses(phase.probes)}"),
        Line(
            late <= LATE_S,
            f"{name}: the client was late by {late * 1000:.1f} ms in its p99 (at most {LATE_S * 1000:g})",
        ),
    ]


def recovery(calm: Phase, after: Sequence[Outcome]) -> float | None:
    """Seconds from the end of the burst until all goes as before it; None if it does not.

    As before is a window in which every request is answered with 200, with a p99 no higher than in the worst window of
    the calm.

    Args:
        after: of requests at the rate of the calm, with times from the end of the burst.
    """
    worst = max((percentile([o.latency for o in window], 99) for window in _windows(calm.requests)), default=0.0)
    for number, window in enumerate(_windows([outcome for outcome in after if not outcome.probe])):
        fine = bool(window) and all(outcome.status == 200 for outcome in window)
        if fine and percentile([outcome.latency for outcome in window], 99) <= worst:
            return number * WINDOW_S
    return None


def recovered(seconds: float | None) -> Line:
    said = "not within what was watched" if seconds is None else f"after {seconds:g} s"
    return Line(
        seconds is not None and seconds <= RECOVERED_S,
        f"as before the burst {said} (at most {RECOVERED_S:g} s), in windows of {WINDOW_S:g} s",
    )


def _windows(outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    """By when they were due."""
    count = int(max((outcome.due for outcome in outcomes), default=-WINDOW_S) / WINDOW_S) + 1
    windows: list[list[Outcome]] = [[] for _ in range(count)]
    for outcome in outcomes:
        windows[int(outcome.due / WINDOW_S)].append(outcome)
    return windows


def _statuses(counts: Counter[int]) -> str:
    return ", ".join(f"{count} × {status or 'lost'}" for status, count in sorted(counts.items())) or "not asked"


def _shown(strange: dict[int, int]) -> str:
    return f" but {_statuses(Counter(strange))}" if strange else ""
