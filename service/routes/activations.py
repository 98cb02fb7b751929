"""/v1/activations and /v1/guide: the catalogue, a function and its curve, how to choose."""

import functools
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from service.activations.activation import Activation, Parameter, Values
from service.activations.catalogue import ACTIVATIONS, find
from service.activations.guide import GUIDE, SUMMARY, Advice
from service.engine.functions import Functions
from service.engine.model import BINARY, Description
from service.engine.runtime.session import Tensor
from service.errors import BadRequest, NotFound, did_you_mean, quoted
from service.routes import examples, parameters, schemas
from service.routes.http import json_response, query
from service.routes.state import Services, Shared
from service.wire import arrays

router = APIRouter(prefix="/v1", tags=["activations"])

OUTPUTS = {"sigmoid": BINARY, "softmax": "classifier"}
"""The kind of CNN that has it in the output layer."""

ACCURACY = Path(__file__).parent.parent / "activations" / "accuracy.json"


@router.get("/activations", response_model=schemas.Activations, summary="The catalogue")
async def catalogue(request: Request) -> Response:
    """Every function: formula, parameters, properties, the article's text, defaults elsewhere, sources."""
    query(request, [])
    return json_response({"activations": [shown(row) for row in ACTIVATIONS.values()]})


@router.get("/activations/{name}", response_model=schemas.ActivationWithAccuracy, summary="One function")
async def activation(name: parameters.Name, request: Request, services: Shared) -> Response:
    """One function, with the measured accuracy of both kernels and the article's claims about it."""
    query(request, [])
    row = find(name)
    return json_response(shown(row) | {"accuracy": accuracy(row.name), "claims": services.evidence.ids(row.name)})


@router.get(
    "/activations/{name}/curve",
    response_model=schemas.Curve,
    summary="Points for a plot",
    openapi_extra={"parameters": parameters.documented()},
)
async def curve(
    name: parameters.Name,
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
    values = row.bind(parameters.read(given))
    if not row.elementwise and values.integer("axis") not in (-1, 1):
        raise BadRequest(f"parameter 'axis': got {values.integer('axis')}, but a curve runs across axis -1")
    x = np.linspace(low, high, points)
    found = await services.pool.run(lambda: _curve(services.functions, row, values, x))
    return json_response({"activation": row.name, "parameters": parameters.plain(values), "x": x} | found)


def _curve(functions: Functions, row: Activation, values: Values, x: Tensor) -> dict[str, object]:
    """Along an axis: each x stands beside a 0, so that softmax shows as the sigmoid it then is."""
    column = x if row.elementwise else np.stack([x, np.zeros_like(x)], axis=-1)
    pair = [functions.apply(row, values, column, "exact", derivative=derivative) for derivative in (False, True)]
    y, slope = (part if row.elementwise else np.ascontiguousarray(part[:, 0]) for part in pair)
    return {"y": arrays.to_json(y), "derivative": arrays.to_json(slope)}


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
    entries = [asdict(advice) | {"measured": _measured(advice, services)} for advice in chosen]
    return json_response({"guide": entries, "summary": SUMMARY, "claims": services.evidence.ids("choosing")})


def _measured(advice: Advice, services: Services) -> list[dict[str, object]]:
    """Validation accuracy, from the model cards, of the served CNNs that do as is advised."""
    return [
        {
            "model": model.name,
            "activation": model.description.activation,
            "validation_accuracy": model.description.card["validation_accuracy"],
        }
        for model in services.repository.models()
        if model.description.card and "validation_accuracy" in model.description.card
        if _follows(advice, model.description)
    ]


def _follows(advice: Advice, about: Description) -> bool:
    """Whether a CNN has the activations where the advice puts them.

    A binary classifier's accuracy is never listed beside that of one for ten classes: two are easier to tell apart.
    """
    if advice.layer == "output":
        return about.kind in [OUTPUTS[name] for name in advice.activations]
    return not about.is_binary and about.activation in advice.activations


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
    table: dict[str, Any] = json.loads(ACCURACY.read_text())
    return table


def accuracy(name: str) -> dict[str, object]:
    """What `make accuracy` measured of one function; a test holds that it has measured every one."""
    table = _accuracy_table()
    return {k: table[k] for k in ("command", "machine", "onnxruntime", "provider")} | {
        "records": table["functions"][name]
    }
