"""FastAPI's own span for each request, with what the request's account knows; for OpenTelemetry."""

from typing import Any

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.routes import account
from service.routes.account import Account
from service.routes.traffic import WATCHING


def configuration(provider: Any | None) -> TelemetryConfig:
    """What FastAPI is to do: spans of requests or nothing, whatever is in its environment."""
    return {
        "tracer_provider": provider,
        "tracing": provider is not None,
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
        "exclude": lambda scope: scope["path"] in WATCHING,
    }


class Described:
    """Adds to the span of a request what its account knows, before the answer begins; pure ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        span = trace.get_current_span()
        if not span.is_recording():  # health and metrics, and what the sampler leaves out
            await self._app(scope, receive, send)
            return
        kept = account.current()
        kept.trace_id = trace.format_trace_id(span.get_span_context().trace_id)

        async def described(message: Message) -> None:
            if message["type"] == "http.response.start":
                span.set_attributes(_attributes(kept))
            await send(message)

        await self._app(scope, receive, described)


def _attributes(kept: Account) -> dict[str, str | int | float]:
    known = {
        "request_id": kept.id.decode(),
        "model": kept.model,
        "version": kept.version,
        "rows": kept.rows,
        "queue_ms": _milliseconds(kept.queue_ns),
        "compute_ms": _milliseconds(kept.compute_ns),
    }
    return {f"actserve.{name}": value for name, value in known.items() if value is not None}


def _milliseconds(ns: int | None) -> float | None:
    """Rounded to microseconds."""
    return None if ns is None else round(ns / 1e6, 3)
