"""More connections than the server may have files open: those that it has are served, others wait, nothing spins."""

import contextlib
import resource
import socket
import time
from pathlib import Path

from loadtests.chaos.experiment import Options, Result, all_right, none_lost, told
from loadtests.chaos.probes import timed
from loadtests.chaos.replica import Replica
from loadtests.ledger import golden
from loadtests.ledger.load import Load
from loadtests.local.processes import cpu_seconds, tree
from loadtests.verdict import Line

SPARE = 20
"""Descriptors that a process gets beside those that it has open and those of the load."""
MORE = 150
CONNECTIONS = 10
RECOVERY_S = 2.0
MOST_CPU = 0.2
"""Of a core, while connections wait and nobody asks anything."""


def one(options: Options) -> Result:
    return exhausted(options, workers=1)


def two(options: Options) -> Result:
    return exhausted(options, workers=2)


def exhausted(options: Options, workers: int) -> Result:
    with Replica(options.folder, {"workers": workers}) as replica, contextlib.ExitStack() as opened:
        with Load([replica.port], golden.mixed(), CONNECTIONS) as load:
            time.sleep(options.seconds)
            limits = _limit(replica.pid)
            for _ in range(MORE):
                opened.enter_context(socket.create_connection(("127.0.0.1", replica.port), 5))
            begin = load.ledger.answered.total()
            time.sleep(options.seconds)
            served = load.ledger.answered.total() - begin
            made_anew = load.ledger.connected - CONNECTIONS
        spent = cpu_seconds(replica.pid)
        time.sleep(options.seconds)
        share = (cpu_seconds(replica.pid) - spent) / options.seconds
        opened.close()
        status, seconds = timed(replica.port, "/v2/health/ready")
    goals = [
        none_lost(load.ledger),
        all_right(load.ledger),
        Line(served > 0 and not made_anew, f"{served} requests answered meanwhile, {made_anew} connections made anew"),
        Line(share <= MOST_CPU, f"{share:.2f} of a core while connections wait (at most {MOST_CPU})"),
        Line(
            status == "200" and seconds <= RECOVERY_S,
            f"a new connection is answered within {RECOVERY_S:g} s of the end: {status} after {seconds:.2f} s",
        ),
    ]
    return told(load.ledger, goals, [f"{MORE} connections more, limits of open files {limits}"])


def _limit(root: int) -> list[int]:
    """Leave each process of the tree little more than it has open."""
    limits = []
    for pid, _ in tree(root):
        limits.append(_highest(pid) + SPARE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limits[-1], limits[-1]))
    return limits


def _highest(pid: int) -> int:
    """The limit is on the number that a new descriptor gets, not on how many there are."""
    return max(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir())
