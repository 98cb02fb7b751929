"""Several CNNs beside each other on the same images, several functions on the same numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from service.activations.catalogue import ACTIVATIONS
from service.wire import images
from tests.engine.making import plain, put
from tests.routes.conftest import application
from tests.routes.sending import JPEG, answered, apply, refused, send
from tests.serving import ROOT

ELEMENTWISE = [row.name for row in ACTIVATIONS.values() if row.elementwise]


def compared(client: TestClient, query: str, body: bytes, kind: str = JPEG) -> dict[str, Any]:
    return answered(send(client, f"/v1/compare/models{query}", body, kind))


def test_every_classifier_is_asked_and_answers_as_by_itself(client: TestClient, horse: bytes) -> None:
    found = compared(client, "", horse)
    names = [model["name"] for model in client.get("/v1/models").json()["models"]]
    assert [result["model"] for result in found["results"]] == names
    for result in found["results"]:
        alone = answered(send(client, f"/v1/models/{result['model']}/predict", horse, JPEG))
        assert result["predictions"][0]["label"] == alone["predictions"][0]["label"]
        np.testing.assert_allclose(
            result["predictions"][0]["probabilities"], alone["predictions"][0]["probabilities"], atol=1e-6
        )
        assert {key: result[key] for key in ("version", "activation", "provider")} == {
            key: alone[key] for key in ("version", "activation", "provider")
        }
        assert result["compute_ms"] > 0
        assert result["rows_of_run"] == 1
    assert set(found["timing_ms"]) == {"decode", "all"}


def test_who_agrees_is_told_for_each_image(client: TestClient, horse: bytes) -> None:
    found = answered(client.post("/v1/compare/models", files=[("file", ("a", horse)), ("file", ("b", horse))]))
    assert len(found["agreement"]) == 2
    for row, votes in enumerate(found["agreement"]):
        assert [len(vote["models"]) for vote in votes] == sorted((len(v["models"]) for v in votes), reverse=True)
        told = {name: vote["label"] for vote in votes for name in vote["models"]}
        assert told == {r["model"]: r["predictions"][row]["label"] for r in found["results"]}


def test_some_are_chosen_also_with_their_activation_swapped(client: TestClient, horse: bytes) -> None:
    found = compared(client, "?models=cnn-relu,cnn-relu~elu,%20cnn-elu&top_k=2", horse)
    assert [(r["model"], r["activation"]) for r in found["results"]] == [
        ("cnn-relu", "relu"),
        ("cnn-relu~elu", "elu"),
        ("cnn-elu", "elu"),
    ]
    assert {len(result["predictions"][0]["top"]) for result in found["results"]} == {2}
    swapped = compared(client, "?models=cnn-relu,cnn-tanh&activation=elu", horse)
    assert [result["model"] for result in swapped["results"]] == ["cnn-relu~elu", "cnn-tanh~elu"]
    assert swapped["results"][0]["predictions"] == found["results"][1]["predictions"] or np.allclose(
        swapped["results"][0]["predictions"][0]["logits"], found["results"][1]["predictions"][0]["logits"], atol=1e-4
    )


def test_a_picture_is_prepared_once_for_models_that_want_it_alike(
    client: TestClient, horse: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = []
    original = images.Picture.prepared

    def counted(self: images.Picture, how: images.Preprocessing) -> Any:
        prepared.append(how)
        return original(self, how)

    monkeypatch.setattr(images.Picture, "prepared", counted)
    assert len(compared(client, "", horse)["results"]) > 1
    assert len(prepared) == 1


def test_a_tensor_goes_through_all_of_them(client: TestClient) -> None:
    data = np.zeros((2, 3, 32, 32)).tolist()
    found = answered(client.post("/v1/compare/models?models=cnn-relu,cnn-elu", json={"data": data}))
    assert [len(result["predictions"]) for result in found["results"]] == [2, 2]


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("?models=cnn-relu,cnn-rel", 404, "Did you mean 'cnn-relu'"),
        ("?models=cnn-relu,cnn-relu", 400, "'cnn-relu' is there twice"),
        ("?models=", 404, ""),
        ("?models=cnn-relu~elu&activation=tanh", 400, "names a function already"),
        ("?models=cnn-relu&activation=tann", 404, "Did you mean 'tanh'"),
        ("?models=" + ",".join(f"m{n}" for n in range(33)), 400, "got 33 models, expected at most 32"),
        ("?top_k=0", 400, "top_k"),
        ("?model=cnn-relu", 400, "unknown query parameter 'model'"),
    ],
)
def test_a_wrong_choice_is_told(client: TestClient, horse: bytes, query: str, status: int, text: str) -> None:
    assert text in refused(send(client, f"/v1/compare/models{query}", horse, JPEG), status)


def test_models_that_are_no_classifiers_can_be_named(tmp_path: Path, horse: bytes) -> None:
    put(tmp_path, "m", "1", plain(1.0))
    put(tmp_path, "n", "1", plain(2.0))
    with application(repository=tmp_path) as client:
        found = answered(client.post("/v1/compare/models?models=m,n", json={"data": [[1, 2, 3]]}))
        assert [result["outputs"][0]["data"] for result in found["results"]] == [[[2, 3, 4]], [[3, 4, 5]]]
        assert found["agreement"] == []
        assert "no model that classifies pictures is served" in refused(
            send(client, "/v1/compare/models", horse, JPEG), 400
        )
        assert "does not say how to prepare an image" in refused(
            send(client, "/v1/compare/models?models=m", horse, JPEG), 400
        )


def test_a_model_that_takes_no_pictures_cannot_be_compared_on_one(tmp_path: Path, horse: bytes) -> None:
    put(tmp_path, "m", "1", plain(1.0))
    (tmp_path / "cnn-relu").symlink_to(ROOT / "models" / "repository" / "cnn-relu")
    with application(repository=tmp_path) as client:
        text = refused(send(client, "/v1/compare/models?models=cnn-relu,m", horse, JPEG), 400)
    assert "model 'm' does not say how to prepare an image" in text


def functions(client: TestClient, **body: Any) -> list[dict[str, Any]]:
    results = answered(client.post("/v1/compare/activations", json=body))["results"]
    return list(results)


def test_every_elementwise_function_answers_as_by_itself(client: TestClient) -> None:
    data = [[-2, -0.5], [0, 3]]
    found = functions(client, data=data, derivative=True)
    assert [result["activation"] for result in found] == ELEMENTWISE
    for result in found:
        alone = answered(apply(client, result["activation"], data, derivative=True))
        same = ("activation", "parameters", "data", "derivative", "provider")
        assert {key: result[key] for key in same} == {key: alone[key] for key in same}


def test_functions_are_chosen_with_their_parameters(client: TestClient) -> None:
    found = functions(
        client,
        data=[-1, 1],
        names=["leaky_relu", "silu", "softmax"],
        parameters={"leaky_relu": {"alpha": 0.5}, "swish": {"beta": 0}},
        dtype="float16",
        kernel="native",
    )
    assert [result["activation"] for result in found] == ["leaky_relu", "swish", "softmax"]
    assert found[0]["data"] == [-0.5, 1]
    assert found[1]["data"] == [-0.5, 0.5]
    assert sum(found[2]["data"]) == pytest.approx(1, abs=1e-3)
    assert "derivative" not in found[0]


def test_flat_data_may_have_a_shape(client: TestClient) -> None:
    answer = answered(client.post("/v1/compare/activations", json={"data": [1, 2], "shape": [2, 1], "names": ["relu"]}))
    assert (answer["shape"], answer["results"][0]["data"]) == ([2, 1], [[1], [2]])


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"data": [1], "names": []}, 400, "got 0 names, expected 1 to 32"),
        ({"data": [1], "names": ["relu", "relu"]}, 400, "'relu' is there twice"),
        ({"data": [1], "names": ["swish", "silu"]}, 400, "'swish' is there twice"),
        ({"data": [1], "names": ["relux"]}, 404, "Did you mean 'relu'"),
        ({"data": [1], "parameters": {"prelu": {"x": 1}}}, 400, "prelu has no parameter 'x'"),
        ({"data": [1], "names": ["relu"], "parameters": {"elu": {}}}, 400, "given for ['elu'], which are not among"),
        ({"data": [0, 0], "shape": [3]}, 400, "data has 2 elements, expected 3"),
        ({"names": ["relu"]}, 400, "data"),
        ({"data": [1], "name": "relu"}, 400, "unknown member 'name'"),
    ],
)
def test_wrong_functions_are_told(client: TestClient, body: dict[str, Any], status: int, text: str) -> None:
    assert text in refused(client.post("/v1/compare/activations", json=body), status)


def test_the_answer_has_a_limit() -> None:
    with application(max_tensor_elements=100) as client:
        body = {"data": [0] * 60, "names": ["relu"]}
        assert client.post("/v1/compare/activations", json=body).status_code == 200
        text = refused(client.post("/v1/compare/activations", json=body | {"names": ["relu", "elu"]}), 413)
        assert "2 functions of 60 numbers" in text


def test_only_json_is_read(client: TestClient) -> None:
    assert "application/json" in refused(send(client, "/v1/compare/activations", b"x", JPEG), 415)
