"""Training resumes exactly, whatever the recipe. These need torch (group `train`) and are skipped without it."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the group `train` is not installed")

from models import architecture, data, export, training  # noqa: E402  # only where torch is there
from models.training import Batches, Order, Recipe, fit  # noqa: E402

TINY: architecture.Stages = ((4, 2), (4, 2))
RECIPE = Recipe(epochs=3, batch_size=32, cutout=6)
MUON = replace(RECIPE, optimizer="Muon", peak_learning_rate=0.02)


@pytest.fixture(scope="module")
def split() -> data.Split:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (64, 32, 32, 3), dtype=np.uint8)
    return data.Split(images, generator.integers(0, 10, 64), tuple("abcdefghij"), "digest")


@pytest.fixture(scope="module")
def batches(split: data.Split) -> Batches:
    return Batches.of(split, torch.device("cpu"))


def net(seed: int = 0, **options: object) -> architecture.ActNet:
    torch.manual_seed(seed)
    return architecture.ActNet("relu", stages=TINY, **options)


class CutShort:
    """A validation set whose second reading is interrupted: the second epoch is lost."""

    def __init__(self, whole: Batches) -> None:
        self.targets = whole.targets
        self._whole = whole
        self._readings = 0

    def centred(self, index: torch.Tensor) -> torch.Tensor:
        self._readings += 1
        if self._readings == 2:
            raise KeyboardInterrupt
        return self._whole.centred(index)


@pytest.mark.parametrize("recipe", [RECIPE, MUON], ids=["SGD", "Muon"])
def test_a_run_cut_short_goes_on_as_if_it_had_not_been(batches: Batches, tmp_path: Path, recipe: Recipe) -> None:
    """Weights equal bit for bit: the order and augmentation depend on seed and epoch alone."""
    whole, cut, resumed = net(), net(), net(seed=1)
    expected = fit(whole, recipe, batches, batches)
    with pytest.raises(KeyboardInterrupt):
        fit(cut, recipe, batches, CutShort(batches), checkpoint=tmp_path / "run.pt")  # type: ignore[arg-type]
    found = fit(resumed, recipe, batches, batches, checkpoint=tmp_path / "run.pt")

    pairs = zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    assert all(torch.equal(first, second) for first, second in pairs)
    assert [epoch.loss for epoch in found] == [epoch.loss for epoch in expected]


def test_another_recipe_starts_anew(batches: Batches, tmp_path: Path) -> None:
    for recipe in (RECIPE, replace(RECIPE, epochs=1)):
        history = fit(net(), recipe, batches, batches, checkpoint=tmp_path / "run.pt")
    assert len(history) == 1


def test_a_run_that_diverges_ends(batches: Batches) -> None:
    history = fit(net(norm=False), replace(RECIPE, peak_learning_rate=1e30, schedule="constant"), batches, batches)
    assert not math.isfinite(history[-1].loss)
    assert len(history) < RECIPE.epochs


def test_it_learns_what_can_be_learnt() -> None:
    """Dark and bright pictures; half of the epochs would do."""
    images = np.repeat(np.array([40, 200], np.uint8), 64)[:, None, None, None] * np.ones((1, 32, 32, 3), np.uint8)
    split = data.Split(images, np.repeat(np.array([0, 1]), 64), ("dark", "bright"), "")
    prepared = Batches.of(split, torch.device("cpu"))
    for classes, loss, recipe in (
        (2, training.softmax_loss, RECIPE),
        (2, training.softmax_loss, MUON),
        (2, training.sigmoid_loss, RECIPE),
        (1, training.sigmoid_loss, RECIPE),
    ):
        history = fit(net(classes=classes), replace(recipe, epochs=6, batch_size=16), prepared, prepared, loss=loss)
        assert history[-1].accuracy == 1.0
        assert history[-1].loss < history[0].loss


def test_the_learning_rate_rises_and_falls() -> None:
    heights = [RECIPE.height(p) for p in (0.0, 0.125, 0.25, 0.625, 1.0)]
    np.testing.assert_allclose(heights, [0.0, 0.5, 1.0, 0.5, 0.0], atol=1e-12)
    assert {replace(RECIPE, schedule="constant").height(p) for p in (0.0, 0.5, 1.0)} == {1.0}


def test_a_shift_and_a_mirror_move_the_pixels(split: data.Split, batches: Batches) -> None:
    index = torch.tensor([5])
    still = batches.centred(index)[0]
    moved = batches.take(index, torch.tensor([[training.PADDING + 1, training.PADDING]]), torch.tensor([True]))[0]

    torch.testing.assert_close(moved[:, :-1, :], still[:, 1:, :].flip(2))
    np.testing.assert_allclose(still, export.prepare(split)[5], atol=1e-6)


def test_an_epochs_order_is_its_own_and_the_same_again() -> None:
    first, again, other = (Order.of(RECIPE, epoch, 64, torch.device("cpu")) for epoch in (0, 0, 1))
    assert torch.equal(first.index, again.index)
    assert torch.equal(first.blank, again.blank)
    assert not torch.equal(first.index, other.index)
    assert sorted(first.index.tolist()) == list(range(64))


def test_without_augmentation_pictures_stay_as_they_are(batches: Batches) -> None:
    recipe = replace(RECIPE, augment=False, cutout=0, shrunk=0.0)
    order = Order.of(recipe, 0, 64, torch.device("cpu"))
    images, targets = next(iter(order.batches(batches, recipe)))

    torch.testing.assert_close(images, batches.centred(order.index[:32]))
    assert torch.equal(targets, batches.targets[order.index[:32]])


@pytest.mark.parametrize(("centre", "blank"), [((16, 16), 36), ((0, 0), 9), ((31, 16), 24), ((0, 31), 12)])
def test_a_cutout_blanks_a_square_and_less_at_the_border(centre: tuple[int, int], blank: int) -> None:
    cut = training.cut_out(torch.ones(1, 3, 32, 32), torch.tensor([centre]), 6)
    assert int((cut == 0).sum()) == 3 * blank


def test_pictures_are_shrunk_in_the_first_part_of_a_run(batches: Batches) -> None:
    recipe = replace(RECIPE, epochs=5, shrunk=0.6)
    sides = []
    for epoch in range(5):
        images, _ = next(iter(Order.of(recipe, epoch, 64, torch.device("cpu")).batches(batches, recipe)))
        sides.append(tuple(images.shape[2:]))
    assert sides == [(24, 24)] * 3 + [(32, 32)] * 2
    assert {replace(RECIPE, shrunk=0.0).side(epoch) for epoch in range(3)} == {32}


def test_a_shrunk_picture_shows_the_same() -> None:
    """A slope stays a slope, but for the border."""
    slope = torch.arange(32.0).expand(1, 3, 32, 32)
    steps = training.shrink(slope, 24)[0, 0, 12, 2:-2].diff()
    torch.testing.assert_close(steps, torch.full((19,), 32 / 24), atol=0.05, rtol=0)


def test_less_pictures_than_a_batch_are_an_error(batches: Batches) -> None:
    with pytest.raises(ValueError, match="64 pictures are less than one batch of 65"):
        fit(net(), replace(RECIPE, batch_size=65), batches, batches)


def test_bfloat16_is_for_processors_that_have_it(batches: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Listening(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3072, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits = self.layer(x.flatten(1))
            if self.training:
                seen.append(logits.dtype)
            return logits

    for fast in (True, False):
        monkeypatch.setattr(training, "has_fast_bfloat16", lambda _, fast=fast: fast)
        fit(Listening(), replace(RECIPE, epochs=1, batch_size=64, shrunk=0.0), batches, batches)
    assert seen == [torch.bfloat16, torch.float32]


def test_one_logit_is_right_where_its_sign_is() -> None:
    class Sign(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(dim=(1, 2, 3))[:, None]

    images = np.array([0, 255], np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 3), np.uint8)
    for targets, expected in (([0, 1], 1.0), ([1, 1], 0.5), ([1, 0], 0.0)):
        split = data.Split(images, np.array(targets), ("vehicle", "animal"), "")
        assert training.evaluate(Sign(), Batches.of(split, torch.device("cpu"))) == expected
