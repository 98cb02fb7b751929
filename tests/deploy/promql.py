"""What a PromQL expression asks for, held to what there is: metrics, labels, values; and which labels come out of it.

An expression that names what nobody tells is no error to Prometheus. It has no result, so a panel stays empty and an
alert never fires. Nor is one that matches two sides of different labels, or sums by a label that is not there.
"""

import re
from collections.abc import Mapping
from typing import TypeAlias

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families

Values: TypeAlias = frozenset[str] | None
"""Of a label; None: any."""
Told: TypeAlias = Mapping[str, Mapping[str, Values]]
"""The labels of each metric."""
Labels: TypeAlias = frozenset[str] | None
"""Of a result; None for a number, which has none."""

TARGET: dict[str, Values] = {"job": None, "instance": None}
"""What Prometheus adds to all that it reads."""
PROMETHEUS: dict[str, dict[str, Values]] = {
    "up": TARGET,
    "ALERTS": TARGET | dict.fromkeys(("alertname", "alertstate", "severity"), None),
}
"""What it tells itself."""

SET_OPERATORS = ("and", "or", "unless")
WITHOUT_LABELS = ("vector", "scalar")


class Misnamed(Exception):
    """The expression cannot have a result."""


def told_by(text: str) -> dict[str, dict[str, Values]]:
    """What is told by an answer of /metrics, and by Prometheus."""
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    ours = {name: {label: frozenset(values) for label, values in labels.items()} for name, labels in found.items()}
    return PROMETHEUS | {name: TARGET | labels for name, labels in ours.items()}


def labels(expression: str, told: Told) -> Labels:
    """The labels of what comes out.

    Raises:
        ValueError: it is not PromQL.
        Misnamed: it names what is not told, or cannot match.
    """
    return _labels(promql.parse(expression), told)


def _labels(node: promql.Expr, told: Told) -> Labels:
    match node:
        case promql.NumberLiteral() | promql.StringLiteral():
            return None
        case promql.VectorSelector():
            return _selected(node, told)
        case promql.MatrixSelector():
            return _selected(node.vector_selector, told)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return _labels(node.expr, told)
        case promql.AggregateExpr():
            return _aggregated(node, _labels(node.expr, told) or frozenset())
        case promql.Call():
            return _called(node, told)
        case promql.BinaryExpr():
            return _matched(node, _labels(node.lhs, told), _labels(node.rhs, told))
    raise NotImplementedError(type(node))


def _selected(node: promql.VectorSelector, told: Told) -> Labels:
    if node.name not in told:
        raise Misnamed(f"there is no metric {node.name}")
    known = told[node.name]
    for matcher in node.matchers.matchers:
        if matcher.name not in known:
            raise Misnamed(f"{node.name} has no label {matcher.name}")
        values = known[matcher.name]
        for wanted in matcher.value.split("|"):  # of what is left out too there should be some
            if values is not None and not any(re.fullmatch(wanted, value) for value in values):
                raise Misnamed(f"{matcher.name} of {node.name} is never {wanted}")
    return frozenset(known)


def _aggregated(node: promql.AggregateExpr, inner: frozenset[str]) -> Labels:
    if node.modifier is None:
        return frozenset()
    named = frozenset(node.modifier.labels)
    if not named <= inner:
        raise Misnamed(f"nothing to group by in {sorted(named - inner)}: {node.prettify()}")
    return named if node.modifier.type == promql.AggModifierType.By else inner - named


def _called(node: promql.Call, told: Told) -> Labels:
    vectors = [found for found in (_labels(argument, told) for argument in node.args) if found is not None]
    if node.func.name in WITHOUT_LABELS:
        return frozenset()
    if node.func.name == "absent":
        return frozenset(m.name for m in node.args[0].matchers.matchers if m.op == promql.MatchOp.Equal)
    if node.func.name == "histogram_quantile":
        if "le" not in vectors[0]:
            raise Misnamed(f"no buckets: {node.prettify()}")
        return vectors[0] - {"le"}
    return vectors[0]


def _matched(node: promql.BinaryExpr, left: Labels, right: Labels) -> Labels:
    if left is None or right is None:
        return left if right is None else right
    operator, on = str(node.op), node.modifier and node.modifier.matching
    if operator == "or" and not on:
        return left | right
    named = frozenset(on.labels) if on else left | right
    if not (named <= left and named <= right):
        raise Misnamed(f"the sides have not both {sorted(named)}: {node.prettify()}")
    return left if operator in SET_OPERATORS else named
