"""Binary requests whose JSON was read before: a client mostly sends the same again, with other numbers behind it.

What was read is kept by the very bytes of the JSON, so what differs in one byte is read anew. The tensors are not kept.
"""

import math
from dataclasses import dataclass

from service.wire.datatypes import Datatype
from service.wire.v2_inputs import InputTensor, view
from service.wire.v2_request import InferRequest

MAX_JSON_BYTES = 1024
"""Longer JSON is read each time, and not given to these functions."""
MAX_KNOWN = 512
"""Requests kept, which is some hundred kilobytes; when there are more all are forgotten, the frequent ones for once."""

Limits = tuple[int, int, int]
"""Those under which a request was read: most elements, most tensors, deepest nesting."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor lies in the bytes behind the JSON."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Known:
    """A request without its inputs, their places, and how many bytes they have together."""

    request: InferRequest
    places: tuple[_Place, ...]
    size: int


_KNOWN: dict[tuple[bytes, Limits], _Known] = {}


def find(json: bytes, tail: memoryview, limits: Limits) -> InferRequest | None:
    """The request, if its JSON was read before, and as many bytes followed it; the inputs are views of `tail`."""
    known = _KNOWN.get((json, limits))
    if known is None or known.size != len(tail):
        return None
    inputs = tuple(
        InputTensor(
            place.name, place.datatype, view(tail[place.start : place.end], place.datatype).reshape(place.shape)
        )
        for place in known.places
    )
    return known.request.with_inputs(inputs)


def keep(json: bytes, request: InferRequest, tail: memoryview, limits: Limits) -> None:
    """Remember a request that was read, if all of its inputs are numbers in `tail`.

    Not if one is BOOL or BYTES, of which not every string of bytes is a tensor; those are read each time.
    """
    places, end = [], 0
    for tensor in request.inputs:
        if tensor.datatype.name in ("BOOL", "BYTES"):
            return
        start, end = end, end + math.prod(tensor.array.shape) * tensor.datatype.numpy.itemsize
        places.append(_Place(tensor.name, tensor.datatype, tensor.array.shape, start, end))
    if end != len(tail):  # one came as JSON
        return
    if len(_KNOWN) >= MAX_KNOWN:
        _KNOWN.clear()
    _KNOWN[json, limits] = _Known(request.with_inputs(()), tuple(places), end)
