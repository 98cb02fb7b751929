"""The phases of a run, in order: capacity, a calm, each factor, and a burst with what comes after it."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from loadtests import bodies
from loadtests.ledger import golden
from loadtests.ledger.golden import HOST, Golden
from loadtests.ledger.load import Load
from loadtests.local import service
from loadtests.local.http import as_http
from loadtests.local.servers import ServerFailed
from loadtests.overload.arrivals import Arrival, OpenLoop, Outcome
from loadtests.overload.judging import Phase
from loadtests.peers.open_loop import schedule

FACTORS = (1, 2, 5, 10)
CALM = 0.5
"""Of capacity: a service that is well."""
AFTER_S = 6.0
"""How long it is watched after the burst."""
PROBE_EVERY_S = 0.1
CLOSED_CONNECTIONS = 8
SEED = 5
MODEL = "cnn-relu"


@dataclass(frozen=True, slots=True)
class Run:
    """What every phase needs."""

    port: int
    asked: Golden
    seconds: float
    deadline: float

    def capacity(self) -> float:
        """Requests a second that are answered to a few clients who wait for their answers; all are checked.

        Raises:
            ServerFailed: an answer is wrong or lost.
        """
        begin = time.perf_counter()
        with Load([self.port], [self.asked], CLOSED_CONNECTIONS, think_s=0) as load:
            time.sleep(self.seconds)
        ledger = load.ledger
        if ledger.wrong or ledger.lost or not ledger.answered:
            raise ServerFailed(f"capacity: {dict(ledger.wrong)} wrong, {dict(ledger.lost)} lost")
        return ledger.answered.total() / (time.perf_counter() - begin)

    def phase(self, factor: float, rate: float) -> Phase:
        outcomes = OpenLoop(self.port).run(self._arrivals([(rate, self.seconds)]))
        return Phase(factor, self.seconds, self.deadline, outcomes)

    def burst(self, factor: float, rate: float, calm: float) -> tuple[Phase, list[Outcome]]:
        """A phase, and what follows it at the calm rate at once; the times of that are from the end of the burst."""
        outcomes = OpenLoop(self.port).run(self._arrivals([(rate, self.seconds), (calm, AFTER_S)]))
        during = [outcome for outcome in outcomes if outcome.due < self.seconds]
        after = [shifted(outcome, self.seconds) for outcome in outcomes if outcome.due >= self.seconds]
        return Phase(factor, self.seconds, self.deadline, during), after

    def _arrivals(self, parts: Sequence[tuple[float, float]]) -> list[Arrival]:
        """Requests at each rate for its time, and health probes throughout."""
        arrivals, start = [], 0.0
        for rate, seconds in parts:
            due = schedule(rate, seconds)
            arrivals += [Arrival(start + time, self.asked.message) for time in due.tolist() if time < seconds]
            start += seconds
        live = as_http(HOST, service.LIVE, "GET")
        arrivals += [Arrival(PROBE_EVERY_S * number, live, True) for number in range(int(start / PROBE_EVERY_S))]
        return sorted(arrivals, key=lambda arrival: arrival.due)


def shifted(outcome: Outcome, seconds: float) -> Outcome:
    return replace(
        outcome, due=outcome.due - seconds, began=outcome.began - seconds, answered=outcome.answered - seconds
    )


def binary(images: int) -> Golden:
    """So many images as one binary tensor, 12 KB each."""
    return golden.of(bodies.classify_binary(random.Random(SEED), images))


def photos(images: int) -> Golden:
    """So many photos in one multipart body, about 1 KB each, of which the service has to decode every one."""
    samples = sorted(bodies.SAMPLES.glob("*.jpg"))
    chosen = [samples[number % len(samples)] for number in range(images)]
    return golden.of(bodies.predict_two(random.Random(SEED), MODEL, chosen))


REQUESTS = {"binary": binary, "photos": photos}
