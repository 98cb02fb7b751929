"""/v2/…/infer with `classification`: the largest of each row, with labels where there are any."""

import json
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.routes.sending import answered, infer, infer_bytes, read_binary, refused, tensor
from tests.wire.tensors import binary_input

ROWS = np.array([[0.25, 3.0, -1.0], [2.0, 0.5, 2.0]])


def classified(client: TestClient, name: str, array: Any, k: int, datatype: str = "FP32") -> dict[str, Any]:
    outputs = [{"name": "y", "parameters": {"classification": k}}]
    (output,) = answered(infer(client, name, tensor(array, datatype), outputs=outputs))["outputs"]
    assert (output["name"], output["datatype"]) == ("y", "BYTES")
    return dict(output)


@pytest.mark.parametrize(
    ("k", "data"),
    [
        (1, ["3.000000:1:dog", "2.000000:0:cat"]),
        (2, ["3.000000:1:dog", "0.250000:0:cat", "2.000000:0:cat", "2.000000:2"]),
        (9, ["3.000000:1:dog", "0.250000:0:cat", "-1.000000:2", "2.000000:0:cat", "2.000000:2", "0.500000:1:dog"]),
    ],
)
def test_the_largest_come_first_with_their_labels(plain_client: TestClient, k: int, data: list[str]) -> None:
    """Of equal ones the first; an empty label is none; more than there are is all."""
    output = classified(plain_client, "labelled", ROWS, k)
    assert (output["shape"], output["data"]) == ([2, min(k, 3)], data)


def test_a_network_names_its_classes(client: TestClient, horse: bytes) -> None:
    """The same as the prediction of /v1."""
    image = np.random.default_rng(3).standard_normal((2, 3, 32, 32)).astype(np.float32)
    outputs = [{"name": "probabilities", "parameters": {"classification": 3}}]
    (output,) = answered(infer(client, "cnn-relu", tensor(image, name="image"), outputs=outputs))["outputs"]
    predicted = answered(client.post("/v1/models/cnn-relu/predict", json={"data": image.tolist()}))["predictions"]

    # JSON has the shortest digits of a float32: it must be one again, or its six digits may be rounded apart.
    expected = [f"{np.float32(r['probability']):.6f}:{r['index']}:{r['label']}" for p in predicted for r in p["top"]]
    assert (output["shape"], output["data"]) == ([2, 3], expected)


def test_an_activation_has_no_labels(client: TestClient) -> None:
    output = classified(client, "relu", ROWS, 2)
    assert (output["shape"], output["data"][:2]) == ([2, 2], ["3.000000:1", "0.250000:0"])


def test_integers_are_written_plainly(plain_client: TestClient) -> None:
    assert classified(plain_client, "echo_int64", np.array([[-5, 2**62]]), 1, "INT64")["data"] == [f"{2**62}:1"]


def test_a_model_without_a_batch_has_one_item(plain_client: TestClient) -> None:
    output = classified(plain_client, "scalar", np.array(2.5), 3)
    assert (output["shape"], output["data"]) == ([1], ["-2.500000:0"])


@pytest.mark.parametrize("width", [2, 4])
def test_labels_are_given_only_where_there_is_one_for_each_element(plain_client: TestClient, width: int) -> None:
    """There are three: the places of another width mean something else."""
    assert classified(plain_client, "labelled", np.eye(1, width), 1)["data"] == ["1.000000:0"]


def test_no_rows_have_no_classes(plain_client: TestClient) -> None:
    assert classified(plain_client, "labelled", np.zeros((0, 3)), 2)["shape"] == [0, 2]


def test_0_classes_are_the_tensor_itself(plain_client: TestClient) -> None:
    outputs = [{"name": "y", "parameters": {"classification": 0}}]
    (output,) = answered(infer(plain_client, "labelled", tensor(ROWS), outputs=outputs))["outputs"]
    assert (output["datatype"], output["data"]) == ("FP32", ROWS.ravel().tolist())


def test_classes_may_be_bytes(plain_client: TestClient) -> None:
    """BYTES: each with its length before it."""
    outputs = [{"name": "y", "parameters": {"classification": 1, "binary_data": True}}]
    _, found = read_binary(infer(plain_client, "labelled", tensor(ROWS[:1]), outputs=outputs))
    assert found == {"y": b"\x0e\0\0\0" + b"3.000000:1:dog"}


@pytest.mark.parametrize("datatype", ["FP16", "BOOL", "BYTES"])
def test_what_has_no_order_is_refused(plain_client: TestClient, datatype: str) -> None:
    data: list[Any] = {"FP16": [1.0], "BOOL": [True], "BYTES": ["a"]}[datatype]
    x = {"name": "x", "datatype": datatype, "shape": [1, 1], "data": data}
    outputs = [{"name": "y", "parameters": {"classification": 1}}]
    text = refused(infer(plain_client, f"echo_{datatype.lower()}", x, outputs=outputs), 400)
    assert text == f"class result not available for output due to unsupported type {datatype!r}"


def test_more_classes_than_are_reasonable_are_refused(client: TestClient) -> None:
    rows = np.zeros((1001, 1000), "<f4")
    asked = {
        "inputs": [binary_input("FP32", rows.shape, rows.nbytes)],
        "outputs": [{"name": "y", "parameters": {"classification": 1000}}],
    }
    header = json.dumps(asked).encode()
    text = refused(infer_bytes(client, "relu", header + rows.tobytes(), len(header)), 400)
    assert text.startswith("classification output tensor too large")
