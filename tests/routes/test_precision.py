"""The CNNs in float16: nearly the same answers, and the service says of each model which it is."""

import numpy as np
from starlette.testclient import TestClient

from service.app import create_app
from service.engine.model import Model
from service.settings import Settings
from tests.routes.sending import JPEG, answered, send


def test_float16_is_told_of_each_model(settings: Settings, client: TestClient, horse: bytes) -> None:
    """Also without a GPU, where it is slower, so that its accuracy can be looked at."""
    with TestClient(create_app(settings.model_copy(update={"precision": "float16"}))) as half:
        found = answered(half.get("/v1/device"))
        assert found["precision"] == "float16"
        assert {model["precision"] for model in found["models"]} == {"float16"}
        a, b = (answered(send(c, "/v1/models/cnn-relu/predict", horse, JPEG)) for c in (half, client))
        swapped = answered(send(half, "/v1/models/cnn-relu/predict?activation=elu", horse, JPEG))
        model: Model = half.app_state["services"].repository.find("cnn-relu")
    first, second = (np.array(found["predictions"][0]["probabilities"]) for found in (a, b))
    assert 0 < np.abs(first - second).max() < 0.01
    assert swapped["activation"] == "elu"
    assert model.precision == "float16"
