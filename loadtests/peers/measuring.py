"""What every measurement needs, and the ways to take one figure of a server."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.local.servers import Command, Server, running
from loadtests.peers import open_loop, raw, wrk
from loadtests.peers.goals import Measure, Profile, Ratio
from loadtests.peers.works import Work, Works

WARM_UP_S = 1


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    Args:
        seconds: of one measurement.
        workers: processes of each server, and of ONNX Runtime alone.
        folder: for scratch files, a new one a run.
    """

    model: Path
    seconds: int
    pairs: int
    workers: int
    folder: Path


@dataclass(slots=True)
class Results:
    """What a run has found so far."""

    ratios: list[Ratio] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)
    profiles: list[Profile] = field(default_factory=list)
    chosen: dict[str, str] = field(default_factory=dict)
    """By peer, its configuration: the fastest, and what the others did."""
    versions: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    """Peers that are not here, or do not work, with the reason: no fault of ours."""
    failed: dict[str, str] = field(default_factory=dict)
    """What should have been measured all the same, with the reason."""


@dataclass(frozen=True, slots=True)
class Measuring:
    """One run: its options, its work, and the figures that can be taken."""

    options: Options
    works: Works

    @contextmanager
    def serving(self, command: Command, port: int, name: str) -> Iterator[Server]:
        with running(command, port, self.options.folder / f"{name}.log") as server:
            yield server

    def ready(self, server: Server, works: list[Work]) -> None:
        """Wait until it answers, check what it answers to each, and warm it up.

        Raises:
            ServerFailed: it does not start, or an answer is wrong.
            LoadFailed: it cannot be driven.
        """
        server.wait_until(works[0].request)
        for work in works:
            work.check(server)
            wrk.drive(server.address, work.request, work.connections, WARM_UP_S, self.options.folder)

    def per_second(self, server: Server, work: Work, seconds: int | None = None) -> float:
        """Requests answered a second, closed loop."""
        load = wrk.drive(
            server.address, work.request, work.connections, seconds or self.options.seconds, self.options.folder
        )
        return load.requests_per_s

    def alone_us(self, server: Server, work: Work) -> float:
        """Median latency over one connection."""
        return wrk.drive(server.address, work.request, 1, self.options.seconds, self.options.folder).p50_us

    def p99_ms(self, server: Server, work: Work, rate: float) -> float:
        """At so many requests a second, counted from when each was due."""
        latencies = open_loop.drive(server.address, work.request, rate, work.connections, self.options.seconds)
        return latencies.p99_us / 1000

    def raw_rows_per_s(self) -> float:
        """ONNX Runtime alone, at the batch of `works.batch`."""
        options = self.options
        return raw.measure(options.model, self.works.rows, options.workers, options.seconds).rows_per_s

    def raw_run_us(self) -> float:
        """ONNX Runtime alone, one process, one row."""
        return raw.measure(self.options.model, self.works.rows[:1], 1, self.options.seconds).run_us


def say(text: str) -> None:
    """Progress, apart from the result."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
