"""The committed CNNs are what they are said to be, and see what is in a picture."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from service.engine import repository
from service.engine.folder import FILE
from service.engine.model import Model
from service.engine.runtime.device import Device
from service.settings import PACKAGED_REPOSITORY
from service.wire import images

SAMPLES = Path(__file__).parent.parent.parent / "service" / "web" / "samples"
LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
HIDDEN = ("relu", "leaky_relu", "elu", "swish", "tanh", "sigmoid", "softmax", "identity")
OPERATORS = {
    "relu": {"Relu"},
    "leaky_relu": {"LeakyRelu"},
    "elu": {"Elu"},
    "swish": {"Sigmoid", "Mul"},
    "tanh": {"Tanh"},
    "sigmoid": {"Sigmoid"},
    "softmax": {"Softmax"},
    "identity": {"Identity"},
}
MODELS = {m.name: m for m in repository.load(PACKAGED_REPOSITORY, Device.cpu(), threads=1).models()}
EACH = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def sample(model: Model, name: str) -> np.ndarray:
    picture = images.decode((SAMPLES / f"{name}.jpg").read_bytes(), max_pixels=10**6, max_side=10**4)
    assert model.description.preprocessing is not None
    return images.preprocess(picture, model.description.preprocessing)


def file(model: Model) -> onnx.ModelProto:
    return onnx.load(PACKAGED_REPOSITORY / model.name / str(model.version) / FILE)


def test_there_is_one_for_every_hidden_activation_of_the_article() -> None:
    assert {f"cnn-{name}" for name in HIDDEN} == set(MODELS)


@EACH
def test_the_activation_is_the_only_nonlinearity(model: Model) -> None:
    """Convolutions, the activation, the mean, a linear layer; softmax at the end. No pooling by maximum."""
    activation = str(model.description.activation)
    linear = {"Conv", "GlobalAveragePool", "Flatten", "Gemm", "Identity"}
    operators = [node.op_type for node in file(model).graph.node]

    assert set(operators) - linear == (OPERATORS[activation] | {"Softmax"}) - linear
    assert operators.count("Conv") == 7
    assert operators.count("Softmax") == (8 if activation == "softmax" else 1)


@EACH
def test_the_file_is_small_and_old_runtimes_read_it(model: Model) -> None:
    proto = file(model)
    weights = sum(numpy_helper.to_array(tensor).size for tensor in proto.graph.initializer)
    assert model.description.card is not None

    assert weights == model.description.card["parameters"] <= 300_000
    assert (proto.opset_import[0].version, proto.ir_version) == (17, 8)


@EACH
def test_the_file_describes_itself(model: Model) -> None:
    about = model.description
    assert about.kind == "classifier"
    assert f"cnn-{about.activation}" == model.name
    assert about.labels == LABELS
    assert about.preprocessing is not None
    assert (about.preprocessing.height, about.preprocessing.width) == (32, 32)
    assert about.card is not None
    assert {"data", "recipe", "seeds", "epochs", "validation_accuracy", "date", "versions"} <= set(about.card)
    assert about.card["largest_difference_from_pytorch"] <= 1e-5
    assert about.card["data"]["train"]["images"] == 50_000


@EACH
def test_it_sees_what_is_in_the_samples(model: Model) -> None:
    """Ten pictures, one a class. Chance would get one right; the affine map is no better than 40 % in general."""
    assert model.description.labels is not None
    batch = np.stack([sample(model, name) for name in model.description.labels])
    right = int((model.run({"image": batch})["probabilities"].argmax(axis=1) == np.arange(10)).sum())

    assert right >= (4 if model.name == "cnn-identity" else 8)


@EACH
def test_probabilities_are_the_softmax_of_the_logits(model: Model) -> None:
    out = model.run({"image": sample(model, "cat")[None]})
    powers = np.exp(out["logits"].astype(np.float64) - out["logits"].max())

    np.testing.assert_allclose(out["probabilities"], powers / powers.sum(), atol=1e-6)


@EACH
def test_a_batch_answers_like_its_pictures_one_by_one(model: Model) -> None:
    """To 1e-5 of the largest logit: ONNX Runtime may choose another way of summing for another batch size."""
    assert model.description.labels is not None
    batch = np.stack([sample(model, name) for name in model.description.labels])
    whole = model.run({"image": batch})["logits"]
    singles = np.concatenate([model.run({"image": picture[None]})["logits"] for picture in batch])

    np.testing.assert_allclose(whole, singles, atol=1e-5 * np.abs(whole).max())


def residual(model: Model) -> float:
    """Of f(x + y) − f(x) − f(y) + f(0), relative to f's size: 0 for an affine map."""
    x, y = sample(model, "cat"), sample(model, "truck")
    both, first, second, zero = model.run({"image": np.stack([x + y, x, y, 0 * x])})["logits"].astype(np.float64)
    return float(np.abs(both - first - second + zero).max() / (np.abs(first).max() + np.abs(second).max()))


@EACH
def test_only_the_network_without_activation_is_affine(model: Model) -> None:
    """The article's claim A, on two pictures."""
    if model.name == "cnn-identity":
        assert residual(model) < 1e-5
    else:
        assert residual(model) > 0.05


def test_the_network_without_activation_is_one_matrix() -> None:
    """Seven layers collapse into 30,720 numbers and a constant, which give its logits to 1e-4 of the largest."""
    identity = MODELS["cnn-identity"]

    def logits(images: np.ndarray) -> np.ndarray:
        parts = [identity.run({"image": images[i : i + 512]})["logits"] for i in range(0, len(images), 512)]
        return np.concatenate(parts).astype(np.float64)

    far = 100.0  # so that the constant's rounding is seen less
    constant = logits(np.zeros((1, 3, 32, 32), np.float32))[0]
    matrix = (logits(far * np.eye(3072, dtype=np.float32).reshape(-1, 3, 32, 32)) - constant) / far
    pictures = np.stack([sample(identity, name) for name in LABELS])
    pictures = np.concatenate([pictures, np.random.default_rng(0).standard_normal((90, 3, 32, 32), np.float32)])
    expected = pictures.reshape(len(pictures), -1) @ matrix + constant

    found = logits(pictures)
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(found).max()
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))


def test_the_files_are_small_enough_to_be_committed() -> None:
    sizes = [path.stat().st_size for path in PACKAGED_REPOSITORY.glob("*/*/model.onnx")]
    assert sum(sizes) <= 15e6
