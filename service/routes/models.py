"""/v1/models: the CNNs, and what they see in images or tensors."""

import asyncio
import time
from collections.abc import Mapping
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from service.engine import callers
from service.engine.entry import Entry
from service.engine.model import Execution, Model, Port
from service.engine.runtime.session import Tensor
from service.errors import BadRequest, quoted
from service.routes import account, counting, examples, pictures, schemas
from service.routes.http import JSON_TYPE, Pieces, json_response, query
from service.routes.pictures import Sent
from service.routes.predictions import predictions
from service.routes.state import Services, Shared
from service.wire import arrays, datatypes

router = APIRouter(prefix="/v1/models", tags=["models"])

SWAP = "~"
"""Stands in a name between a model and the function that takes the place of its activations."""

TOP_K = 3
"""Classes that are ranked where the request does not say."""

SHORT_ELEMENTS = 2**14
"""Up to this size outputs are described in the event loop: a millisecond or two."""

Name = Annotated[
    str,
    Path(description="A model's name.", openapi_examples=examples.path_examples("cnn-relu", "cnn-swish", "cnn-elu")),
]


Activation = Annotated[
    str | None,
    Query(
        description="Another function in the place of the hidden activations; the answer is that of `name~function`.",
        openapi_examples=examples.path_examples("elu", "tanh"),
    ),
]


TopK = Annotated[int, Query(ge=1, le=1000, description="How many classes to rank.")]


@router.get("", response_model=schemas.Models, summary="The models")
async def models(request: Request, services: Shared) -> Response:
    """Every model in the repository: those that are served, and why the others are not."""
    query(request, [])
    return json_response({"models": [shown(entry) for entry in services.repository.entries.values()]})


@router.get("/{name}", response_model=schemas.ModelShown, summary="One model")
async def model(name: Name, request: Request, services: Shared) -> Response:
    """A model's activation, labels, preprocessing and card, and where its nodes run."""
    query(request, [])
    if name not in services.repository.entries:
        services.repository.find(name)  # raises, with the nearest name
    return json_response(shown(services.repository.entries[name]))


@router.post(
    "/{name}/predict",
    summary="Classify images",
    responses={200: {"model": schemas.Predicted}},
    openapi_extra=pictures.BODY,
)
async def predict(
    name: Name,
    request: Request,
    services: Shared,
    activation: Activation = None,
    top_k: TopK = TOP_K,
) -> Response:
    """Run the model on images or on a tensor.

    The body is an image, multipart with one or more `file`s, JSON with `images` (base64 or data URLs) or `data`
    (a tensor as the model takes it), or a `.npy` file. An image is cropped around its centre and resized to the model's
    size; one that has it keeps its pixels. A binary classifier has both of its classes' probabilities, of one logit.
    A model that is no classifier answers with its `outputs` as they are. With `activation` the hidden activations are
    swapped for another function, and the weights are as they were trained.
    """
    query(request, ["activation", "top_k"])
    model = await resolve(name, activation, services)
    sent = await Sent.receive(request, services.settings)
    return await classified(model, sent, top_k, services)


async def resolve(name: str, activation: str | None, services: Services) -> Model:
    """A served model, or one with other activations: `cnn-relu` with `elu`, or `cnn-relu~elu`.

    Raises:
        NotFound: no such model, or no such function.
        BadRequest: two functions are asked for, or the model has no activation to swap.
        ModelUnavailable: it is not served, or its file has changed meanwhile.
    """
    model, wanted = parted(name, activation, services)
    if wanted is None:
        return model
    return await services.pool.run(lambda: services.variants.swapped(model, wanted))


def parted(name: str, activation: str | None, services: Services) -> tuple[Model, str | None]:
    """The model as it was trained, and the function that is asked for in the place of its activations.

    Raises:
        NotFound, BadRequest, ModelUnavailable: as `resolve`.
    """
    base, _, named = name.partition(SWAP)
    if named and activation is not None:
        raise BadRequest(f"{quoted(name)} names a function already; activation={quoted(activation)} is another")
    model = services.repository.find(base)
    services.variants.forget(services.repository.models())
    return model, named or activation or None


async def classified(model: Model, sent: Sent, top_k: int, services: Services) -> Response:
    """Decode, run, describe."""
    account.current().name(model.name, str(model.version))
    started = time.perf_counter_ns()
    feeds = await pictures.feeds(model, sent, services)
    waited_ns = callers.current().waited_ns
    decode_ns = time.perf_counter_ns() - started - waited_ns
    answer, execution = await seen(model, feeds, top_k, services, decode_ns)
    times = {"decode": decode_ns, "queue": execution.queue_ns + waited_ns, "compute": execution.infer_ns}
    answer["timing_ms"] = {stage: round(ns / 1e6, 3) for stage, ns in times.items()}
    return Pieces(arrays.dumps_in_pieces(answer), [JSON_TYPE])


async def seen(
    model: Model, feeds: Mapping[str, Tensor], top_k: int, services: Services, decode_ns: int
) -> tuple[dict[str, object], Execution]:
    """Run a model, describe what comes out, and count it in the model's statistics.

    Args:
        feeds: what the model's `check` lets through.
        decode_ns: how long it took to read them.
    """
    scheduler = services.scheduler
    started = time.perf_counter_ns()
    try:
        execution = await scheduler.submit(model, feeds)
        ran = time.perf_counter_ns()
        answer = await scheduler.work(
            lambda: _described_outputs(model, execution.outputs, top_k),
            short=sum(array.size for array in execution.outputs.values()) <= SHORT_ELEMENTS,
        )
    except (Exception, asyncio.CancelledError) as error:
        counting.failed(model, started, error)
        raise
    counting.answered(model, execution, decode_ns=decode_ns, encode_ns=time.perf_counter_ns() - ran)
    return answer, execution


def _described_outputs(model: Model, outputs: Mapping[str, Tensor], top_k: int) -> dict[str, object]:
    answer: dict[str, object] = {
        "model": model.name,
        "version": str(model.version),
        "activation": model.description.activation,
        "provider": model.session.provider,
    }
    found = predictions(outputs, model.description, top_k)
    if found is not None:
        return answer | {"predictions": found}
    return answer | {"outputs": [_output(name, array) for name, array in outputs.items()]}


def _output(name: str, array: Tensor) -> dict[str, object]:
    array = np.asarray(array)
    datatype = datatypes.by_numpy(array.dtype)
    if array.dtype.kind == "O":
        data: object = [str(item) for item in array.flat]
    else:
        data = arrays.to_json(array if datatype.has_json else array.astype(np.float32))  # every BF16 is a float32
    return {"name": name, "datatype": datatype.name, "shape": list(array.shape), "data": data}


def shown(entry: Entry) -> dict[str, object]:
    """A model as JSON, its newest served version described."""
    reasons = [f"version {version}: {reason}" for version, reason in entry.reasons.items()]
    answer: dict[str, object] = dict.fromkeys(schemas.ModelShown.model_fields)
    answer |= {
        "name": entry.name,
        "state": "READY" if entry.models else "UNAVAILABLE",
        "reason": entry.reason or "; ".join(reasons) or None,
        "versions": [str(version) for version in sorted(entry.models)],
        "inputs": [],
        "outputs": [],
    }
    return answer | _described(entry.models[max(entry.models)]) if entry.models else answer


def _described(model: Model) -> dict[str, object]:
    about = model.description
    return {
        "version": str(model.version),
        "kind": about.kind,
        "activation": about.activation,
        "labels": about.labels,
        "preprocessing": about.preprocessing.to_dict() if about.preprocessing else None,
        "card": about.card,
        "inputs": ports(model.inputs),
        "outputs": ports(model.outputs),
        "provider": model.session.provider,
        "placement": model.session.placement,
    }


def ports(of: tuple[Port, ...]) -> list[dict[str, object]]:
    """Inputs or outputs as the protocol's metadata writes them."""
    return [{"name": port.name, "datatype": port.datatype.name, "shape": port.shown()} for port in of]
