"""The committed CNNs are what they are said to be, and see what is in a picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
OPERATORS = {
    "relu": {"Relu"},
    "leaky_relu": {"LeakyRelu"},
    "elu": {"Elu"},
    "swish": {"Sigmoid", "Mul"},
    "tanh": {"Tanh"},
    "sigmoid": {"Sigmoid"},
    "softmax": {"Softmax"},
    "identity": {"Identity"},
    "gelu": {"Erf", "Add", "Mul"},
    "mish": {"Softplus", "Tanh", "Mul"},
}
"""Of each hidden activation, in operator set 17."""
MODELS = {m.name: m for m in repository.load(PACKAGED_REPOSITORY, Device.cpu(), threads=1).models()}
EACH = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def sample(model: Model, name: str) -> np.ndarray:
    picture = images.decode((SAMPLES / f"{name}.jpg").read_bytes(), max_pixels=10**6, max_side=10**4)
    assert model.description.preprocessing is not None
    return images.preprocess(picture, model.description.preprocessing)


def file(model: Model) -> onnx.ModelProto:
    return onnx.load(PACKAGED_REPOSITORY / model.name / str(model.version) / FILE)


def cards(model: Model) -> Mapping[str, Any]:
    assert model.description.card is not None
    return model.description.card


def binary(model: Model) -> bool:
    return model.description.kind == "binary_classifier"


def test_there_is_one_for_every_hidden_activation_and_one_of_two_classes() -> None:
    assert {*(f"cnn-{name}" for name in OPERATORS), "binary-relu"} == set(MODELS)


def test_all_were_trained_alike() -> None:
    """Two recipes differ in the learning rate that was chosen, and in nothing else."""
    recipes = [cards(model)["recipe"] | {"peak_learning_rate": 0} for model in MODELS.values()]
    assert all(recipe == recipes[0] for recipe in recipes)
    assert {cards(model)["epochs"] for model in MODELS.values()} == {recipes[0]["epochs"]}
    assert len({cards(model)["data"]["train"]["sha256"] for model in MODELS.values()}) == 1


@EACH
def test_the_activation_is_the_only_nonlinearity(model: Model) -> None:
    """Convolutions, the activation, the mean, a linear layer; softmax at the end. No pooling by maximum."""
    activation, head = str(model.description.activation), "Sigmoid" if binary(model) else "Softmax"
    linear = {"Conv", "GlobalAveragePool", "Flatten", "Gemm", "Identity"}
    operators = [node.op_type for node in file(model).graph.node]

    assert set(operators) - linear == (OPERATORS[activation] | {"Mul", head}) - linear
    assert operators.count("Conv") == 7
    assert operators.count(head) == (8 if head in OPERATORS[activation] else 1)


@EACH
def test_the_file_is_small_and_old_runtimes_read_it(model: Model) -> None:
    proto = file(model)
    weights = sum(numpy_helper.to_array(tensor).size for tensor in proto.graph.initializer)
    scalars = sum(numpy_helper.to_array(tensor).ndim == 0 for tensor in proto.graph.initializer)  # of the activation

    assert weights - scalars == cards(model)["parameters"] <= 300_000
    assert (proto.opset_import[0].version, proto.ir_version) == (17, 8)


@EACH
def test_the_file_describes_itself(model: Model) -> None:
    about, card = model.description, cards(model)
    assert about.kind == ("binary_classifier" if model.name == "binary-relu" else "classifier")
    assert model.name == f"{'binary' if binary(model) else 'cnn'}-{about.activation}"
    assert about.labels == (("vehicle", "animal") if binary(model) else LABELS)
    assert about.preprocessing is not None
    assert (about.preprocessing.height, about.preprocessing.width) == (32, 32)
    assert {"data", "recipe", "seeds", "epochs", "learning_rates", "macs", "device", "date", "versions"} <= set(card)
    assert card["largest_difference_from_pytorch"] <= 1e-5
    assert {name: split["images"] for name, split in card["data"].items() if name != "name"} == {
        "train": 47_500,
        "held_out": 2_500,
        "validation": 5_000,
    }


@EACH
def test_the_cards_numbers_fit_each_other(model: Model) -> None:
    card = cards(model)
    confusion = np.array(card["confusion_matrix"])
    assert confusion.sum() == 5_000
    assert confusion.trace() / 5_000 == card["validation_accuracy"]
    assert card["accuracy_by_seed"][str(card["seeds"][0])] == card["validation_accuracy"]
    assert {"ece", "ece_floor_95", "nll", "brier"} <= set(card["calibration"]["after"])
    assert card["calibration"]["after"]["nll"] < card["calibration"]["before"]["nll"]


@EACH
def test_it_sees_what_is_in_the_samples(model: Model) -> None:
    """Ten pictures, one a class. Chance would get one right; the affine map is no better than 40 % in general."""
    batch, classes = np.stack([sample(model, name) for name in LABELS]), np.arange(10)
    probabilities = model.run({"image": batch})["probabilities"]
    if binary(model):
        vehicles = np.isin(LABELS, ["airplane", "automobile", "ship", "truck"])
        assert int(((probabilities[:, 0] < 0.5) == vehicles).sum()) >= 9
    else:
        right = int((probabilities.argmax(axis=1) == classes).sum())
        assert right >= (4 if model.name == "cnn-identity" else 8)


@EACH
def test_probabilities_are_those_of_the_logits_at_the_cards_temperature(model: Model) -> None:
    out = model.run({"image": sample(model, "cat")[None]})
    scaled = out["logits"].astype(np.float64) / cards(model)["calibration"]["temperature"]
    powers = np.exp(scaled - scaled.max())
    expected = 1 / (1 + np.exp(-scaled)) if binary(model) else powers / powers.sum()

    np.testing.assert_allclose(out["probabilities"], expected, atol=1e-6)


@EACH
def test_a_batch_answers_like_its_pictures_one_by_one(model: Model) -> None:
    """To 1e-5 of the largest logit: ONNX Runtime may choose another way of summing for another batch size."""
    batch = np.stack([sample(model, name) for name in LABELS])
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
