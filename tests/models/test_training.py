"""Training resumes exactly and exports faithfully. These need torch (group `train`) and are skipped without it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the group `train` is not installed")

from models import architecture, data, export, train  # noqa: E402  # only where torch is there
from service.engine.session import Device, Session  # noqa: E402


@pytest.fixture(scope="module")
def split() -> data.Split:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (64, 32, 32, 3), dtype=np.uint8)
    return data.Split(images, generator.integers(0, 10, 64), tuple("abcdefghij"), "digest")


def batches(split: data.Split) -> train.Batches:
    return train.Batches.of(split, torch.device("cpu"))


RECIPE = train.Recipe(epochs=3, batch_size=32)


class CutShort:
    """A validation set whose second reading is interrupted: the second epoch is lost."""

    def __init__(self, whole: train.Batches) -> None:
        self.targets = whole.targets
        self._whole = whole
        self._readings = 0

    def centred(self, index: torch.Tensor) -> torch.Tensor:
        self._readings += 1
        if self._readings == 2:
            raise KeyboardInterrupt
        return self._whole.centred(index)


def test_a_run_cut_short_goes_on_as_if_it_had_not_been(split: data.Split, tmp_path: Path) -> None:
    """Weights equal bit for bit: the order and augmentation depend on seed and epoch alone."""
    whole = train.train("relu", RECIPE, batches(split), batches(split), tmp_path / "whole")

    with pytest.raises(KeyboardInterrupt):
        train.train("relu", RECIPE, batches(split), CutShort(batches(split)), tmp_path / "cut")  # type: ignore[arg-type]
    resumed = train.train("relu", RECIPE, batches(split), batches(split), tmp_path / "cut")

    first, second = (torch.load(path, weights_only=True)["net"] for path in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_recipe_starts_anew(split: data.Split, tmp_path: Path) -> None:
    for recipe in (RECIPE, replace(RECIPE, epochs=1)):
        path = train.train("relu", recipe, batches(split), batches(split), tmp_path)
    assert len(torch.load(path, weights_only=True)["history"]) == 1


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [RECIPE.learning_rate(p) for p in (0.0, 0.125, 0.25, 0.625, 1.0)]
    np.testing.assert_allclose(rates, [0.0, 0.05, 0.1, 0.05, 0.0], atol=1e-12)


def test_a_shift_and_a_mirror_move_the_pixels(split: data.Split) -> None:
    prepared = batches(split)
    index = torch.tensor([5])
    still = prepared.centred(index)[0]
    moved = prepared.take(index, torch.tensor([[train.PADDING + 1, train.PADDING]]), torch.tensor([True]))[0]

    torch.testing.assert_close(moved[:, :-1, :], still[:, 1:, :].flip(2))
    np.testing.assert_allclose(still, export.prepare(split)[5], atol=1e-6)


@pytest.mark.parametrize("activation", architecture.ACTIVATIONS)
def test_the_exported_file_answers_like_the_network(activation: str, split: data.Split) -> None:
    """With BatchNorm statistics that are not the initial ones, so that folding them is tested."""
    torch.manual_seed(1)
    net = architecture.ActNet(activation)
    net.train()(batches(split).centred(torch.arange(64)))
    net.eval()
    session = Session.load(export.to_onnx(net, {}), Device.cpu())

    assert export.disagreement(net, session, export.prepare(split)) <= export.TOLERANCE


def test_the_size_is_counted_right() -> None:
    counted = architecture.size()
    weights = sum(p.numel() for p in architecture.ActNet("relu").parameters())
    norms = sum(2 * width for width, _ in architecture.STAGES)
    biases = sum(width for width, _ in architecture.STAGES)

    assert counted.parameters == weights - norms + biases
    assert counted.macs == 14_967_744


def test_metadata_goes_into_the_file() -> None:
    session = Session.load(export.to_onnx(architecture.ActNet("relu").eval(), {"kind": "classifier"}), Device.cpu())
    assert session.metadata == {"kind": "classifier"}
