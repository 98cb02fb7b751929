"""POST /v1/compare/…: the same images through several CNNs, the same numbers through several functions."""

import asyncio
import time
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from service.activations.activation import Activation as Function
from service.activations.activation import Values
from service.activations.catalogue import ACTIVATIONS, find
from service.engine import callers
from service.engine.model import Execution, Model
from service.engine.runtime.session import Tensor
from service.errors import BadRequest, PayloadTooLarge, quoted
from service.routes import account, examples, parameters, pictures, schemas
from service.routes.apply import tensor
from service.routes.http import JSON, checked, json_response, media_type, query, unsupported
from service.routes.models import TOP_K, Activation, TopK, resolve, seen
from service.routes.pictures import Sent
from service.routes.state import Services, Shared
from service.wire import arrays
from service.wire.images import Picture, Preprocessing

router = APIRouter(prefix="/v1/compare", tags=["lab"])

Models = Annotated[
    str | None,
    Query(
        description="Which models, separated by commas; `cnn-relu~elu` is `cnn-relu` with another activation. "
        "Without it every classifier that takes pictures.",
        openapi_examples=examples.path_examples("cnn-relu,cnn-swish", "cnn-relu,cnn-relu~elu"),
    ),
]


@router.post(
    "/models",
    summary="The same images through several CNNs",
    responses={200: {"model": schemas.ComparedModels}},
    openapi_extra=pictures.BODY,
)
async def compare_models(
    request: Request,
    services: Shared,
    models: Models = None,
    activation: Activation = None,
    top_k: TopK = TOP_K,
) -> Response:
    """Classify images with several CNNs at once: what each sees, how sure it is, how long it took, and who agrees.

    The images are decoded once and the models run concurrently.
    """
    query(request, ["models", "activation", "top_k"])
    chosen = await _chosen(models, activation, services)
    for model in chosen:
        account.current().name(model.name, str(model.version))
    sent = await Sent.receive(request, services.settings)
    started = time.perf_counter_ns()
    feeds = await _shared_feeds(chosen, sent, services)
    decode_ns = time.perf_counter_ns() - started - callers.current().waited_ns
    with _resident(feeds, services):
        answers = await asyncio.gather(
            *(seen(model, of_model, top_k, services, decode_ns) for model, of_model in zip(chosen, feeds, strict=True))
        )
    results = [answer | _run(execution) for answer, execution in answers]
    timing = {"decode": decode_ns / 1e6, "all": (time.perf_counter_ns() - started) / 1e6}
    return json_response(
        {
            "results": results,
            "agreement": _agreement(results),
            "timing_ms": {stage: round(ms, 3) for stage, ms in timing.items()},
        }
    )


def _resident(feeds: list[dict[str, Tensor]], services: Services) -> AbstractContextManager[None]:
    """On a GPU, what several models read is there meanwhile: it is sent once, not once a model."""
    if services.resident is None:
        return nullcontext()
    given = [array for of_model in feeds for array in of_model.values()]
    times = Counter(map(id, given))
    return services.resident.keep({id(array): array for array in given if times[id(array)] > 1}.values())


def _run(execution: Execution) -> dict[str, object]:
    """The run that the images were in, whose time is not theirs alone if others' were too."""
    sizes = execution.batch_sizes
    return {"compute_ms": round(execution.infer_ns / 1e6, 3), "rows_of_run": sum(sizes) or None}


async def _chosen(models: str | None, activation: str | None, services: Services) -> list[Model]:
    if models is None:
        served = [m for m in services.repository.models() if m.description.labels and m.description.preprocessing]
        names = list(dict.fromkeys(model.name for model in served))
        if not names:
            raise BadRequest("no model that classifies pictures is served; name some with ?models=")
    else:
        names = [name.strip() for name in models.split(",")]
    if len(names) > services.settings.max_compared:
        raise BadRequest(f"got {len(names)} models, expected at most {services.settings.max_compared}")
    _check_once("models", names)
    return [await resolve(name, activation, services) for name in names]


def _check_once(what: str, names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise BadRequest(f"{what}: {quoted(Counter(names).most_common(1)[0][0])} is there twice")


async def _shared_feeds(models: list[Model], sent: Sent, services: Services) -> list[dict[str, Tensor]]:
    """The inputs of each model; pictures are read once, and prepared once for all models that want them alike."""
    scheduler, settings = services.scheduler, services.settings
    content = await scheduler.work(lambda: pictures.read(models[0], sent, settings), short=sent.is_short)
    made: dict[Preprocessing, Tensor] = {}
    found = []
    for model in models:
        feeds = {pictures.only_input(model).name: await _prepared(model, content, made, services)}
        model.check(feeds)
        found.append(feeds)
    return found


async def _prepared(
    model: Model, content: Tensor | list[Picture], made: dict[Preprocessing, Tensor], services: Services
) -> Tensor:
    if not isinstance(content, list):
        return content
    how = pictures.preprocessing(model)
    if how not in made:
        made[how] = await pictures.prepared(content, how, services.scheduler)
    return made[how]


def _agreement(results: list[dict[str, Any]]) -> list[list[dict[str, object]]]:
    """For each image: the labels that were seen, the most frequent first, and by which models."""
    rows = min((len(result.get("predictions") or ()) for result in results), default=0)
    return [_votes([(r["predictions"][row]["label"], r["model"]) for r in results]) for row in range(rows)]


def _votes(seen_by: list[tuple[str, str]]) -> list[dict[str, object]]:
    models: dict[str, list[str]] = {}
    for label, model in seen_by:
        models.setdefault(label, []).append(model)
    return [{"label": label, "models": names} for label, names in sorted(models.items(), key=lambda e: -len(e[1]))]


COMPARE_BODY = examples.json_body(
    {"$ref": "#/components/schemas/Compare"},
    {
        "all of them": {"data": [-2, -1, 0, 1, 2]},
        "three, one with a parameter": {
            "data": [[-1.5, 0.5]],
            "names": ["relu", "leaky_relu", "swish"],
            "parameters": {"leaky_relu": {"alpha": 0.1}},
            "derivative": True,
        },
    },
)


@router.post(
    "/activations",
    summary="The same numbers through several functions",
    responses={200: {"model": schemas.ComparedActivations}},
    openapi_extra=COMPARE_BODY,
)
async def compare_activations(request: Request, services: Shared) -> Response:
    """Apply several functions to one tensor; without `names` every function that works on each number alone.

    The body is as for one function, with `names`, and `parameters` by the function's name.
    """
    query(request, [])
    if media_type(request) != JSON:
        raise unsupported(request, (JSON,))
    body = await request.body()
    return await services.pool.run(lambda: _compared(body, services))


def _compared(body: bytes, services: Services) -> Response:
    asked = checked(schemas.Compare, arrays.parse_json(body, max_depth=services.settings.max_json_depth), "the body")
    limit = services.settings.max_tensor_elements
    rows = _functions(asked, services.settings.max_compared)
    x = tensor(asked, limit)
    if x.size * len(rows) > limit:
        raise PayloadTooLarge(
            f"{len(rows)} functions of {x.size} numbers are more than {limit}, the most of one answer"
        )
    results = [_applied(row, values, x, asked, services) for row, values in rows]
    return json_response({"results": results, "dtype": asked.dtype, "kernel": asked.kernel, "shape": list(x.shape)})


def _functions(asked: schemas.Compare, most: int) -> list[tuple[Function, Values]]:
    names = asked.names if asked.names is not None else [row.name for row in ACTIVATIONS.values() if row.elementwise]
    if not 1 <= len(names) <= most:
        raise BadRequest(f"got {len(names)} names, expected 1 to {most}")
    rows = [find(name) for name in names]
    chosen = [row.name for row in rows]
    _check_once("names", chosen)
    given = {find(name).name: of for name, of in asked.parameters.items()}
    if unused := sorted(set(given) - set(chosen)):
        raise BadRequest(f"parameters are given for {unused}, which are not among the names {chosen}")
    return [(row, row.bind(given.get(row.name, {}))) for row in rows]


def _applied(row: Function, values: Values, x: Tensor, asked: schemas.Compare, services: Services) -> dict[str, object]:
    functions = services.functions
    y, provider = functions.applied(row, values, x, asked.kernel)
    answer: dict[str, object] = {
        "activation": row.name,
        "parameters": parameters.plain(values),
        "data": arrays.to_json(y),
        "provider": provider,
    }
    if asked.derivative:
        answer["derivative"] = arrays.to_json(functions.apply(row, values, x, asked.kernel, derivative=True))
    return answer
