"""What one row of the catalogue holds: an activation function, its parameters, its formulas and its story."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.activations.expressions import Term
from service.errors import BadRequest, quoted

Array: TypeAlias = NDArray[np.float64]
Value: TypeAlias = "float | int | str | Array"

MAX_DEPTH = 33
"""Nesting of a tensor parameter: 32 dimensions, as data may have, and the numbers."""


class Values(dict[str, Value]):
    """A request's parameters, checked and completed with defaults; read by kind, so that formulas stay typed."""

    def number(self, name: str) -> float:
        value = self[name]
        assert isinstance(value, int | float)
        return float(value)

    def integer(self, name: str) -> int:
        return int(self.number(name))

    def choice(self, name: str) -> str:
        value = self[name]
        assert isinstance(value, str)
        return value

    def tensor(self, name: str) -> Array:
        value = self[name]
        assert not isinstance(value, str)
        return np.asarray(value, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a function.

    Attributes:
        kind: `number`, `integer`, `choice` (one of `choices`), or `tensor` (a number or nested lists of numbers).
        minimum, maximum: inclusive bounds of numbers and integers, and of a tensor's elements.
    """

    name: str
    kind: Literal["number", "integer", "choice", "tensor"]
    default: float | int | str
    description: str
    minimum: float = -math.inf
    maximum: float = math.inf
    choices: tuple[str, ...] = ()

    def check(self, value: object) -> Value:
        """Return the value if it is of this kind and in range.

        Raises:
            BadRequest: naming the parameter, what was sent and what is accepted.
        """
        if self.kind == "choice":
            if value in self.choices and isinstance(value, str):
                return value
            raise self._refusal(value)
        if self.kind == "tensor":
            return self._tensor(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._refusal(value)
        if self.kind == "integer" and not float(value).is_integer():
            raise self._refusal(value)
        if not self.minimum <= value <= self.maximum:  # also refuses NaN
            raise self._refusal(value)
        return int(value) if self.kind == "integer" else float(value)

    def _tensor(self, value: object) -> Array:
        for number in self._leaves(value):
            if (
                isinstance(number, bool)
                or not isinstance(number, int | float)
                or not self.minimum <= number <= self.maximum
            ):
                raise self._refusal(number)
        try:
            return np.array(value, dtype=np.float64)
        except ValueError as error:
            raise self._ragged() from error

    def _leaves(self, value: object) -> list[object]:
        """Flatten nested lists level by level; no number is carried along beside lists that go deeper."""
        level = [value]
        for _ in range(MAX_DEPTH):
            lists = [item for item in level if isinstance(item, list)]
            if not lists:
                return level
            if len(lists) < len(level):
                raise self._ragged()
            level = list(chain.from_iterable(lists))
        raise BadRequest(f"parameter {self.name!r}: the lists are nested more than {MAX_DEPTH - 1} deep")

    def _ragged(self) -> BadRequest:
        return BadRequest(f"parameter {self.name!r}: the nested lists are ragged")

    def _refusal(self, value: object) -> BadRequest:
        return BadRequest(f"parameter {self.name!r}: got {quoted(value)}, expected {self.accepts()}")

    def accepts(self) -> str:
        """Say in words which values are accepted."""
        if self.kind == "choice":
            return "one of " + ", ".join(repr(choice) for choice in self.choices)
        noun = {"number": "a number", "integer": "an integer", "tensor": "a number or nested lists of numbers"}[
            self.kind
        ]
        return f"{noun} from {self.minimum:g} to {self.maximum:g}"


Formula: TypeAlias = Callable[[Term, Values], Term]
Reference: TypeAlias = Callable[[Array, Values], Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What is said about a function; for the seven of the article, what the article says.

    Attributes:
        description: what it does.
        notes: what the article gets wrong or leaves out, and the conventions taken here.
        defaults: parameter defaults by framework, where they exist.
    """

    description: str
    advantages: tuple[str, ...]
    drawbacks: tuple[str, ...]
    uses: tuple[str, ...]
    defaults: Mapping[str, str]
    sources: tuple[str, ...]
    notes: tuple[str, ...] = ()


CHANNELS = 1
"""The axis that a function along an axis takes in a network: N×C×H×W, and N×C."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """One activation function.

    Attributes:
        formula, derivative_formula: LaTeX.
        range: the values it takes, in interval notation.
        zero_centered: its output has mean 0 for standard-normal input.
        monotonic: it never decreases.
        elementwise: each output depends on one input; if not, along `axis`.
        in_article: one of the article's seven.
        onnx_op: the operators of the native kernel; since_opset: first ONNX operator set that has all of them.
        composed: the same as native by older operators, those of set 13, where `onnx_op` is younger.
        exact: stable formula for float64 arithmetic; native: the bare operators; derivative: of the function, for
            functions along an axis the diagonal of the Jacobian. At a kink the derivative is PyTorch's choice.
        reference, reference_derivative: the same in NumPy float64, by another route where there is one.
    """

    name: str
    title: str
    formula: str
    derivative_formula: str
    range: str
    zero_centered: bool
    monotonic: bool
    onnx_op: str
    since_opset: int
    exact: Formula
    native: Formula
    derivative: Formula
    reference: Reference
    reference_derivative: Reference
    story: Story
    parameters: tuple[Parameter, ...] = ()
    composed: Formula | None = None
    aliases: tuple[str, ...] = ()
    elementwise: bool = True
    in_article: bool = False

    def bind(self, given: Mapping[str, object]) -> Values:
        """Check the given parameters and fill in the defaults.

        Raises:
            BadRequest: a parameter that does not exist, or a value outside its range; lists what exists.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                raise BadRequest(f"{self.name} has no parameter {quoted(name)}; {self._parameters_in_words()}")
        return Values({name: known[name].check(given.get(name, known[name].default)) for name in known})

    def in_network(self) -> Values:
        """The parameters inside a network: the defaults, and along an axis the one across channels."""
        return self.bind({} if self.elementwise else {"axis": CHANNELS})

    def by_operators_of(self, opset: int) -> Formula | None:
        """The native formula in an ONNX operator set; None if its operator is younger and no older ones do."""
        return self.native if self.since_opset <= opset else self.composed

    def _parameters_in_words(self) -> str:
        if not self.parameters:
            return "it takes none"
        described = (f"{p.name} ({p.accepts()}, default {p.default})" for p in self.parameters)
        return "its parameters: " + "; ".join(described)
