"""Any ONNX file is served as tensors, on /v1 and on /v2; one that cannot be is listed with the reason."""

from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.routes.conftest import ECHOES, FILES
from tests.routes.sending import NPY, PNG, answered, encoded, infer, infer_bytes, refused, send, tensor, to_npy
from tests.wire.tensors import binary_input, request

CUBE = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)


def test_all_that_is_in_the_folder_is_listed(plain_client: TestClient) -> None:
    shown = {model["name"]: model["state"] for model in answered(plain_client.get("/v1/models"))["models"]}
    unavailable = {"broken", "mislabelled", "relu", "empty"}
    served = {place.partition("/")[0] for place in (*FILES, *ECHOES)} - unavailable | {"labelled"}
    assert shown == dict.fromkeys(served, "READY") | dict.fromkeys(unavailable, "UNAVAILABLE")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("broken", "version 1: Failed to load model because protobuf parsing failed."),
        ("mislabelled", "version 1: metadata 'labels' is not a JSON list of strings"),
        ("relu", "the name is an activation's"),
        ("empty", "it has no version folder (1, 2, …)"),
    ],
)
def test_what_is_not_served_says_why(plain_client: TestClient, name: str, reason: str) -> None:
    """In its description and, as 503, wherever it is used."""
    described = answered(plain_client.get(f"/v1/models/{name}"))
    assert (described["reason"], described["versions"], described["inputs"]) == (reason, [], [])
    text = refused(plain_client.post(f"/v1/models/{name}/predict", json={"data": [1]}), 503)
    assert text == f"model {name!r} is not served: {reason.removeprefix('version 1: ')}"


def test_a_name_of_an_activation_stays_the_activations(plain_client: TestClient) -> None:
    """The file negates."""
    answer = answered(infer(plain_client, "relu", tensor(np.array([[-1.0, 2.0]]))))
    assert answer["outputs"][0]["data"] == [0.0, 2.0]


def test_a_broken_version_leaves_the_others_served(plain_client: TestClient) -> None:
    described = answered(plain_client.get("/v1/models/half"))
    assert (described["state"], described["versions"]) == ("READY", ["1"])
    assert described["reason"].startswith("version 2: ")
    assert answered(plain_client.post("/v1/models/half/predict", json={"data": [1]}))["version"] == "1"
    text = refused(plain_client.get("/v2/models/half/versions/2/ready"), 503)
    assert text.startswith("model 'half' version 2 is not served: ")


def test_a_model_without_our_metadata_is_described_by_its_ports(plain_client: TestClient) -> None:
    described = answered(plain_client.get("/v1/models/cube"))
    assert described["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3, 4, 5]}]
    assert [described[member] for member in ("kind", "activation", "labels", "preprocessing", "card")] == [None] * 5


@pytest.mark.parametrize(
    ("name", "data", "output"),
    [
        ("cube", CUBE.tolist(), {"datatype": "FP32", "shape": [2, 3, 4, 5], "data": (-CUBE).tolist()}),
        ("counts", [-(2**62), 3], {"datatype": "INT64", "shape": [2], "data": [2**62, 3]}),
        ("twice", ["a", "ß"], {"datatype": "BYTES", "shape": [4], "data": ["a", "ß", "a", "ß"]}),
        ("fixed", [[1, 2, 3], [4, 5, 6]], {"datatype": "FP32", "shape": [2, 3], "data": [[-1, -2, -3], [-4, -5, -6]]}),
        ("grow", [0, 1000, "NaN"], {"datatype": "FP32", "shape": [3], "data": [1.0, "Infinity", "NaN"]}),
        ("scalar", 2.5, {"datatype": "FP32", "shape": [], "data": -2.5}),
    ],
)
def test_predict_answers_with_the_outputs(
    plain_client: TestClient, name: str, data: Any, output: dict[str, Any]
) -> None:
    answer = answered(plain_client.post(f"/v1/models/{name}/predict", json={"data": data}))
    assert answer["outputs"] == [{"name": "y"} | output]
    assert "predictions" not in answer


def test_predict_reads_npy_for_any_model(plain_client: TestClient) -> None:
    answer = answered(send(plain_client, "/v1/models/cube/predict", to_npy(CUBE), NPY))
    assert answer["outputs"][0]["data"] == (-CUBE).tolist()


@pytest.mark.parametrize(
    ("name", "inputs", "output"),
    [
        ("cube", [tensor(CUBE)], {"datatype": "FP32", "shape": [2, 3, 4, 5], "data": (-CUBE).ravel().tolist()}),
        ("counts", [tensor(np.array([-(2**62)]), "INT64")], {"datatype": "INT64", "shape": [1], "data": [2**62]}),
        ("twice", [tensor(np.array(["a\0b"]), "BYTES")], {"datatype": "BYTES", "shape": [2], "data": ["a\0b"] * 2}),
        (
            "total",
            [tensor(np.array([[3.0, 4.0]]), name="b"), tensor(np.array([[1.0, 2.0]]), name="a")],
            {"datatype": "FP32", "shape": [1, 2], "data": [4.0, 6.0]},
        ),
        ("grow", [tensor(np.array([0.0, 1000.0]))], {"datatype": "FP32", "shape": [2], "data": [1.0, None]}),
    ],
)
def test_infer_answers_with_the_outputs(
    plain_client: TestClient, name: str, inputs: list[dict[str, Any]], output: dict[str, Any]
) -> None:
    answer = answered(infer(plain_client, name, *inputs))
    assert answer == {"model_name": name, "model_version": "1", "outputs": [{"name": "y"} | output]}


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("fixed", [[1, 2]], "unexpected shape for input 'x' for model 'fixed'. Expected [-1,3], got [1,2]"),
        ("fixed", [], "unexpected shape for input 'x' for model 'fixed'. Expected [-1,3], got [0]"),
        ("cube", [1], "unexpected shape for input 'x' for model 'cube'. Expected [-1,3,4,5], got [1]"),
        ("counts", [1.5], "data[0] is 1.5, expected an integer"),
        ("counts", ["1"], "data[0] is the string '1', expected an integer"),
        ("twice", [1], "data[0] is 1, expected a string"),
        ("grow", ["one"], "data[0] is the string 'one', expected a number"),
        ("total", [[1, 2]], "model 'total' takes inputs ['a', 'b']; send them to /v2/models/total/infer"),
    ],
)
def test_data_that_a_model_does_not_take_are_refused(plain_client: TestClient, name: str, data: Any, text: str) -> None:
    response = plain_client.post(f"/v1/models/{name}/predict", json={"data": data})
    assert refused(response, 400).startswith(text)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7])
def test_a_model_whose_file_fixes_the_rows_takes_any_number(plain_client: TestClient, rows: int) -> None:
    """The file says 2; more are run in parts, the last of them filled up."""
    data = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
    answer = answered(plain_client.post("/v1/models/fixed/predict", json={"data": data.tolist()}))
    assert answer["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [rows, 3], "data": (-data).tolist()}]
    (output,) = answered(infer(plain_client, "fixed", tensor(data)))["outputs"]
    assert (output["shape"], output["data"]) == ([rows, 3], (-data).ravel().tolist())


X = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}
DOUBLE, COLUMN = X | {"datatype": "FP64"}, X | {"shape": [3, 1]}


@pytest.mark.parametrize(
    ("name", "inputs", "text"),
    [
        ("fixed", [X | {"name": "z"}], "unexpected inference input 'z' for model 'fixed'"),
        ("fixed", [X, X | {"name": "z"}], "unexpected inference input 'z' for model 'fixed'"),
        ("fixed", [DOUBLE], "inference input 'x' data-type is 'FP64', but model 'fixed' expects 'FP32'"),
        ("fixed", [COLUMN], "unexpected shape for input 'x' for model 'fixed'. Expected [-1,3], got [3,1]"),
        (
            "total",
            [{"name": "a", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}],
            "expected 2 inputs but got 1 inputs for model 'total'. Got input(s) ['a'], but missing required input(s) "
            "['b']",
        ),
        ("relu", [X | {"name": "z"}], "unexpected inference input 'z' for model 'relu'"),
        ("relu", [DOUBLE], "inference input 'x' data-type is 'FP64', but model 'relu' expects 'FP32'"),
        ("relu", [X | {"shape": [3]}], "unexpected shape for input 'x' for model 'relu'. Expected [-1,-1], got [3]"),
    ],
)
def test_inputs_that_a_model_does_not_take_are_refused_in_tritons_words(
    plain_client: TestClient, name: str, inputs: list[dict[str, Any]], text: str
) -> None:
    assert refused(infer(plain_client, name, *inputs), 400).startswith(text)


def test_rows_that_differ_between_inputs_are_refused(plain_client: TestClient) -> None:
    inputs = [tensor(np.ones((rows, 2)), name=name) for name, rows in (("a", 1), ("b", 2))]
    text = refused(infer(plain_client, "total", *inputs), 400)
    assert text.startswith("input 'b' batch size does not match other inputs for 'total'")


def test_bytes_that_are_no_utf_8_are_refused(plain_client: TestClient) -> None:
    body, length = request(binary_input("BYTES", [1], 6), raw=b"\2\0\0\0\xff\xfe")
    assert "not valid UTF-8" in refused(infer_bytes(plain_client, "twice", body, length), 400)


def test_a_picture_for_a_model_that_does_not_say_how_is_refused(plain_client: TestClient) -> None:
    picture = encoded(np.zeros((4, 5, 3), np.uint8))
    text = refused(send(plain_client, "/v1/models/cube/predict", picture, PNG), 400)
    assert text == "model 'cube' does not say how to prepare an image; send a tensor as 'data' or .npy"


@pytest.mark.parametrize(("version", "y"), [("1", 3.0), ("2", 9.0), ("10", 27.0), (None, 27.0)])
def test_the_highest_version_answers_by_default(plain_client: TestClient, version: str | None, y: float) -> None:
    """Highest by number: 10 comes after 2."""
    name = "versions" if version is None else f"versions/versions/{version}"
    answer = answered(infer(plain_client, name, tensor(np.array([3.0]))))
    assert (answer["model_version"], answer["outputs"][0]["data"]) == (version or "10", [y])


def test_versions_are_listed_by_number_and_alone_when_asked(plain_client: TestClient) -> None:
    assert answered(plain_client.get("/v2/models/versions"))["versions"] == ["1", "2", "10"]
    assert answered(plain_client.get("/v2/models/versions/versions/2"))["versions"] == ["2"]
    assert answered(plain_client.get("/v1/models/versions"))["version"] == "10"


def test_bfloat16_is_answered_as_numbers_and_not_read_from_them(plain_client: TestClient) -> None:
    """3.14159 is 3.140625 in BF16."""
    (output,) = answered(plain_client.post("/v1/models/narrow/predict", json={"data": [1.5, 3.14159]}))["outputs"]
    assert output == {"name": "y", "datatype": "BF16", "shape": [2], "data": [1.5, 3.140625]}

    text = refused(plain_client.post("/v1/models/echo_bf16/predict", json={"data": [[1]]}), 400)
    assert text == "BF16 is not read from JSON; send it as binary data to /v2/models/echo_bf16/infer"
