"""`python -m loadtests.soak`: the command line."""

import argparse
import datetime
import signal
import sys
import time
from pathlib import Path

from loadtests.ledger.ledger import Ledger
from loadtests.ledger.load import Load
from loadtests.local import machine, pages, service
from loadtests.local.processes import descriptors, resident_bytes
from loadtests.local.servers import free_port, running
from loadtests.soak import judging, report
from loadtests.soak.judging import MB, Sample
from loadtests.soak.mix import mixed

CONNECTIONS = 16
EVERY = 10_000
"""Requests between two samples; fewer in a short run."""
FEWEST = 50
"""Samples of a run."""
LOOK_S = 0.05


def main() -> None:
    """Exit code 1 if a goal is missed, which a run that was broken off does too."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    load_before, begin = machine.load(), time.monotonic()
    samples, ledger = _soak(arguments)
    how = (
        f"{arguments.workers} workers, {CONNECTIONS} connections, {(time.monotonic() - begin) / 60:.1f} min; load of "
        f"the machine before: {load_before:.1f}"
    )
    lines = judging.judge(samples, ledger, arguments.requests)
    text = report.render(samples, ledger, lines, _facts(how))
    sys.stdout.write(text)
    if arguments.write:
        pages.write(arguments.write, text, report.MARKS)
    sys.exit(0 if all(line.kept for line in lines) else 1)


def _soak(arguments: argparse.Namespace) -> tuple[list[Sample], Ledger]:
    port = free_port()
    samples: list[Sample] = []
    with running(service.command(port, workers=arguments.workers), port, arguments.log) as server:
        server.wait_until(service.READY, "GET")
        with Load([port], mixed(), CONNECTIONS, think_s=0, most=arguments.requests) as load:
            try:
                _watch(load, server.process.pid, arguments.requests, samples)
            except KeyboardInterrupt:
                sys.stderr.write("broken off\n")
    return samples, load.ledger


def _facts(how: str) -> list[str]:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions().items())
    command = " ".join(["python -m loadtests.soak", *sys.argv[1:]])
    return [f"{today}, {machine.describe()}", f"`{command}`: {how}", versions]


def _watch(load: Load, pid: int, wanted: int, samples: list[Sample]) -> None:
    """Add a sample each so many requests, until the load ends."""
    every = min(EVERY, max(1, wanted // FEWEST))
    begin, due = time.monotonic(), every
    while load.running:
        sent = load.ledger.sent
        if sent >= due:
            due = sent - sent % every + every
            samples.append(Sample(sent, resident_bytes(pid), descriptors(pid)))
            _say(samples[-1], wanted, time.monotonic() - begin)
        time.sleep(LOOK_S)


def _say(sample: Sample, wanted: int, seconds: float) -> None:
    rate = sample.requests / seconds
    left_min = (wanted - sample.requests) / rate / 60
    sys.stderr.write(
        f"{sample.requests:,} of {wanted:,}, {rate:.0f}/s, {left_min:.1f} min left: {sample.resident / MB:.1f} MB, "
        f"{sample.descriptors} open files\n"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.soak", description="Sends a million mixed requests.")
    parser.add_argument("--requests", type=int, default=1_000_000, help="in all (1000000)")
    parser.add_argument("--workers", type=int, default=machine.cores(), help="of the server (the cores)")
    parser.add_argument("--log", type=Path, default=Path("/dev/null"), help="where the server's messages go (nowhere)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="a page that keeps the results: docs/reliability.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
