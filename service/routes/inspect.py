"""POST /v1/models/{name}/inspect: a look into a network's layers, as it was trained or with its activations swapped."""

import base64
import time
from dataclasses import asdict
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from service.activations.evidence import Swaps
from service.engine import inspection
from service.engine.inspection import Layer, Spread
from service.engine.model import Model
from service.engine.patterns import Site
from service.engine.runtime.session import Tensor
from service.errors import NotFound, PayloadTooLarge
from service.routes import account, pictures, schemas
from service.routes.http import json_response, query
from service.routes.models import TOP_K, Activation, Name, parted
from service.routes.pictures import Sent
from service.routes.predictions import predictions
from service.routes.state import Services, Shared
from service.wire import arrays, images

router = APIRouter(prefix="/v1", tags=["lab"])


@router.post(
    "/models/{name}/inspect",
    summary="Look into a CNN",
    responses={200: {"model": schemas.Inspected}},
    openapi_extra=pictures.BODY,
)
async def inspect(
    name: Name,
    request: Request,
    services: Shared,
    activation: Activation = None,
    maps: Annotated[bool, Query(description="Also the feature maps of the first image, as PNG.")] = False,
) -> Response:
    """What happens in each layer on the way of these images.

    For each hidden activation: what goes in and what comes out (mean, deviation, extremes, histogram), the share of
    exact zeros, dead channels, the saturated share, the mean's share of the power. The body is as for `predict`. The
    model may be any ONNX CNN of the repository.
    """
    query(request, ["activation", "maps"])
    model, wanted = parted(name, activation, services)
    account.current().name(model.name, str(model.version))
    started = time.perf_counter_ns()
    feeds = await pictures.feeds(model, await Sent.receive(request, services.settings), services)
    decoded = time.perf_counter_ns()
    answer = await services.pool.run(lambda: _inspected(model, wanted, feeds, maps, services))
    times = {"decode": decoded - started, "inspect": time.perf_counter_ns() - decoded}
    return json_response(answer | {"timing_ms": {stage: round(ns / 1e6, 3) for stage, ns in times.items()}})


def _inspected(
    model: Model, activation: str | None, feeds: dict[str, Tensor], maps: bool, services: Services
) -> dict[str, object]:
    """Run the images one after the other, for one tells how much memory all will take."""
    tapped = services.variants.tapped(model, activation)
    rows = len(next(iter(feeds.values())))
    first = tapped.session.run({name: array[:1] for name, array in feeds.items()})
    _check_elements(sum(first[site.before].size + first[site.after].size for site in tapped.sites), rows, services)
    outputs = first if rows == 1 else tapped.session.run(feeds)
    found = {port.name: outputs[port.name] for port in model.outputs}
    return {
        "model": tapped.name,
        "version": str(model.version),
        "activation": tapped.activation,
        "provider": model.session.provider,
        "images": rows,
        "layers": [_layer(number, site, outputs, maps, services) for number, site in enumerate(tapped.sites, start=1)],
        "predictions": predictions(found, model.description, TOP_K),
    }


def _check_elements(each: int, rows: int, services: Services) -> None:
    most = services.settings.max_inspected_elements
    if each * rows > most:
        fit = f"at most {most // each} of these images" if each <= most else "not even one image of this model"
        raise PayloadTooLarge(
            f"to look into {rows} images takes {each * rows} numbers of memory, {most} are allowed: {fit}"
        )


def _layer(number: int, site: Site, outputs: dict[str, Tensor], maps: bool, services: Services) -> dict[str, object]:
    before, after = outputs[site.before], outputs[site.after]
    found = inspection.layer(site, before, after, services.functions)
    answer: dict[str, object] = {"layer": number} | _told(found)
    return answer | {"maps": _picture(after[0])} if maps else answer


def _told(found: Layer) -> dict[str, object]:
    answer = asdict(found)
    dead = answer.pop("dead")
    answer["activation"] = answer.pop("function")
    answer["channels"] = found.channels
    answer["dead"] = {"count": len(dead), "share": len(dead) / found.channels, "channels": dead}
    return answer | {"before": _spread(found.before), "after": _spread(found.after)}


def _spread(spread: Spread) -> dict[str, object]:
    """What is not finite as `/v1` writes it."""
    told = asdict(spread)
    numbers = {name: arrays.to_json(np.array(told[name])) for name in ("mean", "std", "min", "max")}
    return told | numbers


def _picture(maps: Tensor) -> str:
    """Feature maps [channels, …] as a data URL; what has no height and width is a dot a channel."""
    plane = maps.reshape(len(maps), *(maps.shape[1:] if maps.ndim == 3 else (1, -1)))
    png, _, _ = images.encode_png(inspection.sheet(plane))
    return "data:image/png;base64," + base64.b64encode(png).decode()


@router.get("/swaps", response_model=Swaps, summary="What swapped CNNs are worth")
async def swaps(request: Request, services: Shared) -> Response:
    """The accuracy that each CNN keeps with each function in the place of its own; 404 where it was not measured."""
    query(request, [])
    measured = services.evidence.swaps
    if measured is None:
        raise NotFound("it has not been measured; `python -m models.evidence swaps` does so")
    return json_response(measured.model_dump())
