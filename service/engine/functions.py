"""Activation functions as sessions: built on first use for their parameters and dtype, kept in a bounded cache."""

from dataclasses import replace
from typing import TypeAlias

import numpy as np

from service.activations.activation import Activation, Values
from service.activations.catalogue import ACTIVATIONS
from service.activations.graphs import DTYPES, Kernel, build
from service.engine.cache import Cache
from service.engine.runtime.device import Device
from service.engine.runtime.session import Session, Tensor
from service.engine.statistics import LENGTH, Statistics
from service.errors import BadRequest, ModelUnavailable
from service.workers.workers import Alone, Workers

MAX_KEPT_ELEMENTS = 4096
"""A parameter tensor with more makes a session for one request: a cache of them would have no bound in bytes."""

Key: TypeAlias = tuple[str, tuple[tuple[str, object], ...], np.dtype, Kernel, bool]


class Functions:
    """Applies activations on one device.

    Args:
        capacity: sessions kept; the least recently used goes first, since a client's parameters are unbounded.
        workers: the processes whose statistics are one.
    """

    def __init__(self, device: Device, *, threads: int, capacity: int, workers: Workers | None = None) -> None:
        self.device = device
        self._device = replace(device, strict=False)  # a function tells where it ran; it is not refused for that
        self.threads = threads
        counters = workers or Alone()
        self.statistics = {name: Statistics(counters.block(f"activation {name}", LENGTH)) for name in ACTIVATIONS}
        self._sessions: Cache[Key, Session] = Cache(capacity)

    def apply(self, row: Activation, values: Values, x: Tensor, kernel: Kernel, *, derivative: bool = False) -> Tensor:
        """Apply the function, or its derivative, to x of any shape; the result has x's shape and dtype.

        Raises:
            BadRequest: an axis or a slope that does not fit x, or a dtype that the native operator lacks.
        """
        return self.applied(row, values, x, kernel, derivative=derivative)[0]

    def applied(
        self, row: Activation, values: Values, x: Tensor, kernel: Kernel, *, derivative: bool = False
    ) -> tuple[Tensor, str]:
        """What `apply` does, and by which provider; by several if the device has no kernel for some node.

        Raises:
            BadRequest: as `apply`.
        """
        _check_fit(row, values, x)
        session = self._session(row, values, x.dtype, kernel, derivative)
        if x.size == 0:  # reductions over an empty axis have no maximum to give
            return x.copy(), session.provider
        return session.run({"x": x})["y"], session.provider

    def _session(self, row: Activation, values: Values, dtype: np.dtype, kernel: Kernel, derivative: bool) -> Session:
        if any(isinstance(value, np.ndarray) and value.size > MAX_KEPT_ELEMENTS for value in values.values()):
            return self._build(row, values, dtype, kernel, derivative)
        key = (row.name, _frozen(values), dtype, kernel, derivative)
        return self._sessions.get(key, lambda: self._build(row, values, dtype, kernel, derivative))

    def _build(self, row: Activation, values: Values, dtype: np.dtype, kernel: Kernel, derivative: bool) -> Session:
        model = build(row, values, dtype, kernel, derivative=derivative)
        try:
            # There are many of them, and each would keep the memory of the largest tensor it ever saw. The allocator
            # keeps some for all (`memory`); only from 32 MiB on a run takes longer so, by the pages that it touches.
            return Session.load(model, self._device, threads=self.threads, keeps_memory=False)
        except ModelUnavailable as error:
            raise BadRequest(
                f"{row.name}: ONNX Runtime has no {kernel} kernel ({row.onnx_op}) for {dtype.name} on the "
                f"{self.device.kind}; use kernel 'exact', or another of {', '.join(DTYPES)}"
            ) from error


def _frozen(values: Values) -> tuple[tuple[str, object], ...]:
    """Parameters as a hashable key; a tensor by its shape and bytes."""
    return tuple((k, (v.shape, v.tobytes()) if isinstance(v, np.ndarray) else v) for k, v in sorted(values.items()))


def _check_fit(row: Activation, values: Values, x: Tensor) -> None:
    if "axis" in values:
        axis = values.integer("axis")
        if not -x.ndim <= axis < x.ndim:
            raise BadRequest(f"parameter 'axis': got {axis}, but the data has shape {list(x.shape)}")
    if "slope" in values:
        slope = values.tensor("slope")
        try:
            fits = np.broadcast_shapes(x.shape, slope.shape) == x.shape
        except ValueError:
            fits = False
        if not fits:
            shape = list(slope.shape)
            raise BadRequest(f"parameter 'slope': shape {shape} does not broadcast to the data's {list(x.shape)}")
