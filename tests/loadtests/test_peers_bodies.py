"""What is sent says what was meant, and what comes back is read as what was said."""

import json

import numpy as np
import pytest

from loadtests.peers import bodies

ARRAY = np.array([[0.1, -2.5, np.float32(1) / 3, 3e38]], np.float32)


def test_a_binary_request_is_json_and_then_the_numbers_bytes() -> None:
    request = bodies.binary("cnn", "x", ARRAY)
    length = int(request.headers["Inference-Header-Content-Length"])
    head, tail = json.loads(request.body[:length]), request.body[length:]

    assert request.path == "/v2/models/cnn/infer"
    assert head == {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}],
        "parameters": {"binary_data_output": True},
    }
    assert np.array_equal(np.frombuffer(tail, "<f4").reshape(1, 4), ARRAY)


def test_a_json_request_keeps_every_float32_in_as_few_digits_as_that_takes() -> None:
    request = bodies.as_json("cnn", "x", ARRAY)
    (tensor,) = json.loads(request.body)["inputs"]

    assert b"0.1,-2.5,0.33333334," in request.body
    assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("x", "FP32", [1, 4])
    assert np.array_equal(np.array(tensor["data"], np.float32), ARRAY[0])


def test_a_picture_goes_as_it_is_to_the_services_own_route() -> None:
    request = bodies.jpeg("cnn", b"\xff\xd8...")
    assert request == bodies.Request("/v1/models/cnn/predict", {"Content-Type": "image/jpeg"}, b"\xff\xd8...")


def answer(binary: bool) -> tuple[dict[str, str], bytes]:
    """Two outputs, as a server would write them."""
    y, z = ARRAY, np.array([7, -1], np.int64)
    outputs = [{"name": "y", "datatype": "FP32", "shape": [1, 4]}, {"name": "z", "datatype": "INT64", "shape": [2]}]
    key = "parameters" if binary else "data"
    for output, array in zip(outputs, (y, z), strict=True):
        output[key] = {"binary_data_size": array.nbytes} if binary else array.ravel().tolist()
    head = json.dumps({"model_name": "cnn", "outputs": outputs}).encode()
    if not binary:
        return {"content-type": "application/json"}, head
    return {"inference-header-content-length": str(len(head))}, head + y.tobytes() + z.tobytes()


@pytest.mark.parametrize("binary", [True, False])
def test_an_answers_tensors_are_read_by_name(binary: bool) -> None:
    outputs = bodies.outputs(*answer(binary))

    assert outputs.keys() == {"y", "z"}
    assert np.array_equal(outputs["y"], ARRAY)
    assert np.array_equal(outputs["z"], [7, -1])
    assert [array.dtype for array in outputs.values()] == [np.float32, np.int64]


def test_an_answer_of_another_length_than_its_shape_is_no_answer() -> None:
    headers, body = answer(binary=True)
    with pytest.raises(ValueError, match=r"buffer size|reshape"):
        bodies.outputs(headers, body[:-3])


def test_a_predictions_probabilities_are_a_row() -> None:
    body = json.dumps({"predictions": [{"label": "b", "probabilities": [0.25, 0.75]}]}).encode()
    assert bodies.probabilities(body).tolist() == [[0.25, 0.75]]
