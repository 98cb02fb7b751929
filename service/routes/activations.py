"""/v1/activations and /v1/guide: the catalogue, applying a function, its curve, how to choose."""

import functools
import json
from dataclasses import asdict
from pathlib import Path as File
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from service.activations.activation import Activation, Parameter, Values
from service.activations.catalogue import ACTIVATIONS, find
from service.activations.graphs import DTYPES
from service.activations.guide import GUIDE, SUMMARY
from service.engine.functions import Functions
from service.engine.session import Tensor
from service.errors import BadRequest, NotFound, did_you_mean, quoted
from service.routes import examples, schemas
from service.routes.http import (
    JSON,
    MULTIPART,
    NPY,
    PNG,
    checked,
    json_response,
    literal,
    media_type,
    negotiate,
    query,
    read_files,
    unsupported,
)
from service.routes.state import Services, Shared
from service.wire import arrays, images

router = APIRouter(prefix="/v1", tags=["activations"])

ACCURACY = File(__file__).parent.parent / "activations" / "accuracy.json"

Name = Annotated[
    str,
    Path(
        description="A function's name, or an alias such as `silu`.",
        openapi_examples=examples.path_examples("leaky_relu", *(name for name in ACTIVATIONS if name != "leaky_relu")),
    ),
]


@router.get("/activations", response_model=schemas.Activations, summary="The catalogue")
async def catalogue(request: Request) -> Response:
    """Every function: formula, parameters, properties, the article's text, defaults elsewhere, sources."""
    query(request, [])
    return json_response({"activations": [shown(row) for row in ACTIVATIONS.values()]})


@router.get("/activations/{name}", response_model=schemas.ActivationWithAccuracy, summary="One function")
async def activation(name: Name, request: Request) -> Response:
    """One function, with the measured accuracy of both kernels."""
    query(request, [])
    row = find(name)
    return json_response(shown(row) | {"accuracy": accuracy(row.name)})


@router.get("/activations/{name}/curve", response_model=schemas.Curve, summary="Points for a plot")
async def curve(
    name: Name,
    request: Request,
    services: Shared,
    low: Annotated[float, Query(alias="min", ge=-1e6, le=1e6, description="First x.")] = -6.0,
    high: Annotated[float, Query(alias="max", ge=-1e6, le=1e6, description="Last x.")] = 6.0,
    points: Annotated[int, Query(ge=2, le=10_001, description="How many, in equal steps.")] = 241,
) -> Response:
    """The function and its derivative over an interval. Parameters of the function go into the query."""
    row = find(name)
    if not low < high:
        raise BadRequest(f"min must be less than max, got {low:g} and {high:g}")
    given = {k: v for k, v in query(request).items() if k not in ("min", "max", "points")}
    values = row.bind({k: literal(v) for k, v in given.items()})
    if not row.elementwise and values.integer("axis") not in (-1, 1):
        raise BadRequest(f"parameter 'axis': got {values.integer('axis')}, but a curve runs across axis -1")
    x = np.linspace(low, high, points)
    timed = await services.pool.run(lambda: _curve(services.functions, row, values, x))
    return json_response({"activation": row.name, "parameters": _plain(values), "x": x} | timed.result)


def _curve(functions: Functions, row: Activation, values: Values, x: Tensor) -> dict[str, object]:
    """Along an axis: each x stands beside a 0, so that softmax shows as the sigmoid it then is."""
    column = x if row.elementwise else np.stack([x, np.zeros_like(x)], axis=-1)
    pair = [functions.apply(row, values, column, "exact", derivative=derivative) for derivative in (False, True)]
    y, slope = (part if row.elementwise else np.ascontiguousarray(part[:, 0]) for part in pair)
    return {"y": arrays.to_json(y), "derivative": arrays.to_json(slope)}


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
        {"name": name, "in": "query", "required": False, "schema": schema, "description": text}
        for name, schema, text in (
            ("kernel", {"enum": ["exact", "native"]}, "Not with JSON bodies. The kernel, if not `exact`."),
            ("dtype", {"enum": list(DTYPES)}, "Not with JSON bodies. For images: the dtype, if not float32."),
            ("range", {"enum": ["unit", "signed"]}, "For images: pixels as 0…1 (`unit`) or −1…1 (`signed`)."),
            ("derivative", {"type": "boolean"}, "Not with JSON bodies. Answer with the derivative."),
        )
    ]
}


@router.post(
    "/activations/{name}",
    summary="Apply a function",
    responses=APPLY_ANSWER,
    openapi_extra=APPLY_BODY | APPLY_QUERY,
)
async def apply(name: Name, request: Request, services: Shared) -> Response:
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


async def _apply_file(row: Activation, request: Request, services: Services, accept: str, read: Any) -> Response:
    """Apply to a body that is not JSON; `read` turns the options into a tensor."""
    given = query(request)
    names = schemas.ApplyOptions.model_fields
    options = checked(schemas.ApplyOptions, {k: v for k, v in given.items() if k in names}, "the query")
    values = row.bind({k: literal(v) for k, v in given.items() if k not in names})
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
        "parameters": _plain(values),
        "kernel": kernel,
        "dtype": y.dtype.name,
        "shape": list(y.shape),
        "data": arrays.to_json(y),
        "provider": provider,
    }
    return answer if slope is None else answer | {"derivative": arrays.to_json(slope)}


def _plain(values: Values) -> dict[str, object]:
    return {k: arrays.to_json(v) if isinstance(v, np.ndarray) else v for k, v in values.items()}


@router.get("/guide", response_model=schemas.Guide, summary="How to choose")
async def guide(
    request: Request,
    services: Shared,
    task: Annotated[
        str | None,
        Query(
            description="One task only.", openapi_examples=examples.path_examples(*(advice.task for advice in GUIDE))
        ),
    ] = None,
) -> Response:
    """The article's advice by task, what is to be said against it, and what the served CNNs were measured to do."""
    query(request, ["task"])
    tasks = [advice.task for advice in GUIDE]
    if task is not None and task not in tasks:
        raise NotFound(f"no task {quoted(task)}.{did_you_mean(task, tasks)} There are: {', '.join(tasks)}")
    chosen = [advice for advice in GUIDE if task in (None, advice.task)]
    entries = [asdict(advice) | {"measured": _measured(advice.activations, services)} for advice in chosen]
    return json_response({"guide": entries, "summary": SUMMARY})


def _measured(names: tuple[str, ...], services: Services) -> list[dict[str, object]]:
    """Validation accuracy, from the model cards, of the served CNNs with these hidden activations."""
    found: list[dict[str, object]] = []
    for model in services.repository.models():
        card, hidden = model.description.card or {}, model.description.activation
        if hidden in names and "validation_accuracy" in card:
            found.append(
                {"model": model.name, "activation": hidden, "validation_accuracy": card["validation_accuracy"]}
            )
    return found


def shown(row: Activation) -> dict[str, object]:
    """A row of the catalogue as JSON: everything but the formulas that are code."""
    names = (
        "name", "title", "aliases", "in_article", "elementwise", "formula", "derivative_formula", "range",
        "zero_centered", "monotonic", "onnx_op", "since_opset",
    )  # fmt: skip
    return (
        {n: getattr(row, n) for n in names}
        | asdict(row.story)
        | {"parameters": [_parameter(p) for p in row.parameters]}
    )


def _parameter(parameter: Parameter) -> dict[str, object]:
    bounds = {"minimum": parameter.minimum, "maximum": parameter.maximum}
    numeric = parameter.kind != "choice"
    return {
        "name": parameter.name,
        "kind": parameter.kind,
        "default": parameter.default,
        **{name: bound if numeric else None for name, bound in bounds.items()},
        "choices": None if numeric else list(parameter.choices),
        "description": parameter.description,
    }


@functools.cache
def _accuracy_table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(ACCURACY.read_text()) if ACCURACY.exists() else {"functions": {}}
    return table


def accuracy(name: str) -> dict[str, object] | None:
    """What `make accuracy` measured of one function; None if it has not been run."""
    table = _accuracy_table()
    if name not in table["functions"]:
        return None
    return {k: table[k] for k in ("command", "machine", "onnxruntime", "provider")} | {
        "records": table["functions"][name]
    }
