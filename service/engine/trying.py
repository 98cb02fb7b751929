"""What a model is tried with when it is loaded, and whether two runs of it came to the same."""

import ml_dtypes
import numpy as np

from service.engine.runtime.session import Tensor

HALF_TOLERANCE = 3e-2
"""Of numbers with two bytes."""


def numbers(shape: tuple[int, ...], dtype: np.dtype) -> Tensor:
    """Numbers that differ; whole ones are 0 or 1, since they may be places in a table."""
    random = np.random.default_rng(0)
    if dtype.kind == "f" or dtype == ml_dtypes.bfloat16:
        return random.standard_normal(shape).astype(dtype)
    return random.integers(0, 2, shape).astype(dtype)


def is_close(got: Tensor, wanted: Tensor, tolerance: float) -> bool:
    """Whether they are the same: exactly, or for floats but for another order of summation.

    Args:
        got: of the same shape, or one that it is broadcast to.
        tolerance: by the largest number; `HALF_TOLERANCE` for numbers of two bytes.
    """
    if wanted.dtype.kind in "biuO":
        return bool(np.all(got == wanted))
    if wanted.dtype.itemsize <= 2:
        tolerance = HALF_TOLERANCE
    of, found = wanted.astype(np.float64), got.astype(np.float64)
    scale = np.max(np.abs(of), initial=0.0, where=np.isfinite(of))
    return np.allclose(found, of, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
