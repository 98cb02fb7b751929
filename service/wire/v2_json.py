"""The JSON part of a V2 request: simdjson parses it, and leaves the numbers of `data` for `tensor` to copy out.

No Python object is made of a number that way: 3072 floats (34 kB) take 48 µs, against 250 µs by orjson, a list and its
checks (one core of a shared server, 2026-11). What simdjson refuses goes to orjson, whose word is final: "NaN" strings,
integers beyond 64 bits, and everything wrong, for its error texts.

Both read the same from the same bytes. Where they would not, orjson is asked: a byte order mark (simdjson skips it,
orjson refuses it) and an object that has a key twice (simdjson finds the first, orjson keeps the last).
"""

import contextlib
import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias, cast

import numpy as np
import simdjson

from service.errors import BadRequest
from service.wire import arrays, v2_pieces
from service.wire.arrays import Array, DType
from service.wire.v2_pieces import Numbers

Data: TypeAlias = list[object] | simdjson.Array | Numbers

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_REQUEST = ("id", "parameters", "inputs", "outputs")
_INPUT = ("name", "datatype", "shape", "parameters", "data")


def parse(body: bytes | bytearray | memoryview, *, max_depth: int) -> object:
    """Read the JSON of a request: what `arrays.parse_json` returns, without the members that V2 does not know.

    Each `data` of an input may be a `simdjson.Array` or `Numbers`; it is for `tensor` alone.
    """
    arrays.check_json(body, max_depth)
    if len(body) >= v2_pieces.LEAST_BYTES:
        rest, numbers = v2_pieces.taken_out(body)
        with contextlib.suppress(ValueError, RuntimeError, BadRequest):
            if numbers:
                return _put_back(_parse(rest), numbers)
    return _parse(body)


def _put_back(request: object, numbers: list[Numbers]) -> object:
    """Each list of numbers as the `data` of its input; an error if one was elsewhere."""
    inputs = request.get("inputs") if isinstance(request, dict) else None
    places = [item for item in inputs if isinstance(item, dict)] if isinstance(inputs, list) else []
    left = set(range(len(numbers)))
    for item in places:
        number = v2_pieces.number_of(item.get("data"))
        if number is not None:
            left.discard(number)
            item["data"] = numbers[number]
    if left:
        raise ValueError("a list of numbers is not where it is expected")
    return request


def _parse(body: bytes | bytearray | memoryview) -> object:
    # simdjson counts an array's elements in 24 bits and stops at the top, and pysimdjson 7.0.2 makes its lists of that
    # size and writes past their end. Here nothing comes near it.
    arrays.check_values(body)
    if body[:3] != _BYTE_ORDER_MARK:
        with contextlib.suppress(ValueError, RuntimeError):
            # A parser must not be shared by threads nor used again while its documents live. A new one costs 0.2 µs
            # more than one per thread, which would keep the memory of the largest document it ever saw.
            return _request(simdjson.Parser().parse(body))
    return arrays.load_json(body)


def tensor(data: Data, dtype: DType, *, name: str, max_elements: int, shape: Sequence[int]) -> Array:
    """Read an array from the `data` of an input; arguments and errors are those of `arrays.from_json`."""
    if isinstance(data, Numbers):
        values = _in_pieces(data, dtype, math.prod(shape))
        if values is not None:
            return values.reshape(tuple(shape))
        data = cast("list[object]", _list(data))
    if isinstance(data, simdjson.Array):
        numbers = _numbers(data, dtype)
        if numbers is not None and numbers.size == math.prod(shape):
            return numbers.reshape(tuple(shape))
        return arrays.from_json(data.as_list(), dtype, name=name, max_elements=max_elements, shape=shape)
    return arrays.from_json(data, dtype, name=name, max_elements=max_elements, shape=shape)


def _request(document: object) -> object:
    if not isinstance(document, simdjson.Object):
        return _plain(document)
    request = _members(document, _REQUEST)
    inputs = request.pop("inputs", None)
    read = [_input(item) for item in inputs] if isinstance(inputs, simdjson.Array) else _plain(inputs)
    return {key: _plain(value) for key, value in request.items()} | {"inputs": read}


def _input(item: object) -> object:
    if not isinstance(item, simdjson.Object):
        return _plain(item)
    members = _members(item, _INPUT)
    data = members.pop("data", None)
    kept = data if isinstance(data, simdjson.Array) else _plain(data)
    return {key: _plain(value) for key, value in members.items()} | {"data": kept}


def _members(item: simdjson.Object, names: Iterable[str]) -> dict[str, object]:
    keys = list(item)
    if len(set(keys)) != len(keys):
        raise ValueError("a key is there twice")  # so orjson is asked
    return {name: item[name] for name in names if name in keys}


def _plain(value: object) -> object:
    if isinstance(value, simdjson.Object):
        return value.as_dict()
    return value.as_list() if isinstance(value, simdjson.Array) else value


def _list(data: Numbers) -> object:
    """What was no plain list of numbers, read as it always is; an error tells the place in the body."""
    try:
        return arrays.load_json(b"[%s]" % data.text)
    except BadRequest:
        return arrays.load_json(data.body)


def _in_pieces(data: Numbers, dtype: DType, count: int) -> Array | None:
    """So many numbers, read one piece after the other; None if there are not so many, or one of them does not fit."""
    values: Array = np.empty(count, dtype)
    end = 0
    parser = simdjson.Parser()  # for one piece after the other: its memory is in the processor's cache by then
    with contextlib.suppress(ValueError, RuntimeError):
        for piece in data.pieces():
            numbers = _numbers(cast("simdjson.Array", parser.parse(piece)), dtype)
            if numbers is None or end + numbers.size > count:
                return None
            start, end = end, end + numbers.size
            values[start:end] = numbers
        return values if end == count else None
    return None


def _numbers(data: simdjson.Array, dtype: DType) -> Array | None:
    """Copy the numbers out, flattened; None if one is no number or does not fit, or if `dtype` is not of numbers."""
    try:
        if dtype.kind == "f":
            wide: Array = np.frombuffer(data.as_buffer(of_type="d"), np.float64)
        elif dtype.kind == "u" and dtype.itemsize == 8:
            wide = np.frombuffer(data.as_buffer(of_type="u"), np.uint64)
        elif dtype.kind in "iu":
            wide = np.frombuffer(data.as_buffer(of_type="i"), np.int64)
        else:
            return None
    except (TypeError, ValueError, RuntimeError):
        return None
    with np.errstate(over="ignore", under="ignore"):
        values = wide.astype(dtype, copy=False)
    fits = np.isfinite(values) if dtype.kind == "f" else values == wide
    return values if fits.all() else None
