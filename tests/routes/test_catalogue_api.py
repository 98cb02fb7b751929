"""GET /v1/activations, one of them, its curve, and /v1/guide: facts about the functions."""

from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from service.activations.catalogue import ACTIVATIONS
from tests.routes.sending import answered, numbers, refused

ARTICLE = ["sigmoid", "tanh", "relu", "leaky_relu", "elu", "swish", "softmax"]
TASKS = ["binary_classification", "multiclass_classification", "cnn", "deep_network", "sequence"]


def test_the_catalogue_begins_with_the_articles_seven(client: TestClient) -> None:
    shown = answered(client.get("/v1/activations"))["activations"]
    assert [row["name"] for row in shown if row["in_article"]] == [row["name"] for row in shown][:7] == ARTICLE
    assert len(shown) == 20


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_function_is_described(client: TestClient, name: str) -> None:
    """By the same members as in the list, and by what was measured, if it was."""
    one = answered(client.get(f"/v1/activations/{name}"))
    accuracy, _ = one.pop("accuracy"), one.pop("claims")
    assert one == next(r for r in answered(client.get("/v1/activations"))["activations"] if r["name"] == name)
    for member in ("title", "formula", "derivative_formula", "range", "onnx_op", "description", "sources"):
        assert one[member], member
    assert accuracy is None or {record["kernel"] for record in accuracy["records"]} == {"exact", "native"}


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("leaky_relu", {"name": "alpha", "kind": "number", "default": 0.01, "minimum": 0.0, "maximum": 10.0}),
        ("softmax", {"name": "axis", "kind": "integer", "default": -1, "minimum": -32, "maximum": 31}),
        ("gelu", {"name": "approximate", "kind": "choice", "default": "none", "choices": ["none", "tanh"]}),
        ("prelu", {"name": "slope", "kind": "tensor", "default": 0.25, "choices": None}),
    ],
)
def test_parameters_are_shown_with_their_limits(client: TestClient, name: str, parameter: dict[str, Any]) -> None:
    shown = answered(client.get(f"/v1/activations/{name}"))["parameters"]
    assert parameter.items() <= shown[0].items()


def test_an_alias_is_shown_as_the_function(client: TestClient) -> None:
    assert client.get("/v1/activations/silu").content == client.get("/v1/activations/swish").content
    assert answered(client.get("/v1/activations/silu"))["aliases"] == ["silu"]


@pytest.mark.parametrize("path", ["/v1/activations/swisch", "/v1/activations/swisch/curve"])
def test_an_unknown_function_is_404_with_the_nearest(client: TestClient, path: str) -> None:
    assert refused(client.get(path), 404).startswith("no activation 'swisch'. Did you mean 'swish'? There are: ")


# --- curve ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, row in ACTIVATIONS.items() if row.elementwise])
def test_a_curve_has_the_function_and_its_derivative(client: TestClient, name: str) -> None:
    """Against the catalogue's reference; its route rounds differently by some ULP, most in GELU's tail."""
    row, curve = ACTIVATIONS[name], answered(client.get(f"/v1/activations/{name}/curve"))
    x = numbers(curve["x"])
    np.testing.assert_array_equal(x, np.linspace(-6, 6, 241))
    np.testing.assert_allclose(numbers(curve["y"]), row.reference(x, row.bind({})), rtol=1e-13, atol=1e-16)
    slope = row.reference_derivative(x, row.bind({}))
    np.testing.assert_allclose(numbers(curve["derivative"]), slope, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize(("name", "of"), [("softmax", lambda y: y), ("log_softmax", np.log)])
@pytest.mark.parametrize("axis", ["", "?axis=1", "?axis=-1"])
def test_along_an_axis_the_curve_stands_beside_a_zero(client: TestClient, name: str, of: Any, axis: str) -> None:
    """Softmax of x and 0 is the sigmoid of x."""
    curve = answered(client.get(f"/v1/activations/{name}/curve{axis}"))
    np.testing.assert_allclose(numbers(curve["y"]), of(1 / (1 + np.exp(-numbers(curve["x"])))), rtol=1e-12)


def test_a_curve_takes_parameters_and_an_interval(client: TestClient) -> None:
    curve = answered(client.get("/v1/activations/leaky_relu/curve?min=-2&max=2&points=3&alpha=0.5"))
    assert curve == {
        "activation": "leaky_relu",
        "parameters": {"alpha": 0.5},
        "x": [-2.0, 0.0, 2.0],
        "y": [-1.0, 0.0, 2.0],
        "derivative": [0.5, 0.5, 1.0],
    }


@pytest.mark.parametrize(
    ("name", "query", "text"),
    [
        ("relu", "points=1", "'query.points': input should be greater than or equal to 2"),
        ("relu", "points=10002", "less than or equal to 10001"),
        ("relu", "points=2.5", "valid integer"),
        ("relu", "min=nan", "'query.min'"),
        ("relu", "max=inf", "'query.max'"),
        ("relu", "min=1e7", "less than or equal to 1000000"),
        ("relu", "min=2&max=2", "min must be less than max, got 2 and 2"),
        ("relu", "min=1&min=2", "query parameter 'min' is given twice"),
        ("relu", "alpha=1", "relu has no parameter 'alpha'; it takes none"),
        ("elu", "alpha=-1", "parameter 'alpha': got -1, expected a number from 0 to 100"),
        ("softmax", "axis=0", "parameter 'axis': got 0, but a curve runs across axis -1"),
        ("prelu", "slope=[1,2]", "does not broadcast"),
    ],
)
def test_a_curve_that_cannot_be_drawn_is_refused(client: TestClient, name: str, query: str, text: str) -> None:
    assert text in refused(client.get(f"/v1/activations/{name}/curve?{query}"), 400)


# --- guide ------------------------------------------------------------------------------------------------------------


def test_the_guide_advises_on_each_task(client: TestClient) -> None:
    guide = answered(client.get("/v1/guide"))
    assert [advice["task"] for advice in guide["guide"]] == TASKS
    assert guide["summary"]
    for advice in guide["guide"]:
        assert advice["caveats"]
        assert set(advice["activations"]) <= set(ACTIVATIONS)
        if advice["layer"] == "hidden":
            assert {one["activation"] for one in advice["measured"]} <= set(advice["activations"])
        assert all(0.1 < one["validation_accuracy"] <= 1 for one in advice["measured"])  # ten classes: 0.1 is chance


def test_the_guide_shows_what_the_served_networks_were_measured_to_do(client: TestClient) -> None:
    advice = answered(client.get("/v1/guide?task=cnn"))["guide"][0]
    assert {one["model"] for one in advice["measured"]} == {"cnn-relu", "cnn-leaky_relu"}


@pytest.mark.parametrize("task", TASKS)
def test_the_guide_shows_one_task_when_asked(client: TestClient, task: str) -> None:
    guide = answered(client.get(f"/v1/guide?task={task}"))["guide"]
    assert [advice["task"] for advice in guide] == [task]


@pytest.mark.parametrize(("task", "nearest"), [("cnns", "cnn"), ("sequences", "sequence")])
def test_an_unknown_task_is_404_with_the_nearest(client: TestClient, task: str, nearest: str) -> None:
    text = refused(client.get(f"/v1/guide?task={task}"), 404)
    assert text == f"no task {task!r}. Did you mean {nearest!r}? There are: {', '.join(TASKS)}"


@pytest.mark.parametrize("path", ["/v1/activations", "/v1/activations/relu", "/v1/guide", "/v1/device"])
def test_a_query_parameter_that_does_not_exist_is_refused(client: TestClient, path: str) -> None:
    assert "unknown query parameter 'verbose'; this route has " in refused(client.get(f"{path}?verbose=1"), 400)
