"""/v2/…/infer: tensors in, tensors out, as JSON or binary or both."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from service.activations.activation import Activation
from service.activations.graphs import KERNELS, Kernel
from service.engine.model import Execution, Model
from service.engine.session import Tensor
from service.errors import BadRequest, QueueTimeout, ServiceError, quoted
from service.routes import examples, tracing
from service.routes.http import JSON
from service.routes.state import Services, Shared
from service.routes.v2 import ACTIVATION_VERSION, ActivationName, Version, find
from service.wire import compression, datatypes, v2
from service.wire.classification import classify
from service.wire.v2 import InferRequest
from service.wire.v2_answer import Encoded, OutputTensor, encode_infer
from service.wire.v2_inputs import RawInput

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol V2"])

LENGTH_HEADER = "Inference-Header-Content-Length"
BINARY = "application/octet-stream"

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
        "the largest of each row": {
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [0.5, 3, 2]}],
            "outputs": [{"name": "y", "parameters": {"classification": 2}}],
        },
    },
    {BINARY: examples.binary(f"JSON, then the tensors' bytes; {LENGTH_HEADER} says where the JSON ends.")},
)


@dataclass(frozen=True, slots=True)
class Answered:
    """An inference's answer, and when its stages were, in nanoseconds of `time.perf_counter_ns`."""

    encoded: Encoded
    request_id: str | None
    times_ns: Mapping[str, int]


@router.post("/models/{name}/infer", summary="Inference", openapi_extra=INFER_BODY)
async def infer(name: ActivationName, request: Request, services: Shared) -> Response:
    """Run a model on tensors.

    The body is JSON, or JSON followed by the tensors' bytes. An activation runs its `native` kernel; `parameters` may
    name another and set the function's own: `{"kernel": "exact", "alpha": 0.1}`.
    """
    return await _infer(name, None, request, services)


@router.post("/models/{name}/versions/{version}/infer", summary="Inference with one version", openapi_extra=INFER_BODY)
async def infer_version(name: ActivationName, version: Version, request: Request, services: Shared) -> Response:
    """Run one version of a model on tensors."""
    return await _infer(name, version, request, services)


async def _infer(name: str, version: str | None, request: Request, services: Services) -> Response:
    arrived = time.perf_counter_ns()
    target = find(name, version, services)
    header_bytes = v2.header_length(request.headers.getlist(LENGTH_HEADER))
    encoding = compression.choose_encoding(request.headers.get("accept-encoding"))
    body = await request.body()
    queued = time.perf_counter_ns()

    def work() -> tuple[Answered, bytes]:
        answered = _answer(target, body, header_bytes, services, arrived, queued)
        chunks = answered.encoded.chunks
        return answered, compression.compress(chunks, encoding) if encoding else b"".join(chunks)

    answered, content = (await services.pool.run(work)).result
    if services.tracing.wants(name):
        traced = {**answered.times_ns, "REQUEST_END": time.perf_counter_ns()}
        tracing.write(name, _version(target), answered.request_id, traced)
    return _response(answered.encoded, content, encoding)


def _response(encoded: Encoded, content: bytes, encoding: str | None) -> Response:
    """The length header tells where the JSON ends, before compression."""
    headers = {"Content-Encoding": encoding, "Vary": "Accept-Encoding"} if encoding else {}
    if encoded.header_bytes is None:
        return Response(content, media_type=JSON, headers=headers)
    return Response(content, media_type=BINARY, headers=headers | {LENGTH_HEADER: str(encoded.header_bytes)})


def _version(target: Model | Activation) -> str:
    return ACTIVATION_VERSION if isinstance(target, Activation) else str(target.version)


def _answer(
    target: Model | Activation, body: bytes, header_bytes: int | None, services: Services, arrived: int, queued: int
) -> Answered:
    """Decode, run, encode; the model's statistics count it, a failure too."""
    started = time.perf_counter_ns()
    statistics = services.functions.statistics[target.name] if isinstance(target, Activation) else target.statistics
    try:
        asked = _decode(target, body, header_bytes, services)
        _check_deadline(asked, started - queued)
        decoded = time.perf_counter_ns()
        if isinstance(target, Activation):
            execution = _apply(target, asked, services)
        else:
            execution = target.execute({tensor.name: tensor.array for tensor in asked.inputs})
        ran = time.perf_counter_ns()
        encoded = encode_infer(target.name, _version(target), _chosen(target, asked, execution.outputs), id=asked.id)
        finished = time.perf_counter_ns()
    except ServiceError:
        statistics.record_failure(time.perf_counter_ns() - started)
        raise
    statistics.record(
        execution.rows,
        execution.batch_sizes,
        queue_ns=started - queued,
        input_ns=decoded - started,
        infer_ns=ran - decoded,
        output_ns=finished - ran,
    )
    stages = zip(tracing.STAGES, (arrived, queued, started, decoded, ran), strict=False)
    return Answered(encoded, asked.id, dict(stages))


def _decode(target: Model | Activation, body: bytes, header_bytes: int | None, services: Services) -> InferRequest:
    limit = services.settings.max_tensor_elements
    if header_bytes != 0:
        return v2.decode_infer(body, header_bytes, max_elements=limit)
    if isinstance(target, Activation):
        inputs = [RawInput("x", datatypes.by_name("FP32"), (None, None), batched=False)]
    else:
        batched = target.max_batch_size > 0
        inputs = [
            RawInput(port.name, port.datatype, (port.shape or ())[int(batched) :], batched=batched)
            for port in target.inputs
        ]
    return v2.raw_infer(body, inputs, model_name=target.name, max_elements=limit)


def _check_deadline(asked: InferRequest, waited_ns: int) -> None:
    """The request's `timeout` limits its time in the queue, in microseconds."""
    if asked.timeout_us and waited_ns > asked.timeout_us * 1000:
        raise QueueTimeout(f"Request timeout expired: it waited {waited_ns // 1000} µs of {asked.timeout_us} µs")


def _chosen(target: Model | Activation, asked: InferRequest, outputs: Mapping[str, Tensor]) -> list[OutputTensor]:
    """The outputs that were asked for, in that order; all of them if none were named."""
    if asked.outputs is None:
        return [OutputTensor(name, array, asked.is_binary(name)) for name, array in outputs.items()]
    chosen = []
    for output in asked.outputs:
        if output.name not in outputs:
            raise BadRequest(f"unexpected inference output {quoted(output.name)} for model {target.name!r}")
        array = outputs[output.name]
        if output.classification is not None:
            array = _classified(target, output.name, array, output.classification)
        chosen.append(OutputTensor(output.name, array, asked.is_binary(output.name)))
    return chosen


def _classified(target: Model | Activation, name: str, array: Tensor, count: int) -> Tensor:
    """The `count` largest of each row, with the output's labels where their number fits."""
    if isinstance(target, Activation):
        return classify(array, count, None, batched=True)
    labels = target.description.labels_of(name)
    fits = labels is not None and array.ndim > 0 and array.shape[-1] == len(labels)
    return classify(array, count, labels if fits else None, batched=target.max_batch_size > 0)


def _apply(row: Activation, asked: InferRequest, services: Services) -> Execution:
    feeds = {tensor.name: tensor.array for tensor in asked.inputs}
    unknown = next((name for name in feeds if name != "x"), None)
    if unknown is not None:
        raise BadRequest(f"unexpected inference input {quoted(unknown)} for model {row.name!r}")
    x = feeds["x"]
    if x.dtype != np.float32:
        got = asked.inputs[0].datatype.name
        raise BadRequest(f"inference input 'x' data-type is '{got}', but model {row.name!r} expects 'FP32'")
    if x.ndim != 2:
        shape = str(list(x.shape)).replace(" ", "")
        raise BadRequest(f"unexpected shape for input 'x' for model {row.name!r}. Expected [-1,-1], got {shape}")
    given = dict(asked.parameters)
    kernel = _kernel(given.pop("kernel", "native"))
    try:
        values = row.bind(given)
    except ServiceError as error:
        raise BadRequest(f"parameters: {error.text}") from error
    started = time.perf_counter_ns()
    y = services.functions.apply(row, values, x, kernel)
    return Execution({"y": y}, len(x), (len(x),), time.perf_counter_ns() - started)


def _kernel(value: object) -> Kernel:
    for kernel in KERNELS:
        if value == kernel:
            return kernel
    raise BadRequest(f"parameters: kernel is {quoted(value)}, expected one of {', '.join(KERNELS)}")
