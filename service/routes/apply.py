"""POST /v1/activations/{name}: a function applied to a tensor or an image."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.activations.activation import Activation, Values
from service.activations.catalogue import find
from service.activations.graphs import DTYPES
from service.engine.functions import Functions
from service.engine.session import Tensor
from service.errors import BadRequest
from service.routes import examples, parameters, schemas
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
        return await _apply_json(row, request, services)
    if kind == NPY:
        body = await request.body()
        accept = negotiate(request, (NPY, JSON, PNG))
        return await _apply_file(row, request, services, accept, lambda options: _read_npy(body, options, services))
    if kind == MULTIPART or kind in images.CONTENT_TYPES:
        body = (await read_files(request, 1))[0] if kind == MULTIPART else await request.body()
        accept = negotiate(request, (PNG, NPY, JSON))
        return await _apply_file(row, request, services, accept, lambda options: _read_image(body, options, services))
    raise unsupported(request, (JSON, NPY, *images.CONTENT_TYPES, MULTIPART))


async def _apply_json(row: Activation, request: Request, services: Services) -> Response:
    query(request, [])  # with JSON everything is in the body
    accept = negotiate(request, (JSON, NPY, PNG))
    body = await request.body()

    def work() -> Response:
        asked = checked(schemas.Apply, arrays.parse_json(body), "the body")
        limit = services.settings.max_tensor_elements
        shape = None if asked.shape is None else arrays.check_shape(asked.shape, name="shape", max_elements=limit)
        x = arrays.from_json(asked.data, DTYPES[asked.dtype], name="data", max_elements=limit, shape=shape)
        return _answer(row, row.bind(asked.parameters), x, asked.kernel, asked.derivative, services.functions, accept)

    return (await services.pool.run(work)).result


async def _apply_file(
    row: Activation, request: Request, services: Services, accept: str, read: Callable[[schemas.ApplyOptions], Tensor]
) -> Response:
    """Apply to a body that is not JSON; `read` turns the options into a tensor."""
    given = query(request)
    names = schemas.ApplyOptions.model_fields
    options = checked(schemas.ApplyOptions, {k: v for k, v in given.items() if k in names}, "the query")
    values = row.bind(parameters.read({k: v for k, v in given.items() if k not in names}))
    timed = await services.pool.run(
        lambda: _answer(row, values, read(options), options.kernel, options.derivative, services.functions, accept)
    )
    return timed.result


def _read_npy(body: bytes, options: schemas.ApplyOptions, services: Services) -> Tensor:
    x = arrays.read_npy(body, max_elements=services.settings.max_tensor_elements)
    if options.dtype not in (None, x.dtype.name):
        raise BadRequest(f"query parameter 'dtype' is {options.dtype}, but the .npy file holds {x.dtype.name}")
    return x


def _read_image(body: bytes, options: schemas.ApplyOptions, services: Services) -> Tensor:
    settings = services.settings
    image = images.decode(body, max_pixels=settings.max_image_pixels, max_side=settings.max_image_side_pixels)
    return images.to_array(image, DTYPES[options.dtype or "float32"], signed=options.range == "signed")


def _answer(
    row: Activation,
    values: Values,
    x: Tensor,
    kernel: schemas.Kernel,
    derivative: bool,
    functions: Functions,
    accept: str,
) -> Response:
    """Compute and encode. Where there is room for one tensor only, the derivative takes the output's place."""
    if accept == JSON:
        y = functions.apply(row, values, x, kernel)
        slope = functions.apply(row, values, x, kernel, derivative=True) if derivative else None
        return json_response(_applied(row, values, kernel, y, slope, functions.device.provider))
    y = functions.apply(row, values, x, kernel, derivative=derivative)
    if accept == NPY:
        return Response(arrays.write_npy(y), media_type=NPY)
    png, low, high = images.encode_png(y)
    return Response(png, media_type=PNG, headers={"X-Output-Min": repr(low), "X-Output-Max": repr(high)})


def _applied(
    row: Activation, values: Values, kernel: str, y: Tensor, slope: Tensor | None, provider: str
) -> dict[str, object]:
    answer: dict[str, object] = {
        "activation": row.name,
        "parameters": parameters.plain(values),
        "kernel": kernel,
        "dtype": y.dtype.name,
        "shape": list(y.shape),
        "data": arrays.to_json(y),
        "provider": provider,
    }
    return answer if slope is None else answer | {"derivative": arrays.to_json(slope)}
