"""From pictures on disk to served models, by the commands that `make models` runs; how the learning rate is chosen."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="the group `train` is not installed")

from models import export, train  # noqa: E402  # only where torch is there
from models.train import TASKS, Pictures, Task, choose_rate  # noqa: E402
from models.training import Recipe  # noqa: E402
from service.engine import repository  # noqa: E402
from service.engine.session import Device  # noqa: E402

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def write_pictures(folder: Path, each: int) -> None:
    """Every class has a brightness of its own, so that something can be learnt."""
    generator = np.random.default_rng(0)
    for split in ("train", "validation"):
        for level, name in enumerate(CLASSES):
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(each):
                pixels = generator.normal(20 + 23 * level, 4, (32, 32, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{number:04}.png")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cifar")
    write_pictures(folder, 26)
    return folder


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (train, export):
        monkeypatch.setattr(module, "HELD_OUT", 6)
    monkeypatch.setattr(train, "SEARCH_EPOCHS", 1)
    monkeypatch.setattr(train, "SEARCH_PART", 1)


@pytest.mark.usefixtures("small")
def test_pictures_become_served_models(source: Path, tmp_path: Path) -> None:
    """Two of the networks; the command for all of them is the same without their names."""
    names, checkpoints, served = ["cnn-relu", "binary-relu"], tmp_path / "checkpoints", tmp_path / "repository"
    options = ["--data", str(source), "--checkpoints", str(checkpoints)]
    train.main([*names, *options, "--epochs", "2"])
    export.main([*options, "--repository", str(served)])

    found = repository.load(served, Device.cpu(), threads=1)
    assert [model.name for model in found.models()] == sorted(names)
    for model in found.models():
        assert model.description.card is not None
        assert model.description.card["data"]["train"]["images"] == 200
        assert model.description.card["data"]["held_out"]["images"] == 60
    rates = json.loads((checkpoints / "learning-rates.json").read_text())
    assert set(rates) == set(names)


@pytest.mark.usefixtures("small")
def test_the_command_goes_on_where_it_stopped(source: Path, tmp_path: Path) -> None:
    options = ["cnn-relu", "--data", str(source), "--checkpoints", str(tmp_path), "--epochs", "1"]
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


@pytest.mark.usefixtures("small")
def test_the_learning_rate_is_the_best_on_held_out_pictures(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them leads nowhere: every weight is a number beyond all others after the first step."""
    monkeypatch.setattr(train, "LEARNING_RATES", (0.05, 1e30))
    monkeypatch.setattr(train, "SEARCH_EPOCHS", 4)
    pictures = Pictures.read(source, torch.device("cpu"))
    recipe = Recipe(batch_size=20, label_smoothing=0.0, cutout=0)

    assert choose_rate(TASKS["cnn-relu"], recipe, pictures, tmp_path) == 0.0167
    known = json.loads((tmp_path / "learning-rates.json").read_text())["cnn-relu"]
    assert known["0.05"] > known["1e+30"]


def test_a_rate_that_was_tried_is_not_tried_again(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "HELD_OUT", 6)
    known = {
        "cnn-elu": {str(rate): accuracy for rate, accuracy in zip(train.LEARNING_RATES, (0.2, 0.6, 0.4), strict=True)}
    }
    train.write(tmp_path / "learning-rates.json", known)

    class Untrainable(Task):
        def net(self, device: torch.device, seed: int) -> None:  # type: ignore[override]
            raise AssertionError("it is trained again")

    pictures = Pictures.read(source, torch.device("cpu"))
    assert choose_rate(Untrainable("cnn-elu", "elu"), Recipe(), pictures, tmp_path) == pytest.approx(
        train.LEARNING_RATES[1] / 3
    )


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
