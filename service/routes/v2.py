"""/v2: the Open Inference Protocol, for CNNs by name and for every activation as a model of its own name.

Health, metadata and inference with JSON tensors. An activation is a model of one input `x` and one output `y`, FP32
[-1, -1], with the native kernel; the request's `parameters` choose another kernel and set the function's own.
"""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from service import __version__
from service.activations.activation import Activation
from service.activations.catalogue import ACTIVATIONS, ALIASES
from service.activations.graphs import KERNELS, Kernel
from service.engine.repository import Model
from service.engine.session import Tensor
from service.errors import BadRequest, NotFound, ServiceError, did_you_mean, quoted
from service.routes import examples
from service.routes.http import JSON, json_response
from service.routes.models import ports
from service.routes.state import Services, Shared
from service.wire import arrays, datatypes, v2

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol V2"])

PLATFORM = "onnxruntime_onnx"
ACTIVATION_VERSION = "1"
RESERVED_PARAMETERS: Mapping[str, tuple[type, ...]] = {
    "sequence_id": (int, str),
    "sequence_start": (bool,),
    "sequence_end": (bool,),
    "priority": (int,),
    "timeout": (int,),
    "headers": (str,),
    "binary_data_output": (bool,),
}
"""Parameters of the protocol, which are not an activation's, and their types; none has an effect yet."""

Name = Annotated[
    str,
    Path(
        description="A CNN's name, or an activation's.",
        openapi_examples=examples.path_examples("relu", "cnn-relu", "swish"),
    ),
]
InferName = Annotated[
    str,
    Path(
        description="A CNN's name, or an activation's; the examples of the body are for an activation.",
        openapi_examples=examples.path_examples("relu", "swish", "leaky_relu"),
    ),
]
Version = Annotated[str, Path(description="A version number.", openapi_examples=examples.path_examples("1"))]


@router.get("", summary="Server metadata")
async def server() -> Response:
    """Name, version and the protocol extensions that are served."""
    return json_response({"name": "actserve", "version": __version__, "extensions": []})


@router.get("/health/live", summary="Is the server alive?")
async def live() -> Response:
    """200 whenever the process answers."""
    return json_response({"live": True})


@router.get("/health/ready", summary="Is the server ready?")
async def ready() -> Response:
    """200 once the models are loaded: before that the port is closed."""
    return json_response({"live": True, "ready": True})


@router.get("/models/{name}", summary="Model metadata")
async def metadata(name: Name, services: Shared) -> Response:
    """Versions, inputs and outputs."""
    return json_response(_metadata(name, None, services))


@router.get("/models/{name}/versions/{version}", summary="Metadata of one version")
async def metadata_of_version(name: Name, version: Version, services: Shared) -> Response:
    """Inputs and outputs of one version."""
    return json_response(_metadata(name, version, services))


@router.get("/models/{name}/ready", summary="Is a model ready?")
async def model_ready(name: Name, services: Shared) -> Response:
    """200 if the model is served; else 404, or 503 with the reason."""
    return _ready(name, None, services)


@router.get("/models/{name}/versions/{version}/ready", summary="Is a version ready?")
async def version_ready(name: Name, version: Version, services: Shared) -> Response:
    """200 if the version is served; else 404, or 503 with the reason."""
    return _ready(name, version, services)


INFER_BODY = examples.json_body(
    {"type": "object"},
    {
        "an activation": {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 5], "data": [-2, -1, 0, 1, 2]}]},
        "with another kernel": {
            "id": "42",
            "parameters": {"kernel": "exact"},
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [[-2, -1], [0, 1]]}],
            "outputs": [{"name": "y"}],
        },
    },
)


@router.post("/models/{name}/infer", summary="Inference", openapi_extra=INFER_BODY)
async def infer(name: InferName, request: Request, services: Shared) -> Response:
    """Run a model on tensors."""
    return await _infer(name, None, request, services)


@router.post("/models/{name}/versions/{version}/infer", summary="Inference with one version", openapi_extra=INFER_BODY)
async def infer_version(name: InferName, version: Version, request: Request, services: Shared) -> Response:
    """Run one version of a model on tensors."""
    return await _infer(name, version, request, services)


def _target(name: str, version: str | None, services: Services) -> Model | Activation:
    """An activation or a CNN; the repository gives up names that are activations'.

    Raises:
        NotFound, ModelUnavailable.
    """
    row = ACTIVATIONS.get(name)
    if row is None:
        entries = services.repository.entries
        if name not in entries:
            nearest = did_you_mean(ALIASES.get(name, name), [*ACTIVATIONS, *entries])
            raise NotFound(f"Request for unknown model: {quoted(name)} is not found.{nearest}")
        return services.repository.find(name, version)
    if version not in (None, ACTIVATION_VERSION):
        raise NotFound(f"Request for unknown model: {name!r} version {quoted(version)} is not found; versions: 1")
    return row


def _metadata(name: str, version: str | None, services: Services) -> dict[str, object]:
    target = _target(name, version, services)
    if isinstance(target, Activation):
        port = {"datatype": "FP32", "shape": [-1, -1]}
        described: tuple[object, object, object] = [ACTIVATION_VERSION], [{"name": "x"} | port], [{"name": "y"} | port]
    else:
        served = sorted(services.repository.entries[name].models)
        versions = [str(target.version)] if version else [str(number) for number in served]
        described = versions, ports(target.inputs), ports(target.outputs)
    return {"name": name, "platform": PLATFORM} | dict(zip(("versions", "inputs", "outputs"), described, strict=True))


def _ready(name: str, version: str | None, services: Services) -> Response:
    _target(name, version, services)
    return json_response({"name": name, "ready": True})


async def _infer(name: str, version: str | None, request: Request, services: Services) -> Response:
    target = _target(name, version, services)
    if "inference-header-content-length" in request.headers:
        raise BadRequest("binary tensors are not supported yet; send the tensors as JSON `data`")
    body = await request.body()
    timed = await services.pool.run(lambda: _run(name, target, body, services))
    return Response(timed.result, media_type=JSON)


def _run(name: str, target: Model | Activation, body: bytes, services: Services) -> bytes:
    asked = v2.decode_infer(body, max_elements=services.settings.max_tensor_elements)
    _check_reserved(asked.parameters)
    feeds = {tensor.name: tensor.array for tensor in asked.inputs}
    if isinstance(target, Activation):
        outputs, version = {"y": _apply(target, feeds, asked.parameters, services)}, ACTIVATION_VERSION
    else:
        outputs, version = target.run(feeds), str(target.version)
    chosen = _chosen(asked, outputs, name)
    return v2.encode_infer(name, version, chosen, asked.id)


def _check_reserved(parameters: v2.Parameters) -> None:
    for name, kinds in RESERVED_PARAMETERS.items():
        if name in parameters and type(parameters[name]) not in kinds:
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise BadRequest(f"parameters: {name} is {arrays.describe(parameters[name])}, expected {expected}")


def _chosen(asked: v2.InferRequest, outputs: dict[str, Tensor], name: str) -> list[tuple[str, Tensor]]:
    """The outputs that were asked for, in that order; all of them if none were named."""
    if asked.outputs is None:
        return list(outputs.items())
    for output in asked.outputs:
        if output.name not in outputs:
            raise BadRequest(f"model {name!r} has no output {quoted(output.name)}; it has {list(outputs)}")
        if "classification" in output.parameters:
            raise BadRequest(f"output {output.name!r}: classification is not supported yet; ask for the numbers")
    return [(output.name, outputs[output.name]) for output in asked.outputs]


def _apply(row: Activation, feeds: dict[str, Tensor], parameters: v2.Parameters, services: Services) -> Tensor:
    if list(feeds) != ["x"]:
        raise BadRequest(f"model {row.name!r} takes one input, 'x', got {quoted(list(feeds))}")
    x = feeds["x"]
    if x.dtype != np.float32 or x.ndim != 2:
        got = f"{datatypes.by_numpy(x.dtype).name} {list(x.shape)}"
        raise BadRequest(f"input 'x' of model {row.name!r}: expected FP32 [-1, -1], got {got}")
    given = {k: v for k, v in parameters.items() if k not in RESERVED_PARAMETERS}
    kernel = _kernel(given.pop("kernel", "native"))
    try:
        values = row.bind(given)
    except ServiceError as error:
        raise BadRequest(f"parameters: {error.text}") from error
    return services.functions.apply(row, values, x, kernel)


def _kernel(value: object) -> Kernel:
    for kernel in KERNELS:
        if value == kernel:
            return kernel
    raise BadRequest(f"parameters: kernel is {quoted(value)}, expected one of {', '.join(KERNELS)}")
