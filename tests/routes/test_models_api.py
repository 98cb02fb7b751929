"""/v1/models: the packaged networks, and what they see in a picture, however it is sent."""

import base64
import io
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from service.wire.images import Preprocessing
from tests.routes.sending import (
    JPEG,
    JSON,
    NPY,
    PNG,
    Array,
    answered,
    decoded,
    encoded,
    numbers,
    refused,
    send,
    to_npy,
)

PREDICT = "/v1/models/cnn-relu/predict"
LABELS = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
NETWORKS = [f"cnn-{name}" for name in ("elu", "leaky_relu", "relu", "sigmoid", "swish", "tanh")]


def prepared(client: TestClient, pixels: Array) -> Array:
    """A 32×32 picture as the network takes it, by the formula that its metadata promises."""
    how = answered(client.get("/v1/models/cnn-relu"))["preprocessing"]
    values = (pixels * how["scale"] - np.array(how["mean"])) / np.array(how["std"])
    return np.asarray(values.transpose(2, 0, 1)[None].astype(np.float32))


def only(response: httpx2.Response) -> dict[str, Any]:
    """The single prediction of an answer."""
    (prediction,) = answered(response)["predictions"]
    assert isinstance(prediction, dict)
    return prediction


def test_the_packaged_networks_are_listed_and_ready(client: TestClient) -> None:
    shown = {model["name"]: model for model in answered(client.get("/v1/models"))["models"]}
    assert set(NETWORKS) <= set(shown)
    assert {model["state"] for model in shown.values()} == {"READY"}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_described(client: TestClient, name: str) -> None:
    model = answered(client.get(f"/v1/models/{name}"))
    assert (model["kind"], model["activation"], model["labels"]) == ("classifier", name.removeprefix("cnn-"), LABELS)
    assert (model["version"], model["versions"], model["reason"]) == ("1", ["1"], None)
    assert model["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 3, 32, 32]}]
    assert [port["shape"] for port in model["outputs"]] == [[-1, 10], [-1, 10]]
    assert model["provider"] == "CPUExecutionProvider"
    assert list(model["placement"]) == ["CPUExecutionProvider"]
    assert model["card"]["validation_accuracy"] > 0.5
    Preprocessing.from_dict(model["preprocessing"])  # raises if it is not what the service itself reads


@pytest.mark.parametrize("path", ["/v1/models/cnn-rellu", "/v1/models/cnn-rellu/predict"])
def test_an_unknown_model_is_404_with_the_nearest(client: TestClient, path: str) -> None:
    response = client.post(path, json={}) if path.endswith("predict") else client.get(path)
    text = refused(response, 404)
    assert text == "Request for unknown model: 'cnn-rellu' is not found. Did you mean 'cnn-relu'?"


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_knows_a_horse(client: TestClient, name: str, horse: bytes) -> None:
    answer = answered(send(client, f"/v1/models/{name}/predict", horse, JPEG))
    assert (answer["model"], answer["version"], answer["provider"]) == (name, "1", "CPUExecutionProvider")
    assert answer["activation"] == name.removeprefix("cnn-")
    assert answer["predictions"][0]["label"] == "horse"
    assert all(milliseconds >= 0 for milliseconds in answer["timing_ms"].values())


def test_the_answer_does_not_depend_on_how_the_picture_is_sent(client: TestClient, horse: bytes) -> None:
    """A 32×32 picture keeps its pixels, so every way leads to the same tensor and the same bits."""
    pixels = decoded(horse)
    data = prepared(client, pixels)
    text = base64.b64encode(horse).decode()
    ways = [
        send(client, PREDICT, horse, JPEG),
        send(client, PREDICT, horse, PNG),  # the content decides, not its type
        send(client, PREDICT, encoded(pixels), PNG),
        send(client, PREDICT, encoded(pixels, "BMP"), "image/bmp"),
        send(client, PREDICT, encoded(pixels, "WEBP", lossless=True), "image/webp"),
        client.post(PREDICT, files={"file": ("horse.jpg", horse, JPEG)}),
        client.post(PREDICT, files={"file": ("../../horse", horse)}),
        client.post(PREDICT, json={"images": [text]}),
        client.post(PREDICT, json={"images": [f"data:image/jpeg;base64,{text}"]}),
        client.post(PREDICT, json={"data": data.tolist()}),
        send(client, PREDICT, to_npy(data), NPY),
    ]
    first, *others = (only(response) for response in ways)
    assert first["label"] == "horse"
    for index, other in enumerate(others, 1):
        assert other == first, ways[index].request.headers["content-type"]


def test_several_pictures_are_answered_in_order(client: TestClient, horse: bytes) -> None:
    black = encoded(np.zeros((32, 32, 3), np.uint8))
    files = [("file", ("a", picture)) for picture in (horse, black, horse)]
    by_form = answered(client.post(PREDICT, files=files))["predictions"]
    texts = [base64.b64encode(picture).decode() for picture in (horse, black, horse)]
    by_json = answered(client.post(PREDICT, json={"images": texts}))["predictions"]
    assert by_form == by_json
    assert by_form[0] == by_form[2] != by_form[1]
    # Alone or in a batch: ONNX Runtime may add in another order, so a few ULP of float32.
    alone = only(send(client, PREDICT, horse, JPEG))
    np.testing.assert_allclose(by_form[0]["logits"], alone["logits"], rtol=1e-5)


@pytest.mark.parametrize(("query", "count"), [("", 3), ("?top_k=1", 1), ("?top_k=10", 10), ("?top_k=1000", 10)])
def test_top_k_ranks_the_classes(client: TestClient, horse: bytes, query: str, count: int) -> None:
    prediction = only(send(client, PREDICT + query, horse, JPEG))
    probabilities = prediction["probabilities"]
    ranked = sorted(range(10), key=lambda index: -probabilities[index])[:count]
    assert [entry["index"] for entry in prediction["top"]] == ranked
    assert [entry["label"] for entry in prediction["top"]] == [LABELS[index] for index in ranked]
    assert [entry["probability"] for entry in prediction["top"]] == [probabilities[index] for index in ranked]
    assert prediction["top"][0] == {key: prediction[key] for key in ("label", "index", "probability")}


def test_probabilities_are_the_softmax_of_the_logits_at_the_cards_temperature(client: TestClient, horse: bytes) -> None:
    prediction = only(send(client, PREDICT, horse, JPEG))
    card = answered(client.get("/v1/models/cnn-relu"))["card"]
    logits = numbers(prediction["logits"]) / card["calibration"]["temperature"]
    wanted = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    # Logits near 10 carry an error of 1e-6 in float32, and a probability that error relatively.
    np.testing.assert_allclose(prediction["probabilities"], wanted, rtol=1e-5)
    assert sum(prediction["probabilities"]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("width", "height"), [(1040, 640), (640, 1040)])
def test_a_big_photo_is_cropped_around_its_centre_and_resized(
    client: TestClient, horse: bytes, width: int, height: int
) -> None:
    """A twentieth of the whole, and of that the middle 32×32: the same pixels by the other order of steps."""
    photo = Image.open(io.BytesIO(horse)).resize((width, height), Image.Resampling.NEAREST)
    small = photo.resize((width // 20, height // 20), Image.Resampling.BICUBIC)
    left, top = (small.width - 32) // 2, (small.height - 32) // 2
    middle = small.crop((left, top, left + 32, top + 32))
    got, wanted = (only(send(client, PREDICT, encoded(np.asarray(image)), PNG)) for image in (photo, middle))
    assert got == wanted


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_upright_as_its_exif_says(client: TestClient, horse: bytes, orientation: int) -> None:
    """Stored turned with the tag of that turn, it is the upright picture again, bit for bit."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = Image.open(io.BytesIO(horse))
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright.copy()
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    stored.save(buffer, "PNG", exif=exif)
    assert only(send(client, PREDICT, buffer.getvalue(), PNG)) == only(send(client, PREDICT, horse, JPEG))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "LA", "1", "I;16"])
def test_other_kinds_of_pictures_are_read_as_rgb(client: TestClient, horse: bytes, mode: str) -> None:
    picture: Image.Image = Image.open(io.BytesIO(horse))
    picture = Image.fromarray(np.full((32, 32), 40_000, np.uint16)) if mode == "I;16" else picture.convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG" if mode == "CMYK" else "PNG")
    assert len(only(send(client, PREDICT, buffer.getvalue(), PNG))["probabilities"]) == 10


def test_no_rows_are_no_predictions(client: TestClient) -> None:
    response = send(client, PREDICT, to_npy(np.zeros((0, 3, 32, 32), np.float32)), NPY)
    assert answered(response)["predictions"] == []


def test_data_that_are_not_finite_are_answered_and_not_an_error(client: TestClient) -> None:
    data = np.full((1, 3, 32, 32), "NaN", dtype=object).tolist()
    prediction = only(client.post(PREDICT, json={"data": data}))
    assert prediction["probabilities"] == ["NaN"] * 10


@pytest.mark.parametrize(
    ("data", "got"),
    [([1.0], "[1]"), (np.zeros((3, 32, 32)).tolist(), "[3,32,32]"), (np.zeros((1, 3, 31, 32)).tolist(), "[1,3,31,32]")],
)
def test_a_tensor_of_another_shape_is_refused_with_the_right_one(client: TestClient, data: Any, got: str) -> None:
    text = refused(client.post(PREDICT, json={"data": data}), 400)
    assert text == f"unexpected shape for input 'image' for model 'cnn-relu'. Expected [-1,3,32,32], got {got}"


@pytest.mark.parametrize("kind", ["text/plain", "image/svg+xml", "application/x-www-form-urlencoded", "video/mp4"])
def test_a_body_of_another_kind_is_415_with_what_is_read(client: TestClient, kind: str) -> None:
    text = refused(send(client, PREDICT, b"x", kind), 415)
    assert text.startswith(f"content type {kind!r}; this route reads image/png, image/jpeg")
    assert text.endswith(f"{JSON}, {NPY}")
