"""kill -9 of a worker: what it was answering is lost, and nothing else."""

import os
import signal
import time
from collections import Counter

from loadtests.chaos.experiment import Options, Result, all_right, told
from loadtests.chaos.probes import probing
from loadtests.chaos.replica import Replica, after
from loadtests.ledger import golden
from loadtests.ledger.ledger import Entry
from loadtests.ledger.load import Load
from loadtests.local import connections
from loadtests.verdict import Line

WORKERS = 2
NOTICED_S = 2.0
"""For the first process to see that a worker has gone; it looks every half second."""
STARTS = 2.0
"""Times of the server's own start, for the new worker's, which shares the machine with a load."""
WAIT_S = 60.0
AT_ONCE_S = 1.0
"""For a client to see that its connection has gone."""


def worker(options: Options) -> Result:
    with Replica(options.folder, {"workers": WORKERS}) as replica:
        after(WAIT_S, lambda: replica.metric("actserve_workers") == WORKERS)
        with Load([replica.port], golden.mixed()) as load, probing(lambda: replica.port) as probes:
            time.sleep(options.seconds)
            held = connections.by_process(replica.pid, replica.port)
            victim = max(held, key=lambda pid: len(held[pid]))
            busy = [entry for entry in list(load.ledger.open.values()) if entry.connection in held[victim]]
            os.kill(victim, signal.SIGKILL)
            killed = time.monotonic()
            replaced = after(WAIT_S, lambda: _replaced(replica, victim))
            time.sleep(options.seconds)
    losses = load.ledger.losses
    goals = [
        _only_its(losses, held[victim], killed),
        all_right(load.ledger),
        _soon(replaced, replica.start_s),
        Line(_never_unready(probes), f"ready all the time: {dict(probes)}"),
    ]
    facts = [
        f"{len(held[victim])} of {sum(map(len, held.values()))} connections were the killed worker's, {len(busy)} "
        f"with a request under way; the last loss was seen {_last_ms(losses, killed):.0f} ms after the kill, for what "
        "is sent to a process that is being taken down is lost too"
    ]
    return told(load.ledger, goals, facts)


def _replaced(replica: Replica, victim: int) -> bool:
    return not os.path.exists(f"/proc/{victim}/fd") and replica.metric("actserve_workers") == WORKERS


def _only_its(losses: list[Entry], held: set[int], killed: float) -> Line:
    """One request a connection at most: that is all that can have been under way."""
    strangers = [entry for entry in losses if entry.connection not in held]
    late = [entry for entry in losses if entry.ended > killed + AT_ONCE_S]
    return Line(
        not strangers and not late and len({entry.connection for entry in losses}) == len(losses),
        f"{len(losses)} lost, each the one request on a connection of the killed worker"
        + (f"; {len(strangers)} on others" if strangers else "")
        + (f"; {len(late)} later than {AT_ONCE_S:g} s" if late else ""),
    )


def _never_unready(probes: Counter[str]) -> bool:
    """The probe that the killed worker was answering may be lost as any request."""
    others = {seen: count for seen, count in probes.items() if seen != "200"}
    reset = {"ConnectionResetError", "RemoteDisconnected"}
    return probes["200"] > 0 and others.keys() <= reset and sum(others.values()) <= 1


def _last_ms(losses: list[Entry], killed: float) -> float:
    return max((entry.ended - killed for entry in losses), default=0.0) * 1000


def _soon(replaced: float | None, start_s: float) -> Line:
    most = NOTICED_S + STARTS * start_s
    said = "not at all" if replaced is None else f"after {replaced:.1f} s"
    return Line(
        replaced is not None and replaced <= most,
        f"{WORKERS} workers again {said} (at most {most:.1f} s; the server's start took {start_s:.1f} s)",
    )
