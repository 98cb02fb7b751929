"""The kernels compute what their functions say: against mpmath, against another formula, and at the edges."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models import accuracy
from service.activations.activation import Activation, Values
from service.activations.catalogue import ACTIVATIONS
from service.activations.graphs import DTYPES, KERNELS, Kernel, build
from service.engine.runtime.device import Device
from service.engine.runtime.session import Session

ROWS = pytest.mark.parametrize("row", ACTIVATIONS.values(), ids=ACTIVATIONS)
ELEMENTWISE = {name: row for name, row in ACTIVATIONS.items() if row.elementwise}

QUICK = accuracy.Effort(per_binade=2, linear=401, rows=40)
"""Every binade of both signs is there; `make accuracy` tries ten times as many points in each."""

EXACT_LIMITS_ULP = {"float32": 1.0, "float64": 4.0}

INACCURATE_FLOAT64_DERIVATIVES = {"swish", "gelu", "mish"}
"""Their derivatives pass through 0, next to which float64 has no relative accuracy left; see docs/accuracy.md."""


def run(
    row: Activation, x: NDArray[Any], kernel: Kernel = "exact", *, derivative: bool = False, **given: object
) -> NDArray[Any]:
    model = build(row, row.bind(given), x.dtype, kernel, derivative=derivative)
    return Session.load(model, Device.cpu()).run({"x": x})["y"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@ROWS
def test_exact_is_within_its_limit_of_mpmath_in_every_binade(row: Activation, dtype: str) -> None:
    """At most 1 ULP in float32 and 4 in float64, over every finite binade of both signs."""
    records = [r for r in accuracy.measure(row, DTYPES[dtype], QUICK) if r["kernel"] == "exact"]

    for record in records:
        exempt = record["of"] == "derivative" and dtype == "float64" and row.name in INACCURATE_FLOAT64_DERIVATIVES
        error = record["max_absolute_error"] if exempt else record["max_ulp"]
        assert isinstance(error, float), record
        assert error <= (1e-15 if exempt else EXACT_LIMITS_ULP[dtype]), record


@ROWS
def test_exact_is_within_one_ulp_for_every_float16(row: Activation) -> None:
    """All 63,488 finite values, against the float64 reference."""
    x = accuracy.grid(np.dtype(np.float16), 0, 0)
    if not row.elementwise:
        x = np.random.default_rng(0).permutation(x).reshape(-1, 8)
    for derivative, reference in ((False, row.reference), (True, row.reference_derivative)):
        true = reference(x.astype(np.float64), row.bind({}))
        computed = run(row, x, derivative=derivative)

        assert worst_ulp(computed, true) <= 1.0


def worst_ulp(computed: NDArray[Any], true: NDArray[np.float64]) -> float:
    """Largest distance in units in the last place of float16; a result that overflows must overflow."""
    with np.errstate(over="ignore"):
        rounded = true.astype(np.float16)
    size = np.maximum(np.abs(true), 2.0**-14)
    ulp = np.exp2(np.floor(np.log2(size)) - 10)
    assert np.array_equal(np.isinf(computed), np.isinf(rounded))
    finite = np.isfinite(rounded)
    return float(np.max(np.abs(computed.astype(np.float64) - true)[finite] / ulp[finite]))


@pytest.mark.parametrize(("name", "row"), ELEMENTWISE.items())
def test_the_reference_is_right_where_networks_live(name: str, row: Activation) -> None:
    """The NumPy reference, by another formula than the kernel's, agrees with mpmath to 1e-11."""
    x = np.linspace(-30.0, 30.0, 1201) + 1e-3
    function, slope = accuracy.truths(name)
    values = row.bind({})

    with accuracy.mp.workprec(accuracy.PRECISION_BITS):
        expected = [[float(f(accuracy.mp.mpf(v))) for v in x.tolist()] for f in (function, slope)]
    np.testing.assert_allclose(row.reference(x, values), expected[0], rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(row.reference_derivative(x, values), expected[1], rtol=1e-11, atol=1e-15)


OTHER_PARAMETERS = [
    ("leaky_relu", {"alpha": 0.3}),
    ("leaky_relu", {"alpha": 0}),
    ("elu", {"alpha": 2.5}),
    ("swish", {"beta": 0.7}),
    ("swish", {"beta": -1.3}),
    ("swish", {"beta": 0}),
    ("swish", {"beta": 1e-30}),
    ("gelu", {"approximate": "tanh"}),
    ("selu", {"alpha": 1.5, "gamma": 2.0}),
    ("celu", {"alpha": 0.3}),
    ("hard_sigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    ("thresholded_relu", {"theta": -0.5}),
    ("prelu", {"slope": 0.1}),
    ("prelu", {"slope": [0.0, 0.5, -0.25]}),
    ("softmax", {"axis": 0}),
    ("log_softmax", {"axis": 0}),
]


@pytest.mark.parametrize(("name", "given"), OTHER_PARAMETERS)
@pytest.mark.parametrize("derivative", [False, True])
def test_exact_follows_its_parameters(name: str, given: dict[str, object], derivative: bool) -> None:
    """float32 against the reference in float64: half a ULP is 6e-8 of the value."""
    row = ACTIVATIONS[name]
    x = np.linspace(-9, 9, 600, dtype=np.float32).reshape(200, 3)
    reference = row.reference_derivative if derivative else row.reference

    expected = reference(x.astype(np.float64), row.bind(given))
    np.testing.assert_allclose(run(row, x, derivative=derivative, **given), expected, rtol=6.1e-8, atol=1e-44)


def test_swish_keeps_its_tail_in_float64_for_any_beta() -> None:
    """x·e^(βx) at βx = −700, where rounding βx once would cost 350 ULP."""
    row = ACTIVATIONS["swish"]
    x = np.linspace(-1000.0, -900.0, 101)
    with accuracy.mp.workprec(accuracy.PRECISION_BITS):
        true = accuracy.Truth.of(
            [v / (1 + accuracy.mp.exp(-accuracy.mp.mpf(0.7) * v)) for v in map(accuracy.mp.mpf, x)]
        )

    ulps, _ = accuracy.distances(run(row, x, beta=0.7), true)
    assert ulps.max() <= 4.0


INF, NAN = math.inf, math.nan
LIMITS: dict[str, tuple[float, float, float, float]] = {  # f(−inf), f(inf), f′(−inf), f′(inf)
    "sigmoid": (0, 1, 0, 0),
    "tanh": (-1, 1, 0, 0),
    "relu": (0, INF, 0, 1),
    "leaky_relu": (-INF, INF, 0.01, 1),
    "elu": (-1, INF, 0, 1),
    "swish": (0, INF, 0, 1),
    "identity": (-INF, INF, 1, 1),
    "gelu": (0, INF, 0, 1),
    "mish": (0, INF, 0, 1),
    "selu": (-1.7580993408473766, INF, 0, 1.0507009873554805),
    "celu": (-1, INF, 0, 1),
    "softplus": (0, INF, 0, 1),
    "softsign": (-1, 1, 0, 0),
    "hard_sigmoid": (0, 1, 0, 0),
    "hard_swish": (0, INF, 0, 1),
    "relu6": (0, 6, 0, 0),
    "prelu": (-INF, INF, 0.25, 1),
    "thresholded_relu": (0, INF, 0, 1),
}


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize(("name", "limits"), LIMITS.items(), ids=LIMITS)
def test_exact_has_the_right_limits_and_keeps_nan(
    name: str, limits: tuple[float, float, float, float], dtype: np.dtype[Any]
) -> None:
    x = np.array([-INF, INF, NAN], dtype=dtype)
    expected = np.array([*limits[:2], NAN, *limits[2:], NAN]).astype(dtype)

    computed = np.concatenate([run(ACTIVATIONS[name], x, derivative=derivative) for derivative in (False, True)])
    np.testing.assert_array_equal(computed, expected)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("swish", {"beta": -1}, [-INF, 0]),
        ("swish", {"beta": 0}, [-INF, INF]),
        ("swish", {"beta": 1e-30}, [0, INF]),
        ("swish", {"beta": 0.3}, [0, INF]),
        ("leaky_relu", {"alpha": 0}, [0, INF]),
        ("prelu", {"slope": 0}, [0, INF]),
        ("prelu", {"slope": -1}, [INF, INF]),
        ("gelu", {"approximate": "tanh"}, [0, INF]),
        ("celu", {"alpha": 0.001}, [-0.001, INF]),
        ("elu", {"alpha": 0}, [0, INF]),
    ],
)
def test_limits_follow_the_parameters(name: str, given: dict[str, object], expected: list[float]) -> None:
    np.testing.assert_array_equal(run(ACTIVATIONS[name], np.array([-INF, INF]), **given), expected)


def test_every_elementwise_function_has_its_limits_listed_here() -> None:
    assert set(LIMITS) == set(ELEMENTWISE)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([INF, 0, 1], [1, 0, 0]),
        ([INF, INF, 1], [0.5, 0.5, 0]),
        ([-INF, 0, 0], [0, 0.5, 0.5]),
        ([-INF, -INF, -INF], [1 / 3] * 3),
        ([NAN, 0, INF], [NAN] * 3),
        ([1e38, 0, -1e38], [1, 0, 0]),
        ([7, 7, 7], [1 / 3] * 3),
    ],
)
def test_softmax_takes_limits_along_equal_inputs(row: list[float], expected: list[float]) -> None:
    x = np.array([row], dtype=np.float32)

    np.testing.assert_array_equal(run(ACTIVATIONS["softmax"], x), np.array([expected], dtype=np.float32))


def test_log_softmax_keeps_what_softmax_rounds_away() -> None:
    """ln(1/(1 + e^−50)) is −1.9e-22, and not 0."""
    computed = run(ACTIVATIONS["log_softmax"], np.array([[0.0, -50.0]]))

    np.testing.assert_allclose(computed, [[-1.9287498479639178e-22, -50.0]], rtol=4e-16)


@pytest.mark.parametrize("kernel", KERNELS)
@ROWS
def test_a_batch_equals_its_rows_bit_for_bit(row: Activation, kernel: Kernel) -> None:
    """Vectorised bodies and their remainders take the same path to within the last bits, and here exactly."""
    x = np.random.default_rng(1).normal(0, 3, (7, 13)).astype(np.float32)
    whole = run(row, x, kernel)
    singles = np.concatenate([run(row, x[i : i + 1], kernel) for i in range(7)])

    if kernel == "exact":
        np.testing.assert_array_equal(whole, singles)
    else:  # a native kernel's vector body and scalar remainder may differ in the last place
        np.testing.assert_allclose(whole, singles, rtol=3e-7, atol=1e-9)


@ROWS
def test_native_is_the_operator_that_the_row_names(row: Activation) -> None:
    """Nothing else is in the graph, but the naming of its output."""
    import onnx

    model = onnx.load_from_string(build(row, Values(row.bind({})), np.dtype(np.float32), "native"))
    operators = [node.op_type for node in model.graph.node if node.name != "y"]

    assert sorted(operators) == sorted(row.onnx_op.split(", "))


@pytest.mark.parametrize("row", [row for row in ACTIVATIONS.values() if row.composed], ids=lambda row: row.name)
def test_composed_of_older_operators_it_is_the_same(row: Activation) -> None:
    x = np.linspace(-20, 20, 801, dtype=np.float32)
    assert row.composed is not None
    older = replace(row, native=row.composed)
    choices = [p for p in row.parameters if p.kind == "choice"]
    for given in [{p.name: choice} for p in choices for choice in p.choices] or [{}]:
        np.testing.assert_allclose(run(older, x, "native", **given), run(row, x, "native", **given), atol=2e-6)
