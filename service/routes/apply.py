"""POST /v1/activations/{name}: a function applied to a tensor or an image."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.activations.activation import Activation, Values
from service.activations.catalogue import find
from service.activations.graphs import DTYPES
from service.engine.functions import Functions
from service.engine.runtime.session import Tensor
from service.errors import BadRequest
from service.routes import account, examples, parameters, schemas
from service.routes.http import (
    JSON,
    MULTIPART,
    NPY,
    PNG,
    checked,
    json_response,
    media_type,
    negotiate,
    query,
    read_files,
    unsupported,
)
from service.routes.state import Services, Shared
from service.routes.targets import ACTIVATION_VERSION
from service.wire import arrays, images

router = APIRouter(prefix="/v1", tags=["activations"])

APPLY_BODY = examples.json_body(
    {"$ref": "#/components/schemas/Apply"},
    {
        "a list": {"data": [-2, -1, 0, 1, 2]},
        "a matrix with its derivative": {"data": [[-1.5, 0.0], [0.5, 3.0]], "dtype": "float64", "derivative": True},
        "flat with a shape": {"data": [-1, 0, 1, "Infinity"], "shape": [2, 2], "kernel": "native"},
    },
    {
        NPY: examples.binary("A .npy file of float16, float32 or float64; parameters and kernel go into the query."),
        "image/png": examples.binary("An image; likewise JPEG, WebP, BMP and GIF."),
        MULTIPART: examples.files("One image."),
    },
)
APPLY_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "model": schemas.Applied,
        "content": {
            NPY: examples.binary("The output, or the derivative if asked for."),
            PNG: examples.binary("Likewise."),
        },
    },
    406: {"model": schemas.Error, "description": "Not Acceptable"},
}
APPLY_QUERY = {
    "parameters": [
        parameters.query("kernel", {"enum": ["exact", "native"]}, "The kernel, if not `exact`. Not with JSON bodies."),
        parameters.query("dtype", {"enum": list(DTYPES)}, "For images: the dtype, if not float32."),
        parameters.query("range", {"enum": ["unit", "signed"]}, "For images: 0…1 (`unit`) or −1…1 (`signed`)."),
        parameters.query("derivative", {"type": "boolean"}, "Answer with the derivative. Not with JSON bodies."),
        *parameters.documented(),
    ]
}


@router.post(
    "/activations/{name}",
    summary="Apply a function",
    responses=APPLY_ANSWER,
    openapi_extra=APPLY_BODY | APPLY_QUERY,
)
async def apply(name: parameters.Name, request: Request, services: Shared) -> Response:
    """Apply the function to a tensor or an image.

    The body is JSON, a `.npy` file, an image, or multipart with one `file`. The answer is by default of the body's
    kind (an image comes back as PNG, its output mapped linearly from `X-Output-Min` to `X-Output-Max`); `Accept` asks
    for another of `application/json`, `application/x-npy`, `image/png`. With bodies that are not JSON, options and the
    function's parameters go into the query: `?alpha=0.1&kernel=native`.
    """
    row = find(name)
    kind = media_type(request)
    if kind == JSON:
        query(request, [])  # everything is in the body
        accept = negotiate(request, (JSON, NPY, PNG))
        body = await request.body()
        return await _answered(row, lambda: _read_json(row, body, services), accept, services)
    if kind == NPY:
        body = await request.body()
        accept = negotiate(request, (NPY, JSON, PNG))
        options, values = _options(row, request)
        return await _answered(row, lambda: _read_npy(body, options, values, services), accept, services)
    if kind == MULTIPART or kind in images.CONTENT_TYPES:
        body = (await read_files(request, 1))[0] if kind == MULTIPART else await request.body()
        accept = negotiate(request, (PNG, NPY, JSON))
        options, values = _options(row, request)
        return await _answered(row, lambda: _read_image(body, options, values, services), accept, services)
    raise unsupported(request, (JSON, NPY, *images.CONTENT_TYPES, MULTIPART))


@dataclass(frozen=True, slots=True)
class _Asked:
    """A tensor and what is to be done to it."""

    x: Tensor
    values: Values
    kernel: schemas.Kernel
    derivative: bool


async def _answered(row: Activation, read: Callable[[], _Asked], accept: str, services: Services) -> Response:
    """Read, apply and encode in a thread, and count it in the function's statistics: one tensor is one row."""
    statistics = services.functions.statistics[row.name]
    kept = account.current()  # the thread below has no task, and so none
    kept.name(row.name, str(ACTIVATION_VERSION))
    arrived = time.perf_counter_ns()

    def work() -> Response:
        started = time.perf_counter_ns()
        asked = read()
        ready = time.perf_counter_ns()
        try:
            computed = _computed(row, asked, accept, services.functions)
            ran = time.perf_counter_ns()
            response = _encoded(row, asked, computed, accept)
        except Exception as error:
            statistics.record_failure(time.perf_counter_ns() - ready, error)
            raise
        kept.ran(1, started - arrived, ran - ready)
        statistics.record(
            1,
            (1,) * len(computed),
            queue_ns=started - arrived,
            input_ns=ready - started,
            infer_ns=ran - ready,
            output_ns=time.perf_counter_ns() - ran,
        )
        return response

    return await services.pool.run(work)


def _read_json(row: Activation, body: bytes, services: Services) -> _Asked:
    asked = checked(schemas.Apply, arrays.parse_json(body, max_depth=services.settings.max_json_depth), "the body")
    x = tensor(asked, services.settings.max_tensor_elements)
    return _Asked(x, row.bind(asked.parameters), asked.kernel, asked.derivative)


def tensor(asked: schemas.Numbers, limit: int) -> Tensor:
    """The numbers of a JSON body.

    Raises:
        BadRequest, PayloadTooLarge: as `arrays.from_json`.
    """
    shape = None if asked.shape is None else arrays.check_shape(asked.shape, name="shape", max_elements=limit)
    return arrays.from_json(asked.data, DTYPES[asked.dtype], name="data", max_elements=limit, shape=shape)


def _options(row: Activation, request: Request) -> tuple[schemas.ApplyOptions, Values]:
    """The query, where the body is not JSON: options, and the function's parameters."""
    given = query(request)
    names = schemas.ApplyOptions.model_fields
    options = checked(schemas.ApplyOptions, {k: v for k, v in given.items() if k in names}, "the query")
    return options, row.bind(parameters.read({k: v for k, v in given.items() if k not in names}))


def _read_npy(body: bytes, options: schemas.ApplyOptions, values: Values, services: Services) -> _Asked:
    x = arrays.read_npy(body, max_elements=services.settings.max_tensor_elements)
    if options.dtype not in (None, x.dtype.name):
        raise BadRequest(f"query parameter 'dtype' is {options.dtype}, but the .npy file holds {x.dtype.name}")
    return _Asked(x, values, options.kernel, options.derivative)


def _read_image(body: bytes, options: schemas.ApplyOptions, values: Values, services: Services) -> _Asked:
    settings = services.settings
    image = images.decode(body, max_pixels=settings.max_image_pixels, max_side=settings.max_image_side_pixels)
    x = images.to_array(image, DTYPES[options.dtype or "float32"], signed=options.range == "signed")
    return _Asked(x, values, options.kernel, options.derivative)


def _computed(row: Activation, asked: _Asked, accept: str, functions: Functions) -> list[tuple[Tensor, str]]:
    """The output, then the derivative if asked for; where there is room for one tensor only, that in its place.

    Each with what computed it.
    """
    both = accept == JSON and asked.derivative
    wanted = (False, True) if both else (asked.derivative,)
    return [functions.applied(row, asked.values, asked.x, asked.kernel, derivative=slope) for slope in wanted]


def _encoded(row: Activation, asked: _Asked, computed: list[tuple[Tensor, str]], accept: str) -> Response:
    y, provider = computed[0]
    if accept == NPY:
        return Response(arrays.write_npy(y), media_type=NPY)
    if accept == PNG:
        png, low, high = images.encode_png(y)
        return Response(png, media_type=PNG, headers={"X-Output-Min": repr(low), "X-Output-Max": repr(high)})
    answer: dict[str, object] = {
        "activation": row.name,
        "parameters": parameters.plain(asked.values),
        "kernel": asked.kernel,
        "dtype": y.dtype.name,
        "shape": list(y.shape),
        "data": arrays.to_json(y),
        "provider": provider,
    }
    if asked.derivative:
        answer["derivative"] = arrays.to_json(computed[1][0])
    return json_response(answer)
