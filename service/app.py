"""The composition root: settings in, application out. Everything is made here and handed down."""

import asyncio
import gc
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service import __version__, telemetry
from service.activations import evidence
from service.activations.catalogue import ACTIVATIONS
from service.engine import processors, repository
from service.engine.functions import Functions
from service.engine.gate import Gate
from service.engine.gpu.memory import LIBRARY, CudaMemory, Resident
from service.engine.loading import Prove, unproven
from service.engine.memory import keep_large_blocks
from service.engine.pool import Pool
from service.engine.probe import Probe
from service.engine.rules import Limits
from service.engine.runtime.device import CudaOptions, Device, detect
from service.engine.scheduler import Scheduler
from service.engine.uploads import Uploads
from service.engine.variants import Variants
from service.engine.watchdog import Patience, Watchdog
from service.engine.watcher import Watcher
from service.logs import Log, LogSettings, leave
from service.routes import (
    activations,
    apply,
    claims,
    compare,
    control,
    infer,
    inspect,
    metrics,
    models,
    ops,
    pages,
    shared_memory,
    spans,
    v2,
)
from service.routes.admission import Admission
from service.routes.direct import Direct
from service.routes.document import DESCRIPTION, ERROR_ANSWERS, complete
from service.routes.encodings import Decompressed
from service.routes.failures import HANDLERS
from service.routes.keys import Keys
from service.routes.limits import BodyLimit
from service.routes.methods import Head
from service.routes.quota import Quota
from service.routes.standing import REPORT, Standing
from service.routes.state import Services
from service.routes.tracing import Tracing
from service.routes.traffic import Counted, Traffic
from service.settings import Settings
from service.workers import FOLDER
from service.workers.drain import Drain, end_with_parent
from service.workers.lives import Lives
from service.workers.together import Together
from service.workers.workers import Alone, Workers

log = logging.getLogger("actserve")

ROUTES = (
    activations,
    apply,
    claims,
    models,
    v2,
    infer,
    control,
    shared_memory,
    inspect,
    compare,
    ops,
    metrics,
    pages,
)
"""In the order of the OpenAPI document."""


class Service(FastAPI):
    """FastAPI, with the short way for inference outside of its own layers, which take longer than all of that way.

    Args:
        traced: FastAPI makes spans, which it does in its own layers only; so there is no short way.
    """

    def __init__(self, settings: Settings, *, traced: bool = False, **options: Any) -> None:
        super().__init__(**options)
        inner = super().__call__
        admitted = Admission(inner if traced else Direct(inner, settings.max_body_bytes), settings)
        self._counted = Counted(_shared_with(admitted, settings.cors_origins))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._counted(scope, receive, send)


def create_app(settings: Settings) -> Service:
    """Make the application; models are loaded when it starts up, before the first request."""
    provider = telemetry.provider(settings.trace_exporter)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Services]]:
        began = time.perf_counter()
        services = start(settings, [route.path or "" for route in iter_route_contexts(app.routes)])
        start_s = time.perf_counter() - began
        log.info("%d models are served, after %.1f s", len(services.repository.models()), start_s)
        watcher = Watcher(services.repository, settings.reload_interval_seconds)
        watcher.start()
        loop = asyncio.get_running_loop()
        services.watchdog.start(loop)
        standing = Standing(
            loop, services.scheduler, services.traffic, services.watchdog, services.lives, start_s=start_s
        )
        services.workers.report(REPORT, standing)
        services.workers.start()
        services.drain.take_over(loop)
        services.log.start()
        try:
            yield {"services": services}
            services.workers.close()
            watcher.close()
            await services.scheduler.close()
            telemetry.close(provider)
            services.log.close()
        finally:
            services.watchdog.close()  # the last: it ends a worker whose stopping stands still

    app = Service(
        settings,
        traced=provider is not None,
        telemetry=spans.configuration(provider),
        title="actserve",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url=None,  # a route of our own
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=dict(ERROR_ANSWERS),
        separate_input_output_schemas=False,
    )
    for module in ROUTES:
        app.include_router(module.router)
    app.add_middleware(Decompressed, max_bytes=settings.max_decompressed_bytes)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(Head)
    if provider is not None:
        app.add_middleware(spans.Described)
    for error, answer in HANDLERS.items():
        app.add_exception_handler(error, answer)
    complete(app, with_keys=bool(settings.api_keys or settings.api_keys_file))
    return app


def _shared_with(app: ASGIApp, origins: str) -> ASGIApp:
    """Let the pages of these origins call the application; in front of the keys, which browsers ask about without."""
    allowed = [origin.strip() for origin in origins.split(",") if origin.strip()]
    if not allowed:
        return app
    return CORSMiddleware(
        app,
        allow_origins=allowed,
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=["Inference-Header-Content-Length", "Retry-After", "X-Request-ID"],
    )


def start(settings: Settings, routes: list[str]) -> Services:
    """Read the evidence, find the device and load the models.

    Args:
        routes: their paths, as templates.

    Raises:
        InvalidEvidence: the claims cannot be read.
        InvalidKeys: the keys cannot.
        DeviceUnavailable: the device that was asked for does not work.
    """
    folder = os.environ.get(FOLDER)
    workers = Together(Path(folder)) if folder else Alone()
    if folder:
        end_with_parent()
    logs = Log(LogSettings.of_level(settings.log_level), workers, requests=settings.request_log)
    measured, keys = evidence.read(settings.evidence), Keys.read(settings)
    cuda = CudaOptions(settings.tf32, settings.gpu_memory_bytes, settings.gpu_runs)
    device = detect(settings.device, cuda=cuda, strict=settings.strict_placement)
    log.info("device %s, %s was asked for%s", device.kind, device.wanted, f": {device.reason}" if device.reason else "")
    resident = _resident(device)
    threads = settings.threads or max(1, processors.available() // (settings.workers or 1))
    prove = _gate(settings, workers)
    loaded = repository.load(
        settings.repository,
        device,
        threads=threads,
        reserved=ACTIVATIONS,
        limits=Limits(settings.max_batch_size, settings.max_queue_rows, settings.max_request_rows),
        workers=workers,
        prove=prove,
        precision=settings.precision,
        resident=resident,
    )
    functions = Functions(device, threads=threads, capacity=settings.max_cached_activations, workers=workers)
    pool = Pool(threads)
    scheduler = Scheduler(pool, device)
    return Services(
        settings=settings,
        device=device,
        functions=functions,
        repository=loaded,
        pool=pool,
        scheduler=scheduler,
        tracing=Tracing(workers),
        log=logs,
        evidence=measured,
        workers=workers,
        lives=Lives(workers),
        traffic=Traffic(routes, workers),
        variants=Variants(device, threads=threads, capacity=settings.max_cached_variants, precision=settings.precision),
        resident=resident,
        keys=keys,
        quota=Quota(len(keys.api), settings.key_requests_per_second, workers),
        drain=Drain(settings.lame_duck_seconds, settings.stop_timeout_seconds, leave),
        uploads=_uploads(settings, prove),
        watchdog=Watchdog(Patience(settings.max_run_seconds, settings.max_stall_seconds), end=leave),
    )


def _resident(device: Device) -> Resident | None:
    """The GPU's memory, where there is a GPU."""
    if device.kind == "cpu":
        return None
    memory = CudaMemory.load()
    if memory is None:
        log.warning("NVIDIA's runtime library %s is not there: runs go through ordinary memory", LIBRARY)
        return None
    return Resident(memory)


def _gate(settings: Settings, workers: Workers) -> Prove:
    """What stands before files that come later than the start; nothing if they are not to be tried."""
    if not settings.load_probe_seconds:
        return unproven
    probe = Probe(settings.load_probe_seconds, settings.load_probe_bytes, settings.max_batch_size)
    return Gate(None if settings.load_probe_at_start else settings.repository, probe, workers)


def _uploads(settings: Settings, prove: Prove) -> Uploads | None:
    if not settings.model_upload:
        return None
    uploads = Uploads(settings.repository, prove)
    uploads.sweep()
    return uploads


def from_environment() -> FastAPI:
    """The application of a worker process; settings from `ACTSERVE_*`."""
    settings = Settings()
    keep_large_blocks()
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every byte a client gets wrong
    app = create_app(settings)
    gc.freeze()  # or every look for garbage goes through all of this again, and holds up everybody for 20 ms
    return app
