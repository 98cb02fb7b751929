"""The catalogue is complete, true to ONNX, and refuses what does not fit with a text that helps."""

import math

import onnx.defs
import pytest

from service.activations.activation import Activation
from service.activations.catalogue import ACTIVATIONS, ARTICLE, find
from service.errors import BadRequest, NotFound

ROWS = pytest.mark.parametrize("row", ACTIVATIONS.values(), ids=ACTIVATIONS)


def test_the_articles_seven_come_first() -> None:
    assert [row.name for row in ARTICLE] == ["sigmoid", "tanh", "relu", "leaky_relu", "elu", "swish", "softmax"]
    assert [row.name for row in ACTIVATIONS.values() if row.in_article] == [row.name for row in ARTICLE]


def test_the_others_are_all_there() -> None:
    others = "identity gelu mish selu celu softplus softsign hard_sigmoid hard_swish relu6 prelu log_softmax"
    assert set(others.split()) | {"thresholded_relu"} == set(ACTIVATIONS) - {row.name for row in ARTICLE}


@ROWS
def test_every_row_tells_its_story(row: Activation) -> None:
    story = row.story
    assert row.title
    assert row.formula
    assert row.derivative_formula
    assert story.description
    for texts in (story.advantages, story.drawbacks, story.uses, story.sources):
        assert texts
        assert all(text.strip() for text in texts)
    assert {"PyTorch", "Keras", "ONNX"} - set(story.defaults) <= {"Keras"}


@ROWS
def test_since_opset_is_when_onnx_got_the_last_of_the_operators(row: Activation) -> None:
    first = max(
        min(s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.name == name and not s.domain)
        for name in row.onnx_op.split(", ")
    )
    assert row.since_opset == first


def test_the_articles_misprint_is_named() -> None:
    """The article prints sigmoid with a 2 in the numerator; the right one is served, and says so."""
    sigmoid = find("sigmoid")
    assert "misprint" in sigmoid.story.notes[0]
    assert sigmoid.formula == r"f(x) = \frac{1}{1 + e^{-x}}"


def test_an_alias_finds_its_function() -> None:
    assert find("silu") is ACTIVATIONS["swish"]


@pytest.mark.parametrize(("name", "nearest"), [("rellu", "relu"), ("Leaky-ReLU", "leaky_relu"), ("sigmod", "sigmoid")])
def test_an_unknown_name_suggests_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(NotFound, match=f"Did you mean '{nearest}'"):
        find(name)


def deeply(value: object, depth: int) -> object:
    """The value in so many lists."""
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("name", "given", "text"),
    [
        ("relu", {"alpha": 1}, "relu has no parameter 'alpha'; it takes none"),
        ("elu", {"beta": 1}, "its parameters: alpha"),
        ("elu", {"alpha": -1}, "got -1, expected a number from 0 to 100"),
        ("elu", {"alpha": "1"}, "got '1', expected a number"),
        ("elu", {"alpha": True}, "got True, expected a number"),
        ("elu", {"alpha": None}, "got None"),
        ("elu", {"alpha": math.nan}, "got nan"),
        ("elu", {"alpha": 10**400}, "expected a number from 0 to 100"),
        ("softmax", {"axis": 0.5}, "got 0.5, expected an integer"),
        ("softmax", {"axis": 99}, "expected an integer from -32 to 31"),
        ("gelu", {"approximate": "erf"}, "expected one of 'none', 'tanh'"),
        ("gelu", {"approximate": ["tanh"]}, "expected one of"),
        ("prelu", {"slope": [[0.1], [0.2, 0.3]]}, "ragged"),
        ("prelu", {"slope": [[0.1], 0.2]}, "ragged"),
        ("prelu", {"slope": deeply(0.1, 40)}, "the lists are nested more than 32 deep"),
        ("prelu", {"slope": [0.1, "x"]}, "got 'x'"),
        ("prelu", {"slope": {}}, "nested lists of numbers"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused_with_what_would(
    name: str, given: dict[str, object], text: str
) -> None:
    with pytest.raises(BadRequest) as refusal:
        find(name).bind(given)
    assert text in refusal.value.text


def test_defaults_are_the_articles() -> None:
    assert find("leaky_relu").bind({}) == {"alpha": 0.01}
    assert find("elu").bind({}) == {"alpha": 1.0}
    assert find("swish").bind({}) == {"beta": 1.0}
