"""JSON and .npy bytes to NumPy arrays and back; exact in both directions or refused.

NumPy is never let near a value of the wrong type: on its own it reads "1.5" as 1.5, null as nan, true as 1, 1.9 as 1
(integers) and 1e39 as inf (float32). Element counts are Python integers, because `np.prod` wraps around.
Here are no names of V2 (see v2.py), no pictures (see images.py), no I/O.

A number's way into a float array is text, float64, dtype: integers beyond 2**53 are rounded, `-0` is read as 0
(`-0.0` keeps its sign). JSON has no NaN: it is the string "NaN", and the infinities are "Infinity" and "-Infinity".
Duplicate keys of an object: the last one counts.
"""

import functools
import io
import math
import re
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from service.errors import BadRequest, PayloadTooLarge, quoted
from service.wire.depth import check_depth

Array: TypeAlias = NDArray[np.generic]
DType: TypeAlias = np.dtype[np.generic]

MAX_DIMENSIONS = 32
MAX_MEMBERS = 2**17
"""Of all objects of a JSON text together: they take a tenth of a second."""
MAX_VALUES = 2**18
_LOOKED_AT = 2**18
"""Bytes at once; between them other threads have their turn."""
MAX_TEXT_BYTES = 2**25
"""Of a JSON text that is read at once: so many floats, strings or bytes take up to 30 ms."""
PIECE = 2**15
"""Numbers that are written at once: about a millisecond."""
_MARK = secrets.token_hex(16)
"""Stands in JSON for what is written apart from it; no client knows it."""
NON_FINITE: Mapping[str, float] = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

# The one float32 (and its negative) whose shortest decimal, 7.038531e-26, is not read back by way of float64: it lands
# halfway between this number and the next, and the tie goes to the next.
_MISREAD_FLOAT32 = np.array(0x15AE43FD, np.uint32).view(np.float32)
_MISREAD_BYTES = _MISREAD_FLOAT32.tobytes()[:3] if sys.byteorder == "little" else _MISREAD_FLOAT32.tobytes()[1:]
_FEW = 256

_NPY_MAGIC = b"\x93NUMPY"
_NPY_MAX_HEADER_BYTES = 10_000  # NumPy's own limit
_NPY_DTYPES = {f"{order}f{size}": np.dtype(f"{order}f{size}") for order in "<>" for size in (2, 4, 8)}
# A regular expression, not `ast.literal_eval`: that one warns (escapes, `1or`) and can exhaust the parser's stack.
# Possessive (`*+`), so a hostile header costs linear time.
_NPY_SIZES = r"\(\s*+\)|\((?:\s*+\d{1,19}\s*+,)+(?:\s*+\d{1,19})?+\s*+\)"
_NPY_FIELD = rf"""['"](\w++)['"]\s*+:\s*+('[^']*+'|"[^"]*+"|\[[^\]]*+\]|True|False|{_NPY_SIZES})"""
_NPY_HEADER = re.compile(rf"\s*+\{{(?:\s*+{_NPY_FIELD}\s*+(?:,|(?=\}}))){{3}}\s*+\}}\s*+", re.ASCII)


def describe(value: object) -> str:
    """Name a JSON value for an error text, without printing what may be megabytes of it."""
    if isinstance(value, str):
        return f"the string {quoted(value[:80])}"
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return orjson.dumps(value).decode()


def parse_json(body: bytes | bytearray | memoryview, *, max_depth: int) -> object:
    """Read one JSON text: UTF-8 without a byte order mark, at most `max_depth` levels deep.

    Raises:
        BadRequest: it is none, or deeper.
        PayloadTooLarge: it has more keys or values than are read at once.
    """
    check_json(body, max_depth)
    return load_json(body)


def check_json(body: bytes | bytearray | memoryview, max_depth: int) -> None:
    """Look for what would hold up a parser, and with it everybody.

    Raises:
        BadRequest: it is nested more than `max_depth` levels deep.
        PayloadTooLarge: it is mostly keys, or lists.
    """
    brackets = ((b"[", "lists"), (b"{", "objects")) if check_depth(body, max_depth) else ()
    for sign, what in ((b":", "members, or colons in its texts"), *brackets):
        if _has_more(sign, body, MAX_MEMBERS):
            raise PayloadTooLarge(f"the JSON has more than {MAX_MEMBERS} {what}")


def load_json(body: bytes | bytearray | memoryview) -> object:
    """What `parse_json` does once `check_json` has passed it.

    Raises:
        BadRequest: it is no JSON.
        PayloadTooLarge: it has more values than are read at once.
    """
    if not body:
        raise BadRequest("the body is empty: expected JSON")
    check_values(body)
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise BadRequest(f"the body is not valid JSON: {exc}") from exc
    return value


def check_values(body: bytes | bytearray | memoryview) -> None:
    """Refuse what a parser would take long for: no other thread runs until it has an object of each value.

    Raises:
        PayloadTooLarge: more than `MAX_TEXT_BYTES`, or more commas than `MAX_VALUES`, between values or in text.
    """
    if len(body) > MAX_TEXT_BYTES:
        raise PayloadTooLarge(
            f"the JSON has {len(body)} bytes, at most {MAX_TEXT_BYTES} are read: send images as files, "
            "numbers as .npy, or to /v2 as binary data or one flat list"
        )
    if _has_more(b",", body, MAX_VALUES):
        raise PayloadTooLarge(
            f"the JSON has more than {MAX_VALUES} values, or commas in its texts: send many numbers as .npy, or to /v2 "
            "as binary data or one flat list"
        )


def _has_more(what: bytes, body: bytes | bytearray | memoryview, most: int) -> bool:
    """Whether a byte is there more often than that.

    `bytes.count` looks at one byte at a time, which takes as long as simdjson takes to parse all of it; NumPy compares
    64 at once (for 1 MB 73 µs in place of 1,180, one core of an AMD EPYC, Python 3.11, 2026-11).
    """
    if len(body) <= most:
        return False
    octets = np.frombuffer(body, np.uint8)
    pieces = (octets[start : start + _LOOKED_AT] for start in range(0, len(octets), _LOOKED_AT))
    return sum(int(np.count_nonzero(piece == ord(what))) for piece in pieces) > most


@dataclass(frozen=True, slots=True)
class Long:
    """The JSON of very many numbers, in pieces, which are never put together: that would hold up others too."""

    pieces: list[bytes]


def dumps(obj: object) -> bytes:
    """Write JSON; NumPy arrays must be C-contiguous and native, as `to_json` returns them."""
    return b"".join(dumps_in_pieces(obj))


def dumps_in_pieces(obj: object) -> list[bytes]:
    """What `dumps` writes, not put together; one piece if nothing in it is `Long`."""
    longs: list[Long] = []

    def marked(value: object) -> str:
        if not isinstance(value, Long):
            raise TypeError(type(value).__name__)
        longs.append(value)
        return _MARK

    text = orjson.dumps(obj, default=marked, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATACLASS)
    if not longs:
        return [text]
    between = text.split(f'"{_MARK}"'.encode())
    return [piece for rest, long in zip(between, longs, strict=False) for piece in (rest, *long.pieces)] + between[-1:]


# --- JSON to array ----------------------------------------------------------------------------------------------------


def from_json(data: object, dtype: DType, *, name: str, max_elements: int, shape: Sequence[int] | None = None) -> Array:
    """Read an array from what `parse_json` returned.

    Args:
        data: a JSON value or a list of them; strings for the object dtype (stored as UTF-8 bytes), true and false for
            bool, else numbers (and for floats the strings of NON_FINITE).
        name: what `data` is called in error texts; an index is appended, as in `data[3][1]`.
        shape: shape of the result, from `check_shape`; `data` may then be nested in any way, as deep as JSON may be,
            only the number of its elements counts (where that nesting is irregular, error texts give the index in the
            flattened data). None: the nesting of `data` is the shape, must be regular and at most 32 deep.

    Raises:
        BadRequest: an element, the nesting or the count is wrong; the text says where.
        PayloadTooLarge: more than `max_elements`.
    """
    flat, nesting = _flatten(data, name, regular=shape is None)
    if len(flat) > max_elements:
        raise PayloadTooLarge(f"{name} has {len(flat)} elements, expected at most {max_elements}")
    if shape is not None and math.prod(shape) != len(flat):
        raise BadRequest(f"{name} has {len(flat)} elements, expected {math.prod(shape)} for shape {list(shape)}")
    place = functools.partial(_place, name, nesting)
    return _convert(flat, dtype, place).reshape(nesting if shape is None else tuple(shape))


def check_shape(shape: object, *, name: str, max_elements: int) -> tuple[int, ...]:
    """Check a tensor's shape: a list of at most 32 non-negative integers.

    Raises:
        PayloadTooLarge: more than `max_elements`, zeros counted as ones: NumPy cannot hold [0, 2**62] either.
    """
    if not isinstance(shape, list):
        raise BadRequest(f"{name} is {describe(shape)}, expected a list of non-negative integers")
    if len(shape) > MAX_DIMENSIONS:
        raise BadRequest(f"{name} has {len(shape)} dimensions, expected at most {MAX_DIMENSIONS}")
    for index, size in enumerate(shape):
        if type(size) is not int or size < 0:  # bool is an int to isinstance
            raise BadRequest(f"{name}[{index}] is {describe(size)}, expected a non-negative integer")
    _check_count(shape, name, max_elements)
    return tuple(shape)


def _check_count(shape: Sequence[int], name: str, max_elements: int) -> None:
    count = math.prod(size or 1 for size in shape)
    if count > max_elements:
        raise PayloadTooLarge(f"{name} {quoted(list(shape))} holds {count} elements, expected at most {max_elements}")


def _flatten(data: object, name: str, *, regular: bool) -> tuple[list[object], tuple[int, ...]]:
    """Undo the nesting level by level; return the elements and, if it is regular, the nesting's shape.

    Of an irregular nesting (`regular` False only) the second value is the count alone.
    """
    level: list[object] = [data]
    shape: list[int] = []
    while list in (kinds := set(map(type, level))):
        if regular and len(shape) >= MAX_DIMENSIONS:
            raise BadRequest(f"{name} is nested more than {MAX_DIMENSIONS} lists deep")
        lists = cast("list[list[object]]", level)
        if len(kinds) > 1 or len(set(map(len, lists))) > 1:
            if regular:
                raise BadRequest(_ragged(level, name, shape))
            flat = _collect(level)
            return flat, (len(flat),)
        shape.append(len(lists[0]))
        level = list(chain.from_iterable(lists))
    return level, tuple(shape)


def _collect(items: list[object]) -> list[object]:
    """Return the elements of an irregular nesting; each is touched once, however deep its neighbours are.

    No recursion: JSON may be nested deeper than Python's stack allows.
    """
    flat: list[object] = []
    open_lists = [iter(items)]
    while open_lists:
        for item in open_lists[-1]:
            if type(item) is not list:
                flat.append(item)
            elif list in set(map(type, item)):
                open_lists.append(iter(item))
                break
            else:
                flat.extend(item)
        else:
            open_lists.pop()
    return flat


def _ragged(level: list[object], name: str, shape: Sequence[int]) -> str:
    """Say where the first item of `level` is that is not like its first one."""

    def what(item: object) -> str:
        return f"a list of {len(item)}" if isinstance(item, list) else describe(item)

    def kind(item: object) -> int | None:
        return len(item) if isinstance(item, list) else None

    first, place = kind(level[0]), functools.partial(_place, name, shape)
    index = next(index for index, item in enumerate(level) if kind(item) != first)
    return f"{name} is ragged: {place(index)} is {what(level[index])}, but {place(0)} is {what(level[0])}"


def _place(name: str, shape: Sequence[int], index: int) -> str:
    """Name the element number `index` of a nesting, row by row: `data[3][1]`."""
    path = ""
    for size in reversed(shape):
        index, here = divmod(index, size)
        path = f"[{here}]{path}"
    return name + path


def _convert(flat: list[object], dtype: DType, place: Callable[[int], str]) -> Array:
    if dtype.kind == "f":
        return _to_floats(flat, dtype, place)
    if dtype.kind in "iu":
        return _to_integers(flat, dtype, place)
    if dtype.kind == "b":
        _check_kinds(flat, {bool}, "true or false", place)
        return np.array(flat, dtype)
    _check_kinds(flat, {str}, "a string", place)
    return np.array(_to_utf8(flat, place), dtype)


def _check_kinds(flat: list[object], kinds: set[type], expected: str, place: Callable[[int], str]) -> None:
    if set(map(type, flat)) <= kinds:
        return
    index = next(index for index, value in enumerate(flat) if type(value) not in kinds)
    raise BadRequest(f"{place(index)} is {describe(flat[index])}, expected {expected}")


def _to_floats(flat: list[object], dtype: DType, place: Callable[[int], str]) -> Array:
    if str in set(map(type, flat)):
        flat = [NON_FINITE.get(value, value) if type(value) is str else value for value in flat]
    _check_kinds(flat, {int, float}, 'a number, "NaN", "Infinity" or "-Infinity"', place)
    wide = np.array(flat, np.float64)
    with np.errstate(over="ignore", under="ignore"):
        values = wide.astype(dtype)
    lost = np.isfinite(wide) & ~np.isfinite(values)
    if lost.any():
        index = int(lost.argmax())
        raise BadRequest(f"{place(index)} is {describe(flat[index])}, which is not representable in {dtype}")
    return values


def _to_integers(flat: list[object], dtype: DType, place: Callable[[int], str]) -> Array:
    limits = np.iinfo(dtype)  # type: ignore[type-var]  # the caller looked at dtype.kind
    low, high = int(limits.min), int(limits.max)
    _check_kinds(flat, {int}, f"an integer in {low}…{high}", place)
    try:
        return np.array(flat, dtype)
    except OverflowError as exc:
        index = next(i for i, value in enumerate(flat) if isinstance(value, int) and not low <= value <= high)
        text = f"{place(index)} is {flat[index]}, which is not representable in {dtype}: expected {low}…{high}"
        raise BadRequest(text) from exc


def _to_utf8(flat: Iterable[object], place: Callable[[int], str]) -> list[bytes]:
    encoded: list[bytes] = []
    for index, value in enumerate(flat):
        try:
            encoded.append(str(value).encode())
        except UnicodeEncodeError as exc:  # a lone surrogate, which orjson refuses already
            raise BadRequest(f"{place(index)} is not valid Unicode text") from exc
    return encoded


# --- array to JSON ----------------------------------------------------------------------------------------------------


def to_json(array: Array) -> object:
    """Return what `dumps` writes as nested numbers (or booleans), non-finite ones as the strings of NON_FINITE."""
    return _to_json(array) if array.size <= PIECE else Long(list(_in_pieces(array, _to_json)))


def _to_json(array: Array) -> object:
    numbers = _fewest_digits(array)
    if numbers.dtype.kind == "f":
        flat = numbers.ravel()
        finite = np.isfinite(flat)
        if not (all(finite.tolist()) if flat.size <= _FEW else finite.all()):  # NumPy takes longer to begin
            return _nest(_named(flat, np.flatnonzero(~finite)), numbers.shape)
    return numbers if numbers.ndim else numbers[()]


def to_json_flat_null(array: Array) -> object:
    """Return what `dumps` writes as a flat list in row-major order: non-finite numbers as null, bytes as strings.

    Raises:
        BadRequest: an element of a BYTES array is not UTF-8, so JSON cannot hold it.
    """
    if array.dtype.kind == "O":
        return [_to_text(value) for value in array.ravel()]
    flat = array.ravel()
    return _fewest_digits(flat) if flat.size <= PIECE else Long(list(_in_pieces(flat, _fewest_digits)))


def _in_pieces(array: Array, convert: Callable[[Array], object]) -> Iterator[bytes]:
    """The JSON of many numbers. While orjson writes no other thread runs, the event loop's neither: so not all at once.

    orjson itself writes null for what is not finite.
    """
    each = array.size // len(array)
    opens = b"["
    for start in range(0, len(array), max(1, PIECE // each)):
        part = array[start : start + max(1, PIECE // each)]
        if each > PIECE:
            yield opens
            yield from _in_pieces(part[0], convert)
        else:
            yield opens + orjson.dumps(convert(part), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
        opens = b","
    yield b"]"


def _to_text(value: object) -> str:
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError as exc:
        raise BadRequest("a BYTES element of the answer is not UTF-8 text, which JSON cannot hold") from exc


def _fewest_digits(array: Array) -> Array:
    """Return a native C-contiguous array that orjson prints with the fewest digits that are read back exactly."""
    native = array
    if not (array.dtype.isnative and array.flags.c_contiguous):
        native = np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")
    if native.dtype == np.float16:
        return np.asarray(_decimals_of_float16()[native.view(np.uint16)])
    if native.dtype == np.float32 and _has_misread(native):
        with np.errstate(invalid="ignore"):  # a signalling NaN beside it
            return native.astype(np.float64)
    return native


def _has_misread(numbers: Array) -> bool:
    """A look at the bytes of a few numbers takes a fifth of NumPy's time; three of four, for the other has the sign."""
    if numbers.size <= _FEW and _MISREAD_BYTES not in numbers.tobytes():
        return False
    return bool((np.abs(numbers) == _MISREAD_FLOAT32).any())


@functools.cache
def _decimals_of_float16() -> NDArray[np.float32]:
    """Return, for each of the 65536 bit patterns, the float32 that prints as that float16 should.

    orjson prints 0.1 in float16 as 0.099975586, its digits as a float32. The float32 nearest to "0.1" prints as 0.1.
    """
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    return halves.astype(np.str_).astype(np.float64).astype(np.float32)  # NaN and infinity survive as text


def _named(flat: Array, strange: NDArray[np.intp]) -> list[object]:
    items: list[object] = list(flat)  # NumPy scalars: orjson prints float32 ones with their own few digits
    for index in strange.tolist():
        value = float(flat[index])
        items[index] = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return items


def _nest(flat: list[object], shape: Sequence[int]) -> object:
    for size in reversed(shape[1:]):
        flat = [flat[start : start + size] for start in range(0, len(flat), size)]
    return flat if shape else flat[0]


# --- .npy -------------------------------------------------------------------------------------------------------------


def read_npy(body: bytes | bytearray | memoryview, *, max_elements: int) -> Array:
    """Read a NumPy .npy file (format 1.0, 2.0 or 3.0) of float16, float32 or float64; never pickled data.

    Returns:
        A native, C-contiguous array; a read-only view into `body` where that is possible.

    Raises:
        BadRequest: not such a file, truncated, or followed by more bytes.
        PayloadTooLarge: the header announces more than `max_elements`.

    Source: NEP 1 and the docstring of numpy.lib.format.
    """
    header, start = _npy_header(memoryview(body))
    dtype, fortran_order, shape = _npy_fields(header)
    _check_count(shape, "the .npy shape", max_elements)
    expected, got = math.prod(shape) * dtype.itemsize, len(body) - start
    if got != expected:
        raise BadRequest(f"the .npy data has {got} bytes, expected {expected} for {dtype.name} {list(shape)}")
    stored = np.frombuffer(body, dtype, offset=start) if expected else np.empty(0, dtype)
    ordered = stored.reshape(shape, order="F" if fortran_order else "C")
    return np.require(ordered, dtype.newbyteorder("="), ["C_CONTIGUOUS", "ALIGNED"])


def write_npy(array: Array) -> bytes:
    """Write an .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _npy_header(body: memoryview) -> tuple[str, int]:
    """Return the header's text and where the data starts."""
    if bytes(body[:6]) != _NPY_MAGIC:
        raise BadRequest("the body is not an .npy file: expected what numpy.save writes")
    version = tuple(body[6:8])
    if version not in {(1, 0), (2, 0), (3, 0)}:
        raise BadRequest(f"the .npy format version is {quoted(version)}, expected 1.0, 2.0 or 3.0")
    start = 10 if version == (1, 0) else 12
    length = int.from_bytes(body[8:start], "little")
    if length > _NPY_MAX_HEADER_BYTES or len(body) < start + length:
        limit = min(_NPY_MAX_HEADER_BYTES, max(len(body) - start, 0))
        raise BadRequest(f"the .npy header has {length} bytes, expected at most {limit}")
    text = bytes(body[start : start + length]).decode("utf-8" if version == (3, 0) else "latin-1", "replace")
    return text, start + length


def _npy_fields(header: str) -> tuple[DType, bool, tuple[int, ...]]:
    fields = dict(re.findall(_NPY_FIELD, header, re.ASCII)) if _NPY_HEADER.fullmatch(header) else {}
    order, sizes = fields.get("fortran_order"), re.findall(r"\d+", fields.get("shape", ""))
    descr = fields.get("descr", "")
    malformed = set(fields) != {"descr", "fortran_order", "shape"} or order not in {"True", "False"}
    if malformed or fields["shape"][0] != "(" or descr[0] not in "'\"[" or len(sizes) > MAX_DIMENSIONS:
        example = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }"
        raise BadRequest(f"the .npy header is {quoted(header)}, expected one like {example}")
    if descr[1:-1] not in _NPY_DTYPES:
        wanted = "expected float16, float32 or float64: save array.astype(numpy.float32)"
        raise BadRequest(f"the .npy dtype is {quoted(descr)}, {wanted}")
    return _NPY_DTYPES[descr[1:-1]], order == "True", tuple(map(int, sizes))
