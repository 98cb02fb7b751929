"""GET /metrics: what Prometheus collects, the same from whichever worker it asks.

Counters are those of all workers, also of those that have ended. What is true at a moment only is asked of each worker
when the metrics are, so a worker that has gone is in none of it.

Triton's metrics are here under its own names, so that what is made for Triton shows this service. They are untyped: the
library writes counters with names that end in `_total`, and Triton's do not.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from anyio import to_thread
from fastapi import APIRouter, Request
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    UntypedMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.responses import Response

from service import __version__
from service.engine.runtime.words import runtime_version
from service.engine.statistics import Counts
from service.routes.http import query
from service.routes.standing import REPORT
from service.routes.state import Services, Shared
from service.routes.targets import FunctionModel, Target, all_served
from service.workers import histogram
from service.workers.lives import Lives
from service.workers.workers import State

router = APIRouter()

MODEL = ("model", "version")

ROWS = tuple(2**power for power in range(13))
"""Bounds of the histogram of runs by rows."""

STAGES = {
    "success": "total",
    "queue": "queue",
    "compute_input": "decode",
    "compute_infer": "compute",
    "compute_output": "encode",
}
"""The protocol's names of stages, and what they are."""

TRITON_TIMES = {
    "success": ("nv_inference_request_duration_us", "Microseconds from the request's arrival to its answer"),
    "queue": ("nv_inference_queue_duration_us", "Microseconds that requests waited for a run"),
    "compute_input": ("nv_inference_compute_input_duration_us", "Microseconds of decoding requests"),
    "compute_infer": ("nv_inference_compute_infer_duration_us", "Microseconds in ONNX Runtime"),
    "compute_output": ("nv_inference_compute_output_duration_us", "Microseconds of encoding answers"),
}


@router.get("/metrics", tags=["operations"], summary="Metrics for Prometheus", response_class=Response)
async def metrics(request: Request, services: Shared) -> Response:
    """Counters, histograms and gauges in Prometheus's text format, or in OpenMetrics' if `Accept` asks for it."""
    query(request, [])
    encode, content_type = choose_encoder(",".join(request.headers.getlist("accept")))
    text = await to_thread.run_sync(lambda: encode(Collected(services)))  # not in the pool: it may be what hangs
    return Response(text, media_type=content_type)


@dataclass(frozen=True, slots=True)
class Collected(Collector):
    """Everything, at this moment."""

    services: Services

    def collect(self) -> Iterator[Metric]:
        services = self.services
        standings = services.workers.reports(REPORT)
        counted = [(target, target.statistics.counts()) for target in all_served(services)]
        used = [(target, counts) for target, counts in counted if _is_told(target, counts)]
        yield from _server(services, standings)
        yield from _models(services)
        yield from _loads(counted)
        yield from _waiting(counted, standings)
        yield from _triton(used)
        yield from _stages(used)
        yield from _http(services)
        yield from _refusals(services)


def _is_told(target: Target, counts: Counts) -> bool:
    """Models always; of the many functions those that were asked for."""
    return not isinstance(target, FunctionModel) or counts.requests > 0 or any(counts.failures.values())


def _server(services: Services, standings: list[State]) -> Iterator[Metric]:
    build = GaugeMetricFamily("actserve_build", "Versions; always 1", labels=("version", "onnxruntime"))
    build.add_metric((__version__, runtime_version()), 1)
    yield build
    device = services.device
    labels = ("wanted", "device", "provider", "reason")
    where = GaugeMetricFamily("actserve_device", "The device in use, and why; always 1", labels=labels)
    where.add_metric((device.wanted, device.kind, device.provider, device.reason or ""), 1)
    yield where
    yield GaugeMetricFamily("actserve_workers", "Worker processes that answer", len(standings))
    wanted = services.settings.workers or 1  # what was started has a number; an application alone is its only worker
    yield GaugeMetricFamily("actserve_workers_wanted", "Worker processes that there should be", wanted)
    replaced = max(0, services.lives.begun() - wanted)
    text = "Workers that were started in the place of ones that had ended"
    yield CounterMetricFamily("actserve_workers_replaced", text, replaced)
    if standings:  # none if the only worker's loop does not move: better no figure than a wrong one
        yield from _loops(standings)
    yield from _process(standings, services.lives)


def _loops(standings: list[State]) -> Iterator[Metric]:
    start = max(standing["start_seconds"] for standing in standings)
    text = "Time to find the device and load and try all models, in the slowest worker"
    yield GaugeMetricFamily("actserve_start_seconds", text, start)
    in_flight = sum(standing["in_flight"] for standing in standings)
    yield GaugeMetricFamily("actserve_requests_in_flight", "HTTP requests that are being answered", in_flight)
    lag = max(standing["lag_seconds"] for standing in standings)
    yield GaugeMetricFamily("actserve_event_loop_lag_seconds", "How long the slowest worker's loop let us wait", lag)
    block = max(standing["longest_block_seconds"] for standing in standings)
    text = "The longest time for which a worker's loop did not move"
    yield GaugeMetricFamily("actserve_event_loop_longest_block_seconds", text, block)


def _process(standings: list[State], lives: Lives) -> Iterator[Metric]:
    """Under the usual names, those of all workers added."""
    text = "Processor time of the workers; of ended ones up to when the metrics were last asked for"
    yield CounterMetricFamily("process_cpu_seconds", text, lives.cpu_seconds())
    for key, name, text in (
        ("resident_bytes", "process_resident_memory_bytes", "Memory of the workers; what they share counts for each"),
        ("open_files", "process_open_fds", "Open files and connections of the workers"),
    ):
        values = [standing[key] for standing in standings if standing[key] is not None]
        if values:
            yield GaugeMetricFamily(name, text, sum(values))


def _models(services: Services) -> Iterator[Metric]:
    ready = GaugeMetricFamily("actserve_model_ready", "1 if the version is served, 0 if it is not", labels=MODEL)
    for line in services.repository.index():
        ready.add_metric((line.name, line.version or ""), float(line.state == "READY"))
    yield ready
    nodes = GaugeMetricFamily(
        "actserve_model_nodes", "Nodes of a model's graph by the provider that runs them", labels=(*MODEL, "provider")
    )
    for model in services.repository.models():
        for provider, count in model.session.placement.items():
            nodes.add_metric((model.name, str(model.version), provider), count)
    yield nodes


def _loads(counted: Iterable[tuple[Target, Counts]]) -> Iterator[Metric]:
    text = "Time to load the version and run it once, in the slowest worker"
    seconds = GaugeMetricFamily("actserve_model_load_seconds", text, labels=MODEL)
    for target, counts in counted:
        if counts.load_ns:  # functions are not loaded
            seconds.add_metric(_labels(target), counts.load_ns / 1e9)
    yield seconds


def _waiting(counted: Iterable[tuple[Target, Counts]], standings: list[State]) -> Iterator[Metric]:
    requests, rows = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for standing in standings:
        for name, version, waiting, waiting_rows in standing["waiting"]:
            requests[name, version] += waiting
            rows[name, version] += waiting_rows
    pending = GaugeMetricFamily(
        "nv_inference_pending_request_count", "Requests that wait for a run, of all workers", labels=MODEL
    )
    depth = GaugeMetricFamily("actserve_queue_rows", "Rows that wait for a run, of all workers", labels=MODEL)
    for target, _ in counted:
        if not isinstance(target, FunctionModel):  # functions do not wait
            pending.add_metric(_labels(target), requests[_labels(target)])
            depth.add_metric(_labels(target), rows[_labels(target)])
    yield pending
    yield depth


def _labels(target: Target) -> tuple[str, str]:
    return target.name, str(target.version)


def _triton(counted: Iterable[tuple[Target, Counts]]) -> Iterator[Metric]:
    success = UntypedMetricFamily("nv_inference_request_success", "Requests that were answered", labels=MODEL)
    failure = UntypedMetricFamily(
        "nv_inference_request_failure", "Requests that failed, by reason", labels=(*MODEL, "reason")
    )
    rows = UntypedMetricFamily("nv_inference_count", "Rows that were answered", labels=MODEL)
    runs = UntypedMetricFamily("nv_inference_exec_count", "Runs that were made for them", labels=MODEL)
    times = {kind: UntypedMetricFamily(name, text, labels=MODEL) for kind, (name, text) in TRITON_TIMES.items()}
    for target, counts in counted:
        labels = _labels(target)
        success.add_metric(labels, counts.requests)
        for reason, count in counts.failures.items():
            failure.add_metric((*labels, reason), count)
        rows.add_metric(labels, counts.rows)
        runs.add_metric(labels, counts.runs)
        for kind, family in times.items():
            family.add_metric(labels, counts.ns[kind] // 1000)
    yield from (success, failure, rows, runs, *times.values())


def _stages(counted: Iterable[tuple[Target, Counts]]) -> Iterator[Metric]:
    seconds = HistogramMetricFamily(
        "actserve_inference_seconds", "Time of answered requests, by stage", labels=(*MODEL, "stage")
    )
    batches = HistogramMetricFamily("actserve_batch_rows", "Rows of a run", labels=MODEL)
    for target, counts in counted:
        labels = _labels(target)
        for kind, stage in STAGES.items():
            buckets = histogram.cumulative(counts.buckets[kind])
            seconds.add_metric((*labels, stage), buckets, counts.ns[kind] / 1e9)
        batches.add_metric(labels, _by_rows(counts.sizes), sum(size * runs for size, runs in counts.sizes.items()))
    yield seconds
    yield batches


def _by_rows(sizes: dict[int, int]) -> list[tuple[str, float]]:
    at_most = [(f"{bound}.0", sum(runs for size, runs in sizes.items() if size <= bound)) for bound in ROWS]
    return [*at_most, ("+Inf", sum(sizes.values()))]


def _http(services: Services) -> Iterator[Metric]:
    requests = CounterMetricFamily("actserve_requests", "HTTP requests", labels=("route", "status"))
    seconds = HistogramMetricFamily("actserve_request_seconds", "Time to the end of the answer", labels=("route",))
    for answered in services.traffic.answered():
        for status, count in answered.statuses.items():
            requests.add_metric((answered.route, str(status)), count)
        seconds.add_metric((answered.route,), histogram.cumulative(answered.buckets), answered.ns / 1e9)
    yield requests
    yield seconds


def _refusals(services: Services) -> Iterator[Metric]:
    rejected = CounterMetricFamily("actserve_rejected", "Requests that were refused or given up", labels=("reason",))
    for reason, count in services.traffic.rejected().items():
        rejected.add_metric((reason,), count)
    yield rejected
    text = "Clients that left before their answer was whole"
    yield CounterMetricFamily("actserve_client_disconnects", text, services.traffic.left())
    dropped = CounterMetricFamily(
        "actserve_log_lines_dropped", "Lines of a log that nobody took in time", labels=("log",)
    )
    for log, count in services.log.dropped().items():
        dropped.add_metric((log,), count)
    yield dropped
