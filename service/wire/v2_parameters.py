"""The `parameters` of a V2 request, of its inputs and of its outputs: what the protocol reserves, and what it does not.

Triton's reserved names are checked for their types even where they have no effect here (sequences, headers), so that a
request which Triton refuses is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from service.errors import BadRequest, quoted
from service.wire.arrays import describe

Parameters: TypeAlias = Mapping[str, str | int | float | bool]

RESERVED: Mapping[str, tuple[type, ...]] = {
    "sequence_id": (int, str),
    "sequence_start": (bool,),
    "sequence_end": (bool,),
    "priority": (int,),
    "timeout": (int,),
    "headers": (str,),
    "binary_data_output": (bool,),
}
"""Parameters of a request that are the protocol's, and their types."""

_KINDS: Mapping[type, str] = {int: "an integer", str: "a string", bool: "true or false"}
_SHARED_MEMORY = "shared_memory_region"


@dataclass(frozen=True, slots=True)
class RequestParameters:
    """A request's parameters: `own` are the model's, the rest is the protocol's, as in `v2.InferRequest`."""

    own: Parameters
    priority: int
    timeout_us: int | None
    binary_data_output: bool


def of_request(value: object) -> RequestParameters:
    """Read the optional `parameters` of a request."""
    given = _scalars(value, "parameters")
    for key in given:
        if key.startswith("triton_"):
            raise BadRequest(f"parameters: {quoted(key[:80])}: names that begin with triton_ are reserved")
    for key in RESERVED.keys() & given.keys():
        _check_type(given[key], RESERVED[key], f"parameters: {key}")
    timeout_us = _unsigned(given, "timeout")
    return RequestParameters(
        own={key: parameter for key, parameter in given.items() if key not in RESERVED},
        priority=_unsigned(given, "priority"),
        timeout_us=timeout_us or None,  # Triton's 0 is no limit of the request's own
        binary_data_output=given.get("binary_data_output") is True,
    )


def of_input(value: object, at: str) -> int | None:
    """Read the optional `parameters` of an input; return its `binary_data_size`."""
    given = _scalars(value, f"{at}: parameters")
    _refuse_shared_memory(given, f"{at}: parameters", "send data or binary_data_size")
    size = given.get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0:  # bool is an int to isinstance
        raise BadRequest(f"{at}: binary_data_size is {describe(size)}, expected a non-negative integer")
    return size


def of_output(value: object, at: str) -> tuple[bool, int | None]:
    """Read the optional `parameters` of an output; return its `binary_data` and its `classification`."""
    given = _scalars(value, f"{at}: parameters")
    _refuse_shared_memory(given, f"{at}: parameters", "ask for binary_data")
    binary = given.get("binary_data", False)
    _check_type(binary, (bool,), f"{at}: binary_data")
    classes = given.get("classification")
    if classes is not None and (type(classes) is not int or classes < 0):
        raise BadRequest(f"{at}: classification is {describe(classes)}, expected a non-negative integer")
    return binary is True, classes or None  # 0 of Triton's clients is the tensor itself


def _scalars(value: object, at: str) -> dict[str, str | int | float | bool]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequest(f"{at} is {describe(value)}, expected an object")
    for key, parameter in value.items():
        if not isinstance(parameter, str | int | float | bool):
            kinds = "expected a string, a number, true or false"
            raise BadRequest(f"{at}: {quoted(key[:80])} is {describe(parameter)}, {kinds}")
    return value


def _refuse_shared_memory(given: Parameters, at: str, instead: str) -> None:
    if _SHARED_MEMORY in given:
        raise BadRequest(f"{at}: {_SHARED_MEMORY}: shared memory is not supported; {instead}")


def _check_type(value: object, kinds: tuple[type, ...], at: str) -> None:
    if type(value) not in kinds:
        raise BadRequest(f"{at} is {describe(value)}, expected {' or '.join(_KINDS[kind] for kind in kinds)}")


def _unsigned(given: Parameters, key: str) -> int:
    value = given.get(key, 0)
    if not isinstance(value, int) or value < 0:
        raise BadRequest(f"parameters: {key} is {describe(value)}, expected a non-negative integer")
    return value
