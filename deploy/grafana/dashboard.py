"""Writes Grafana's dashboard, `dashboards/actserve.json`, which is not edited by hand: `make dashboard`.

Grafana's JSON says all of a panel's looks again for each panel. Here is only what each shows, in which unit and by
which expression; `panels.py` has the looks. The format is Grafana's classic one, of schema 42 (Grafana 12 and 13).

Servers are chosen one by one, so `process_…` of other programs is not in what is shown.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from deploy.grafana.panels import COLUMNS, SOURCE, Json, Panel, bars, chart, heatmap, promql, stat, states, table

FILE = Path(__file__).parent / "dashboards" / "actserve.json"
SCHEMA = 42

ASKED = 'sum(rate(actserve_requests_total{$on,route!~"/metrics|/v2/health/.*"}[$rate]))'
"""Without the requests of those who watch."""
FAILED = 'sum(rate(actserve_requests_total{$on,status=~"5..",status!~"501|503"}[$rate]))'
CAPACITY = "queue_full|predicted_wait|too_many_connections|too_many_requests_in_flight|bytes_in_flight"
REFUSED = f'sum(rate(actserve_rejected_total{{$on,reason=~"{CAPACITY}"}}[$rate]))'
"""As in the alerts: for want of capacity, not for what the client did."""

TOTAL = 'rate(actserve_inference_seconds_bucket{$of,stage="total"}[$rate])'
WAITING = "sum by (model) (actserve_queue_rows{$of})"


def now() -> list[Panel]:
    unserved = "count(max by (instance, model) (actserve_model_ready{$on}) == 0)"
    firing = 'count(ALERTS{alertname=~"Actserve.*",alertstate="firing"})'
    return [
        stat("Servers", "Servers that answer Prometheus.", "none", "count(actserve_build{$on}) or vector(0)"),
        stat("Alerts", "Rules of deploy/prometheus/alerts.yml that fire.", "none", f"{firing} or vector(0)", bad=1),
        stat("Models not served", "Of none of their versions.", "none", f"{unserved} or vector(0)", bad=1),
        stat("Requests", "Without health and metrics.", "reqps", ASKED),
        stat(
            "Failed",
            "Share answered with 5xx, but for refusals (503) and 501.",
            "percentunit",
            f"({FAILED} or vector(0)) / ({ASKED} > 0)",
            bad=0.01,
        ),
        stat("Refused", "Share, for want of capacity.", "percentunit", f"{REFUSED} / ({ASKED} > 0)", bad=0.05),
        stat(
            "p99",
            "Of answered inference requests, from arrival to answer.",
            "s",
            f"histogram_quantile(0.99, sum by (le) ({TOTAL}))",
            bad=1.024,
        ),
        stat("In flight", "HTTP requests that are being answered.", "none", "sum(actserve_requests_in_flight{$on})"),
    ]


def requests() -> list[Panel]:
    return [
        chart(
            "Requests by route",
            "Health and metrics too.",
            "reqps",
            ("sum by (route) (rate(actserve_requests_total{$on}[$rate]))", "{{route}}"),
        ),
        chart(
            "Requests by status",
            "499: the client left before the answer.",
            "reqps",
            ("sum by (status) (rate(actserve_requests_total{$on}[$rate]))", "{{status}}"),
            stack=True,
        ),
        chart(
            "p99 by route",
            "To the end of the answer, with what the client takes to send and to read.",
            "s",
            (
                "histogram_quantile(0.99, sum by (le, route) (rate(actserve_request_seconds_bucket{$on}[$rate])))",
                "{{route}}",
            ),
        ),
        chart(
            "Refused and given up, by reason",
            "Whatever was in them; docs/operations.md explains the reasons.",
            "reqps",
            ("sum by (reason) (rate(actserve_rejected_total{$on}[$rate])) > 0", "{{reason}}"),
            stack=True,
        ),
        chart(
            "Failed in a model, by reason",
            "REJECTED: not taken or too late; CANCELED: left by the client; BACKEND: by the model itself.",
            "reqps",
            (
                "sum by (model, reason) (rate(nv_inference_request_failure{$of}[$rate])) > 0",
                "{{model}} {{reason}}",
            ),
            stack=True,
        ),
        chart(
            "Clients that left",
            "Before their answer was whole.",
            "reqps",
            ("sum by (instance) (rate(actserve_client_disconnects_total{$on}[$rate]))", "{{instance}}"),
        ),
    ]


def inference() -> list[Panel]:
    parts = 'sum by (stage) (rate(actserve_inference_seconds_{part}{{$of,stage!="total"}}[$rate]))'
    return [
        chart(
            "Answered, by model",
            "Functions count like models, once they have been asked for.",
            "reqps",
            ("sum by (model) (rate(nv_inference_request_success{$of}[$rate]))", "{{model}}"),
            stack=True,
        ),
        chart(
            "Where the time goes",
            "Mean time of each stage of an answered request.",
            "s",
            (f"{parts.format(part='sum')} / {parts.format(part='count')}", "{{stage}}"),
            stack=True,
        ),
        chart(
            "p99, by model",
            "Of answered requests, from arrival to answer.",
            "s",
            (f"histogram_quantile(0.99, sum by (le, model) ({TOTAL}))", "{{model}}"),
        ),
        stage("total", "Whole request"),
        stage("queue", "Waiting for a run"),
        stage("decode", "Decoding the request"),
        stage("compute", "Computing, in ONNX Runtime"),
        stage("encode", "Encoding the answer"),
        chart(
            "Rows, by model",
            "Rows that were answered: images, tensors.",
            "cps",
            ("sum by (model) (rate(nv_inference_count{$of}[$rate]))", "{{model}}"),
            stack=True,
        ),
    ]


def stage(name: str, title: str) -> Panel:
    """Three quantiles of the time that one stage takes."""
    buckets = f'sum by (le) (rate(actserve_inference_seconds_bucket{{$of,stage="{name}"}}[$rate]))'
    return chart(
        title,
        "Of answered requests; from a histogram whose bounds double, up to 8.2 s.",
        "s",
        *((f"histogram_quantile({share / 100}, {buckets})", f"p{share}") for share in (50, 95, 99)),
    )


def batches() -> list[Panel]:
    sizes = "sum by (model) (rate(actserve_batch_rows_{part}{{$of}}[$rate]))"
    return [
        chart(
            "Rows that wait", "For a run, at the moment of the scrape. To scale by.", "short", (WAITING, "{{model}}")
        ),
        chart(
            "Requests that wait",
            "For a run, at the moment of the scrape.",
            "short",
            ("sum by (model) (nv_inference_pending_request_count{$of})", "{{model}}"),
        ),
        chart(
            "Expected wait",
            "Rows that wait by rows answered in a second; from half the deadline on requests are refused.",
            "s",
            (f"{WAITING} / sum by (model) (rate(nv_inference_count{{$of}}[$rate]))", "{{model}}"),
        ),
        heatmap(
            "Rows a run",
            "Runs by their rows: how well requests are merged.",
            "short",
            "sum by (le) (increase(actserve_batch_rows_bucket{$of}[$rate]))",
        ),
        chart(
            "Mean rows a run",
            "1 where nothing is merged: nobody waited, or the model does not batch.",
            "short",
            (f"{sizes.format(part='sum')} / {sizes.format(part='count')}", "{{model}}"),
        ),
        chart(
            "Runs",
            "Of ONNX Runtime.",
            "cps",
            ("sum by (model) (rate(nv_inference_exec_count{$of}[$rate]))", "{{model}}"),
        ),
    ]


def devices() -> list[Panel]:
    return [
        table(
            "Device",
            "What was wanted, what is in use, and why.",
            "actserve_device{$on}",
            {"instance": "server", "wanted": "wanted", "device": "in use", "provider": "provider", "reason": "reason"},
            width=16,
        ),
        table(
            "Versions",
            "Of the service and of ONNX Runtime.",
            "actserve_build{$on}",
            {"instance": "server", "version": "actserve", "onnxruntime": "ONNX Runtime"},
            width=8,
        ),
        table(
            "Who runs the models",
            "Nodes of each graph by the provider that runs them, before they are fused.",
            "max by (model, version, provider) (actserve_model_nodes{$of})",
            {"model": "model", "version": "version", "provider": "provider", "Value": "nodes"},
            width=12,
        ),
        bars(
            "Time to load",
            "From the file to the first run, in the slowest worker.",
            "s",
            ("max by (model, version) (actserve_model_load_seconds{$of})", "{{model}} {{version}}"),
            width=12,
        ),
        states(
            "Versions that are served",
            "Red while it loads, when it was unloaded, and when it cannot be loaded; /v1/models says why.",
            ("min by (model, version) (actserve_model_ready{$of})", "{{model}} {{version}}"),
            ("not served", "served"),
        ),
    ]


def processes() -> list[Panel]:
    return [
        chart(
            "Memory",
            "Resident, of all workers together; what they share counts for each.",
            "bytes",
            ("process_resident_memory_bytes{$on}", "{{instance}}"),
        ),
        chart(
            "Processors",
            "Cores that all workers together keep busy.",
            "short",
            ("rate(process_cpu_seconds_total{$on}[$rate])", "{{instance}}"),
        ),
        chart("Open files", "And connections, of all workers.", "short", ("process_open_fds{$on}", "{{instance}}")),
        chart(
            "Workers",
            "Those that answer, how many there should be, and those that were started in the place of ended ones.",
            "short",
            ("actserve_workers{$on}", "{{instance}}"),
            ("actserve_workers_wanted{$on}", "{{instance}} wanted"),
            ("increase(actserve_workers_replaced_total{$on}[$rate])", "{{instance}} replaced"),
        ),
        chart(
            "Event loop",
            "How long the slowest worker's let us wait, and its longest block since its start.",
            "s",
            ("actserve_event_loop_lag_seconds{$on}", "{{instance}} lag"),
            ("actserve_event_loop_longest_block_seconds{$on}", "{{instance}} longest block"),
        ),
        chart(
            "Log lines dropped",
            "Lines of requests and of messages that nobody took in time.",
            "cps",
            ("sum by (log) (rate(actserve_log_lines_dropped_total{$on}[$rate]))", "{{log}}"),
        ),
    ]


ROWS = {
    "Now": now,
    "Requests": requests,
    "Inference": inference,
    "Queue and batches": batches,
    "Device and models": devices,
    "Processes": processes,
}


def variables() -> list[Json]:
    """What can be chosen at the top of the dashboard."""
    source = {"label": "Prometheus", "name": "datasource", "query": "prometheus", "type": "datasource"}
    return [
        source | {"current": {"text": "Prometheus", "value": "actserve-prometheus"}},
        _choice("instance", "Server", "label_values(actserve_build, instance)"),
        # `.*` for all, not their names: a function is listed only once it has been asked for
        _choice("model", "Model", "label_values(nv_inference_count{$on}, model)") | {"allValue": ".*"},
    ]


def _choice(name: str, label: str, query: str) -> Json:
    return {
        "current": {"text": ["All"], "value": ["$__all"]},
        "datasource": SOURCE,
        "includeAll": True,
        "label": label,
        "multi": True,
        "name": name,
        "query": {"query": promql(query), "refId": name},
        "refresh": 2,
        "sort": 1,
        "type": "query",
    }


def placed() -> Iterator[Json]:
    """All rows and panels, each beside the one before or, where there is no room, below it."""
    number = y = 0
    for title, panels in ROWS.items():
        number += 1
        place = {"h": 1, "w": COLUMNS, "x": 0, "y": y}
        yield {"collapsed": False, "gridPos": place, "id": number, "panels": [], "title": title, "type": "row"}
        x, y, height = 0, y + 1, 0
        for panel in panels():
            if x + panel.width > COLUMNS:
                x, y = 0, y + height
            number += 1
            yield panel.json(number, x, y)
            x, height = x + panel.width, panel.height
        y += height


def dashboard() -> Json:
    return {
        "annotations": {"list": []},
        "description": "actserve: requests, inference, queue, device and processes, from /metrics.",
        "editable": True,
        "graphTooltip": 1,
        "links": [],
        "panels": list(placed()),
        "refresh": "30s",
        "schemaVersion": SCHEMA,
        "tags": ["actserve"],
        "templating": {"list": variables()},
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "title": "actserve",
        "uid": "actserve",
    }


def text() -> str:
    """The file, in an order that makes changes readable."""
    return json.dumps(dashboard(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
