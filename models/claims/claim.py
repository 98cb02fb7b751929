"""A claim of the article, the numbers that decide it, and the verdict."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from service.activations.evidence import Verdict

Result: TypeAlias = Mapping[str, Any]
"""An experiment's file, as models.evidence wrote it."""


@dataclass(frozen=True, slots=True)
class Number:
    """One number with its unit; 95 % confidence interval, count of independent runs and p where there are any."""

    name: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    n: int | None = None
    p: float | None = None

    @classmethod
    def of(cls, name: str, estimate: Mapping[str, Any], unit: str, scale: float = 1.0) -> "Number":
        """From an `Estimate` or a `Difference` of models.lab; `scale` 100 makes points of shares.

        Of a share the interval ends at 0 and 100 %: Student's, which knows nothing of that, does not where n is small.
        """
        low, high = (None if estimate[key] is None else estimate[key] * scale for key in ("low", "high"))
        if unit == "%":
            low, high = (None if end is None else min(max(end, 0.0), 100.0) for end in (low, high))
        return cls(name, estimate["value"] * scale, unit, low, high, estimate["n"], estimate.get("p"))


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the numbers say; `because` is one sentence with the figures."""

    verdict: Verdict
    because: str
    numbers: tuple[Number, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence of the article.

    Attributes:
        id: in kebab-case.
        about: an activation's catalogue name, `cnn`, or `choosing`.
        sentence: the article's, in English; `sentence_zh` in Chinese.
        experiment: whose numbers decide.
        method: how it was measured.
        criterion: the rule, fixed before measuring.
        judge: the rule, applied to the experiment's result.
    """

    id: str
    about: str
    sentence: str
    sentence_zh: str
    experiment: str
    method: str
    criterion: str
    judge: Callable[[Result], Judgement]


def verdict(whole: bool, part: bool) -> Verdict:
    """`whole` if everything the criterion asks for is there, `part` if something of it is."""
    if whole:
        return "holds"
    return "holds in part" if part else "does not hold here"


def points(share: float) -> str:
    """A share as percent, for a sentence."""
    return f"{100 * share:.1f} %"
