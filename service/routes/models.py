"""/v1/models: the CNNs, and what they see in images or tensors."""

import asyncio
import time
from collections.abc import Mapping
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from service.engine.entry import Entry
from service.engine.model import Model, Port
from service.engine.scheduler import Scheduler
from service.engine.session import Tensor
from service.errors import BadRequest
from service.routes import examples, schemas
from service.routes.http import (
    JSON,
    JSON_TYPE,
    MULTIPART,
    NPY,
    Pieces,
    checked,
    json_response,
    media_type,
    query,
    read_files,
    unsupported,
)
from service.routes.predictions import predictions
from service.routes.state import Services, Shared
from service.settings import Settings
from service.wire import arrays, datatypes, images
from service.wire.images import Picture

router = APIRouter(prefix="/v1/models", tags=["models"])

TOP_K = 3
"""Classes that are ranked where the request does not say."""

SHORT_BODY_BYTES = 2**16
SHORT_ELEMENTS = 2**14
SHORT_PIXELS = 2**16
"""Up to these sizes bodies are read, outputs described and pictures decoded in the event loop: a millisecond or two."""

Name = Annotated[
    str,
    Path(description="A model's name.", openapi_examples=examples.path_examples("cnn-relu", "cnn-swish", "cnn-elu")),
]


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


PREDICT_BODY = examples.json_body(
    {"$ref": "#/components/schemas/Predict"},
    {"an image as a data URL": {"images": [examples.sample_data_url()]}},
    {
        "image/jpeg": examples.binary("An image; likewise PNG, WebP, BMP and GIF."),
        MULTIPART: examples.files("One or more images."),
        NPY: examples.binary("A tensor N×C×H×W, already preprocessed."),
    },
)


@router.post(
    "/{name}/predict",
    summary="Classify images",
    responses={200: {"model": schemas.Predicted}},
    openapi_extra=PREDICT_BODY,
)
async def predict(
    name: Name,
    request: Request,
    services: Shared,
    top_k: Annotated[int, Query(ge=1, le=1000, description="How many classes to rank.")] = TOP_K,
) -> Response:
    """Run the model on images or on a tensor.

    The body is an image, multipart with one or more `file`s, JSON with `images` (base64 or data URLs) or `data`
    (a tensor as the model takes it), or a `.npy` file. An image is cropped around its centre and resized to the model's
    size; one that has it keeps its pixels. A binary classifier has both of its classes' probabilities, of one logit.
    A model that is no classifier answers with its `outputs` as they are.
    """
    query(request, ["top_k"])
    model = services.repository.find(name)
    kind = media_type(request)
    if kind == MULTIPART:
        files = await read_files(request, services.settings.max_images)
        return await classified(model, kind, files, top_k, services)
    return await classified(model, check_kind(request), [await request.body()], top_k, services)


def check_kind(request: Request) -> str:
    """The content type of a body that is not multipart.

    Raises:
        UnsupportedMediaType: it is none that this route reads.
    """
    kind = media_type(request)
    if kind not in images.CONTENT_TYPES and kind not in (JSON, NPY):
        raise unsupported(request, (*images.CONTENT_TYPES, MULTIPART, JSON, NPY))
    return kind


async def classified(model: Model, kind: str, bodies: list[bytes], top_k: int, services: Services) -> Response:
    """Decode, run, describe, and count it all in the model's statistics.

    Args:
        kind: content type of the body.
        bodies: the files of a multipart body; else the one body.
    """
    started = time.perf_counter_ns()
    scheduler, settings = services.scheduler, services.settings
    read = await scheduler.work(
        lambda: _read(model, kind, bodies, settings), short=kind == NPY or sum(map(len, bodies)) <= SHORT_BODY_BYTES
    )
    batch = await _batch(model, read, scheduler)
    feeds = {_only_input(model).name: batch}
    model.check(feeds)
    decoded = time.perf_counter_ns()
    try:
        execution = await scheduler.submit(model, feeds)
        ran = time.perf_counter_ns()
        answer = await scheduler.work(
            lambda: _described_outputs(model, execution.outputs, top_k),
            short=sum(array.size for array in execution.outputs.values()) <= SHORT_ELEMENTS,
        )
    except (Exception, asyncio.CancelledError) as error:
        model.statistics.record_failure(time.perf_counter_ns() - decoded, error)
        raise
    model.statistics.record(
        execution.rows,
        execution.batch_sizes,
        queue_ns=execution.queue_ns,
        input_ns=decoded - started,
        infer_ns=execution.infer_ns,
        output_ns=time.perf_counter_ns() - ran,
    )
    times = {"decode": decoded - started, "queue": execution.queue_ns, "compute": execution.infer_ns}
    answer["timing_ms"] = {stage: round(ns / 1e6, 3) for stage, ns in times.items()}
    return Pieces([arrays.dumps(answer)], [JSON_TYPE])


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


def _read(model: Model, kind: str, bodies: list[bytes], settings: Settings) -> Tensor | list[Picture]:
    """A tensor, or pictures of which only the headers have been read."""
    if kind == JSON:
        return _from_json(model, bodies[0], settings)
    if kind == NPY:
        return arrays.read_npy(bodies[0], max_elements=settings.max_tensor_elements)
    return _opened(model, bodies, settings)


async def _batch(model: Model, read: Tensor | list[Picture], scheduler: Scheduler) -> Tensor:
    """The model's input; small pictures are decoded in the event loop."""
    how = model.description.preprocessing
    if not isinstance(read, list):
        return read
    assert how is not None
    return await scheduler.work(
        lambda: _stacked([picture.prepared(how) for picture in read]),
        short=sum(picture.pixels for picture in read) <= SHORT_PIXELS,
    )


def _stacked(pictures: list[Tensor]) -> Tensor:
    return pictures[0][None] if len(pictures) == 1 else np.stack(pictures)


def _only_input(model: Model) -> Port:
    if len(model.inputs) != 1:
        names = [port.name for port in model.inputs]
        raise BadRequest(f"model {model.name!r} takes inputs {names}; send them to /v2/models/{model.name}/infer")
    return model.inputs[0]


def _from_json(model: Model, body: bytes, settings: Settings) -> Tensor | list[Picture]:
    asked = checked(schemas.Predict, arrays.parse_json(body), "the body")
    if (asked.images is None) == (asked.data is None):
        raise BadRequest("the body must hold either 'images' or 'data'")
    if asked.images is None:
        port = _only_input(model)
        if not port.datatype.has_json:
            place = f"/v2/models/{model.name}/infer"
            raise BadRequest(f"{port.datatype.name} is not read from JSON; send it as binary data to {place}")
        return arrays.from_json(asked.data, port.datatype.numpy, name="data", max_elements=settings.max_tensor_elements)
    _check_count(len(asked.images), settings)
    limit = settings.max_body_bytes
    return _opened(
        model,
        [images.from_base64(text, name=f"images[{i}]", max_bytes=limit) for i, text in enumerate(asked.images)],
        settings,
    )


def _check_count(count: int, settings: Settings) -> None:
    if not 1 <= count <= settings.max_images:
        raise BadRequest(f"got {count} images, expected 1 to {settings.max_images}")


def _opened(model: Model, files: list[bytes], settings: Settings) -> list[Picture]:
    if model.description.preprocessing is None:
        raise BadRequest(f"model {model.name!r} does not say how to prepare an image; send a tensor as 'data' or .npy")
    _check_count(len(files), settings)
    pixels, side = settings.max_image_pixels, settings.max_image_side_pixels
    return [
        Picture.open(content, max_pixels=pixels, max_side=side, name=f"image {index}")
        for index, content in enumerate(files)
    ]


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
