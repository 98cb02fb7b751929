"""/v2: the Open Inference Protocol's health, metadata, configuration and statistics.

CNNs are there by name, and every activation as a model of its own name: one input `x`, one output `y`, FP32 [-1, -1].
"""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from service import __version__
from service.engine.folder import FILE
from service.engine.model import Port
from service.errors import BadRequest, ServiceError, quoted
from service.routes import examples
from service.routes.http import json_response
from service.routes.models import ports
from service.routes.state import Services, Shared
from service.routes.targets import FunctionModel, Target, all_served, asked_versions, find

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol V2"])

PLATFORM = "onnxruntime_onnx"
EXTENSIONS = (
    "classification",
    "model_repository",
    "model_configuration",
    "schedule_policy",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
)

CONFIG_INPUT = {"format": "FORMAT_NONE", "allow_ragged_batch": False, "optional": False}
CONFIG_DEFAULTS = {
    "batch_input": [],
    "batch_output": [],
    "optimization": {"priority": "PRIORITY_DEFAULT"},
    "cc_model_filenames": {},
    "metric_tags": {},
    "parameters": {},
    "model_warmup": [],
    "model_transaction_policy": {"decoupled": False},
    "response_cache": {"enable": False},
}
"""What is the same for every model, as Triton prints it."""

Name = Annotated[
    str,
    Path(
        description="A CNN's name, or an activation's.",
        openapi_examples=examples.path_examples("relu", "cnn-relu", "swish"),
    ),
]
ActivationName = Annotated[
    str,
    Path(description="A CNN's name, or an activation's.", openapi_examples=examples.path_examples("relu", "swish")),
]
Version = Annotated[str, Path(description="A version number.", openapi_examples=examples.path_examples("1"))]


@router.get("", summary="Server metadata")
async def server() -> Response:
    """Name, version and the protocol extensions that are served."""
    return json_response({"name": "actserve", "version": __version__, "extensions": EXTENSIONS})


@router.get("/health/live", summary="Is the server alive?")
async def live(services: Shared) -> Response:
    """200 whenever the process answers; 503 if it is about to end itself, with the reason."""
    trouble = services.watchdog.trouble
    return json_response(
        {"live": True} if trouble is None else {"live": False, "error": trouble}, 503 if trouble else 200
    )


@router.get("/health/ready", summary="Is the server ready?")
async def ready(services: Shared) -> Response:
    """200 once the models are loaded, before which the port is closed, and until the server is told to stop.

    The answer says on which device they run and, if that is not a GPU, why.
    """
    if services.drain.on:
        return json_response({"live": True, "ready": False, "error": "the server is stopping"}, 503)
    device = services.device
    return json_response({"live": True, "ready": True, "device": device.kind, "reason": device.reason})


@router.get("/models/stats", summary="Statistics of all models")
async def all_statistics(services: Shared) -> Response:
    """Counts and times of every model that is served, since it was loaded."""
    return json_response({"model_stats": [_counted(target) for target in all_served(services)]})


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


@router.get("/models/{name}/config", summary="Model configuration")
async def config(name: Name, services: Shared) -> Response:
    """How the model is served, as Triton's ModelConfig."""
    return json_response(_config(name, None, services))


@router.get("/models/{name}/versions/{version}/config", summary="Configuration of one version")
async def config_of_version(name: Name, version: Version, services: Shared) -> Response:
    """How one version is served, as Triton's ModelConfig."""
    return json_response(_config(name, version, services))


@router.get("/models/{name}/stats", summary="Statistics of a model")
async def statistics(name: Name, services: Shared) -> Response:
    """Counts and times of one model, by version."""
    return json_response(_statistics(name, None, services))


@router.get("/models/{name}/versions/{version}/stats", summary="Statistics of one version")
async def statistics_of_version(name: Name, version: Version, services: Shared) -> Response:
    """Counts and times of one version."""
    return json_response(_statistics(name, version, services))


def _metadata(name: str, version: str | None, services: Services) -> dict[str, object]:
    targets = asked_versions(name, version, services)
    return {
        "name": name,
        "versions": [str(target.version) for target in targets],
        "platform": PLATFORM,
        "inputs": ports(targets[-1].inputs),
        "outputs": ports(targets[-1].outputs),
    }


def _ready(name: str, version: str | None, services: Services) -> Response:
    find(name, version, services)
    return json_response({"name": name, "ready": True})


def _statistics(name: str, version: str | None, services: Services) -> dict[str, object]:
    """One entry a version. Triton answers 400 for an unknown model here, and so does this."""
    try:
        targets = asked_versions(name, version, services)
    except ServiceError as error:
        raise BadRequest(f"requested model {quoted(name)} is not available") from error
    return {"model_stats": [_counted(target) for target in targets]}


def _counted(target: Target) -> dict[str, object]:
    return {"name": target.name, "version": str(target.version)} | target.statistics.snapshot()


def _config(name: str, version: str | None, services: Services) -> dict[str, object]:
    target = find(name, version, services)
    function = isinstance(target, FunctionModel)
    return {
        "name": name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "runtime": "",
        "version_policy": {"latest": {"num_versions": 1}} if function else {"all": {}},
        "max_batch_size": target.max_batch_size,
        "input": [_config_port(port, target) | CONFIG_INPUT for port in target.inputs],
        "output": [_config_port(port, target) | _config_labels(port, target) for port in target.outputs],
        "instance_group": [_instance(name, services)],
        "default_model_filename": FILE,
    } | CONFIG_DEFAULTS


def _config_port(port: Port, target: Target) -> dict[str, object]:
    datatype = "TYPE_STRING" if port.datatype.name == "BYTES" else f"TYPE_{port.datatype.name}"
    dims = port.shown()[1:] if target.max_batch_size else port.shown()
    return {"name": port.name, "data_type": datatype, "dims": dims, "is_shape_tensor": False}


def _config_labels(port: Port, target: Target) -> dict[str, object]:
    labels = None if isinstance(target, FunctionModel) else target.description.labels_of(port.name)
    return {"label_filename": "labels" if labels else ""}


def _instance(name: str, services: Services) -> dict[str, object]:
    cuda = services.device.kind == "cuda"
    return {
        "name": f"{name}_0",
        "kind": "KIND_GPU" if cuda else "KIND_CPU",
        "count": 1,
        "gpus": [0] if cuda else [],
    }
