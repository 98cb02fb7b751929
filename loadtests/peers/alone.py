"""Figures of ours alone, with the packaged models: how long a start takes, and how much memory it needs."""

import time
from dataclasses import replace

from loadtests.local import service
from loadtests.local.processes import watched_memory
from loadtests.local.servers import free_port
from loadtests.peers.goals import Goal, Measure
from loadtests.peers.measuring import Measuring, Results, say
from loadtests.peers.works import PACKAGED, Work, prepare

WORKERS = 2
"""The goal for memory is for so many."""
DRIVE_S = 1
"""Of each work, while the memory is looked at."""


def measure(run: Measuring, results: Results) -> None:
    """Start it anew for each value; what is on disk has been read before, so the disk is not measured."""
    folder = run.options.folder / "packaged"
    folder.mkdir()
    works = [_packaged(work) for work in prepare(PACKAGED, folder).all]
    starts, peaks = [], []
    for number in range(run.options.pairs):
        port, start = free_port(), time.monotonic()
        with run.serving(service.command(port, workers=WORKERS), port, f"alone-{number}") as server:
            server.wait_until(service.READY, "GET")
            starts.append(time.monotonic() - start)
            with watched_memory(server.process.pid) as seen:
                for work in works:
                    run.per_second(server, work, DRIVE_S)
            peaks.append(max(seen))
    memory = f"peak memory, {WORKERS} workers, all packaged models, every work above (PSS of all processes)"
    results.measures += [
        Measure(memory, "MB", Goal(600, at_least=False), peaks),
        Measure("cold start to ready, all packaged models", "s", Goal(3, at_least=False), starts),
    ]
    say(f"  peak memory {max(peaks):.0f} MB, cold start {max(starts):.2f} s")


def _packaged(work: Work) -> Work:
    """The same request, for the model by the name that it has in the packaged repository."""
    request, name = work.request, PACKAGED.parent.parent.name
    path = request.path.replace("/models/cnn/", f"/models/{name}/")
    return replace(work, request=replace(request, path=path))
