"""/v2's control: the repository's index, loading and unloading, trace and logging settings.

Reading is open; what changes the running service needs the admin key.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from service.activations.catalogue import ACTIVATIONS
from service.engine import folder
from service.engine.entry import IndexEntry
from service.errors import (
    BadRequest,
    Forbidden,
    LoadFailed,
    ModelUnavailable,
    NotFound,
    PayloadTooLarge,
    Unsupported,
    quoted,
)
from service.logs import FORMATS
from service.routes import examples, uploading
from service.routes.admin import ADMIN_ONLY
from service.routes.http import json_response
from service.routes.state import Services, Shared
from service.routes.targets import ACTIVATION_VERSION, find
from service.routes.v2 import Name
from service.wire import arrays

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol V2"])

MAX_BODY_BYTES = 64 * 2**10
"""Of a control request: its JSON is read on the event loop, 64 kB in about half a millisecond."""


CnnName = Annotated[str, Path(description="A CNN's name.", openapi_examples=examples.path_examples("cnn-relu"))]


def _body(example: object) -> dict[str, object]:
    return examples.json_body({"type": "object"}, {"example": example})


@router.post("/repository/index", summary="Repository index", openapi_extra=_body({"ready": True}))
async def index(request: Request, services: Shared) -> Response:
    """Every model and version with its state; `{"ready": true}` leaves out what is not served."""
    asked = await _read(request, services)
    ready = asked.get("ready", False)
    if not isinstance(ready, bool):
        raise BadRequest(f"'ready' is {arrays.describe(ready)}, expected true or false")
    functions = [{"name": name, "version": str(ACTIVATION_VERSION), "state": "READY"} for name in ACTIVATIONS]
    return json_response(functions + [_indexed(entry) for entry in services.repository.index(ready_only=ready)])


def _indexed(entry: IndexEntry) -> dict[str, object]:
    return {name: value for name, value in asdict(entry).items() if value is not None}


@router.post(
    "/repository/models/{name}/load",
    summary="Load a model",
    openapi_extra=_body({}),
    response_class=Response,
    **ADMIN_ONLY,
)
async def load(name: CnnName, request: Request, services: Shared) -> Response:
    """Read the model's folder anew: new versions are loaded, gone ones dropped. Answers when that is done.

    With `file:` parameters, where uploads are on, a version that is put there first.
    """
    limit = MAX_BODY_BYTES if services.uploads is None else services.settings.max_body_bytes
    body = await _read_body(request, limit)
    await to_thread.run_sync(_load, name, body, services)  # not in the pool: inference goes on
    return Response()


def _load(name: str, body: bytes, services: Services) -> None:
    """Take what the body brings along, and load; the time that takes is the thread's."""
    parameters = _load_parameters(_parsed(body, services))
    _check_name(name)
    try:
        if parameters:
            _upload(name, parameters, services)
        services.repository.load(name)
    except (ModelUnavailable, NotFound) as error:
        raise LoadFailed(error.text) from error  # 500 for both, as the protocol has it


def _upload(name: str, parameters: Mapping[str, object], services: Services) -> None:
    if services.uploads is None:
        raise Forbidden("models come from the repository folder only: uploads are off (ACTSERVE_MODEL_UPLOAD)")
    upload = uploading.read(name, parameters)
    try:
        services.uploads.publish(upload)
    except ModelUnavailable as error:
        raise LoadFailed(f"failed to load {name!r}, version {upload.version}: {error.text}") from error


@router.post(
    "/repository/models/{name}/unload",
    summary="Unload a model",
    openapi_extra=_body({}),
    response_class=Response,
    **ADMIN_ONLY,
)
async def unload(name: CnnName, request: Request, services: Shared) -> Response:
    """Stop serving the model; requests under way finish."""
    await _read(request, services)
    _check_name(name)
    await to_thread.run_sync(services.repository.unload, name)
    return Response()


def _check_name(name: str) -> None:
    if name in ACTIVATIONS:
        raise BadRequest(f"{name!r} is an activation: it is part of the service and is neither loaded nor unloaded")
    if not folder.NAME.fullmatch(name):
        raise BadRequest(f"no model can be called {quoted(name)}: expected letters, digits, '.', '_' and '-'")


def _load_parameters(content: Mapping[str, object]) -> Mapping[str, object]:
    parameters = content.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise BadRequest(f"parameters is {arrays.describe(parameters)}, expected an object")
    for name in parameters:
        if name != "config" and not name.startswith("file:"):
            raise BadRequest(f"unknown load parameter {quoted(name)}")
    return parameters


@router.get("/trace/setting", summary="Trace settings")
async def trace_settings(services: Shared) -> Response:
    """The global trace settings."""
    return json_response(services.tracing.settings(None))


@router.post(
    "/trace/setting", summary="Change trace settings", openapi_extra=_body({"trace_rate": "100"}), **ADMIN_ONLY
)
async def change_trace_settings(request: Request, services: Shared) -> Response:
    """Change the global trace settings; null sets one back. Traces go to the log."""
    return json_response(await to_thread.run_sync(services.tracing.update, None, await _read(request, services)))


@router.get("/models/{name}/trace/setting", summary="Trace settings of a model")
async def trace_settings_of_model(name: Name, services: Shared) -> Response:
    """The trace settings in force for one model."""
    find(name, None, services)
    return json_response(services.tracing.settings(name))


@router.post(
    "/models/{name}/trace/setting",
    summary="Change trace settings of a model",
    openapi_extra=_body({"trace_level": ["TIMESTAMPS"], "trace_rate": "1"}),
    **ADMIN_ONLY,
)
async def change_trace_settings_of_model(name: Name, request: Request, services: Shared) -> Response:
    """Change one model's trace settings; null gives one back to the global settings."""
    find(name, None, services)
    return json_response(await to_thread.run_sync(services.tracing.update, name, await _read(request, services)))


@router.get("/logging", summary="Logging settings")
async def logging_settings(services: Shared) -> Response:
    """What is logged."""
    return json_response(_logging(services))


@router.post(
    "/logging",
    summary="Change logging settings",
    openapi_extra=_body({"log_verbose_level": 0}),
    **ADMIN_ONLY,
)
async def change_logging_settings(request: Request, services: Shared) -> Response:
    """Change what is logged; unknown members are ignored, as Triton ignores them."""
    asked = await _read(request, services)
    if "log_file" in asked:
        raise Unsupported("log file location can not be updated through network protocol")
    changes = {name: value for name, value in asked.items() if name in LOG_CHECKS}
    for name, value in changes.items():
        expected, fits = LOG_CHECKS[name]
        if not fits(value):
            raise BadRequest(f"{name} is {arrays.describe(value)}, expected {expected}")
    await to_thread.run_sync(services.log.update, changes)
    return json_response(_logging(services))


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


LOG_CHECKS = {
    "log_info": ("true or false", _is_bool),
    "log_warning": ("true or false", _is_bool),
    "log_error": ("true or false", _is_bool),
    "log_verbose_level": ("an integer from 0", lambda value: type(value) is int and value >= 0),
    "log_format": (" or ".join(FORMATS), lambda value: value in tuple(FORMATS)),
}


def _logging(services: Services) -> dict[str, object]:
    settings = services.log.settings
    return {"log_file": ""} | {name: getattr(settings, name) for name in LOG_CHECKS}


async def _read(request: Request, services: Services) -> dict[str, object]:
    """The body as an object; an empty one is what tritonclient sends where there is nothing to say."""
    return _parsed(await _read_body(request, MAX_BODY_BYTES), services)


async def _read_body(request: Request, limit: int) -> bytes:
    body = await request.body()
    if len(body) > limit:
        raise PayloadTooLarge(f"the body has {len(body)} bytes; this route reads at most {limit}")
    return body


def _parsed(body: bytes, services: Services) -> dict[str, object]:
    content = arrays.parse_json(body, max_depth=services.settings.max_json_depth) if body else {}
    if not isinstance(content, dict):
        raise BadRequest(f"the body is {arrays.describe(content)}, expected a JSON object")
    return content
