"""SIGTERM under load, and rolling restarts: nothing is lost."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from loadtests.chaos.experiment import Options, Result, all_right, none_lost, told
from loadtests.chaos.nginx import proxy
from loadtests.chaos.probes import probing
from loadtests.chaos.replica import Ended, Replica
from loadtests.ledger import golden
from loadtests.ledger.ledger import Ledger
from loadtests.ledger.load import Load
from loadtests.verdict import Line

LAME_DUCK_S, STOP_S = 3, 25
"""The service's defaults: not ready but answering for so long, then time for what is under way."""
PATIENCE_S = LAME_DUCK_S + STOP_S + 10
"""For a machine that is busy; what is above the two is a missed goal."""
STEADY_S = 0.5
"""Between one that is ready and the end of the next; Kubernetes' `minReadySeconds`. A request that was just refused by
the one that starts must not find that the other one has begun to end."""
ORDERLY = (0, -signal.SIGTERM)


def one_of_two(options: Options, workers: int = 1) -> Result:
    """Clients that know both replicas: the answer's `Connection: close` sends them to the other one."""
    with (
        _replicas(options, 2, workers) as (first, second),
        Load([first.port, second.port], golden.mixed()) as load,
        probing(lambda: first.port) as probes,
    ):
        time.sleep(options.seconds)
        ended = first.terminate(PATIENCE_S)
        time.sleep(options.seconds)
    return told(
        load.ledger,
        [none_lost(load.ledger), all_right(load.ledger), _in_time(ended), _told_unready(probes)],
        [f"readiness of the one that ended: {dict(probes)}"],
    )


def workers_of_two(options: Options) -> Result:
    return one_of_two(options, workers=2)


def alone(options: Options) -> Result:
    """Nowhere else to go: clients come back until they are refused, which loses nothing."""
    with _replicas(options, 1, 1) as (only,), Load([only.port], golden.mixed()) as load:
        time.sleep(options.seconds)
        ended = only.terminate(PATIENCE_S)
    return told(load.ledger, [none_lost(load.ledger), all_right(load.ledger), _in_time(ended)], [])


def behind_nginx(options: Options) -> Result:
    return _rolled(options, rounds=1)


def rolling(options: Options) -> Result:
    return _rolled(options, options.rounds)


def _rolled(options: Options, rounds: int) -> Result:
    """End and start one replica, then the other, and so on; clients know nginx only."""
    with _replicas(options, 2, 1) as replicas, proxy([r.port for r in replicas], options.folder / "nginx") as nginx:
        port = int(nginx.address.rpartition(":")[2])
        with Load([port], golden.mixed()) as load, probing(lambda: port) as probes:
            time.sleep(options.seconds)
            ends = []
            for _ in range(rounds):
                for replica in replicas:
                    ends.append(replica.terminate(PATIENCE_S))
                    replica.start()
                    time.sleep(STEADY_S)
            time.sleep(options.seconds)
    slowest = max(ends, key=lambda end: end.seconds if end.code is not None else float("inf"))
    goals = [
        none_lost(load.ledger),
        _no_errors(load.ledger),
        all_right(load.ledger),
        _in_time(slowest),
        Line(set(probes) == {"200"}, f"the service is ready all the time: {dict(probes)}"),
    ]
    return told(load.ledger, goals, [f"{len(ends)} replicas ended and started"])


@contextmanager
def _replicas(options: Options, count: int, workers: int) -> Iterator[list[Replica]]:
    with ExitStack() as stack:
        made = [Replica(options.folder, {"workers": workers}) for _ in range(count)]
        yield [stack.enter_context(replica) for replica in made]


def _in_time(ended: Ended) -> Line:
    most = LAME_DUCK_S + STOP_S
    return Line(ended.code in ORDERLY and ended.seconds <= most, f"ends in order within {most} s: {ended}")


def _told_unready(probes: Counter[str]) -> Line:
    return Line(probes["503"] > 0, "the one that ends says that it is not ready, before it refuses connections")


def _no_errors(ledger: Ledger) -> Line:
    bad = {status: count for status, count in ledger.answered.items() if status >= 500}
    return Line(not bad, f"no answer of 5xx{f': {bad}' if bad else ''}")
