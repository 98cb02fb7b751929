"""/v2/…/config and metadata: what clients such as perf_analyzer read of a model before they use it."""

from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.routes.conftest import Running
from tests.routes.sending import answered, refused

INPUT = {"format": "FORMAT_NONE", "is_shape_tensor": False, "allow_ragged_batch": False, "optional": False}
OUTPUT = {"is_shape_tensor": False, "label_filename": ""}


def config(client: TestClient, path: str) -> dict[str, Any]:
    return dict(answered(client.get(f"/v2/models/{path}/config")))


def test_a_configuration_is_tritons(client: TestClient) -> None:
    assert config(client, "cnn-relu") == {
        "name": "cnn-relu",
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "runtime": "",
        "version_policy": {"all": {}},
        "max_batch_size": 1024,
        "input": [{"name": "image", "data_type": "TYPE_FP32", "dims": [3, 32, 32]} | INPUT],
        "output": [
            {"name": name, "data_type": "TYPE_FP32", "dims": [10]} | OUTPUT | {"label_filename": "labels"}
            for name in ("logits", "probabilities")
        ],
        "batch_input": [],
        "batch_output": [],
        "optimization": {"priority": "PRIORITY_DEFAULT"},
        "instance_group": [{"name": "cnn-relu_0", "kind": "KIND_CPU", "count": 1, "gpus": []}],
        "default_model_filename": "model.onnx",
        "cc_model_filenames": {},
        "metric_tags": {},
        "parameters": {},
        "model_warmup": [],
        "model_transaction_policy": {"decoupled": False},
        "response_cache": {"enable": False},
    }


@pytest.mark.parametrize(
    ("name", "max_batch_size", "data_type", "dims"),
    [
        ("relu", 0, "TYPE_FP32", [-1, -1]),
        ("cube", 1024, "TYPE_FP32", [3, 4, 5]),
        ("grow", 1024, "TYPE_FP32", []),
        ("scalar", 0, "TYPE_FP32", []),
        ("twice", 0, "TYPE_STRING", [-1]),
        ("echo_bf16", 1024, "TYPE_BF16", [-1]),
        ("echo_bool", 1024, "TYPE_BOOL", [-1]),
        ("echo_bytes", 1024, "TYPE_STRING", [-1]),
    ],
)
def test_the_dimensions_are_without_the_batch(
    plain_client: TestClient, name: str, max_batch_size: int, data_type: str, dims: list[int]
) -> None:
    found = config(plain_client, name)
    assert found["max_batch_size"] == max_batch_size
    assert found["input"] == [{"name": "x", "data_type": data_type, "dims": dims} | INPUT]


def test_an_activation_has_one_version_and_no_labels(client: TestClient) -> None:
    found = config(client, "softmax")
    assert found["version_policy"] == {"latest": {"num_versions": 1}}
    assert found["output"] == [{"name": "y", "data_type": "TYPE_FP32", "dims": [-1, -1]} | OUTPUT]
    assert config(client, "softmax/versions/1") == found


def test_every_version_has_a_configuration(running: Running) -> None:
    for number in ("1", "2", "10"):
        found = config(running.client, f"versions/versions/{number}")
        assert (found["name"], found["max_batch_size"], found["version_policy"]) == ("versions", 4, {"all": {}})
    refused(running.client.get("/v2/models/versions/versions/3/config"), 404)
    refused(running.client.get("/v2/models/half/versions/2/config"), 503)
    refused(running.client.get("/v2/models/nothing/config"), 404)


def test_on_a_gpu_the_configuration_says_so(running: Running) -> None:
    running.use(device=replace(running.services.device, kind="cuda"))
    assert config(running.client, "grow")["instance_group"] == [
        {"name": "grow_0", "kind": "KIND_GPU", "count": 1, "gpus": [0]}
    ]


def test_metadata_of_a_version_is_its_own(plain_client: TestClient) -> None:
    """Without a version all are listed, and the ports are those of the highest."""
    outputs = {"1": "y", "2": "square", "10": "cube"}
    alone = {number: answered(plain_client.get(f"/v2/models/versions/versions/{number}")) for number in outputs}

    assert {number: metadata["versions"] for number, metadata in alone.items()} == {n: [n] for n in outputs}
    assert {number: metadata["outputs"][0]["name"] for number, metadata in alone.items()} == outputs
    assert answered(plain_client.get("/v2/models/versions")) == alone["10"] | {"versions": list(outputs)}
    assert answered(plain_client.get("/v2/models/half"))["versions"] == ["1"]
