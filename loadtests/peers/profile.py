"""Where a request's time goes: what a server's processors did for it, and what of that its statistics account for.

The processor time of a server is that of its whole process tree, from /proc. What our model runs, decoding and encoding
took is from the protocol's statistics; these are times by the clock, so a little more than processor time where a
process was kept waiting. (Triton has the statistics too, but its stages are waited for in threads beside each other:
they add up to more than its processors did.) The rest is the server's: HTTP, scheduling, copies.
"""

import json
from dataclasses import replace

from loadtests.local import machine
from loadtests.local.http import Request
from loadtests.local.processes import cpu_seconds
from loadtests.local.servers import Server, ServerFailed
from loadtests.peers.goals import Profile
from loadtests.peers.measuring import Measuring, Results
from loadtests.peers.works import Work

OURS = "ours"
Counters = dict[str, int]
"""Nanoseconds, by what they were spent on."""


def take(run: Measuring, results: Results, server: Server, work: Work, names: tuple[str, str]) -> None:
    """Drive the server once more, as for the table.

    Args:
        names: of the work, and of the server; that of ours is `OURS`.

    Raises:
        LoadFailed: it cannot be driven.
        ServerFailed: our statistics cannot be read.
    """
    ours = names[1] == OURS
    before, spent = _counters(server, work.request) if ours else {}, cpu_seconds(server.process.pid)
    per_second = run.per_second(server, work)
    spent = cpu_seconds(server.process.pid) - spent
    requests = per_second * run.options.seconds
    profile = Profile(*names, machine.cores() / per_second * 1e6, spent / requests * 1e6)
    if ours:
        after = _counters(server, work.request)
        spans = {name: (after[name] - before[name]) / 1000 / requests for name in after}
        profile = replace(profile, run=spans["run"], decode=spans["decode"], encode=spans["encode"])
    results.profiles.append(profile)


def _counters(server: Server, request: Request) -> Counters:
    """What the model's statistics say."""
    model = request.path.split("/models/")[-1].split("/")[0]
    _, _, body = server.ask(Request(f"/v2/models/{model}/stats", {}, b""), "GET")
    try:
        (stats,) = json.loads(body)["model_stats"]
        return {
            "run": sum(batch["compute_infer"]["ns"] for batch in stats["batch_stats"]),
            "decode": stats["inference_stats"]["compute_input"]["ns"],
            "encode": stats["inference_stats"]["compute_output"]["ns"],
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ServerFailed(f"the statistics of {model} cannot be read: {body[:300]!r}") from error
