"""The Open Inference Protocol V2's inference request and answer, as JSON.

A request is checked for itself here: shapes, datatypes, counts, duplicate names. Whether a model has these inputs is
checked where the model is known. Tensors after the JSON (`binary_data_size`) and shared memory are refused.
Beyond the protocol: FP16 may be sent as numbers, and non-finite numbers as "NaN", "Infinity" and "-Infinity"; in
answers they are null. Unknown members are ignored, and an optional member that is null counts as absent.

Source: KServe Open Inference Protocol V2, inference_rest.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from service.errors import BadRequest, quoted
from service.wire import arrays, datatypes
from service.wire.arrays import Array, describe
from service.wire.datatypes import Datatype

Parameters: TypeAlias = Mapping[str, str | int | float | bool]

MAX_ID_LENGTH = 1024

_REFUSED_PARAMETERS = {
    "binary_data_size": "binary tensors are not supported yet; send data",
    "shared_memory_region": "shared memory is not supported; send data",
}


@dataclass(frozen=True, slots=True)
class InputTensor:
    name: str
    datatype: Datatype
    array: Array


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    name: str
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class InferRequest:
    """`outputs` None: every output of the model."""

    id: str | None
    parameters: Parameters
    inputs: tuple[InputTensor, ...]
    outputs: tuple[RequestedOutput, ...] | None


_Named = TypeVar("_Named", InputTensor, RequestedOutput)


def decode_infer(body: bytes | bytearray | memoryview, *, max_elements: int, max_tensors: int = 64) -> InferRequest:
    """Read one inference request.

    Args:
        max_elements: limit of each input's elements.
        max_tensors: limit of the number of inputs, and of outputs.

    Raises:
        BadRequest: the text names the input and what was expected.
        PayloadTooLarge: an input has more than `max_elements`.
    """
    request = _object(arrays.parse_json(body), "the request")
    outputs = request.get("outputs")
    return InferRequest(
        id=_id(request.get("id")),
        parameters=_parameters(request, "parameters"),
        inputs=_tensors(request.get("inputs"), "inputs", max_tensors, lambda item, at: _input(item, at, max_elements)),
        outputs=_tensors(outputs, "outputs", max_tensors, _output) if outputs not in (None, []) else None,
    )


def encode_infer(
    model_name: str,
    model_version: str,
    outputs: Sequence[tuple[str, Array]],
    id: str | None,
) -> bytes:
    """Write the answer: `data` flat in row-major order, non-finite numbers as null."""
    answer: dict[str, object] = {} if id is None else {"id": id}
    answer |= {"model_name": model_name, "model_version": model_version}
    answer["outputs"] = [
        {
            "name": name,
            "datatype": datatypes.by_numpy(array.dtype).name,
            "shape": list(array.shape),
            "data": arrays.to_json_flat_null(array),
        }
        for name, array in outputs
    ]
    return arrays.dumps(answer)


def _object(value: object, at: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise BadRequest(f"{at} is {describe(value)}, expected an object")
    return value


def _id(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"id is {describe(value)}, expected a string")
    if value is not None and len(value) > MAX_ID_LENGTH:
        raise BadRequest(f"id has {len(value)} characters, expected at most {MAX_ID_LENGTH}")
    return value


def _parameters(owner: Mapping[str, object], at: str) -> Parameters:
    """Read the optional `parameters` of a request, an input or an output."""
    value = owner.get("parameters")
    parameters = {} if value is None else _object(value, at)
    checked: dict[str, str | int | float | bool] = {}
    for key, parameter in parameters.items():
        if not isinstance(parameter, str | int | float | bool):
            kinds = "expected a string, a number, true or false"
            raise BadRequest(f"{at}: {quoted(key[:80])} is {describe(parameter)}, {kinds}")
        if key in _REFUSED_PARAMETERS:
            raise BadRequest(f"{at}: {key}: {_REFUSED_PARAMETERS[key]}")
        checked[key] = parameter
    return checked


def _tensors(
    value: object, at: str, max_tensors: int, read: Callable[[dict[str, object], str], _Named]
) -> tuple[_Named, ...]:
    if not isinstance(value, list) or not value:
        found = "empty or missing" if value is None or value == [] else describe(value)
        raise BadRequest(f"{at} is {found}, expected a list of objects")
    if len(value) > max_tensors:
        raise BadRequest(f"{at} has {len(value)} tensors, expected at most {max_tensors}")
    found_names: dict[str, _Named] = {}
    for index, item in enumerate(value):
        tensor = read(_object(item, f"{at}[{index}]"), f"{at}[{index}]")
        if tensor.name in found_names:
            raise BadRequest(f"{at}[{index}]: the name {quoted(tensor.name[:80])} is there already")
        found_names[tensor.name] = tensor
    return tuple(found_names.values())


def _name(item: Mapping[str, object], at: str) -> str:
    name = item.get("name")
    if not isinstance(name, str) or not name:
        raise BadRequest(f"{at}.name is {describe(name) if name is not None else 'missing'}, expected a name")
    return name


def _input(item: dict[str, object], at: str, max_elements: int) -> InputTensor:
    name = _name(item, at)
    at = f"input {quoted(name[:80])}"
    _parameters(item, f"{at}: parameters")
    for key in ("datatype", "shape", "data"):
        if key not in item:
            raise BadRequest(f"{at}: {key} is missing")
    try:
        datatype = datatypes.by_name(item["datatype"])
    except BadRequest as exc:
        raise BadRequest(f"{at}: {exc.text}") from exc
    shape = arrays.check_shape(item["shape"], name=f"{at}: shape", max_elements=max_elements)
    if not isinstance(item["data"], list):
        raise BadRequest(f"{at}: data is {describe(item['data'])}, expected a list")
    array = arrays.from_json(item["data"], datatype.numpy, name=f"{at}: data", max_elements=max_elements, shape=shape)
    return InputTensor(name, datatype, array)


def _output(item: dict[str, object], at: str) -> RequestedOutput:
    name = _name(item, at)
    return RequestedOutput(name, _parameters(item, f"output {quoted(name[:80])}: parameters"))
