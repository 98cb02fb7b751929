"""The comparison, in order: ours stays up, one other server at a time beside it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from loadtests.local import service
from loadtests.local.servers import Server, ServerFailed, free_port
from loadtests.peers import alone, environments, ours, rows
from loadtests.peers.measuring import Measuring, Options, Results, say
from loadtests.peers.peers import TRITON, Peer, Start
from loadtests.peers.works import Work, prepare
from loadtests.peers.wrk import LoadFailed

TRIAL_S = 2
"""Of each configuration of a peer, to find its fastest."""


def quick(options: Options) -> Results:
    """Ours against ONNX Runtime alone."""
    results, run = Results(), Measuring(options, prepare(options.model, options.folder))
    with _ours(run, [run.works.batch]) as server:
        rows.against_raw(run, results, server)
    return results


def full(options: Options, peers: Sequence[Peer], unfit: dict[str, str]) -> Results:
    """Everything.

    Args:
        peers: those asked for.
        unfit: the ones among them, by their keys, that may not be started here, with the reason.
    """
    results, run = Results(), Measuring(options, prepare(options.model, options.folder))
    with _ours(run, run.works.all) as server:
        if TRITON in peers:
            _peer(run, results, TRITON, unfit, partial(rows.against_triton, run, results, server))
        say("ours alone")
        rows.against_raw(run, results, server)
        rows.of_jpeg(run, results, server)
        with _named(results.failed, "latency over one connection"), _empty(run) as empty:
            rows.of_latency(run, results, server, empty)
        for peer in peers:
            if peer is not TRITON:
                measure = partial(rows.against_python_peer, run, results, peer.name, server)
                _peer(run, results, peer, unfit, measure)
    say("ours, started anew")
    with _named(results.failed, "memory and cold start"):
        alone.measure(run, results)
    return results


@contextmanager
def _named(reasons: dict[str, str], what: str) -> Iterator[None]:
    """What cannot be measured is told with the rest, which is not lost."""
    try:
        yield
    except (environments.NotInstalled, ServerFailed, LoadFailed) as error:
        reasons[what] = str(error)
        say(f"  {what}: {error}")


@contextmanager
def _ours(run: Measuring, works: list[Work]) -> Iterator[Server]:
    port, options = free_port(), run.options
    repository = ours.repository(options.folder / "repository", options.model)
    settings = {"workers": options.workers, "repository": repository, "request_log": False}  # nor have the others one
    with run.serving(service.command(port, **settings), port, "ours") as server:
        run.ready(server, works)
        yield server


@contextmanager
def _empty(run: Measuring) -> Iterator[Server]:
    port, work = free_port(), run.works.one_binary
    with run.serving(ours.empty_route(port, run.options.workers), port, "empty") as server:
        run.ready(server, [replace(work, expected={}, read=lambda headers, body: {})])
        yield server


def _peer(
    run: Measuring, results: Results, peer: Peer, unfit: dict[str, str], measure: Callable[[Server], None]
) -> None:
    """Find its fastest configuration, start it in that and measure; a peer that cannot be measured is named."""
    say(peer.name)
    works = run.works.of_both if peer is TRITON else [run.works.one_json]
    with _named(results.skipped, peer.name):
        if peer.key in unfit:
            raise environments.NotInstalled(unfit[peer.key])
        environment = environments.find(peer.key, peer.requirements)
        results.versions[peer.name] = environments.version(environment, peer.package)
        configuration = _fastest(run, results, peer, environment, works)
        with _serving(run, peer, environment, configuration, "measured") as server:
            run.ready(server, works)
            if peer is TRITON:  # its package is another product, with a version of its own
                results.versions[peer.name] = f"{server.version()} (nvidia-pytriton {results.versions[peer.name]})"
            measure(server)


def _fastest(run: Measuring, results: Results, peer: Peer, environment: Path, works: list[Work]) -> str:
    """By its requests a second of one image; one that fails takes no part.

    Raises:
        ServerFailed: all failed.
    """
    rates, reasons = {}, []
    for number, configuration in enumerate(peer.configurations):
        try:
            with _serving(run, peer, environment, configuration, f"trial-{number}") as server:
                run.ready(server, works[:1])
                rates[configuration] = run.per_second(server, works[0], TRIAL_S)
        except (ServerFailed, LoadFailed) as error:
            reasons.append(f"{configuration}: {error}")
            say(f"  {configuration}: {error}")
    if not rates:
        raise ServerFailed("; ".join(reasons))
    fastest = max(rates, key=lambda configuration: rates[configuration])
    others = [f"{name} {rate:.0f}" for name, rate in rates.items() if name != fastest]
    results.chosen[peer.name] = f"{fastest} ({rates[fastest]:.0f} requests/s in a trial; {', '.join(others)})"
    say(f"  {results.chosen[peer.name]}")
    return fastest


@contextmanager
def _serving(run: Measuring, peer: Peer, environment: Path, configuration: str, label: str) -> Iterator[Server]:
    scratch = run.options.folder / f"{peer.key}-{label}"
    scratch.mkdir()
    start = Start(environment, scratch, free_port(), run.options.workers, run.works.models)
    with run.serving(peer.command(start, configuration), start.port, f"{peer.key}-{label}") as server:
        yield server
