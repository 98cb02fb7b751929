"""The rows of the table: which work, against whom, and what the goal is."""

from collections.abc import Callable
from statistics import median

from loadtests.local.servers import Server
from loadtests.peers import profile
from loadtests.peers.goals import Goal, Ratio
from loadtests.peers.measuring import Measuring, Results, say
from loadtests.peers.pairs import alternate
from loadtests.peers.works import BATCH, Work
from loadtests.peers.wrk import LoadFailed

Side = Callable[[], float]
PER_SECOND = "requests/s"
ONE_BINARY = "one image, V2 binary, 32 connections"
ONE_JSON = "one image, V2 JSON, 32 connections"
SHARE_OF_PEAK = 0.5


def row(run: Measuring, results: Results, kind: Ratio, ours: Side, theirs: Side) -> Ratio | None:
    """Measure the pairs of a row; one that fails is named and left out.

    Args:
        kind: the row without its pairs.
    """
    try:
        pairs = alternate(ours, theirs, run.options.pairs)
    except LoadFailed as error:
        results.failed[f"{kind.work}, against {kind.against}"] = str(error)
        say(f"  {kind.work}: {error}")
        return None
    measured = Ratio(kind.work, kind.against, kind.unit, kind.goal, pairs, kind.note)
    results.ratios.append(measured)
    say(f"  {kind.work}: {' '.join(f'{ratio:.2f}' for ratio in measured.ratios)}")
    return measured


def throughput(
    run: Measuring, results: Results, names: tuple[str, str], goal: Goal, work: Work, servers: tuple[Server, Server]
) -> Ratio | None:
    """A row of requests a second.

    Args:
        names: of the work, and of whom it is compared with.
        servers: ours and theirs.
    """
    ours, theirs = servers
    kind = Ratio(*names, PER_SECOND, goal, [])
    return row(run, results, kind, lambda: run.per_second(ours, work), lambda: run.per_second(theirs, work))


def against_triton(run: Measuring, results: Results, ours: Server, triton: Server) -> None:
    works, both = run.works, (ours, triton)
    one = throughput(run, results, (ONE_BINARY, "Triton"), Goal(1.1, every=True), works.one_binary, both)
    throughput(run, results, (ONE_JSON, "Triton"), Goal(1.5), works.one_json, both)
    relu = ("ReLU over 1 M float32, V2 binary, 4 connections", "Triton")
    throughput(run, results, relu, Goal(1.2), works.relu_binary, both)
    relu = ("ReLU over 100 k float32, V2 JSON, 4 connections", "Triton")
    throughput(run, results, relu, Goal(2), works.relu_json, both)
    if one is not None:
        _p99(run, results, one, both)
    for name, work in ((ONE_BINARY, works.one_binary), (ONE_JSON, works.one_json)):
        for server, whose in ((ours, profile.OURS), (triton, "Triton")):
            profile.take(run, results, server, work, (name, whose))


def _p99(run: Measuring, results: Results, peak: Ratio, both: tuple[Server, Server]) -> None:
    """Both under the same load, half of what the slower one can: a share of each one's own would favour the slower."""
    ours, triton = both
    rate = SHARE_OF_PEAK * min(side.median for side in peak.sides)
    note = f"both at {rate:.0f} requests/s, half of the slower one's peak; from when each request was due"
    kind = Ratio("p99 at half load, one image, V2 binary", "Triton", "ms", Goal(1, at_least=False), [], note)
    work = run.works.one_binary
    row(run, results, kind, lambda: run.p99_ms(ours, work, rate), lambda: run.p99_ms(triton, work, rate))


def against_python_peer(run: Measuring, results: Results, name: str, ours: Server, peer: Server) -> None:
    throughput(run, results, (ONE_JSON, name), Goal(4), run.works.one_json, (ours, peer))
    for server, whose in ((ours, profile.OURS), (peer, name)):
        profile.take(run, results, server, run.works.one_json, (ONE_JSON, whose))


def against_raw(run: Measuring, results: Results, ours: Server) -> None:
    name = f"{BATCH} images a request, V2 binary, 4 connections"
    kind = Ratio(name, "ONNX Runtime alone", "images/s", Goal(0.9), [])
    row(run, results, kind, lambda: run.per_second(ours, run.works.batch) * BATCH, run.raw_rows_per_s)
    profile.take(run, results, ours, run.works.batch, (name, profile.OURS))


def of_jpeg(run: Measuring, results: Results, ours: Server) -> None:
    """Both sides are ours."""
    names = ("one JPEG to `predict`, 32 connections", "ours with binary tensors")
    if run.works.jpeg is None:
        results.skipped[names[0]] = "the model does not say how a picture of the sample's size becomes its input"
        return
    kind = Ratio(*names, PER_SECOND, Goal(0.8), [])
    jpeg, binary = run.works.jpeg, run.works.one_binary
    row(run, results, kind, lambda: run.per_second(ours, jpeg), lambda: run.per_second(ours, binary))
    profile.take(run, results, ours, jpeg, (names[0], profile.OURS))


def of_latency(run: Measuring, results: Results, ours: Server, empty: Server) -> None:
    """What cannot be less: the model's run, and a request through the framework."""
    work = run.works.one_binary
    parts: list[tuple[float, float]] = []

    def least() -> float:
        parts.append((run.raw_run_us() / 1000, run.alone_us(empty, work) / 1000))
        return sum(parts[-1])

    kind = Ratio(
        "one image, V2 binary, one connection, median latency",
        "ONNX Runtime's run + an empty FastAPI route",
        "ms",
        Goal(1.3, at_least=False),
        [],
    )
    measured = row(run, results, kind, lambda: run.alone_us(ours, work) / 1000, least)
    if measured is not None:
        runs, routes = zip(*parts, strict=True)
        note = f"the run {median(runs):.2f} ms, the route {median(routes):.2f} ms, with the same request"
        results.ratios[-1] = Ratio(kind.work, kind.against, kind.unit, kind.goal, measured.pairs, note)
