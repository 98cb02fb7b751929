"""A classifier's outputs are read as predictions; one probability for two classes is both of them, and adds up to 1."""

import json
import math
from typing import Any

import numpy as np
import pytest

from service.engine.model import BINARY, Description
from service.routes.predictions import of_both, predictions
from service.wire import arrays
from tests.routes.sending import Array

TWO = Description(kind=BINARY, labels=("vehicle", "animal"))
THREE = Description(kind="classifier", labels=("a", "b", "c"))


def shown(outputs: dict[str, Array], about: Description, top_k: int) -> Any:
    """As a client reads them."""
    return json.loads(arrays.dumps(predictions(outputs, about, top_k)))


def column(*values: float, dtype: str = "float32") -> Array:
    return np.array(values, dtype).reshape(-1, 1)


def binary(p: float) -> dict[str, Array]:
    return {"probabilities": column(p), "logits": column(2.5)}


BELOW_ONE = float(np.nextafter(np.float32(1), np.float32(0)))


@pytest.mark.parametrize(
    ("p", "both"),
    [
        (0.0, [1.0, 0.0]),
        (0.5, [0.5, 0.5]),
        (0.75, [0.25, 0.75]),
        (BELOW_ONE, [2.0**-24, 1 - 2.0**-24]),
        (1.0, [0.0, 1.0]),
        (2.0**-30, [1 - 2.0**-30, 2.0**-30]),
        (2.0**-149, [1.0, 2.0**-149]),
        (float(np.float32(0.1)), [1 - float(np.float32(0.1)), float(np.float32(0.1))]),
    ],
)
def test_both_probabilities_are_exact_in_float64(p: float, both: list[float]) -> None:
    assert of_both(column(p)).tolist() == [both]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_both_probabilities_add_up_to_exactly_1(dtype: str) -> None:
    """Over every binade, as a reader of the JSON adds them."""
    random = np.random.default_rng(0)
    p = np.concatenate([random.random(20_000), 2.0 ** random.uniform(-149, 0, 20_000)]).astype(dtype)
    both = of_both(p[:, np.newaxis])

    assert set(both.sum(axis=1).tolist()) == {1.0}
    np.testing.assert_array_equal(both[:, 1], p.astype(np.float64))


@pytest.mark.parametrize(
    ("p", "label", "index"), [(0.75, "animal", 1), (0.25, "vehicle", 0), (0.5, "vehicle", 0), (1.0, "animal", 1)]
)
def test_the_likelier_of_two_classes_is_chosen(p: float, label: str, index: int) -> None:
    """Of equal ones the first; the probability is the chosen one's."""
    names, both, chosen = ("vehicle", "animal"), [1 - p, p], max(p, 1 - p)
    top = [{"label": names[i], "index": i, "probability": both[i]} for i in (index, 1 - index)]
    expected = {"label": label, "index": index, "probability": chosen, "top": top, "probabilities": both}
    assert shown(binary(p), TWO, 2) == [expected | {"logits": [2.5]}]


def test_no_number_is_no_probability_of_either() -> None:
    assert shown(binary(math.nan), TWO, 1) == [
        {
            "label": "vehicle",
            "index": 0,
            "probability": "NaN",
            "top": [{"label": "vehicle", "index": 0, "probability": "NaN"}],
            "probabilities": ["NaN", "NaN"],
            "logits": [2.5],
        }
    ]


WIDE = np.full((2, 3), 1 / 3, np.float32)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_float_can_be_a_probability(dtype: type) -> None:
    found = shown({"probabilities": WIDE.astype(dtype), "logits": WIDE}, THREE, 1)
    assert [each["label"] for each in found] == ["a", "a"]


@pytest.mark.parametrize(
    ("outputs", "about"),
    [
        ({"probabilities": WIDE, "logits": WIDE}, Description()),
        ({"probabilities": WIDE}, THREE),
        ({"logits": WIDE}, THREE),
        ({"probabilities": WIDE[:, :2], "logits": WIDE}, THREE),
        ({"probabilities": WIDE[0], "logits": WIDE}, THREE),
        ({"probabilities": WIDE[..., np.newaxis], "logits": WIDE}, THREE),
        ({"probabilities": WIDE, "logits": WIDE[:1]}, THREE),
        ({"probabilities": WIDE > 0, "logits": WIDE}, THREE),
        ({"probabilities": WIDE[:, :2], "logits": WIDE}, TWO),
        ({"probabilities": WIDE[:, 0], "logits": WIDE}, TWO),
        ({"probabilities": np.array(0.5), "logits": np.array(0.0)}, TWO),
    ],
)
def test_outputs_that_are_not_what_the_labels_are_for_are_no_predictions(
    outputs: dict[str, Array], about: Description
) -> None:
    """A file may leave the number of classes open, so that it is known only of the answer."""
    assert predictions(outputs, about, 3) is None
