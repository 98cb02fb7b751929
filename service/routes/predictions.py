"""A classifier's outputs as predictions: the class, its probability, the ranking."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from service.engine.model import Description
from service.engine.runtime.session import Tensor
from service.wire import arrays


def predictions(outputs: Mapping[str, Tensor], about: Description, top_k: int) -> list[dict[str, object]] | None:
    """One entry for each row of `probabilities` and `logits`; of equal classes the lower index first.

    Returns:
        None if the model is no classifier, or its outputs are not what its labels are for.
    """
    labels = about.labels
    if labels is None or not {"logits", "probabilities"} <= set(outputs):
        return None
    given, logits = outputs["probabilities"], outputs["logits"]
    columns = 1 if about.is_binary else len(labels)
    if given.shape[1:] != (columns,) or given.shape[:1] != logits.shape[:1] or given.dtype.kind != "f":
        return None
    probabilities = of_both(given) if about.is_binary else given
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
    return [
        _prediction(row, each, labels, ranks.tolist())
        for row, each, ranks in zip(probabilities, logits, order, strict=True)
    ]


def of_both(second: Tensor) -> Tensor:
    """From the second class's probability p [N, 1] to that of both, 1 − p and p: float64 [N, 2].

    What is lost was lost when the model rounded p to float32: of a p that it rounded to 1, the other class has 0; next
    to that come 2⁻²⁴ and its multiples. Here p is exact. So is 1 − p, for p from 2⁻³⁰ on (all its bits are among
    float64's 53) and for 0; else it is rounded once, by at most 2⁻⁵⁴, and both still add up to exactly 1. In float32
    1 − p would be rounded for most p below 1/2, and the sum would miss 1.
    """
    p = second.astype(np.float64)
    return np.concatenate([1.0 - p, p], axis=1)


def _prediction(row: Tensor, logits: Tensor, labels: tuple[str, ...], ranks: list[int]) -> dict[str, object]:
    shown: Any = arrays.to_json(row)
    values = row if isinstance(shown, arrays.Long) else shown  # a list or an array; its elements are written alike
    top = [{"label": labels[i], "index": i, "probability": values[i]} for i in ranks]
    return top[0] | {"top": top, "probabilities": shown, "logits": arrays.to_json(logits)}
