"""/v2: the Open Inference Protocol with JSON tensors, for CNNs and for activations.

What Triton adds is in test_v2_binary, test_v2_classification, test_v2_statistics, test_v2_repository and
test_v2_settings.
"""

from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from service import __version__
from service.activations.catalogue import ACTIVATIONS
from service.engine.runtime.session import Session
from tests.routes.conftest import Running
from tests.routes.sending import JPEG, answered, infer, refused, send, tensor

X = np.array([[-2.0, -0.5, 0.0], [0.5, 1.0, 4.0]])
IMAGE = np.random.default_rng(11).standard_normal((2, 3, 32, 32)).astype(np.float32)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("health/live", {"live": True}),
        ("health/ready", {"live": True, "ready": True, "device": "cpu", "reason": "the CPU was asked for"}),
        ("models/relu/ready", {"name": "relu", "ready": True}),
        ("models/relu/versions/1/ready", {"name": "relu", "ready": True}),
        ("models/cnn-relu/ready", {"name": "cnn-relu", "ready": True}),
        ("models/cnn-relu/versions/1/ready", {"name": "cnn-relu", "ready": True}),
    ],
)
def test_health_is_told(client: TestClient, path: str, answer: dict[str, Any]) -> None:
    assert answered(client.get(f"/v2/{path}")) == answer


def test_a_worker_in_trouble_is_not_live_and_says_why(running: Running) -> None:
    watchdog = running.services.watchdog
    watchdog.close()
    watchdog.trouble = "the event loop has not moved for 10.0 s"
    response = running.client.get("/v2/health/live")
    assert (response.status_code, response.json()) == (503, {"live": False, "error": watchdog.trouble})


def test_the_server_names_the_extensions_that_it_has(client: TestClient) -> None:
    """Each has tests of its own; shared memory, sequences and ensembles are not among them."""
    server = answered(client.get("/v2"))
    assert (server["name"], server["version"]) == ("actserve", __version__)
    assert server["extensions"] == [
        "classification", "model_repository", "model_configuration", "schedule_policy", "binary_tensor_data",
        "parameters", "statistics", "trace", "logging",
    ]  # fmt: skip


@pytest.mark.parametrize("version", ["", "/versions/1"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_is_a_model(client: TestClient, name: str, version: str) -> None:
    port = {"datatype": "FP32", "shape": [-1, -1]}
    assert answered(client.get(f"/v2/models/{name}{version}")) == {
        "name": name,
        "platform": "onnxruntime_onnx",
        "versions": ["1"],
        "inputs": [{"name": "x"} | port],
        "outputs": [{"name": "y"} | port],
    }


def test_metadata_of_a_network_gives_its_ports(client: TestClient) -> None:
    metadata = answered(client.get("/v2/models/cnn-relu"))
    assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 3, 32, 32]}]
    assert [port["name"] for port in metadata["outputs"]] == ["logits", "probabilities"]
    assert metadata["versions"] == ["1"]


@pytest.mark.parametrize("kernel", ["native", "exact"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_applied(client: TestClient, name: str, kernel: str) -> None:
    """Against the catalogue's reference; 1e-6 of 1 + |y| is what the bare float32 operators keep."""
    answer = answered(infer(client, name, tensor(X), parameters={"kernel": kernel}))
    row = ACTIVATIONS[name]
    wanted = row.reference(X, row.bind({}))
    (output,) = answer["outputs"]
    assert (answer["model_name"], answer["model_version"]) == (name, "1")
    assert (output["name"], output["datatype"], output["shape"]) == ("y", "FP32", [2, 3])
    error = np.abs(np.array(output["data"]) - wanted.ravel())
    np.testing.assert_array_less(error, 1e-6 * (1 + np.abs(wanted.ravel())))


def test_the_kernel_is_native_unless_another_is_asked_for(client: TestClient) -> None:
    """ONNX Runtime's Sigmoid(−20) is 0; the right one is e⁻²⁰ to 9 digits."""
    far = tensor(np.array([[-20.0]]))
    assert answered(infer(client, "sigmoid", far))["outputs"][0]["data"] == [0.0]
    exact = answered(infer(client, "sigmoid", far, parameters={"kernel": "exact"}))["outputs"][0]["data"]
    assert exact == [pytest.approx(np.exp(-20.0), rel=1e-7)]


@pytest.mark.parametrize(
    ("name", "parameters", "y"),
    [
        ("leaky_relu", {"alpha": 0.5}, [-1.0, -0.25, 0.0, 0.5, 1.0, 4.0]),
        ("thresholded_relu", {"theta": 0.5}, [0.0, 0.0, 0.0, 0.0, 1.0, 4.0]),
        ("prelu", {"slope": 2}, [-4.0, -1.0, 0.0, 0.5, 1.0, 4.0]),
        ("relu", {"timeout": 60_000_000, "priority": 1, "sequence_id": "a"}, [0.0, 0.0, 0.0, 0.5, 1.0, 4.0]),
    ],
)
def test_parameters_are_the_functions_own(
    client: TestClient, name: str, parameters: dict[str, Any], y: list[float]
) -> None:
    assert answered(infer(client, name, tensor(X), parameters=parameters))["outputs"][0]["data"] == y


def test_a_network_answers_as_predict_does(client: TestClient) -> None:
    """The same tensor by /v1 and /v2, the same bits; and a JPEG's own tensor likewise."""
    outputs = answered(infer(client, "cnn-relu", tensor(IMAGE, name="image")))["outputs"]
    found = {output["name"]: np.array(output["data"]).reshape(output["shape"]).tolist() for output in outputs}
    predictions = answered(client.post("/v1/models/cnn-relu/predict", json={"data": IMAGE.tolist()}))["predictions"]
    assert found["probabilities"] == [prediction["probabilities"] for prediction in predictions]
    assert found["logits"] == [prediction["logits"] for prediction in predictions]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (None, ["logits", "probabilities"]),
        ([], ["logits", "probabilities"]),
        (["probabilities"], ["probabilities"]),
        (["probabilities", "logits"], ["probabilities", "logits"]),
    ],
)
def test_outputs_come_as_they_were_asked_for(client: TestClient, asked: list[str] | None, names: list[str]) -> None:
    members = {} if asked is None else {"outputs": [{"name": name} for name in asked]}
    outputs = answered(infer(client, "cnn-relu", tensor(IMAGE, name="image"), **members))["outputs"]
    assert [output["name"] for output in outputs] == names


def test_an_unknown_output_is_refused_before_the_model_runs(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Session, "run")
    text = refused(infer(client, "cnn-relu", tensor(IMAGE, name="image"), outputs=[{"name": "z"}]), 400)
    assert text == "unexpected inference output 'z' for model 'cnn-relu'"


@pytest.mark.parametrize("id", ["42", " ", "a\nb", "größe", "\u202e"])
def test_the_id_comes_back(client: TestClient, id: str) -> None:
    assert answered(infer(client, "relu", tensor(X), id=id))["id"] == id


@pytest.mark.parametrize("members", [{}, {"id": None}, {"id": ""}])
def test_without_an_id_there_is_none(client: TestClient, members: dict[str, Any]) -> None:
    """An empty one counts as none, as in Triton."""
    assert "id" not in answered(infer(client, "relu", tensor(X), **members))


def test_numbers_that_are_not_finite_are_null_in_answers(client: TestClient) -> None:
    x = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": ["NaN", "Infinity", "-Infinity", 1]}
    assert answered(infer(client, "identity", x))["outputs"][0]["data"] == [None, None, None, 1.0]


@pytest.mark.parametrize("content_type", ["application/json", "application/octet-stream", "text/plain", ""])
def test_the_content_type_does_not_matter(client: TestClient, content_type: str) -> None:
    """tritonclient sends none."""
    body = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [-1]}]}'
    assert answered(send(client, "/v2/models/relu/infer", body, content_type))["outputs"][0]["data"] == [0.0]


def test_a_picture_is_no_request(client: TestClient, horse: bytes) -> None:
    text = refused(send(client, "/v2/models/cnn-relu/infer", horse, JPEG), 400)
    assert text.startswith("the body is not valid JSON")


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("reluu", " Did you mean 'relu'?"),
        ("cnn-reluu", " Did you mean 'cnn-relu'?"),
        ("silu", " Did you mean 'swish'?"),
        ("zzzzzz", ""),
    ],
)
@pytest.mark.parametrize("route", ["", "/ready", "/versions/1", "/versions/1/ready", "/infer", "/versions/1/infer"])
def test_an_unknown_model_is_404_in_tritons_words(client: TestClient, route: str, name: str, suggestion: str) -> None:
    path = f"/v2/models/{name}{route}"
    response = client.post(path, json={}) if route.endswith("infer") else client.get(path)
    assert refused(response, 404) == f"Request for unknown model: {name!r} is not found.{suggestion}"


@pytest.mark.parametrize("version", ["0", "01", "2", "latest", "-1", "1e3", "9" * 30, "١", "1.0", " 1"])
@pytest.mark.parametrize("name", ["relu", "cnn-relu"])
def test_an_unknown_version_is_404_with_those_that_exist(client: TestClient, name: str, version: str) -> None:
    for response in (
        client.get(f"/v2/models/{name}/versions/{version}"),
        client.get(f"/v2/models/{name}/versions/{version}/ready"),
        client.post(f"/v2/models/{name}/versions/{version}/infer", json={}),
    ):
        text = refused(response, 404)
        assert text.startswith(f"Request for unknown model: {name!r} version {version} is not found")
        assert text.endswith("; versions: 1")
