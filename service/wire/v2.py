"""The Open Inference Protocol V2's inference request: JSON, JSON with binary tensors behind it, or one raw tensor.

A request is checked for itself here: shapes, datatypes, counts, duplicate names. Whether a model has these inputs is
checked where the model is known. The answer is in v2_answer.py. Shared memory is refused.
Beyond the protocol: FP16 may be sent as numbers, and non-finite numbers as "NaN", "Infinity" and "-Infinity"; in
answers they are null. Unknown members are ignored, and an optional member that is null counts as absent.

Source: KServe Open Inference Protocol V2, inference_rest.md; Triton's extensions binary tensor data, classification,
schedule policy and parameters.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from service.errors import BadRequest, quoted
from service.wire import v2_inputs, v2_json, v2_known, v2_parameters
from service.wire.arrays import describe
from service.wire.v2_inputs import InputTensor, RawInput, Tail
from service.wire.v2_request import InferRequest, RequestedOutput

MAX_ID_LENGTH = 1024


_Named = TypeVar("_Named", InputTensor, RequestedOutput)


def header_length(values: Sequence[str]) -> int | None:
    """Read Inference-Header-Content-Length.

    Args:
        values: of every such header of the request.
    """
    if not values:
        return None
    if len(values) > 1 or not re.fullmatch("[0-9]{1,18}", values[0]):
        shown = quoted(values[0][:80]) if len(values) == 1 else f"there {len(values)} times"
        raise BadRequest(f"the header Inference-Header-Content-Length is {shown}, expected one non-negative integer")
    return int(values[0])


def decode_infer(
    body: bytes | memoryview, header_bytes: int | None, *, max_elements: int, max_tensors: int = 64, max_depth: int = 64
) -> InferRequest:
    """Read one inference request.

    Args:
        body: the whole body, decompressed; binary tensors in the result are views into it where they are aligned.
        header_bytes: length of the JSON, None if the body is only JSON. Of a 0 see `raw_infer`.
        max_elements: limit of each input's elements.
        max_tensors: limit of the number of inputs, and of outputs.
        max_depth: limit of the JSON's nesting.

    Raises:
        BadRequest: the text names the input and what was expected.
        PayloadTooLarge: an input has more than `max_elements`.
    """
    if header_bytes is not None and not 0 <= header_bytes <= len(body):
        length = f"{header_bytes}, expected 0…{len(body)}, the length of the body"
        raise BadRequest(f"the header Inference-Header-Content-Length is {length}")
    view = memoryview(body)
    limits = max_elements, max_tensors, max_depth
    if header_bytes is None:
        return _decode(body, view[:0], *limits)
    if header_bytes > v2_known.MAX_JSON_BYTES:
        return _decode(view[:header_bytes], view[header_bytes:], *limits)
    json, tail = bytes(view[:header_bytes]), view[header_bytes:]
    request = v2_known.find(json, tail, limits)
    if request is None:
        request = _decode(json, tail, *limits)
        v2_known.keep(json, request, tail, limits)
    return request


def _decode(
    json: bytes | memoryview, rest: memoryview, max_elements: int, max_tensors: int, max_depth: int
) -> InferRequest:
    request = _object(v2_json.parse(json, max_depth=max_depth), "the request")
    parameters = v2_parameters.of_request(request.get("parameters"))
    tail, outputs = Tail(rest), request.get("outputs")

    def read(item: Mapping[str, object], name: str) -> InputTensor:
        return v2_inputs.read_input(item, name, tail, max_elements=max_elements)

    decoded = InferRequest(
        id=_id(request.get("id")),
        parameters=parameters.own,
        inputs=_tensors(request.get("inputs"), "inputs", max_tensors, read),
        outputs=_tensors(outputs, "outputs", max_tensors, _output) if outputs not in (None, []) else None,
        binary_data_output=parameters.binary_data_output,
        priority=parameters.priority,
        timeout_us=parameters.timeout_us,
    )
    tail.close()
    return decoded


def raw_infer(
    body: bytes | memoryview, inputs: Sequence[RawInput], *, model_name: str, max_elements: int
) -> InferRequest:
    """Read a raw request, whose Inference-Header-Content-Length is 0: the body is the model's only input.

    One variable dimension is deduced from the length, and a batch of 1 is added if the model batches. Every output is
    wanted, and binary. Three texts are Triton's.

    Args:
        inputs: of the model `model_name`.

    Raises:
        BadRequest: the model is not of that kind, or the length does not fit.
        PayloadTooLarge: more than `max_elements`.
    """
    if len(inputs) != 1:
        found = f"got {len(inputs)} inputs in {quoted(model_name)} model configuration"
        raise BadRequest(f"Raw request must only have 1 input (found 1) to be deduced but {found}")
    return InferRequest(
        id=None,
        parameters={},
        inputs=(v2_inputs.read_raw(memoryview(body), inputs[0], max_elements=max_elements),),
        outputs=None,
        binary_data_output=True,
        priority=0,
        timeout_us=None,
    )


def _object(value: object, at: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise BadRequest(f"{at} is {describe(value)}, expected an object")
    return value


def _id(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"id is {describe(value)}, expected a string")
    if value is not None and len(value) > MAX_ID_LENGTH:
        raise BadRequest(f"id has {len(value)} characters, expected at most {MAX_ID_LENGTH}")
    return value or None  # as in Triton, "" is no id


def _tensors(
    value: object, at: str, max_tensors: int, read: Callable[[Mapping[str, object], str], _Named]
) -> tuple[_Named, ...]:
    """Read the members of `inputs` or `outputs` in their order, each with its name."""
    if not isinstance(value, list) or not value:
        found = "empty or missing" if value is None or value == [] else describe(value)
        raise BadRequest(f"{at} is {found}, expected a list of objects")
    if len(value) > max_tensors:
        raise BadRequest(f"{at} has {len(value)} tensors, expected at most {max_tensors}")
    found_names: dict[str, _Named] = {}
    for index, item in enumerate(value):
        members = _object(item, f"{at}[{index}]")
        name = members.get("name")
        if not isinstance(name, str) or not name:
            shown = describe(name) if name is not None else "missing"
            raise BadRequest(f"{at}[{index}].name is {shown}, expected a name")
        if name in found_names:
            raise BadRequest(f"{at.removesuffix('s')} {quoted(name[:80])} already exists in request ({at}[{index}])")
        found_names[name] = read(members, name)
    return tuple(found_names.values())


def _output(item: Mapping[str, object], name: str) -> RequestedOutput:
    return RequestedOutput(name, *v2_parameters.of_output(item.get("parameters"), f"output {quoted(name[:80])}"))
