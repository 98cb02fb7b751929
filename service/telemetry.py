"""OpenTelemetry, where it is asked for: what makes spans and sends them.

They are sent in batches by a thread of the SDK's, from a queue of limited length, so a collector that does not answer
costs spans and no time. Where to, and which, the standard variables say (`OTEL_EXPORTER_OTLP_ENDPOINT`,
`OTEL_TRACES_SAMPLER`, …).
"""

import os
import threading
from importlib import import_module
from typing import Any, Literal

from service import __version__

Exporter = Literal["none", "otlp"]

CLOSE_S = 1.0
"""How long the end waits for the last spans to be sent; the SDK would wait for half a minute."""


class TelemetryUnavailable(Exception):
    """Spans were asked for, and the packages that send them are missing."""


PACKAGES = ("opentelemetry.sdk.trace.export", "opentelemetry.exporter.otlp.proto.http.trace_exporter")


def check(exporter: Exporter) -> None:
    """Look for the packages.

    Raises:
        TelemetryUnavailable: spans are asked for, and one is missing.
    """
    try:
        for package in PACKAGES if exporter == "otlp" else ():
            import_module(package)
    except ImportError as error:
        raise TelemetryUnavailable(
            f"ACTSERVE_TRACE_EXPORTER is {exporter}, but {error.name} is missing: "
            "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"
        ) from error


def provider(exporter: Exporter) -> Any | None:
    """What makes and sends spans; None if nobody asks for them.

    Raises:
        TelemetryUnavailable: as `check`.
    """
    check(exporter)
    if exporter == "none":
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {"service.name": os.environ.get("OTEL_SERVICE_NAME") or "actserve", "service.version": __version__}
    made = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made


def close(made: Any | None) -> None:
    """Send the last spans, in limited time; what takes longer ends with the process."""
    if made is not None:
        sending = threading.Thread(target=made.shutdown, name="actserve-spans", daemon=True)
        sending.start()
        sending.join(CLOSE_S)
