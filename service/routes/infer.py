"""/v2/…/infer: tensors in, tensors out, as JSON or binary or both."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.engine import callers
from service.engine.model import Execution
from service.engine.runtime.session import Tensor
from service.engine.scheduler import Scheduler
from service.errors import BadRequest, QueueTimeout, quoted
from service.routes import account, counting, examples, tracing
from service.routes.http import JSON_TYPE, Pieces
from service.routes.state import Services, Shared
from service.routes.targets import FunctionModel, Target, find
from service.routes.v2 import ActivationName, Version
from service.wire import compression, v2
from service.wire.classification import classify
from service.wire.compression import Encoding
from service.wire.v2_answer import Encoded, OutputTensor, encode_infer
from service.wire.v2_inputs import RawInput
from service.wire.v2_request import InferRequest

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol V2"])

LENGTH_HEADER = "Inference-Header-Content-Length"
BINARY = "application/octet-stream"

VARY = (b"vary", b"Accept-Encoding")
BINARY_TYPE = (b"content-type", BINARY.encode())
RAW_LENGTH_HEADER = LENGTH_HEADER.lower().encode()

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
INFER_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {BINARY: examples.binary("Likewise, where outputs are asked for as binary data.")}}
}


SHORT_JSON_BYTES = 2**16
"""JSON up to this length is read, and an answer compressed, in the event loop: about a millisecond."""
SHORT_ELEMENTS = 2**16
"""A function is applied to as many numbers, or as many are written as JSON, in the event loop: some milliseconds."""
LEAST_COMPRESSED_BYTES = 1024
"""A shorter answer is sent as it is: it fills one packet either way."""


@router.post("/models/{name}/infer", summary="Inference", openapi_extra=INFER_BODY, responses=INFER_ANSWER)
async def infer(name: ActivationName, request: Request, services: Shared) -> Response:
    """Run a model on tensors.

    The body is JSON, or JSON followed by the tensors' bytes. An activation runs its `native` kernel; `parameters` may
    name another and set the function's own: `{"kernel": "exact", "alpha": 0.1}`.
    """
    return await _infer(name, None, request, services)


@router.post(
    "/models/{name}/versions/{version}/infer",
    summary="Inference with one version",
    openapi_extra=INFER_BODY,
    responses=INFER_ANSWER,
)
async def infer_version(name: ActivationName, version: Version, request: Request, services: Shared) -> Response:
    """Run one version of a model on tensors."""
    return await _infer(name, version, request, services)


async def _infer(name: str, version: str | None, request: Request, services: Services) -> Response:
    headers = request.headers
    lengths, accepted = headers.getlist(LENGTH_HEADER), ",".join(headers.getlist("accept-encoding"))
    return await answer(name, version, lengths, accepted, await request.body(), services)


async def answer(
    name: str, version: str | None, lengths: Sequence[str], accepted: str, body: bytes | memoryview, services: Services
) -> Response:
    """Decode, run, encode. The model's statistics count what reaches it, a failure too; not what is refused before.

    Args:
        lengths: each Inference-Header-Content-Length of the request.
        accepted: its Accept-Encoding.
    """
    arrived = time.perf_counter_ns()
    target = find(name, version, services)
    account.current().name(target.name, str(target.version))
    header_bytes = v2.header_length(lengths)
    scheduler = services.scheduler
    asked = await scheduler.work(
        lambda: _decode(target, body, header_bytes, services),
        short=(len(body) if header_bytes is None else header_bytes) <= SHORT_JSON_BYTES,
    )
    feeds = {tensor.name: tensor.array for tensor in asked.inputs}
    target.check(feeds)
    _check_outputs(target, asked)
    decoded = time.perf_counter_ns()
    try:
        execution = await _run(target, feeds, asked, scheduler)
        ran = time.perf_counter_ns()
        encoded = await scheduler.work(
            lambda: encode_infer(name, str(target.version), _chosen(target, asked, execution.outputs), id=asked.id),
            short=sum(array.size for array in execution.outputs.values()) <= SHORT_ELEMENTS or asked.is_all_binary,
        )
    except (Exception, asyncio.CancelledError) as error:
        counting.failed(target, decoded, error)
        raise
    finished = time.perf_counter_ns()
    decode_ns = decoded - arrived - callers.current().waited_ns
    counting.answered(target, execution, decode_ns=decode_ns, encode_ns=finished - ran)
    response = await _response(encoded, compression.choose_encoding(accepted), scheduler)
    if services.tracing.wants(name):
        times = (
            arrived,
            decoded,
            execution.started_ns,
            execution.started_ns,
            execution.started_ns + execution.infer_ns,
        )
        stages = {**dict(zip(tracing.STAGES, times, strict=False)), "REQUEST_END": time.perf_counter_ns()}
        tracing.write(name, str(target.version), asked.id, stages)
    return response


async def _run(target: Target, feeds: Mapping[str, Tensor], asked: InferRequest, scheduler: Scheduler) -> Execution:
    if not isinstance(target, FunctionModel):
        return await scheduler.submit(target, feeds, priority=asked.priority, timeout_us=asked.timeout_us)
    submitted = time.perf_counter_ns()

    def apply() -> Execution:
        _check_deadline(asked, time.perf_counter_ns() - submitted)
        execution = target.execute(feeds, asked.parameters)
        return execution.after(execution.started_ns - submitted)

    return await scheduler.work(apply, short=feeds["x"].size <= SHORT_ELEMENTS)


async def _response(encoded: Encoded, encoding: Encoding | None, scheduler: Scheduler) -> Response:
    """The length header tells where the JSON ends, before compression."""
    chunks: Sequence[bytes | memoryview] = encoded.chunks
    length = sum(map(len, chunks))
    headers = [VARY]
    if encoding and length >= LEAST_COMPRESSED_BYTES:
        headers.append((b"content-encoding", encoding.encode()))
        plain = chunks
        short = length <= SHORT_JSON_BYTES
        chunks = [await scheduler.work(lambda: compression.compress(plain, encoding), short=short)]
    if encoded.header_bytes is None:
        return Pieces(chunks, [*headers, JSON_TYPE])
    return Pieces(chunks, [*headers, BINARY_TYPE, (RAW_LENGTH_HEADER, str(encoded.header_bytes).encode())])


def _decode(target: Target, body: bytes | memoryview, header_bytes: int | None, services: Services) -> InferRequest:
    settings = services.settings
    limit = settings.max_tensor_elements
    if header_bytes != 0:
        return v2.decode_infer(
            body,
            header_bytes,
            max_elements=limit,
            max_tensors=settings.max_request_tensors,
            max_depth=settings.max_json_depth,
        )
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


def _check_outputs(target: Target, asked: InferRequest) -> None:
    """Before the run, which would be for nothing."""
    names = {port.name for port in target.outputs}
    for output in asked.outputs or ():
        if output.name not in names:
            raise BadRequest(f"unexpected inference output {quoted(output.name)} for model {target.name!r}")


def _chosen(target: Target, asked: InferRequest, outputs: Mapping[str, Tensor]) -> list[OutputTensor]:
    """The outputs that were asked for, in that order; all of them if none were named."""
    if asked.outputs is None:
        return [OutputTensor(name, array, asked.is_binary(name)) for name, array in outputs.items()]
    chosen = []
    for output in asked.outputs:
        array = outputs[output.name]
        if output.classification is not None:
            array = _classified(target, output.name, array, output.classification)
        chosen.append(OutputTensor(output.name, array, asked.is_binary(output.name)))
    return chosen


def _classified(target: Target, name: str, array: Tensor, count: int) -> Tensor:
    """The `count` largest of each row, with the output's labels where there is one for each element of a row."""
    if isinstance(target, FunctionModel):
        return classify(array, count, None, batched=True)
    batched = target.max_batch_size > 0
    labels = target.description.labels_of(name)
    fits = labels is not None and len(labels) == math.prod(array.shape[int(batched) :])
    return classify(array, count, labels if fits else None, batched=batched)
