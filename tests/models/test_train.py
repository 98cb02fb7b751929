"""From pictures on disk to served models, by the commands that `make models` runs; how the learning rate is chosen."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the group `train` is not installed")

from models import data, export, train  # noqa: E402  # only where torch is there
from models.train import TASKS, Pictures, Task, choose_rate, rates, stretched  # noqa: E402
from models.training import Recipe  # noqa: E402
from service.engine import repository  # noqa: E402
from service.engine.runtime.device import Device  # noqa: E402
from tests.models.pictures import write_pictures  # noqa: E402


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cifar")
    write_pictures(folder, {"train": 66, "validation": 26})
    return folder


def test_pictures_become_served_models(source: Path, tmp_path: Path) -> None:
    """Two of the networks; the command for all of them is the same without their names."""
    names, checkpoints, served = ["cnn-relu", "binary-relu"], tmp_path / "checkpoints", tmp_path / "repository"
    options = ["--data", str(source), "--checkpoints", str(checkpoints)]
    train.main([*names, *options, "--quick"])
    export.main([*options, "--repository", str(served)])

    found = repository.load(served, Device.cpu(), threads=1)
    assert [model.name for model in found.models()] == sorted(names)
    for model in found.models():
        assert model.description.card is not None
        assert model.description.card["data"]["train"]["images"] == 630
        assert model.description.card["data"]["held_out"]["images"] == 30
    for name in names:
        assert set(json.loads(rates(TASKS[name], checkpoints, 1).read_text())) == {"0.02", "0.04", "0.08"}


def test_the_command_goes_on_where_it_stopped(source: Path, tmp_path: Path) -> None:
    options = ["cnn-relu", "--data", str(source), "--checkpoints", str(tmp_path), "--quick"]
    train.main(options)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    train.main(options)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before

    train.main([*options, "--seeds", "0", "3"])
    assert (tmp_path / "cnn-relu-seed3.pt").exists()


def test_an_unknown_model_is_an_error_that_names_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train.main(["cnn-rellu", "--data", "x.zip"])
    assert "unknown models ['cnn-rellu']; there are ['cnn-relu'," in capsys.readouterr().err


def test_a_source_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        train.main(["cnn-relu", "--data", str(tmp_path / "nowhere.zip")])


def test_the_learning_rate_is_the_best_on_held_out_pictures(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them leads nowhere: every weight is a number beyond all others after the first step."""
    monkeypatch.setattr(train, "LEARNING_RATES", (0.05, 1e30))
    pictures = Pictures.read(source, torch.device("cpu"))
    recipe = Recipe(batch_size=20, label_smoothing=0.0, cutout=0)

    assert choose_rate(TASKS["cnn-relu"], recipe, pictures, tmp_path, 4) == 0.05
    known = json.loads(rates(TASKS["cnn-relu"], tmp_path, recipe.epochs).read_text())
    assert known["0.05"] > known["1e+30"]


class Untrainable(Task):
    """Fails where a network of it is asked for."""

    def net(self, device: torch.device, seed: int) -> None:  # type: ignore[override]
        raise AssertionError("it is trained again")


@pytest.mark.parametrize(
    ("accuracies", "chosen"),
    [((0.1, 0.9, 0.3), 0.04), ((0.1, 0.3, 0.9), 0.08), ((0.1, 0.79, 0.8), 0.04), ((0.9, 0.9, 0.9), 0.02)],
)
def test_of_rates_that_cannot_be_told_apart_the_lowest_is_chosen(
    tmp_path: Path, source: Path, accuracies: tuple[float, ...], chosen: float
) -> None:
    """The standard error of 80 % on a hundred pictures is four points, and the source holds out less than a hundred."""
    recipe = Recipe(epochs=50)
    known = {str(rate): accuracy for rate, accuracy in zip(train.LEARNING_RATES, accuracies, strict=True)}
    train.write(rates(TASKS["cnn-elu"], tmp_path, 50), known)
    pictures = Pictures.read(source, torch.device("cpu"))

    assert choose_rate(Untrainable("cnn-elu", "elu"), recipe, pictures, tmp_path) == chosen


def test_a_run_of_four_times_the_steps_takes_half_the_rate() -> None:
    """A short run has an epoch's steps for each `SEARCH_PART` of its epochs."""
    assert stretched(0.04, Recipe(epochs=6), 6 * train.SEARCH_PART) == pytest.approx(0.04)
    assert stretched(0.04, Recipe(epochs=24), 6 * train.SEARCH_PART) == pytest.approx(0.02)


def test_a_rate_that_was_tried_is_not_tried_again(tmp_path: Path, source: Path) -> None:
    train.write(rates(TASKS["cnn-elu"], tmp_path, 50), {str(rate): 0.5 for rate in train.LEARNING_RATES})
    pictures = Pictures.read(source, torch.device("cpu"))
    task, recipe = Untrainable("cnn-elu", "elu"), Recipe(epochs=50)

    choose_rate(task, recipe, pictures, tmp_path)
    with pytest.raises(AssertionError, match="trained again"):
        choose_rate(task, replace(recipe, epochs=49), pictures, tmp_path)


@pytest.mark.parametrize(("each", "expected"), [(5000, 250), (66, 3), (7, 1)])
def test_one_picture_of_twenty_is_held_out(each: int, expected: int) -> None:
    targets = np.repeat(np.arange(2), each)
    split = data.Split(np.zeros((2 * each, 1, 1, 3), np.uint8), targets, ("a", "b"), "digest")
    training, held_out = train.hold_out(split)

    assert len(held_out.targets) == 2 * expected
    assert len(training.targets) == 2 * (each - expected)


def test_every_activation_has_a_network_and_relu_a_binary_one() -> None:
    assert {task.activation for task in TASKS.values()} >= {
        "relu",
        "leaky_relu",
        "elu",
        "swish",
        "tanh",
        "sigmoid",
        "softmax",
    }
    assert [task.name for task in TASKS.values() if task.binary] == ["binary-relu"]
