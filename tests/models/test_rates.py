"""The learning rate is chosen on held-out pictures, and nothing is trained twice. Needs torch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the group `train` is not installed")

from models import data, lab  # noqa: E402  # only where torch is there
from models.experiments import rates  # noqa: E402
from models.training import Batches, Recipe  # noqa: E402

RECIPE = Recipe(epochs=2, batch_size=16, augment=False, cutout=0, label_smoothing=0.0, weight_decay=0.0)
STAGES = ((4, 4), (8, 2))


def coloured(count: int, seed: int, *, colours: tuple[int, int] = (60, 190)) -> Batches:
    """Two classes that the brightness tells apart, the second brighter; sorted by class."""
    generator = np.random.default_rng(seed)
    targets = np.repeat(np.arange(2), count // 2)
    images = np.array(colours)[targets][:, None, None, None] + generator.integers(-20, 20, (count, 32, 32, 3))
    split = data.Split(images.astype(np.uint8), targets, ("dark", "bright"), "digest")
    return Batches.of(split, torch.device("cpu"))


@pytest.fixture
def place(tmp_path: Path) -> lab.Lab:
    """The held-out targets are the other way round than the validation's: who chooses by which can be told apart."""
    return lab.Lab(coloured(64, 0), coloured(32, 1), coloured(32, 2, colours=(190, 60)), tmp_path / "runs")


def cell(**different: object) -> rates.Cell:
    return replace(rates.Cell("relu", STAGES, norm=True, classes=2), **different)


def test_the_rate_is_chosen_on_held_out_pictures(place: lab.Lab) -> None:
    """1e-9 learns nothing; on the validation set, whose targets are swapped, it would be the better one."""
    chosen, scores = cell().best(place, RECIPE, (0.1, 1e-9), 4)
    assert chosen == 0.1
    assert list(scores) == ["1e-09", "0.1"]
    assert scores["0.1"] == 1.0 > scores["1e-09"]


def test_a_rate_that_diverges_loses(place: lab.Lab) -> None:
    """Without BatchNorm or clipping, the weights overflow."""
    chosen, scores = cell(norm=False).best(place, replace(RECIPE, momentum=0.0), (1e-9, 1e30), 2)
    assert chosen == 1e-9
    assert scores["1e+30"] == 0.0


class Told:
    """A lab whose runs end with the accuracy and loss that were given for each rate."""

    held_out = None

    def __init__(self, ends: dict[float, tuple[float, float | None]]) -> None:
        self._ends = ends

    def trained(self, key: object, make: object, recipe: Recipe, **_: object) -> lab.Result:
        accuracy, loss = self._ends[recipe.peak_learning_rate]
        return {"history": [{"accuracy": accuracy, "loss": loss}]}


@pytest.mark.parametrize(
    ("ends", "best"),
    [
        ({0.1: (0.5, 1.0), 0.2: (0.6, 2.0), 0.3: (0.4, 0.5)}, 0.2),
        ({0.1: (0.1, 2.3), 0.2: (0.1, 2.2), 0.3: (0.1, None)}, 0.2),
        ({0.2: (0.1, 2.3), 0.1: (0.1, 2.3)}, 0.1),
        ({0.1: (0.1, None), 0.2: (0.1, 2.3)}, 0.2),
    ],
)
def test_accuracy_counts_then_loss_then_the_smaller_rate(
    ends: dict[float, tuple[float, float | None]], best: float
) -> None:
    assert cell().best(Told(ends), RECIPE, tuple(ends), 1)[0] == best  # type: ignore[arg-type]


def test_nothing_is_trained_twice(place: lab.Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    first = rates.tuned(place, cell(), RECIPE, 2, rates=(0.1,), epochs=1)
    monkeypatch.setattr(lab, "fit", None)
    assert rates.tuned(place, cell(), RECIPE, 2, rates=(0.1,), epochs=1) == first


def test_each_network_has_its_own_key() -> None:
    different = [
        {},
        {"activation": "elu"},
        {"norm": False},
        {"classes": 10},
        {"stages": ((4, 4), (8, 1))},
        {"head": "sigmoid"},
        {"task": "animal or vehicle"},
    ]
    assert len({str(cell(**how).key) for how in different}) == len(different)


def test_a_run_tells_its_seed_and_its_end(place: lab.Lab) -> None:
    runs = list(cell().runs(place, RECIPE, 2, after=lambda net: {"activation": net.activation}, measured="name"))
    assert [run["seed"] for run in runs] == [0, 1]
    for run in runs:
        assert run["accuracy"] == run["accuracies"][-1]
        assert len(run["losses"]) == RECIPE.epochs
        assert run["activation"] == "relu"
        assert not run["diverged"]
    assert runs[0]["losses"] != runs[1]["losses"]


def test_a_diverged_run_is_kept_and_says_so(place: lab.Lab) -> None:
    recipe = replace(RECIPE, peak_learning_rate=1e30, momentum=0.0, schedule="constant")
    [run] = cell(norm=False).runs(place, recipe, 1)
    assert run["diverged"]
    assert run["losses"][-1] is None
    assert run["accuracy"] == pytest.approx(0.5, abs=0.5)


def test_one_sigmoid_learns_two_classes(place: lab.Lab) -> None:
    _, scores = cell(classes=1, head="sigmoid").best(place, RECIPE, (0.1,), 6)
    assert scores["0.1"] == 1.0
