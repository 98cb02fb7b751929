"""Formulas as ONNX nodes: write `1 / (1 + exp(-x))`, get a graph.

A `Term` is one tensor of a graph under construction; operators and the functions below add nodes to that graph.
Constants take the graph's dtype. Below the plain operators stand the few compositions that ONNX lacks and accurate
activations need: `expm1`, `log1p`, an exact product, the upper tail of the normal distribution.

The compositions are meant for float64, where ONNX Runtime's `Exp` and `Log` are within 1.3 units in the last place.
"""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Number: TypeAlias = "float | NDArray[np.float64]"

OPSET = 20
"""Operator set of every graph built here: the first with Gelu and Mish, the last before `Swish` (decision 0002)."""
IR_VERSION = 9

FINITE_MAX = float(np.finfo(np.float64).max)


class Graph:
    """Nodes and constants collected so far.

    Args:
        compute: dtype of the constants and of the arithmetic.
        result: dtype that the graph's output is rounded to; tells formulas how far the tails matter.
    """

    def __init__(self, compute: np.dtype, result: np.dtype) -> None:
        self.compute = compute
        self.result = result
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[bytes, onnx.TensorProto] = {}

    def constant(self, value: Number) -> "Term":
        """A constant in the compute dtype; a value beyond its range becomes infinite."""
        with np.errstate(over="ignore"):
            array = np.asarray(value).astype(self.compute)
        return self.initializer(array)

    def initializer(self, array: NDArray[np.generic], name: str | None = None) -> "Term":
        """A stored tensor as it is; equal ones are stored once, unless they are named."""
        if name is not None:
            self.constants[name.encode()] = numpy_helper.from_array(array, name=name)
            return Term(self, name)
        key = array.dtype.str.encode() + repr(array.shape).encode() + array.tobytes()
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, name=f"c{len(self.constants)}")
        return Term(self, self.constants[key].name)

    def add(self, op_type: str, inputs: "list[Term]", attributes: Mapping[str, object]) -> "Term":
        output = f"t{len(self.nodes)}"
        names = [term.name for term in inputs]
        node = helper.make_node(op_type, names, [output], name=f"{op_type}{len(self.nodes)}")
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)
        return Term(self, output)

    def add_output(self, term: "Term", name: str) -> None:
        """Name the term: it is an output of the graph."""
        self.nodes.append(helper.make_node("Identity", [term.name], [name], name=name))


class Term:
    """A tensor of a graph; arithmetic on it adds nodes."""

    __array_ufunc__ = None  # array * term is ours to compute: NumPy would multiply element by element

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph = graph
        self.name = name

    def __add__(self, other: "Term | Number") -> "Term":
        return op("Add", self, other)

    def __radd__(self, other: "Term | Number") -> "Term":
        return op("Add", self, other)

    def __sub__(self, other: "Term | Number") -> "Term":
        return op("Sub", self, other)

    def __rsub__(self, other: Number) -> "Term":
        return op("Sub", self.graph.constant(other), self)

    def __mul__(self, other: "Term | Number") -> "Term":
        return op("Mul", self, other)

    def __rmul__(self, other: "Term | Number") -> "Term":
        return op("Mul", self, other)

    def __truediv__(self, other: "Term | Number") -> "Term":
        return op("Div", self, other)

    def __rtruediv__(self, other: Number) -> "Term":
        return op("Div", self.graph.constant(other), self)

    def __neg__(self) -> "Term":
        return op("Neg", self)

    def __abs__(self) -> "Term":
        return op("Abs", self)

    def __lt__(self, other: "Term | Number") -> "Term":
        return op("Less", self, other)

    def __le__(self, other: "Term | Number") -> "Term":
        return op("LessOrEqual", self, other)

    def __gt__(self, other: "Term | Number") -> "Term":
        return op("Greater", self, other)

    def __ge__(self, other: "Term | Number") -> "Term":
        return op("GreaterOrEqual", self, other)

    def equals(self, other: "Term | Number") -> "Term":
        """Elementwise ==, as a bool tensor; a method, because Python's == must stay comparison of objects."""
        return op("Equal", self, other)


def op(op_type: str, first: Term, *rest: "Term | Number", **attributes: object) -> Term:
    """Add one ONNX node with the given operator type and attributes."""
    graph = first.graph
    inputs = [first] + [term if isinstance(term, Term) else graph.constant(term) for term in rest]
    return graph.add(op_type, inputs, attributes)


def where(condition: Term, then: "Term | Number", otherwise: "Term | Number") -> Term:
    return op("Where", condition, then, otherwise)


def exp(x: Term) -> Term:
    return op("Exp", x)


def log(x: Term) -> Term:
    return op("Log", x)


def cast(x: Term, dtype: np.dtype) -> Term:
    return op("Cast", x, to=helper.np_dtype_to_tensor_dtype(dtype))


def reduce_max(x: Term, axis: int) -> Term:
    return op("ReduceMax", x, x.graph.initializer(np.array([axis], dtype=np.int64)), keepdims=1)


def reduce_sum(x: Term, axis: int) -> Term:
    return op("ReduceSum", x, x.graph.initializer(np.array([axis], dtype=np.int64)), keepdims=1)


def clip(x: Term, low: float, high: float) -> Term:
    """Bound x, letting NaN through (`Clip`'s and `Min`'s NaN rules differ between providers)."""
    return where(x < low, low, where(x > high, high, x))


def finite(x: Term) -> Term:
    """Replace ±inf by the largest finite numbers, so that a factor of 0 makes 0 and not NaN."""
    return clip(x, -FINITE_MAX, FINITE_MAX)


def nan_or(x: Term, value: Term) -> Term:
    """`value`, but NaN wherever x is NaN (a step function's comparisons lose it)."""
    return where(x.equals(x), value, x)


def expm1(x: Term) -> Term:
    """e^x − 1 without cancellation near 0.

    With u = e^x rounded, (u − 1)·x/ln(u) is accurate although u is not: both factors share u's error.
    Source: W. Kahan's method, as in N. J. Higham, Accuracy and Stability of Numerical Algorithms, §1.14.1.
    """
    u = exp(x)
    near = where(u.equals(1.0), x, (u - 1.0) * x / log(u))
    return where(abs(x) < 1.0, near, u - 1.0)


def log1p(x: Term) -> Term:
    """ln(1 + x) for x ≥ 0 without cancellation near 0; same idea and source as `expm1`."""
    u = x + 1.0
    return where(u.equals(1.0), x, log(u) * (x / (u - 1.0)))


def decay(x: Term, a: Term) -> Term:
    """x·e^(−a) for a ≥ 0, accurate to the last subnormal.

    In float64 e^(−a) turns subnormal, and loses bits, while x·e^(−a) is still normal; half the exponent at a time it
    does not. A narrower result has long been rounded to 0 there, and pays nothing.
    """
    plain = x * exp(-a)
    if x.graph.result != np.float64:
        return plain
    half = exp(-0.5 * a)
    return where(a > 650.0, x * half * half, plain)


def split(x: Term) -> tuple[Term, Term]:
    """Split float64 x, |x| ≤ 1e30, into high + low exactly: 24 and 29 bits, so that products of halves are exact."""
    high = cast(cast(x, np.dtype(np.float32)), np.dtype(np.float64))
    return high, x - high


def product_error(factor: float, x: Term, product: Term) -> Term:
    """factor·x − product to within 2^-106 of the product, where `product` is factor·x rounded to float64.

    Source: T. J. Dekker, A floating-point technique for extending the available precision, Numer. Math. 18 (1971).
    """
    factor_high = float(np.float32(factor))
    factor_low = factor - factor_high
    high, low = split(x)
    return (((high * factor_high - product) + high * factor_low) + low * factor_high) + low * factor_low


NORMAL_TAIL = (
    0.47205320650984467,
    -0.09670347732652607,
    0.013999634724424333,
    0.02860036405357749,
    -0.03219783742802203,
    0.01793609747886859,
    -0.005002378592511494,
    -0.00028562308680939413,
    0.0006948971219073166,
    -9.443033944152223e-05,
    -8.785330394797745e-05,
    2.1250446856208376e-05,
    1.3627395285352675e-05,
    -3.433372216853275e-06,
    -2.6144101706596152e-06,
    4.0671730125154447e-07,
    5.548340462207789e-07,
    -1.237153366992197e-09,
    -1.1446850712758079e-07,
    -1.7932121916642413e-08,
    2.0257667136861587e-08,
    5.474708632048689e-09,
    -2.6180348731255444e-09,
    -6.763267210562454e-10,
    1.7873545221852657e-10,
)
"""Coefficients, constant first, of F(t) = (1 + a)·e^(a²/2)·Φ(−a) with t = (a − 4)/(a + 4).

A polynomial of degree 24 through 160 Chebyshev nodes, computed in 200-bit arithmetic by `models.accuracy.normal_tail`;
a test computes it again and compares. Its relative error is 2.4·2^-53 at most over 0 ≤ a ≤ 40.
"""


def normal_tail(a: Term) -> tuple[Term, Term]:
    """The normal distribution's tail for a ≥ 0 as two factors: Φ(−a) = decaying · ratio.

    Returns:
        e^(−a²/2), and Mills' ratio-like factor e^(a²/2)·Φ(−a), which falls from 1/2 like 1/a.

    a²/2 is formed exactly as a rounded square and its remainder: rounding it once would cost 700 ULP at a = 38.
    """
    a = where(a > 40.0, 40.0, a)
    if a.graph.compute == np.float64:
        high, low = split(a)
        decaying = exp(-0.5 * (high * high)) * exp(-0.5 * low * (a + high))
    else:
        decaying = exp(-0.5 * (a * a))
    t = (a - 4.0) / (a + 4.0)
    polynomial = t * NORMAL_TAIL[-1] + NORMAL_TAIL[-2]
    for coefficient in NORMAL_TAIL[-3::-1]:
        polynomial = polynomial * t + coefficient
    return decaying, polynomial / (a + 1.0)
