"""What happens in the layers of a network: for each hidden activation, what goes in and what comes out, in numbers."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.activations.activation import Activation, Values
from service.activations.catalogue import ACTIVATIONS
from service.engine.functions import Functions
from service.engine.patterns import Site
from service.engine.runtime.session import Tensor
from service.errors import BadRequest

SATURATED = 0.01
"""An input is saturated where the slope is less than this share of the function's steepest."""
BINS = 41
SHEET_MAPS, SHEET_SIDE = 256, 64
"""Of a sheet: how many feature maps, and pixels of a side of each, at most."""
STEEPEST_OVER = np.linspace(-20.0, 20.0, 40_001)
SOFTMAX_STEEPEST = 0.25
"""Of p·(1 − p), softmax's slope along its own axis."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values lie in equal bins from `low` to `high`; those that are not finite are left out."""

    low: float
    high: float
    counts: list[int]


@dataclass(frozen=True, slots=True)
class Spread:
    """Of all values of a tensor; what is not finite makes them so too."""

    mean: float
    std: float
    min: float
    max: float
    histogram: Histogram


@dataclass(frozen=True, slots=True)
class Layer:
    """One hidden activation.

    Attributes:
        function: its name in the catalogue; None for what is not there.
        parameters: all of them; None with the function, or where the graph computes one.
        shape: of one picture's tensor: [channels, …].
        before, after: what goes in, and what comes out.
        zeros: share of outputs that are exactly 0.
        dead: channels whose output was never above 0.
        saturated: share of inputs at which the slope is below `SATURATED` of the steepest; None where it is not known.
        mean_share: share of the outputs' power that is their mean, E[f]² / E[f²]; None if all are 0.
    """

    function: str | None
    parameters: Mapping[str, object] | None
    name: str
    shape: list[int]
    before: Spread
    after: Spread
    zeros: float
    dead: list[int]
    saturated: float | None
    mean_share: float | None

    @property
    def channels(self) -> int:
        return self.shape[0]


def layer(site: Site, before: Tensor, after: Tensor, functions: Functions) -> Layer:
    """Describe an activation by what went in and came out, [N, channels, …] each.

    Raises:
        BadRequest: they are not such tensors.
    """
    if before.ndim < 2 or before.shape != after.shape or not before.size or before.dtype.kind != "f":
        raise BadRequest(f"activation {site.after!r} has the shape {list(before.shape)}, expected [N, channels, …]")
    known = _function(site)
    wide = after.astype(np.float64)
    per_channel = wide.max(axis=tuple(axis for axis in range(wide.ndim) if axis != 1))
    power = float(np.mean(wide**2))
    return Layer(
        function=site.function,
        parameters=dict(known[1].items()) if known else None,
        name=site.after,
        shape=list(after.shape[1:]),
        before=_spread(before.astype(np.float64)),
        after=_spread(wide),
        zeros=float(np.mean(after == 0)),
        dead=np.flatnonzero(per_channel <= 0).tolist(),
        saturated=_saturated(*known, before, functions) if known else None,
        mean_share=float(wide.mean()) ** 2 / power if power > 0 else None,
    )


def _function(site: Site) -> tuple[Activation, Values] | None:
    """The function and its parameters, where the graph says all of them."""
    if site.function is None or site.function == "prelu":
        return None
    row = ACTIVATIONS[site.function]
    try:
        return row, row.bind(site.parameters)
    except BadRequest:  # a parameter beyond the range that the catalogue takes
        return None


def _saturated(row: Activation, values: Values, before: Tensor, functions: Functions) -> float | None:
    steepest = _steepest(row.name, tuple(sorted(values.items())))
    slopes = functions.apply(row, values, before, "exact", derivative=True)
    return float(np.mean(np.abs(slopes) < SATURATED * steepest))


@functools.lru_cache(maxsize=256)
def _steepest(name: str, parameters: tuple[tuple[str, object], ...]) -> float:
    row = ACTIVATIONS[name]
    if not row.elementwise:
        return SOFTMAX_STEEPEST if name == "softmax" else 1.0
    return float(np.max(np.abs(row.reference_derivative(STEEPEST_OVER, row.bind(dict(parameters))))))


def _spread(values: NDArray[np.float64]) -> Spread:
    with np.errstate(invalid="ignore", over="ignore"):
        return Spread(
            mean=float(values.mean()),
            std=float(values.std()),
            min=float(values.min()),
            max=float(values.max()),
            histogram=_histogram(values[np.isfinite(values)]),
        )


def _histogram(finite: NDArray[np.float64]) -> Histogram:
    if not finite.size:
        return Histogram(0.0, 0.0, [0] * BINS)
    low, high = float(finite.min()), float(finite.max())
    if low == high:  # NumPy would make bins of width 1 around it
        return Histogram(low, high, [*[0] * (BINS // 2), finite.size, *[0] * (BINS // 2)])
    counts, _ = np.histogram(finite, bins=BINS, range=(low, high))
    return Histogram(low, high, counts.tolist())


def sheet(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """The feature maps [channels, height, width] of one picture side by side in a square, [H, W, 1]; NaN in between.

    Of larger maps every other pixel or less, and of very many the first ones: it is to be looked at.
    """
    step = math.ceil(max(maps.shape[1:]) / SHEET_SIDE)
    maps = maps[:SHEET_MAPS, ::step, ::step]
    channels, height, width = maps.shape
    columns = math.ceil(math.sqrt(channels))
    rows = math.ceil(channels / columns)
    page = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan, np.float32)
    for index, part in enumerate(maps):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        page[top : top + height, left : left + width] = part
    return page[:, :, None]
