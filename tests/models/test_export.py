"""What is exported answers like the network that was trained, and says truly what it was measured to do."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="the group `train` is not installed")

from models import architecture, data, export  # noqa: E402  # only where torch is there
from models.export import Source  # noqa: E402
from models.train import TASKS, Pictures, train  # noqa: E402
from models.training import Batches, Recipe  # noqa: E402
from service.engine.runtime.device import Device  # noqa: E402
from service.engine.runtime.session import Session  # noqa: E402

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def pictures(count: int, seed: int = 0) -> data.Split:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return data.Split(images, np.arange(count) % 10, CLASSES, f"digest {seed}")


def source() -> Source:
    held_out, validation = pictures(60), pictures(40, 1)
    return Source(
        (export.prepare(held_out), held_out), (export.prepare(validation), validation), {"train": {"images": 1}}
    )


def warm(net: architecture.ActNet) -> architecture.ActNet:
    """With BatchNorm statistics that are not the initial ones, so that folding them is tested."""
    batches = Batches.of(pictures(64), torch.device("cpu"))
    net.train()(batches.centred(torch.arange(64)))
    return net.eval()


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_the_exported_file_answers_like_the_network(name: str, temperature: float) -> None:
    torch.manual_seed(1)
    net = warm(TASKS[name].net(torch.device("cpu"), 1))
    session = Session.load(export.to_onnx(net, {}, temperature=temperature), Device.cpu())

    assert export.disagreement(net, session, export.prepare(pictures(64)), temperature) <= export.TOLERANCE
    if temperature != 1.0:
        assert export.disagreement(net, session, export.prepare(pictures(64))) > export.TOLERANCE


@pytest.mark.parametrize("name", TASKS)
def test_every_operator_is_in_the_operator_set(name: str) -> None:
    proto = onnx.load_model_from_string(export.to_onnx(TASKS[name].net(torch.device("cpu"), 0).eval(), {}))
    versions = [onnx.defs.get_schema(node.op_type, export.OPSET).since_version for node in proto.graph.node]
    assert max(versions) <= export.OPSET == proto.opset_import[0].version


def test_metadata_goes_into_the_file() -> None:
    session = Session.load(export.to_onnx(architecture.ActNet("relu").eval(), {"kind": "classifier"}), Device.cpu())
    assert session.metadata == {"kind": "classifier"}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of cnn-relu and one of binary-relu, of one epoch."""
    folder = tmp_path_factory.mktemp("checkpoints")
    splits = {
        b: Batches.of(data.binary(pictures(64)) if b else pictures(64), torch.device("cpu")) for b in (False, True)
    }
    read = Pictures(splits, splits, splits)
    for name, seed in (("cnn-relu", 0), ("cnn-relu", 1), ("binary-relu", 0)):
        train(TASKS[name], Recipe(epochs=1, batch_size=32, seed=seed), read, folder)
    return folder


@pytest.mark.parametrize("name", ["cnn-relu", "binary-relu"])
def test_a_card_says_what_the_file_does(checkpoints: Path, tmp_path: Path, name: str) -> None:
    found = sorted(checkpoints.glob(f"{name}-seed*.pt"))
    path = export.export(TASKS[name], found, source(), tmp_path)
    session = Session.load(path.read_bytes(), Device.cpu())
    card = json.loads(session.metadata["card"])
    images, split = source().of(TASKS[name]).validation
    right = float((export.predictions(session.run({"image": images})["logits"]) == split.targets).mean())

    assert card["validation_accuracy"] == card["accuracy_by_seed"]["0"] == right
    assert list(card["accuracy_by_seed"]) == [str(seed) for seed in range(len(found))]
    assert sum(map(sum, card["confusion_matrix"])) == 40
    assert sum(row[i] for i, row in enumerate(card["confusion_matrix"])) == round(40 * right)
    assert card["calibration"]["after"]["nll"] <= card["calibration"]["before"]["nll"] + 0.05
    assert json.loads(session.metadata["labels"]) == list(split.classes)
    assert session.metadata["kind"] == ("binary_classifier" if name == "binary-relu" else "classifier")
    assert card["recipe"]["epochs"] == card["epochs"] == 1


def test_a_file_that_differs_from_the_network_is_not_written(
    checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "TOLERANCE", 1e-12)
    with pytest.raises(RuntimeError, match="cnn-relu: ONNX Runtime and PyTorch differ by"):
        export.export(TASKS["cnn-relu"], sorted(checkpoints.glob("cnn-relu-*")), source(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_confusions_are_counted_by_true_and_chosen_class() -> None:
    assert export.confusion(np.array([0, 1, 1]), np.array([0, 0, 1]), 2) == [[1, 1], [0, 1]]
