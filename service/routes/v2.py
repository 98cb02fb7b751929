"""/v2: the Open Inference Protocol's health, metadata, configuration and statistics.

CNNs are there by name, and every activation as a model of its own name: one input `x`, one output `y`, FP32 [-1, -1].
"""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.responses import Response

from service import __version__
from service.activations.activation import Activation
from service.activations.catalogue import ACTIVATIONS, ALIASES
from service.engine.model import Model
from service.engine.statistics import Statistics
from service.errors import BadRequest, NotFound, ServiceError, did_you_mean, quoted
from service.routes import examples
from service.routes.http import json_response
from service.routes.models import ports
from service.routes.state import Services, Shared

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol V2"])

PLATFORM = "onnxruntime_onnx"
ACTIVATION_VERSION = "1"
EXTENSIONS = (
    "classification",
    "model_repository",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
)

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
async def live() -> Response:
    """200 whenever the process answers."""
    return json_response({"live": True})


@router.get("/health/ready", summary="Is the server ready?")
async def ready() -> Response:
    """200 once the models are loaded: before that the port is closed."""
    return json_response({"live": True, "ready": True})


@router.get("/models/stats", summary="Statistics of all models")
async def all_statistics(services: Shared) -> Response:
    """Counts and times of every model that is served, since it was loaded."""
    names = [*ACTIVATIONS, *(name for name, entry in services.repository.entries.items() if entry.models)]
    return json_response({"model_stats": [entry for name in names for entry in _statistics(name, None, services)]})


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
    return json_response({"model_stats": _statistics(name, None, services)})


@router.get("/models/{name}/versions/{version}/stats", summary="Statistics of one version")
async def statistics_of_version(name: Name, version: Version, services: Shared) -> Response:
    """Counts and times of one version."""
    return json_response({"model_stats": _statistics(name, version, services)})


def find(name: str, version: str | None, services: Services) -> Model | Activation:
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


def activation_ports() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Input and output of every activation."""
    port: dict[str, object] = {"datatype": "FP32", "shape": [-1, -1]}
    return [{"name": "x"} | port], [{"name": "y"} | port]


def _metadata(name: str, version: str | None, services: Services) -> dict[str, object]:
    target = find(name, version, services)
    if isinstance(target, Activation):
        inputs, outputs = activation_ports()
        versions = [ACTIVATION_VERSION]
    else:
        inputs, outputs = ports(target.inputs), ports(target.outputs)
        served = sorted(services.repository.entries[name].models)
        versions = [str(target.version)] if version else [str(number) for number in served]
    return {"name": name, "versions": versions, "platform": PLATFORM, "inputs": inputs, "outputs": outputs}


def _ready(name: str, version: str | None, services: Services) -> Response:
    find(name, version, services)
    return json_response({"name": name, "ready": True})


def _statistics(name: str, version: str | None, services: Services) -> list[dict[str, object]]:
    """One entry a version. Triton answers 400 for an unknown model here, and so does this."""
    try:
        target = find(name, version, services)
    except ServiceError as error:
        raise BadRequest(f"requested model {quoted(name)} is not available") from error
    if isinstance(target, Activation):
        return [_counted(name, ACTIVATION_VERSION, services.functions.statistics[name])]
    models = [target] if version else [m for _, m in sorted(services.repository.entries[name].models.items())]
    return [_counted(name, str(model.version), model.statistics) for model in models]


def _counted(name: str, version: str, statistics: Statistics) -> dict[str, object]:
    return {"name": name, "version": version} | statistics.snapshot()


def _config(name: str, version: str | None, services: Services) -> dict[str, Any]:
    target = find(name, version, services)
    if isinstance(target, Activation):
        inputs, outputs = activation_ports()
        max_batch_size, labels = 0, False
    else:
        max_batch_size, labels = target.max_batch_size, target.description.labels is not None
        inputs, outputs = ports(target.inputs), ports(target.outputs)
    kind = "KIND_GPU" if services.device.kind == "cuda" else "KIND_CPU"
    return {
        "name": name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "runtime": "",
        "version_policy": {"latest": {"num_versions": 1}} if isinstance(target, Activation) else {"all": {}},
        "max_batch_size": max_batch_size,
        "input": [
            tensor | {"format": "FORMAT_NONE", "is_shape_tensor": False, "allow_ragged_batch": False, "optional": False}
            for tensor in (_tensor(port, max_batch_size > 0) for port in inputs)
        ],
        "output": [
            tensor | {"label_filename": "labels" if labels else "", "is_shape_tensor": False}
            for tensor in (_tensor(port, max_batch_size > 0) for port in outputs)
        ],
        "batch_input": [],
        "batch_output": [],
        "optimization": {"priority": "PRIORITY_DEFAULT"},
        "instance_group": [{"name": f"{name}_0", "kind": kind, "count": 1, "gpus": [0] if kind == "KIND_GPU" else []}],
        "default_model_filename": "model.onnx",
        "cc_model_filenames": {},
        "metric_tags": {},
        "parameters": {},
        "model_warmup": [],
        "model_transaction_policy": {"decoupled": False},
        "response_cache": {"enable": False},
    }


def _tensor(port: Mapping[str, Any], drop_batch: bool) -> dict[str, object]:
    datatype = "TYPE_STRING" if port["datatype"] == "BYTES" else f"TYPE_{port['datatype']}"
    return {"name": port["name"], "data_type": datatype, "dims": port["shape"][int(drop_batch) :]}
