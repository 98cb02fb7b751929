"""Where a request's time goes: what a server's processors did for it, and what of that its statistics account for.

The processor time of a server is that of its whole process tree, from /proc. What its model run, decoding and encoding
took is from the protocol's statistics, which Triton has too; these are times by the clock, so a little more than
processor time where a process was kept waiting. The rest is the server's: HTTP, scheduling, copies.
"""

import json
from dataclasses import replace

from loadtests.peers import machine
from loadtests.peers.bodies import Request
from loadtests.peers.goals import Profile
from loadtests.peers.measuring import Measuring, Results
from loadtests.peers.processes import cpu_seconds
from loadtests.peers.servers import Server, ServerFailed
from loadtests.peers.works import Work

Counters = dict[str, int]
"""Nanoseconds, by what they were spent on."""


def take(run: Measuring, results: Results, server: Server, work: Work, names: tuple[str, str]) -> None:
    """Drive the server once more, as for the table.

    Args:
        names: of the work, and of the server.

    Raises:
        LoadFailed: it cannot be driven.
        ServerFailed: its statistics cannot be read.
    """
    before, spent = _counters(server, work.request), cpu_seconds(server.process.pid)
    per_second = run.per_second(server, work)
    spent = cpu_seconds(server.process.pid) - spent
    after = _counters(server, work.request)
    requests = per_second * run.options.seconds
    profile = Profile(*names, machine.cores() / per_second * 1e6, spent / requests * 1e6)
    if before is not None and after is not None:
        spans = {name: (after[name] - before[name]) / 1000 / requests for name in after}
        profile = replace(profile, run=spans["run"], decode=spans["decode"], encode=spans["encode"])
    results.profiles.append(profile)


def _counters(server: Server, request: Request) -> Counters | None:
    """What the model's statistics say; None if the server has none."""
    model = request.path.split("/models/")[-1].split("/")[0]
    status, _, body = server.ask(Request(f"/v2/models/{model}/stats", {}, b""), "GET")
    if status != 200:
        return None
    try:
        (stats,) = json.loads(body)["model_stats"]
        return {
            "run": sum(batch["compute_infer"]["ns"] for batch in stats["batch_stats"]),
            "decode": stats["inference_stats"]["compute_input"]["ns"],
            "encode": stats["inference_stats"]["compute_output"]["ns"],
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ServerFailed(f"the statistics of {model} cannot be read: {body[:300]!r}") from error
