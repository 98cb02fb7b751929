"""`python -m loadtests.overload`: the command line."""

import argparse
import datetime
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtests.local import machine, pages, service
from loadtests.local.servers import Server, ServerFailed, free_port, running
from loadtests.overload import judging, report
from loadtests.overload.arrivals import MOST_CONNECTIONS
from loadtests.overload.judging import Phase
from loadtests.overload.phases import CALM, FACTORS, REQUESTS, Run
from loadtests.verdict import Line

SPARE = 100
"""Open files of the client beside its connections."""
CAPACITY_TRIES = 2
"""The first warms the server up."""


def main() -> None:
    """Exit code 1 if a goal is missed, or the service cannot be measured."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the server is ended
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("it takes two cores: one for the server, one for the client, which must not be what is measured")
    described, load = machine.describe(), machine.load()
    with tempfile.TemporaryDirectory(prefix="overload-") as folder, _served(arguments, cores, Path(folder)) as server:
        run = Run(
            int(server.address.split(":")[1]),
            REQUESTS[arguments.request](arguments.images),
            arguments.seconds,
            arguments.deadline,
        )
        try:
            measured, lines, capacity = _measure(run)
        except ServerFailed as error:
            sys.exit(f"overload: {error}")
    how = (
        f"{arguments.images} images a request, {arguments.request}; capacity {capacity:.0f} requests/s; deadline "
        f"{arguments.deadline:g} s; {arguments.seconds:g} s a phase; load of the machine before: {load:.1f}"
    )
    _print(measured, lines, (described, how), arguments.write)
    sys.exit(0 if all(line.kept for line in lines) else 1)


def _measure(run: Run) -> tuple[list[Phase], list[Line], float]:
    capacity = [run.capacity() for _ in range(CAPACITY_TRIES)][-1]
    _say(f"capacity {capacity:.0f} requests/s")
    calm = run.phase(CALM, CALM * capacity)
    measured = []
    for factor in FACTORS[:-1]:
        measured.append(run.phase(factor, factor * capacity))
        _say(" ".join(report.row(measured[-1])))
    last, after = run.burst(FACTORS[-1], FACTORS[-1] * capacity, CALM * capacity)
    measured.append(last)
    _say(" ".join(report.row(last)))
    lines = [*judging.judge(measured), judging.recovered(judging.recovery(calm, after))]
    return [calm, *measured], lines, capacity


@contextmanager
def _served(arguments: argparse.Namespace, cores: list[int], folder: Path) -> Iterator[Server]:
    """One worker on the first core; this process goes on on the last one."""
    port = free_port()
    command = service.command(port, workers=1, deadline_seconds=arguments.deadline)
    os.sched_setaffinity(0, cores[:1])  # what is started now inherits it
    with running(command, port, folder / "server.log") as server:
        os.sched_setaffinity(0, cores[-1:])
        _allow(MOST_CONNECTIONS + SPARE)
        server.wait_until(service.READY, "GET")
        yield server


def _allow(descriptors: int) -> None:
    """Let this process, and not the server, have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < descriptors:
        sys.exit(f"it takes {descriptors} open files, {hard} are allowed (ulimit -n)")
    if soft != resource.RLIM_INFINITY and soft < descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))


def _print(measured: list[Phase], lines: list[Line], about: tuple[str, str], page: Path | None) -> None:
    """With what is said about the machine, and about the run."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions().items())
    command = " ".join(["python -m loadtests.overload", *sys.argv[1:]])
    text = report.render(measured, lines, [f"{today}, {about[0]}", f"`{command}`: {about[1]}", versions])
    sys.stdout.write(text)
    if page:
        pages.write(page, text, report.MARKS)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.overload", description="Offers one to ten times of what the service can answer."
    )
    parser.add_argument("--seconds", type=float, default=15, help="of each phase (15)")
    parser.add_argument("--deadline", type=float, default=1, help="ACTSERVE_DEADLINE_SECONDS of the server (1)")
    parser.add_argument("--request", choices=REQUESTS, default="photos", help="how images are sent (photos)")
    parser.add_argument("--images", type=int, default=32, help="of a request (32)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="a page that keeps the results: docs/reliability.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
