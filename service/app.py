"""The composition root: settings in, application out. Everything is made here and handed down."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service import __version__
from service.activations import evidence
from service.activations.catalogue import ACTIVATIONS
from service.engine import processors, repository, session
from service.engine.functions import Functions
from service.engine.memory import keep_large_blocks
from service.engine.pool import Pool
from service.engine.scheduler import Scheduler
from service.engine.variants import Variants
from service.engine.watcher import Watcher
from service.errors import ServiceError, in_words, printable
from service.logs import Log, LogSettings
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
    schemas,
    shared_memory,
    v2,
)
from service.routes.direct import Direct
from service.routes.encodings import Decompressed
from service.routes.http import error_response, internal_error, json_response
from service.routes.limits import BodyLimit
from service.routes.methods import Head, allowed
from service.routes.standing import REPORT, Standing
from service.routes.state import Services
from service.routes.tracing import Tracing
from service.routes.traffic import LEFT, Counted, Traffic
from service.settings import Settings
from service.workers import FOLDER
from service.workers.together import Together
from service.workers.workers import Alone

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

DESCRIPTION = """Activation functions, and the small CNNs trained with each of them, through ONNX Runtime.

`/v1` is for people, scripts and browsers; `/v2` is the Open Inference Protocol. Every error is `{"error": "…"}`.
"""

ERROR_ANSWERS: Mapping[int | str, Any] = {
    code: {"model": schemas.Error, "description": HTTPStatus(code).phrase}
    for code in (400, 401, 403, 404, 408, 413, 415, 429, 431, 503, 504)
}
"""Those that any request may get: for what it holds, for its key, for the time it takes, for the load."""


class Service(FastAPI):
    """FastAPI, with the short way for inference outside of its own layers, which take longer than all of that way."""

    def __init__(self, *, max_body_bytes: int, **options: Any) -> None:
        super().__init__(**options)
        self._counted = Counted(Direct(super().__call__, max_body_bytes))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._counted(scope, receive, send)


def create_app(settings: Settings) -> Service:
    """Make the application; models are loaded when it starts up, before the first request."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Services]]:
        services = start(settings, [route.path or "" for route in iter_route_contexts(app.routes)])
        watcher = Watcher(services.repository, settings.reload_interval_seconds)
        watcher.start()
        standing = Standing(asyncio.get_running_loop(), services.scheduler, services.traffic)
        services.workers.report(REPORT, standing)
        services.workers.start()
        yield {"services": services}
        services.workers.close()
        watcher.close()
        await services.scheduler.close()

    app = Service(
        max_body_bytes=settings.max_body_bytes,
        title="actserve",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=dict(ERROR_ANSWERS),
        separate_input_output_schemas=False,
    )
    for module in ROUTES:
        app.include_router(module.router)
    app.add_middleware(Decompressed, max_bytes=settings.max_body_bytes)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(Head)
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _internal)
    _document_bodies(app)
    return app


def start(settings: Settings, routes: list[str]) -> Services:
    """Read the evidence, find the device and load the models.

    Args:
        routes: their paths, as templates.

    Raises:
        InvalidEvidence: the claims cannot be read.
        DeviceUnavailable: the device that was asked for does not work.
    """
    folder = os.environ.get(FOLDER)
    workers = Together(Path(folder)) if folder else Alone()
    logs = Log(LogSettings.of_level(settings.log_level), workers)
    measured = evidence.read(settings.evidence)
    device = session.detect(settings.device)
    log.info("device %s%s", device.kind, f": {device.reason}" if device.reason else "")
    threads = settings.threads or max(1, processors.available() // (settings.workers or 1))
    loaded = repository.load(
        settings.repository,
        device,
        threads=threads,
        reserved=ACTIVATIONS,
        max_batch_size=settings.max_batch_size,
        workers=workers,
    )
    log.info("%d models are served, %d threads each", len(loaded.models()), threads)
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
        traffic=Traffic(routes, workers),
        variants=Variants(device, threads=threads, capacity=settings.max_cached_variants),
    )


def from_environment() -> FastAPI:
    """The application of a worker process; settings from `ACTSERVE_*`."""
    settings = Settings()
    keep_large_blocks()
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every byte a client gets wrong
    return create_app(settings)


def _document_bodies(app: FastAPI) -> None:
    """Add the schemas of the bodies that routes read themselves, and which FastAPI therefore does not know."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        for body in (schemas.Apply, schemas.Compare, schemas.Predict):
            document["components"]["schemas"][body.__name__] = body.model_json_schema()
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)  # bad input is 400 here
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


async def _service_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return error_response(error)


async def _invalid(_: Request, error: Exception) -> Response:
    """FastAPI's own answer, 422, would echo the whole input."""
    assert isinstance(error, RequestValidationError)
    return json_response({"error": printable(in_words(error.errors()))}, HTTPStatus.BAD_REQUEST)


async def _http_error(request: Request, error: Exception) -> Response:
    """Unknown paths, wrong methods, broken multipart bodies."""
    assert isinstance(error, HTTPException)
    response = json_response({"error": printable(str(error.detail))}, error.status_code)
    response.headers.update(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = allowed(request.app, request.scope["path"])
    return response


async def _gone(_: Request, error: Exception) -> Response:
    """The client left before its body was here: nobody reads this answer, and it is no fault of ours to log."""
    assert isinstance(error, ClientDisconnect)
    return Response(status_code=LEFT)


async def _internal(request: Request, error: Exception) -> Response:
    """Starlette raises it on to the server."""
    return internal_error(request.scope, error)
