"""Triton's classification extension: instead of a tensor, its largest elements with their places and labels.

Source: triton-inference-server/server, docs/protocol/extension_classification.md and src/classification.cc.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.errors import BadRequest
from service.wire import datatypes
from service.wire.arrays import Array

MAX_ELEMENTS = 1_000_000
"""Limit of one item's elements, as in Triton, and of the classes in one answer, each of which is a Python object."""

_UNSUPPORTED = frozenset({"BOOL", "FP16", "BF16", "BYTES"})


def classify(array: Array, k: int, labels: Sequence[str] | None, *, batched: bool) -> NDArray[np.object_]:
    """Find the `k` largest elements of each item, the largest first; of equal ones the first. NaN counts as −∞.

    Args:
        array: one item, or items along the first axis if `batched`.
        k: at least 1; an item of fewer elements is answered with all of them.
        labels: by the index in the flattened item; what has none, or an empty one, is written without.

    Returns:
        `value:index` or `value:index:label` as UTF-8 bytes, shape [k] or [batch, k]; floats with six decimals.

    Raises:
        BadRequest: the datatype is none of INT*, UINT*, FP32 and FP64, or the array is too large.
    """
    datatype = datatypes.by_numpy(array.dtype).name
    if datatype in _UNSUPPORTED:
        raise BadRequest(f"class result not available for output due to unsupported type {datatype!r}")
    batch = array.shape[:1] if batched else ()
    count = math.prod(array.shape[len(batch) :])
    chosen = min(k, count)
    if max(count, chosen * math.prod(batch)) > MAX_ELEMENTS:
        raise BadRequest(f"classification output tensor too large: expected at most {MAX_ELEMENTS} elements")
    items = array.reshape(math.prod(batch), count)
    places = _largest(items, chosen)
    values = np.take_along_axis(items, places, axis=1)
    texts = np.empty(values.size, np.object_)
    flat = zip(values.ravel().tolist(), places.ravel().tolist(), strict=True)
    for number, (value, place) in enumerate(flat):
        label = labels[place] if labels is not None and place < len(labels) else ""
        shown = f"{value:.6f}" if isinstance(value, float) else str(value)
        texts[number] = (f"{shown}:{place}:{label}" if label else f"{shown}:{place}").encode()
    return texts.reshape(*batch, chosen)


def _largest(items: Array, k: int) -> NDArray[np.intp]:
    """Return the places of the `k` largest of each row, in order.

    A partition finds the k-th largest; all above it are taken, and of those equal to it the first that are needed, so
    that only `k` are sorted.
    """
    rows, count = items.shape
    if k == 0 or rows == 0:
        return np.empty((rows, k), np.intp)
    keys = np.where(np.isnan(items), -np.inf, items) if items.dtype.kind == "f" else items
    smallest = np.partition(keys, count - k, axis=1)[:, count - k, np.newaxis]
    above, level = keys > smallest, keys == smallest
    needed = k - above.sum(axis=1, keepdims=True)
    taken = above | (level & (np.cumsum(level, axis=1) <= needed))
    places = np.nonzero(taken)[1].reshape(rows, k)
    # Descending and stable is ascending and stable of the reversed row, reversed: the keys may have no negative.
    order = np.argsort(np.take_along_axis(keys, places, axis=1)[:, ::-1], axis=1, kind="stable")[:, ::-1]
    return np.take_along_axis(places, k - 1 - order, axis=1)
