"""What POST /v1/activations/{name} answers with: kinds, pictures, shapes, numbers that are not finite, parameters."""

from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.routes.sending import JSON, NPY, PNG, answered, apply, decoded, encoded, from_npy, refused, send, to_npy

PIXELS = np.random.default_rng(3).integers(0, 256, (4, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize("query", ["", "?range=signed", "?range=signed&derivative=true"])
def test_png_shows_the_output_from_its_minimum_to_its_maximum(client: TestClient, query: str) -> None:
    """Pixel values against the .npy answer to the same request, scaled here."""
    path, picture = f"/v1/activations/tanh{query}", encoded(PIXELS)
    response, y = (send(client, path, picture, PNG, accept=kind) for kind in (PNG, NPY))
    values = from_npy(y.content).astype(np.float64)
    shown = decoded(response.content)
    low, high = (float(response.headers[f"X-Output-{end}"]) for end in ("Min", "Max"))
    assert (low, high) == (values.min(), values.max())
    np.testing.assert_array_equal(shown, np.rint((values - low) / (high - low) * 255).astype(np.uint8))


def test_signed_pictures_run_from_minus_1_to_1(client: TestClient) -> None:
    response = send(client, "/v1/activations/identity?range=signed&dtype=float64", encoded(PIXELS), PNG, accept=NPY)
    np.testing.assert_allclose(from_npy(response.content), PIXELS / 127.5 - 1, atol=1e-15)  # its own rounding


@pytest.mark.parametrize(
    ("kind", "body", "default"),
    [(JSON, b'{"data": [[[0.5]]]}', JSON), (NPY, to_npy(np.ones((1, 1, 1))), NPY), (PNG, encoded(PIXELS), PNG)],
)
@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", None),
        ("*/*", None),
        ("image/*", PNG),
        (NPY, NPY),
        (f"{PNG};q=0, {NPY};q=0.9, {NPY};q=0.1, {JSON};q=0.5", NPY),
        (f"{NPY};q=0.2, {JSON};q=0.9", JSON),
        ("text/html, application/*;q=0.5", "application"),
        (f"*/*, {PNG};q=0.1, {JSON};q=0, {NPY};q=0", PNG),
    ],
)
def test_accept_chooses_the_answer(
    client: TestClient, kind: str, body: bytes, default: str, accept: str, chosen: str | None
) -> None:
    """Without a wish the answer is of the body's kind."""
    response = send(client, "/v1/activations/relu", body, kind, headers={"accept": accept})
    assert response.status_code == 200, response.text
    if chosen == "application":
        chosen = default if default != PNG else NPY
    assert response.headers["content-type"] == (chosen or default)


def test_accept_in_two_headers_is_one_list(client: TestClient) -> None:
    headers = [("content-type", JSON), ("accept", f"{JSON};q=0.1"), ("accept", NPY)]
    response = client.post("/v1/activations/relu", content=b'{"data": [1]}', headers=headers)
    assert response.headers["content-type"] == NPY


@pytest.mark.parametrize(
    "accept", ["text/html", "*/*;q=0", "application/xml, image/webp", "q", ",", "image/png;q=2", "*/*;q=1.001"]
)
def test_an_answer_that_nobody_wants_is_406(client: TestClient, accept: str) -> None:
    text = refused(send(client, "/v1/activations/relu", b'{"data": 1}', JSON, accept=accept), 406)
    assert text.endswith("this route can answer with application/json, application/x-npy, image/png")


def test_a_tensor_that_is_no_picture_is_not_drawn(client: TestClient) -> None:
    text = refused(send(client, "/v1/activations/relu", b'{"data": [1, 2]}', JSON, accept=PNG), 400)
    assert text == "a PNG needs an array of shape [height, width, 1 or 3], got [2]"


@pytest.mark.parametrize(
    ("name", "y", "slope"),
    [
        ("relu", ["NaN", "Infinity", 0.0], ["NaN", 1.0, 0.0]),
        ("sigmoid", ["NaN", 1.0, 0.0], ["NaN", 0.0, 0.0]),
        ("tanh", ["NaN", 1.0, -1.0], ["NaN", 0.0, 0.0]),
        ("identity", ["NaN", "Infinity", "-Infinity"], ["NaN", 1.0, 1.0]),
        ("leaky_relu", ["NaN", "Infinity", "-Infinity"], ["NaN", 1.0, 0.01]),
        ("swish", ["NaN", "Infinity", -0.0], ["NaN", 1.0, 0.0]),
    ],
)
def test_numbers_that_are_not_finite_travel_as_strings(
    client: TestClient, name: str, y: list[Any], slope: list[Any]
) -> None:
    answer = answered(apply(client, name, ["NaN", "Infinity", "-Infinity"], derivative=True, dtype="float64"))
    assert (answer["data"], answer["derivative"]) == (y, slope)


@pytest.mark.parametrize("kernel", ["exact", "native"])
@pytest.mark.parametrize(
    ("data", "shape", "y"),
    [
        (-2.0, [], 0.0),
        ([], [0], []),
        ([[], []], [2, 0], [[], []]),
        ([[[3]]], [1, 1, 1], [[[3.0]]]),
    ],
)
def test_any_shape_comes_back_as_it_was(client: TestClient, data: Any, shape: list[int], y: Any, kernel: str) -> None:
    answer = answered(apply(client, "relu", data, kernel=kernel))
    assert (answer["shape"], answer["data"]) == (shape, y)


def test_flat_data_take_the_shape_that_is_given(client: TestClient) -> None:
    answer = answered(apply(client, "relu", [-1, 2, 3, -4, 5, 6], shape=[2, 3]))
    assert answer["data"] == [[0.0, 2.0, 3.0], [0.0, 5.0, 6.0]]


def test_an_alias_is_the_function(client: TestClient) -> None:
    answer = answered(apply(client, "silu", [1.0]))
    assert answer["activation"] == "swish"
    assert answer["data"] == answered(apply(client, "swish", [1.0]))["data"]


# --- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given", "x", "y"),
    [
        ("leaky_relu", {"alpha": 0.5}, [-2.0, 2.0], [-1.0, 2.0]),
        ("leaky_relu", {"alpha": 0}, [-5.0, 1.0], [0.0, 1.0]),
        ("thresholded_relu", {"theta": 2}, [1.5, 2.0, 2.5], [0.0, 0.0, 2.5]),
        ("hard_sigmoid", {"alpha": 0.25, "beta": 0.5}, [-4.0, 1.0, 4.0], [0.0, 0.75, 1.0]),
        ("softmax", {"axis": 0}, [[0.0, 9.0], [0.0, 9.0]], [[0.5, 0.5], [0.5, 0.5]]),
        ("softmax", {"axis": -2}, [[0.0, 9.0], [0.0, 9.0]], [[0.5, 0.5], [0.5, 0.5]]),
        ("prelu", {"slope": 0.5}, [[-2.0, 2.0], [-4.0, 4.0]], [[-1.0, 2.0], [-2.0, 4.0]]),
        ("prelu", {"slope": [0.5, 0.25]}, [[-2.0, -4.0], [-4.0, 4.0]], [[-1.0, -1.0], [-2.0, 4.0]]),
        ("prelu", {"slope": [[0.5], [0.25]]}, [[-2.0, -4.0], [-4.0, 4.0]], [[-1.0, -2.0], [-1.0, 4.0]]),
    ],
)
@pytest.mark.parametrize("kernel", ["exact", "native"])
def test_parameters_in_the_body_and_in_the_query_do_the_same(
    client: TestClient, name: str, given: dict[str, Any], x: list[Any], y: list[Any], kernel: str
) -> None:
    """Numbers that float32 holds exactly, so the answers are equal and not only close."""
    in_body = answered(apply(client, name, x, parameters=given, kernel=kernel))
    assert in_body["data"] == y
    assert in_body["parameters"] == given
    query = "&".join(f"{key}={value}" for key, value in given.items())
    path = f"/v1/activations/{name}?{query}&kernel={kernel}"
    in_query = answered(send(client, path, to_npy(np.array(x, np.float64).astype(np.float32)), NPY, accept=JSON))
    assert in_query == in_body


def test_there_may_be_a_slope_for_every_element(client: TestClient) -> None:
    """More than are kept in the cache: powers of two, so the products are exact."""
    slope = np.resize([0.5, 0.25, 2.0], 5000)
    answer = answered(apply(client, "prelu", [-1.0] * 5000, parameters={"slope": slope.tolist()}))
    np.testing.assert_array_equal(answer["data"], -slope)


def test_gelu_tanh_is_another_function(client: TestClient) -> None:
    """Its formula in NumPy; 1 ULP of float64 or two, since the service's route is another."""
    x = np.array([-3.0, -1.0, 0.5, 2.0])
    wanted = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    answer = answered(apply(client, "gelu", x.tolist(), dtype="float64", parameters={"approximate": "tanh"}))
    np.testing.assert_allclose(answer["data"], wanted, rtol=1e-13)


@pytest.mark.parametrize(
    ("name", "given", "text"),
    [
        ("relu", {"alpha": 1}, "relu has no parameter 'alpha'; it takes none"),
        (
            "elu",
            {"beta": 1},
            "no parameter 'beta'; its parameters: alpha (a number from 0 to 100, default 1.0)",
        ),
        ("leaky_relu", {"alpha": 10.5}, "parameter 'alpha': got 10.5, expected a number from 0 to 10"),
        ("leaky_relu", {"alpha": "0.1"}, "parameter 'alpha': got '0.1', expected a number from 0 to 10"),
        ("leaky_relu", {"alpha": True}, "parameter 'alpha': got True, expected a number from 0 to 10"),
        ("leaky_relu", {"alpha": None}, "parameter 'alpha': got None, expected a number from 0 to 10"),
        ("leaky_relu", {"alpha": "NaN"}, "parameter 'alpha': got 'NaN', expected a number from 0 to 10"),
        ("gelu", {"approximate": "erf"}, "parameter 'approximate': got 'erf', expected one of 'none', 'tanh'"),
        ("softmax", {"axis": 0.5}, "parameter 'axis': got 0.5, expected an integer from -32 to 31"),
        ("softmax", {"axis": 2}, "parameter 'axis': got 2, but the data has shape [2, 1]"),
        ("softmax", {"axis": -3}, "parameter 'axis': got -3, but the data has shape [2, 1]"),
        ("prelu", {"slope": [1, 2, 3]}, "parameter 'slope': shape [3] does not broadcast to the data's [2, 1]"),
        ("prelu", {"slope": [1, 2]}, "parameter 'slope': shape [2] does not broadcast to the data's [2, 1]"),
        ("prelu", {"slope": [[1], [1, 2]]}, "parameter 'slope': the nested lists are ragged"),
        ("prelu", {"slope": [["a"]]}, "got 'a', expected a number or nested lists of numbers from -100 to 100"),
        ("prelu", {"slope": [101]}, "parameter 'slope': got 101, expected a number or nested lists"),
    ],
)
def test_a_wrong_parameter_is_refused_with_what_exists(
    client: TestClient, name: str, given: dict[str, Any], text: str
) -> None:
    assert text in refused(apply(client, name, [[1], [2]], parameters=given), 400)


@pytest.mark.parametrize(("name", "nearest"), [("sigmoyd", "sigmoid"), ("ReLU", "relu"), ("leaky-relu", "leaky_relu")])
def test_an_unknown_function_is_404_with_the_nearest(client: TestClient, name: str, nearest: str) -> None:
    text = refused(apply(client, name, [1]), 404)
    assert text.startswith(f"no activation {name!r}. Did you mean {nearest!r}? There are: sigmoid, tanh, relu")


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "image/svg+xml", "application/octet-stream", ""])
def test_a_body_of_another_kind_is_415_with_what_is_read(client: TestClient, kind: str) -> None:
    text = refused(send(client, "/v1/activations/relu", b'{"data": 1}', kind), 415)
    assert text.startswith(f"content type {kind!r}" if kind else "no content type")
    assert text.endswith(
        "this route reads application/json, application/x-npy, image/png, image/jpeg, image/webp, "
        "image/bmp, image/x-ms-bmp, image/gif, multipart/form-data"
    )


def test_dtype_of_an_npy_file_is_its_own(client: TestClient) -> None:
    response = send(client, "/v1/activations/relu?dtype=float64", to_npy(np.ones(2, np.float32)), NPY)
    assert refused(response, 400) == "query parameter 'dtype' is float64, but the .npy file holds float32"
