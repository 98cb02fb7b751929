"""Spans for OpenTelemetry: off unless asked for, with what the log says, and nobody waits for who collects them."""

import http.server
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from opentelemetry import trace

from service import telemetry
from service.routes import spans
from service.telemetry import PACKAGES, TelemetryUnavailable
from tests.engine.making import plain, put
from tests.routes.conftest import FILES, application, write
from tests.routes.sending import answered, infer, tensor
from tests.serving import DEADLINE_S, ROOT, command, environment, eventually, serving


class Span(trace.NonRecordingSpan):
    """Remembers what it is told."""

    def __init__(self, name: str, attributes: dict[str, Any]) -> None:
        super().__init__(trace.SpanContext(0xABC, 0xDEF, is_remote=False))
        self.name, self.attributes = name, dict(attributes)

    def is_recording(self) -> bool:
        return True

    def set_attribute(self, key: str, value: Any) -> None:
        self.attributes[key] = value

    def set_attributes(self, attributes: Any) -> None:
        self.attributes |= attributes

    def update_name(self, name: str) -> None:
        self.name = name


class Provider(trace.TracerProvider, trace.Tracer):
    """Keeps the spans that it makes. The SDK's has as much of a shutdown."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.ended = threading.Event()

    def get_tracer(self, *_: Any, **__: Any) -> trace.Tracer:
        return self

    def start_span(self, name: str, *_: Any, attributes: Any = None, **__: Any) -> trace.Span:
        self.spans.append(Span(name, attributes))
        return self.spans[-1]

    def start_as_current_span(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("nobody asks for spans of operations")

    def shutdown(self) -> None:
        self.ended.set()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write(tmp_path / "repository", {"grow/1": FILES["grow/1"]})
    return tmp_path / "repository"


def test_a_span_has_what_the_log_has(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider()
    monkeypatch.setattr(telemetry, "provider", {"otlp": provider}.get)
    lines: list[dict[str, Any]] = []
    with application(repository=repository, trace_exporter="otlp", request_log=True) as client:
        log: Any = client.app_state["services"].log
        log.requests.put = lambda line: lines.append(json.loads(line))
        answered(infer(client, "grow", tensor(np.arange(3.0))))
        for path in ("/v2/health/live", "/v2/health/ready", "/metrics"):
            assert client.get(path).status_code == 200
        assert client.get("/nothing").status_code == 404
    assert provider.ended.is_set()

    (inference, unknown), (line, _) = provider.spans, lines
    assert inference.name == "POST /v2/models/{name}/infer"
    assert {key: value for key, value in inference.attributes.items() if key.startswith("actserve.")} == {
        f"actserve.{key}": line[key] for key in ("model", "version", "rows", "queue_ms", "compute_ms")
    } | {"actserve.request_id": line["id"]}
    assert inference.attributes["http.response.status_code"] == 200
    assert line["trace_id"] == f"{0xABC:032x}"
    assert [key for key in unknown.attributes if key.startswith("actserve.")] == ["actserve.request_id"]


def test_nobody_is_traced_who_does_not_ask_for_it(repository: Path) -> None:
    """Whatever else the process has for OpenTelemetry."""
    assert telemetry.provider("none") is None
    telemetry.close(None)
    off = spans.configuration(None)
    assert [off[key] for key in ("tracing", "metrics", "logs", "operation_spans", "auto_configure")] == [False] * 5


def fake(monkeypatch: pytest.MonkeyPatch, **members: Any) -> None:
    """Stand-ins for the packages, with these members in each."""
    names = [*PACKAGES, "opentelemetry.sdk.resources", "opentelemetry.sdk.trace", "opentelemetry.sdk"]
    parents = {name.rpartition(".")[0] for name in names} - {"opentelemetry"}
    for name in {*names, *parents, "opentelemetry.exporter", "opentelemetry.exporter.otlp"}:
        module = ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)


def test_spans_are_sent_in_batches_by_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    class Resource:
        create = staticmethod(dict)

    class TracerProvider:
        def __init__(self, **options: Any) -> None:
            self.options, self.processors = options, []

        def add_span_processor(self, processor: object) -> None:
            self.processors.append(processor)

    def exporter() -> str:
        return "exporter"

    fake(
        monkeypatch,
        Resource=Resource,
        TracerProvider=TracerProvider,
        OTLPSpanExporter=exporter,
        BatchSpanProcessor=lambda of: f"batches for the {of}",
    )
    monkeypatch.setenv("OTEL_SERVICE_NAME", "")
    made = telemetry.provider("otlp")
    assert made.processors == ["batches for the exporter"]
    assert made.options["resource"]["service.name"] == "actserve"
    assert made.options["shutdown_on_exit"] is False


def test_the_end_does_not_wait_long_for_the_last_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "CLOSE_S", 0.01)
    slow = Provider()
    go = threading.Event()
    slow.shutdown = lambda: (go.wait(DEADLINE_S), slow.ended.set())[0]  # type: ignore[method-assign,assignment,func-returns-value]
    telemetry.close(slow)
    assert not slow.ended.is_set()
    go.set()
    assert slow.ended.wait(DEADLINE_S)


@pytest.mark.parametrize("package", PACKAGES)
def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    fake(monkeypatch)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(TelemetryUnavailable, match=r"ACTSERVE_TRACE_EXPORTER is otlp, but .* is missing: pip install"):
        telemetry.check("otlp")


def _is_installed() -> bool:
    try:
        telemetry.check("otlp")
    except TelemetryUnavailable:
        return False
    return True


INSTALLED = _is_installed()
needs_packages = pytest.mark.skipif(not INSTALLED, reason="the extra opentelemetry is not installed")


@pytest.mark.skipif(INSTALLED, reason="the extra opentelemetry is installed")
def test_without_the_packages_the_server_does_not_start() -> None:
    settings = environment({"trace_exporter": "otlp", "device": "cpu"})
    ended = subprocess.run(command(), cwd=ROOT, env=settings, capture_output=True, text=True, timeout=DEADLINE_S)
    (line,) = ended.stderr.splitlines()
    assert (ended.returncode, line.partition(",")[0]) == (1, "actserve: ACTSERVE_TRACE_EXPORTER is otlp")


@contextmanager
def collecting(silent: bool) -> Iterator[tuple[str, list[bytes]]]:
    """The address of a collector, and the bodies that came; a silent one never answers."""
    bodies: list[bytes] = []
    over = threading.Event()

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            if silent:
                over.wait(DEADLINE_S)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", bodies
        over.set()
        server.shutdown()
        thread.join()


def ask(address: str) -> None:
    body = json.dumps({"inputs": [tensor(np.arange(3.0).reshape(1, 3))]}).encode()
    urllib.request.urlopen(f"{address}/v2/models/m/infer", body, timeout=DEADLINE_S).close()


@needs_packages
@pytest.mark.parametrize("silent", [False, True])
def test_a_collector_gets_spans_and_one_that_is_silent_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    put(tmp_path / "repository", "m", "1", plain(1.0))
    with collecting(silent) as (collector, bodies):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
        settings = {"repository": str(tmp_path / "repository"), "trace_exporter": "otlp", "workers": "1"}
        with serving(tmp_path / "log", **settings) as (process, address):
            ask(address)
            eventually(lambda: bool(bodies))
            for _ in range(20):
                ask(address)
            began = time.monotonic()
            process.terminate()
            process.wait(DEADLINE_S)
            assert time.monotonic() - began < DEADLINE_S / 4
    content = b"".join(bodies)
    assert b"POST /v2/models/{name}/infer" in content
    assert b"actserve.compute_ms" in content
    assert b"health" not in content
