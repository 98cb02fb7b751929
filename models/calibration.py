"""How far a classifier's probabilities can be believed: temperature, expected calibration error, NLL, Brier score.

NumPy in float64 and nothing else. Logits and probabilities are [N, K], one row a picture; [N, 1] is a binary classifier
with one logit, its sigmoid being the probability of class 1, and counts as the two classes that it stands for.

Sources: Guo et al., On Calibration of Modern Neural Networks, 2017, arXiv 1706.04599 (temperature, ECE, 15 bins);
Brier, Verification of Forecasts Expressed in Terms of Probability, 1950.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]

LOWEST, HIGHEST = 0.05, 20.0
"""Between these a temperature is looked for."""
HALVINGS = 60
"""Of the interval of log T; it is 6 wide, so that the last is below the spacing of float64."""

LEAST = math.ulp(0.0)
"""Smallest positive float64, 4.9e-324: where a probability of 0 is counted as this, a wrong picture costs 744 nats."""

SUM_TOLERANCE = 1e-4
"""How far the sum of a row may be from 1: far more than float32 or JSON lose, far less than a missing class."""


@dataclass(frozen=True, slots=True)
class Bin:
    """A row of the reliability table: the pictures whose confidence is in (low, high].

    Attributes:
        count: how many there are.
        confidence: the mean of theirs; None where there is none.
        accuracy: share that is right; None where there is none.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the probabilities of a set of pictures are worth.

    Attributes:
        accuracy: share of pictures whose likeliest class is right; of equal ones the first counts.
        ece: expected calibration error, Σ (count / N) |accuracy − confidence| over the bins; 0 to 1.
        ece_floor_mean: the mean of what a perfectly calibrated classifier with these confidences shows.
        ece_floor_95: its 95th percentile: an `ece` below may be chance alone.
        nll: mean negative log-likelihood of the true classes, in nats; probabilities below `LEAST` count as `LEAST`.
        brier: mean squared distance of the probabilities to the one-hot truth, over all classes: 0 to 2.
        bins: the reliability table, by confidence.
    """

    accuracy: float
    ece: float
    ece_floor_mean: float
    ece_floor_95: float
    nll: float
    brier: float
    bins: tuple[Bin, ...]


def probabilities(logits: ArrayLike, temperature: float = 1.0) -> Floats:
    """Softmax of logits / temperature; for [N, 1] their sigmoid.

    Returns:
        The shape of `logits`. No overflow: the largest logit of a row is subtracted first.

    Raises:
        ValueError: the logits are not finite numbers [N, K], or the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"the temperature is {temperature}, expected a positive number")
    margins = _margins(_matrix(logits, "logits"))
    shares = _softmax(margins, 1 / temperature)
    return shares[:, 1:] if np.shape(logits)[1] == 1 else shares


def temperature(logits: ArrayLike, targets: ArrayLike) -> float:
    """Find the T in [0.05, 20] for which softmax(logits / T), or the sigmoid for [N, 1], has the smallest NLL.

    The NLL is convex in 1/T, so that halving finds the zero of its derivative, mean(Σ p_k z_k − z_y), or comes to the
    bound towards which the NLL falls. T > 1: the classifier was overconfident. Every prediction, and so the accuracy,
    stays. Where all logits of each row are equal, T makes no difference and is 1.

    Args:
        logits: finite numbers [N, K].
        targets: integers [N], 0 to K − 1; 0 or 1 for [N, 1].

    Raises:
        ValueError: shapes or values that are not these.

    Source: Guo et al. 2017, section 4.2. Fit it on pictures that are used for nothing else.
    """
    margins = _margins(_matrix(logits, "logits"))
    chosen = _targets(targets, margins.shape)
    if not margins.any():
        return 1.0
    low, high = math.log(LOWEST), math.log(HIGHEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _slope(margins, chosen, math.exp(-middle)) > 0:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


def measure(
    probabilities: ArrayLike, targets: ArrayLike, bins: int = 15, draws: int = 1000, seed: int = 0
) -> Calibration:
    """Measure accuracy and calibration.

    The floor of the ECE is simulated: in each draw every prediction is right with exactly its confidence.

    Args:
        probabilities: [N, K] with rows that sum to 1, or [N, 1]: of class 1.
        targets: integers [N], 0 to K − 1; 0 or 1 for [N, 1].
        bins: of equal width, over the largest probability of each row.
        draws: of the simulation.
        seed: of the simulation.

    Raises:
        ValueError: shapes or values that are not these.

    Source: Guo et al. 2017, section 2; Brier 1950.
    """
    if bins < 1 or draws < 1:
        raise ValueError(f"got {bins} bins and {draws} draws, expected at least one of each")
    shares = _shares(probabilities)
    chosen = _targets(targets, shares.shape)
    confidence, right = shares.max(axis=1), shares.argmax(axis=1) == chosen
    place = _places(confidence, bins)
    floor = _floor(confidence, place, draws, seed)
    likelihood = shares[np.arange(len(shares)), chosen]
    one_hot = np.eye(shares.shape[1])[chosen]
    return Calibration(
        accuracy=float(right.mean()),
        ece=_error(right - confidence, place),
        ece_floor_mean=float(floor.mean()),
        ece_floor_95=float(np.percentile(floor, 95)),
        nll=float(-np.log(np.maximum(likelihood, LEAST)).mean()),
        brier=float(((shares - one_hot) ** 2).sum(axis=1).mean()),
        bins=tuple(_table(confidence, right, place, bins)),
    )


def _places(confidence: Floats, bins: int) -> Integers:
    """The bin of each picture: bin i is (i / bins, (i + 1) / bins], and the first has 0 too."""
    edges = np.arange(bins + 1) / bins
    return np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)


def _error(excess: Floats, place: Integers) -> float:
    """ECE, from (1 if right, else 0) − confidence of each picture: (count / N) |mean| is |sum| / N."""
    return float(np.abs(np.bincount(place, excess)).sum() / len(place))


def _floor(confidence: Floats, place: Integers, draws: int, seed: int) -> Floats:
    """ECE of each draw."""
    generator = np.random.default_rng(seed)
    return np.array(
        [_error((generator.random(len(confidence)) < confidence) - confidence, place) for _ in range(draws)]
    )


def _table(confidence: Floats, right: NDArray[np.bool_], place: Integers, bins: int) -> Iterator[Bin]:
    for i in range(bins):
        inside = place == i
        count = int(inside.sum())
        means = (float(confidence[inside].mean()), float(right[inside].mean())) if count else (None, None)
        yield Bin(i / bins, (i + 1) / bins, count, *means)


def _margins(logits: Floats) -> Floats:
    """Logits less the largest of their row, [N, K] with K ≥ 2: 0 and below. −∞ where float64 has no such difference."""
    both = np.hstack([np.zeros_like(logits), logits]) if logits.shape[1] == 1 else logits
    with np.errstate(over="ignore"):
        return np.asarray(both - both.max(axis=1, keepdims=True))


def _softmax(margins: Floats, inverse: float) -> Floats:
    """Softmax of margins · inverse."""
    with np.errstate(over="ignore"):  # to −∞, whose power is 0
        powers = np.exp(margins * inverse)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _slope(margins: Floats, targets: Integers, inverse: float) -> float:
    """Derivative of the NLL by 1/T at 1/T = inverse."""
    shares = _softmax(margins, inverse)
    means = np.multiply(shares, margins, out=np.zeros_like(margins), where=shares > 0).sum(axis=1)
    with np.errstate(over="ignore"):  # to +∞, whose sign is right
        return float((means - margins[np.arange(len(margins)), targets]).mean())


def _matrix(numbers: ArrayLike, name: str) -> Floats:
    matrix = np.asarray(numbers, dtype=np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"{name} have the shape {list(matrix.shape)}, expected [N, K]")
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name} are not all finite")
    return matrix


def _shares(probabilities: ArrayLike) -> Floats:
    """Probabilities of all classes, [N, K] with K ≥ 2."""
    shares = _matrix(probabilities, "probabilities")
    if shares.min() < 0 or shares.max() > 1:
        raise ValueError(f"probabilities go from {shares.min():g} to {shares.max():g}, expected 0 to 1")
    if shares.shape[1] == 1:
        return np.hstack([1 - shares, shares])
    furthest = float(np.abs(shares.sum(axis=1) - 1).max())
    if furthest > SUM_TOLERANCE:
        raise ValueError(f"a row of probabilities sums to 1 ± {furthest:g}, expected 1")
    return shares


def _targets(targets: ArrayLike, shape: tuple[int, ...]) -> Integers:
    chosen = np.asarray(targets)
    rows, classes = shape
    if chosen.shape != (rows,) or chosen.dtype.kind not in "iu":
        raise ValueError(f"targets are {chosen.dtype} {list(chosen.shape)}, expected integers [{rows}]")
    if chosen.min() < 0 or chosen.max() >= classes:
        raise ValueError(f"targets go from {chosen.min()} to {chosen.max()}, expected 0 to {classes - 1}")
    return chosen.astype(np.int64)
