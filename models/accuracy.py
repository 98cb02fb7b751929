"""Measure how far the served kernels are from the true values, against mpmath.

    python -m models.accuracy            # writes service/activations/accuracy.json and docs/accuracy.md

A unit in the last place (ULP) is the gap between neighbouring numbers of the dtype at the true value's size; below the
smallest normal number it is the smallest subnormal. A correctly rounded result is within 0.5. No ULP without a domain.
"""

import argparse
import json
import math
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import mpmath
import numpy as np
from numpy.typing import NDArray

from service.activations.activation import Activation
from service.activations.catalogue import ACTIVATIONS
from service.activations.graphs import DTYPES, KERNELS, Kernel, build
from service.engine.runtime.device import Device
from service.engine.runtime.session import Session
from service.engine.runtime.words import runtime_version
from service.errors import ServiceError

TABLE = Path("service/activations/accuracy.json")
PAGE = Path("docs/accuracy.md")

PRECISION_BITS = 160

Real: TypeAlias = Any  # mpmath ships no types; its numbers behave like floats of any precision
Elementwise: TypeAlias = Callable[[Real], Real]

mp = mpmath.mp


def _sigmoid(x: Real) -> Real:
    return 1 / (1 + mp.exp(-x))


def _swish_slope(x: Real) -> Real:
    return _sigmoid(x) + x * _sigmoid(x) * _sigmoid(-x)


def _normal(x: Real) -> Real:
    """Φ(x); beyond ±50 it is 0 or 1 to 500 digits, and mpmath would take seconds to say so."""
    return mp.ncdf(x) if abs(x) < 50 else mp.mpf(x > 0)


def _mish_slope(x: Real) -> Real:
    softplus = mp.log1p(mp.exp(x))
    return mp.tanh(softplus) + x * _sigmoid(x) * mp.sech(softplus) ** 2


def _number(name: str, parameter: str) -> Real:
    return mp.mpf(ACTIVATIONS[name].bind({}).number(parameter))


def truths(name: str) -> tuple[Elementwise, Elementwise]:
    """The function and its derivative in mpmath, default parameters; written anew, not from the kernels' formulas."""
    one, zero = mp.mpf(1), mp.mpf(0)
    step: Elementwise = lambda x: one if x > 0 else zero  # noqa: E731  # used in half the rows below
    if name in ("selu", "leaky_relu", "elu", "celu", "hard_sigmoid"):
        alpha = _number(name, "alpha")
    if name == "selu":
        gamma = _number(name, "gamma")
    table: dict[str, Callable[[], tuple[Elementwise, Elementwise]]] = {
        "sigmoid": lambda: (_sigmoid, lambda x: _sigmoid(x) * _sigmoid(-x)),
        "tanh": lambda: (mp.tanh, lambda x: mp.sech(x) ** 2),
        "relu": lambda: (lambda x: max(x, zero), step),
        "leaky_relu": lambda: (lambda x: x if x > 0 else alpha * x, lambda x: one if x > 0 else alpha),
        "elu": lambda: (lambda x: x if x > 0 else alpha * mp.expm1(x), lambda x: one if x > 0 else alpha * mp.exp(x)),
        "swish": lambda: (lambda x: x * _sigmoid(x), _swish_slope),
        "identity": lambda: (lambda x: x, lambda x: one),
        "gelu": lambda: (lambda x: x * _normal(x), lambda x: _normal(x) + x * mp.npdf(x)),
        "mish": lambda: (lambda x: x * mp.tanh(mp.log1p(mp.exp(x))), _mish_slope),
        "selu": lambda: (
            lambda x: gamma * (x if x > 0 else alpha * mp.expm1(x)),
            lambda x: gamma * (one if x > 0 else alpha * mp.exp(x)),
        ),
        "celu": lambda: (lambda x: x if x > 0 else mp.expm1(x), lambda x: one if x > 0 else mp.exp(x)),
        "softplus": lambda: (lambda x: mp.log1p(mp.exp(x)), _sigmoid),
        "softsign": lambda: (lambda x: x / (1 + abs(x)), lambda x: (1 + abs(x)) ** -2),
        "hard_sigmoid": lambda: (
            lambda x: min(max(alpha * x + mp.mpf("0.5"), zero), one),
            lambda x: alpha if 0 < alpha * x + mp.mpf("0.5") < 1 else zero,
        ),
        "hard_swish": lambda: (
            lambda x: x * min(max(x + 3, zero), 6 * one) / 6,
            lambda x: zero if x <= -3 else one if x >= 3 else (2 * x + 3) / 6,
        ),
        "relu6": lambda: (lambda x: min(max(x, zero), 6 * one), lambda x: one if 0 < x < 6 else zero),
        "prelu": lambda: (lambda x: x if x > 0 else x / 4, lambda x: one if x > 0 else one / 4),
        "thresholded_relu": lambda: (lambda x: x if x > 1 else zero, lambda x: one if x > 1 else zero),
    }
    return table[name]()


def true_softmax(row: list[Real]) -> list[Real]:
    powers = [mp.exp(x - max(row)) for x in row]
    return [power / mp.fsum(powers) for power in powers]


def true_along_axis(name: str, row: list[Real]) -> tuple[list[Real], list[Real]]:
    """Softmax or log_softmax of one row, and the Jacobian's diagonal."""
    shares = true_softmax(row)
    others = [mp.fsum(shares[:i] + shares[i + 1 :]) for i in range(len(row))]
    if name == "softmax":
        return shares, [p * q for p, q in zip(shares, others, strict=True)]
    maximum = max(row)
    total = mp.fsum(mp.exp(x - maximum) for x in row)
    return [x - maximum - mp.log(total) for x in row], others


# --- distances ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Truth:
    """True values, each as (high + low)·2^exponent with 1/2 ≤ |high| < 1, so that subnormals keep their digits."""

    high: NDArray[np.float64]
    low: NDArray[np.float64]
    exponent: NDArray[np.int64]

    @classmethod
    def of(cls, values: list[Real]) -> "Truth":
        parts = [mp.frexp(value) for value in values]
        high = [float(fraction) for fraction, _ in parts]
        low = [float(fraction - head) for (fraction, _), head in zip(parts, high, strict=True)]
        exponents = [max(-(10**6), min(10**6, int(exponent))) for _, exponent in parts]
        return cls(np.array(high), np.array(low), np.array(exponents, dtype=np.int64))

    def rounded(self) -> NDArray[np.float64]:
        with np.errstate(over="ignore", under="ignore"):
            return np.ldexp(self.high, np.clip(self.exponent, -5000, 5000).astype(np.int32))


def distances(computed: NDArray[Any], truth: Truth) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance of each computed value from the true one, in ULP of its dtype and absolutely; a wrong NaN is inf."""
    info = np.finfo(computed.dtype)
    y = computed.astype(np.float64)
    exponent = np.clip(truth.exponent, -2000, 2000).astype(np.int32)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        half = -(exponent // 2)  # in two steps: 2^1074 is no float64
        scaled = np.ldexp(np.ldexp(y, half), -exponent - half)
        gap = np.abs((scaled - truth.high) - truth.low)
        ulp = np.ldexp(1.0, np.maximum(exponent - 1, info.minexp) - info.nmant - exponent)
        ulps = np.where(gap == 0.0, 0.0, gap / ulp)
        true = truth.rounded()
        absolute = np.abs(y - true)
        overflow = np.isinf(y) & (np.abs(true) > float(info.max)) & (np.sign(y) == np.sign(true))
    ulps = np.where(overflow, 0.0, np.where(np.isfinite(ulps), ulps, np.inf))
    return ulps, np.where(overflow, 0.0, np.where(np.isnan(absolute), np.inf, absolute))


# --- inputs ------------------------------------------------------------------------------------------------------

DOMAINS: dict[str, tuple[float, float]] = {
    "all finite": (-math.inf, math.inf),
    "x < -8": (-math.inf, math.nextafter(-8.0, -9.0)),
    "-8 <= x <= 8": (-8.0, 8.0),
    "x > 8": (math.nextafter(8.0, 9.0), math.inf),
}

SPREADS = (1.0, 5.0, 20.0)
"""Standard deviations of the rows given to functions along an axis: they stand in for the domains."""


def grid(dtype: np.dtype, per_binade: int, linear: int, seed: int = 0) -> NDArray[Any]:
    """Finite inputs in ascending order.

    Of float16 all 63,488; else random mantissas in every binade of both signs, subnormals included, the binades' ends,
    and `linear` equal steps over −20…20.
    """
    if dtype == np.float16:
        every = np.arange(2**16, dtype=np.uint16).view(np.float16)
        return np.sort(every[np.isfinite(every)])
    info = np.finfo(dtype)
    bits = np.dtype(f"u{dtype.itemsize}")
    generator = np.random.default_rng(seed)
    exponents = np.arange(0, 2 ** (8 * dtype.itemsize - 1 - info.nmant) - 1, dtype=np.uint64)
    mantissas = generator.integers(0, 2**info.nmant, (len(exponents), per_binade), dtype=np.uint64)
    mantissas = np.concatenate(
        [mantissas, np.zeros_like(mantissas[:, :1]), np.full_like(mantissas[:, :1], 2**info.nmant - 1)], axis=1
    )
    magnitudes = ((exponents[:, None] << np.uint64(info.nmant)) | mantissas).astype(bits).ravel().view(dtype)
    return np.unique(np.concatenate([magnitudes, -magnitudes, np.linspace(-20, 20, linear).astype(dtype)]))


def rows(dtype: np.dtype, spread: float, count: int, length: int = 10) -> NDArray[Any]:
    """Normal rows [count, length] for functions along an axis."""
    return np.random.default_rng(0).normal(0.0, spread, (count, length)).astype(dtype)


# --- the table ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Effort:
    """How many points are tried; the tests take fewer than the table."""

    per_binade: int
    linear: int
    rows: int


FULL = Effort(per_binade=24, linear=8001, rows=400)


def run(row: Activation, x: NDArray[Any], kernel: Kernel, *, derivative: bool) -> NDArray[Any] | None:
    """The kernel's answer on the CPU, or None where ONNX Runtime has no such operator for the dtype."""
    try:
        model = build(row, row.bind({}), x.dtype, kernel, derivative=derivative)
        session = Session.load(model, Device.cpu())
    except ServiceError:
        return None
    return session.run({"x": x})["y"]


def measure(row: Activation, dtype: np.dtype, effort: Effort) -> Iterator[dict[str, object]]:
    """Yield one record for each of (function or derivative) × kernel × domain."""
    with mp.workprec(PRECISION_BITS):
        cases = list(_elementwise_cases(row, dtype, effort) if row.elementwise else _axis_cases(row, dtype, effort))
    for domain, x, truth_pair in cases:
        for derivative, truth in zip((False, True), truth_pair, strict=True):
            for kernel in KERNELS:
                computed = run(row, x, kernel, derivative=derivative)
                if computed is not None:
                    yield from _records(computed, x, truth, domain, derivative, kernel, dtype)


def _elementwise_cases(
    row: Activation, dtype: np.dtype, effort: Effort
) -> Iterator[tuple[str, NDArray[Any], tuple[Truth, Truth]]]:
    x = grid(dtype, effort.per_binade, effort.linear)
    function, slope = truths(row.name)
    exactly = [mp.mpf(float(value)) for value in x]
    yield "", x, (Truth.of([function(v) for v in exactly]), Truth.of([slope(v) for v in exactly]))


def _axis_cases(
    row: Activation, dtype: np.dtype, effort: Effort
) -> Iterator[tuple[str, NDArray[Any], tuple[Truth, Truth]]]:
    for spread in SPREADS:
        x = rows(dtype, spread, effort.rows)
        pairs = [true_along_axis(row.name, [mp.mpf(float(v)) for v in line]) for line in x]
        values, slopes = ([v for pair in pairs for v in pair[i]] for i in (0, 1))
        yield f"rows of 10, standard deviation {spread:g}", x, (Truth.of(values), Truth.of(slopes))


def _records(
    computed: NDArray[Any], x: NDArray[Any], truth: Truth, domain: str, derivative: bool, kernel: str, dtype: np.dtype
) -> Iterator[dict[str, object]]:
    ulps, absolute = (part.ravel() for part in distances(computed.ravel(), truth))
    flat = x.ravel()
    for name, (low, high) in {domain: (-math.inf, math.inf)}.items() if domain else DOMAINS.items():
        inside = (flat >= low) & (flat <= high)
        worst = int(np.argmax(np.where(inside, ulps, -1.0)))
        yield {
            "of": "derivative" if derivative else "function",
            "kernel": kernel,
            "dtype": dtype.name,
            "domain": name,
            "points": int(inside.sum()),
            "max_ulp": _short(ulps[worst]),
            "at": float(flat[worst]),
            "max_absolute_error": _short(float(np.max(absolute[inside]))),
        }


def _short(value: float) -> float | str:
    return "Infinity" if math.isinf(value) else float(f"{value:.4g}")


def normal_tail(degree: int = 24, nodes: int = 160, pivot: int = 4) -> list[float]:
    """Compute `expressions.NORMAL_TAIL`: Chebyshev interpolation, turned into powers of t in 200-bit arithmetic."""
    with mp.workprec(200):
        angles = [mp.pi * (j + mp.mpf(1) / 2) / nodes for j in range(nodes)]
        samples = [_scaled_tail(pivot * (1 + mp.cos(a)) / (1 - mp.cos(a))) for a in angles]
        chebyshev = [
            2 / mp.mpf(nodes) * mp.fsum(s * mp.cos(n * a) for s, a in zip(samples, angles, strict=True))
            for n in range(degree + 1)
        ]
        chebyshev[0] /= 2
        before, current = [mp.mpf(1)], [mp.mpf(0), mp.mpf(1)]
        powers = [chebyshev[0], chebyshev[1]] + [mp.mpf(0)] * (degree - 1)
        for coefficient in chebyshev[2:]:
            following = [mp.mpf(0)] + [2 * c for c in current]
            for i, c in enumerate(before):
                following[i] -= c
            for i, c in enumerate(following):
                powers[i] += coefficient * c
            before, current = current, following
        return [float(c) for c in powers]


def _scaled_tail(a: Real) -> Real:
    return (1 + a) * mp.exp(a * a / 2) * mp.erfc(a / mp.sqrt(2)) / 2


# --- output ------------------------------------------------------------------------------------------------------


def write_table(effort: Effort) -> dict[str, Any]:
    """Measure everything; returns what `accuracy.json` holds."""
    functions: dict[str, list[dict[str, object]]] = {}
    for name, row in ACTIVATIONS.items():
        functions[name] = [record for dtype in DTYPES.values() for record in measure(row, dtype, effort)]
        worst = [r for r in functions[name] if r["kernel"] == "exact" and r["of"] == "function"]
        print(
            name,
            *(f"{r['dtype']} {r['domain']}: {r['max_ulp']}" for r in worst if r["domain"] not in list(DOMAINS)[1:]),
            flush=True,
        )
    return {
        "command": "make accuracy",
        "machine": f"{platform.machine()}, {_processor()}, one thread",
        "onnxruntime": runtime_version(),
        "provider": "CPUExecutionProvider",
        "functions": functions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def page(table: dict[str, Any]) -> str:
    """The table as Markdown, one line a function and dtype."""
    head = [
        "# Accuracy of the kernels",
        "",
        f"Measured by `{table['command']}` against mpmath at {PRECISION_BITS} bits on {table['machine']}, "
        f"ONNX Runtime {table['onnxruntime']}, {table['provider']}, default parameters.",
        "Every number is the largest error in units in the last place (ULP) over the domain; in brackets, absolutely.",
        "0.5 is the best that any implementation can do; — means that ONNX Runtime has no such operator on the CPU.",
        "float16: all 63,488 finite values; float32 and float64: random mantissas in every binade of both signs, "
        "subnormals included.",
        "",
    ]
    return "\n".join(head + [line for of in ("function", "derivative") for line in _section(table, of)])


def summary(table: dict[str, Any], names: Iterable[str]) -> list[str]:
    """The README's lines: the largest error of each function over its whole domain, in ULP."""
    lines = []
    for name in names:
        cells = [
            _figure(max((float(r["max_ulp"]) for r in _of(table, name, dtype, kernel)), default=math.nan))
            for dtype, kernel in (
                ("float16", "exact"),
                ("float32", "exact"),
                ("float64", "exact"),
                ("float32", "native"),
            )
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _of(table: dict[str, Any], name: str, dtype: str, kernel: str) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = table["functions"][name]
    return [r for r in records if (r["of"], r["dtype"], r["kernel"]) == ("function", dtype, kernel)]


def _section(table: dict[str, Any], of: str) -> Iterator[str]:
    title = "Functions" if of == "function" else "Derivatives"
    yield from (f"## {title}", "", "| function | dtype | domain | exact | native |", "|---|---|---|---|---|")
    for name, records in table["functions"].items():
        found = {(r["dtype"], r["domain"], r["kernel"]): r for r in records if r["of"] == of}
        for dtype, domain in dict.fromkeys((d, m) for d, m, _ in found):
            cells = " | ".join(_cell(found.get((dtype, domain, kernel))) for kernel in KERNELS)
            yield f"| {name} | {dtype} | {domain} | {cells} |"
    yield ""


def _cell(record: dict[str, Any] | None) -> str:
    return f"{_figure(record['max_ulp'])} ({_figure(record['max_absolute_error'])})" if record else "—"


def _figure(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--per-binade", type=int, default=FULL.per_binade, help="random points in each binade of each sign"
    )
    options = parser.parse_args(arguments)
    table = write_table(Effort(options.per_binade, FULL.linear, FULL.rows))
    TABLE.write_text(json.dumps(table, indent=1) + "\n")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(table))


if __name__ == "__main__":
    main(sys.argv[1:])
