"""A look into a CNN: what goes in and comes out of every hidden activation, as it is or with another function."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.claiming import SWAPS
from tests.engine.making import plain, put
from tests.engine.networks import network, node
from tests.routes.conftest import application
from tests.routes.sending import JPEG, answered, refused, send


def looked(client: TestClient, query: str, body: bytes, model: str = "cnn-relu") -> dict[str, Any]:
    return answered(send(client, f"/v1/models/{model}/inspect{query}", body, JPEG))


def test_every_layer_of_a_cnn_is_told(client: TestClient, horse: bytes) -> None:
    found = looked(client, "", horse)
    assert {key: found[key] for key in ("model", "version", "activation", "images")} == {
        "model": "cnn-relu",
        "version": "1",
        "activation": "relu",
        "images": 1,
    }
    assert [layer["layer"] for layer in found["layers"]] == list(range(1, 8))
    assert found["layers"][0]["shape"][1:] == [32, 32]
    for layer in found["layers"]:
        assert layer["activation"] == "relu"
        assert layer["after"]["min"] == 0 >= layer["before"]["min"]
        assert layer["after"]["max"] == layer["before"]["max"]
        assert 0 < layer["zeros"] < 1
        assert layer["zeros"] == layer["saturated"]
        assert layer["dead"]["count"] == len(layer["dead"]["channels"])
        assert layer["dead"]["share"] == layer["dead"]["count"] / layer["channels"]
        assert sum(layer["before"]["histogram"]["counts"]) == np.prod(layer["shape"])
        assert "maps" not in layer
    assert set(found["timing_ms"]) == {"decode", "inspect"}


def test_the_predictions_are_those_of_predict(client: TestClient, horse: bytes) -> None:
    for query, model in (("", "cnn-relu"), ("?activation=elu", "cnn-relu~elu")):
        found = looked(client, query, horse)
        alone = answered(send(client, f"/v1/models/{model}/predict", horse, JPEG))
        assert found["model"] == alone["model"] == model
        np.testing.assert_allclose(
            found["predictions"][0]["probabilities"], alone["predictions"][0]["probabilities"], atol=1e-5
        )


def test_another_function_is_seen_in_every_layer(client: TestClient, horse: bytes) -> None:
    found = looked(client, "?activation=sigmoid", horse)
    assert found["activation"] == "sigmoid"
    for layer in found["layers"]:
        assert layer["activation"] == "sigmoid"
        assert 0 <= layer["after"]["min"] <= layer["after"]["max"] <= 1
        assert layer["dead"]["count"] == 0
    assert looked(client, "", horse, "cnn-relu~sigmoid")["layers"] == found["layers"]


def test_dead_channels_are_those_that_no_image_wakes(client: TestClient, horse: bytes) -> None:
    noise = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(noise, "PNG")
    both = answered(
        client.post("/v1/models/cnn-relu/inspect", files=[("file", ("a", horse)), ("file", ("b", noise.getvalue()))])
    )
    one = looked(client, "", horse)
    assert both["images"] == 2
    assert len(both["predictions"]) == 2
    for together, alone in zip(both["layers"], one["layers"], strict=True):
        assert set(together["dead"]["channels"]) <= set(alone["dead"]["channels"])


def test_feature_maps_come_as_pictures(client: TestClient, horse: bytes) -> None:
    for layer in looked(client, "?maps=true", horse)["layers"]:
        prefix, _, data = layer["maps"].partition(",")
        assert prefix == "data:image/png;base64"
        picture = Image.open(io.BytesIO(base64.b64decode(data)))
        channels, height, width = layer["shape"]
        assert picture.width * picture.height >= channels * height * width


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """A network of somebody else's, and a model that is none."""
    put(
        tmp_path,
        "net",
        "1",
        network(node("Relu"), node("Clip", -1.0, 1.0), lambda x: x * x.graph.add("Sigmoid", [x], {})),
    )
    put(tmp_path, "plain", "1", plain())
    return tmp_path


def test_any_network_of_the_repository_can_be_looked_into(others: Path) -> None:
    x = np.random.default_rng(0).standard_normal((3, 4, 5, 5))
    with application(repository=others) as client:
        found = answered(client.post("/v1/models/net/inspect?maps=true", json={"data": x.tolist()}))
        assert [layer["activation"] for layer in found["layers"]] == ["relu", None, "swish"]
        assert (found["activation"], found["images"], found["predictions"]) == (None, 3, None)
        clipped = found["layers"][1]
        assert (clipped["parameters"], clipped["saturated"]) == (None, None)
        assert "no hidden activation" in refused(
            client.post("/v1/models/plain/inspect", json={"data": [[1, 2, 3]]}), 400
        )


def test_memory_is_limited(others: Path) -> None:
    """One picture has 3 activations of 4×5×5 numbers before and after: 600."""
    x = np.zeros((3, 4, 5, 5)).tolist()
    for limit, text in ((1300, "at most 2 of these images"), (599, "not even one image of this model")):
        with application(repository=others, max_inspected_elements=limit) as client:
            assert text in refused(client.post("/v1/models/net/inspect", json={"data": x}), 413)


def test_what_is_not_finite_is_told_in_words(others: Path) -> None:
    data = np.zeros((1, 4, 5, 5)).tolist()
    data[0][0][0][0] = "NaN"
    with application(repository=others) as client:
        found = answered(client.post("/v1/models/net/inspect", json={"data": data}))
    assert found["layers"][0]["before"]["mean"] == "NaN"


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/v1/models/cnn-rel/inspect", 404, "Did you mean 'cnn-relu'"),
        ("/v1/models/cnn-relu/inspect?activation=relux", 404, "Did you mean 'relu'"),
        ("/v1/models/cnn-relu/inspect?maps=perhaps", 400, "maps"),
        ("/v1/models/cnn-relu/inspect?map=true", 400, "unknown query parameter 'map'"),
        ("/v1/models/cnn-relu~elu/inspect?activation=tanh", 400, "names a function already"),
        ("/v1/models/cnn-relu~elu/predict?activation=tanh", 400, "names a function already"),
        ("/v1/models/cnn-relu~/predict", 200, ""),
        ("/v1/models/cnn-relu~nothing/predict", 404, "no activation 'nothing'"),
        ("/v1/models/~elu/predict", 404, ""),
    ],
)
def test_a_wrong_request_is_told(client: TestClient, horse: bytes, path: str, status: int, text: str) -> None:
    response = send(client, path, horse, JPEG)
    assert response.status_code == status
    assert text in response.text


def test_what_swaps_leave_is_served_where_it_was_measured(client: TestClient, tmp_path: Path) -> None:
    assert answered(client.get("/v1/swaps")) == SWAPS
    refused(client.get("/v1/swaps?model=cnn-relu"), 400)
    with application(evidence=tmp_path) as other:
        assert "has not been measured" in refused(other.get("/v1/swaps"), 404)
