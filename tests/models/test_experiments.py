"""The experiments that train nothing, and the way from experiments to claims.json."""

import json
import xml.etree.ElementTree as xml
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="the group `train` is not installed")

from models import evidence, export  # noqa: E402  # only where torch is there
from models.architecture import ACTIVATIONS  # noqa: E402
from models.experiments import affine, cost, formulas, selection, swaps  # noqa: E402
from models.lab import Lab  # noqa: E402
from models.train import TASKS  # noqa: E402
from service.activations.evidence import ClaimsFile  # noqa: E402

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
NAMES = ("cnn-relu", "cnn-identity", "cnn-swish", "binary-relu")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten noisy pictures a class and split."""
    folder, generator = tmp_path_factory.mktemp("cifar"), np.random.default_rng(0)
    for split in ("train", "validation"):
        for name in CLASSES:
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(10):
                Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(place / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def lab(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab.open(source, tmp_path_factory.mktemp("runs"), torch.device("cpu"), each=5, held_out=2)


@pytest.fixture(scope="module")
def repository(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks whose BatchNorm knows the pictures, and which have learnt nothing else."""
    folder, images = tmp_path_factory.mktemp("repository"), lab.training.centred(torch.arange(50))
    for name in NAMES:
        net = TASKS[name].net(torch.device("cpu"), 0).train()
        with torch.no_grad():
            for _ in range(30):
                net(images)
        path = folder / name / "1" / "model.onnx"
        path.parent.mkdir(parents=True)
        path.write_bytes(export.to_onnx(net.eval(), {}))
    return folder


def is_svg(text: str) -> bool:
    return xml.fromstring(text).tag.endswith("svg")


def test_a_lab_has_parts_that_do_not_overlap(lab: Lab) -> None:
    assert [len(part.targets) for part in (lab.training, lab.held_out, lab.validation)] == [50, 20, 100]
    training, held_out = ({bytes(p.numpy()) for p in part.padded} for part in (lab.training, lab.held_out))
    assert not training & held_out


def test_only_the_network_without_activation_is_affine(lab: Lab, repository: Path) -> None:
    result = affine.run(lab, repository=repository, pairs=20)
    residuals = {run["model"]: run["largest"] for run in result["runs"]}

    assert set(residuals) == set(NAMES)
    assert residuals["cnn-identity"] < 1e-4 < 1e-2 < min(residuals[name] for name in NAMES if name != "cnn-identity")
    assert result["summary"]["largest_difference"] < 1e-4
    assert result["summary"]["same_class"] == 1.0
    assert result["summary"]["numbers_of_the_map"] == 30_730
    assert is_svg(affine.draw(result))


def test_what_activations_hold_back_is_seen(lab: Lab, repository: Path) -> None:
    result = selection.run(lab, repository=repository, count=20)
    relu, identity, swish = (result["summary"][f"cnn-{name}"] for name in ("relu", "identity", "swish"))

    assert relu["zeros"] == pytest.approx(relu["negative"], abs=1e-6)
    assert relu["passed"] == 0 < swish["passed"] < 0.5 < identity["passed"] == 1.0
    assert swish["zeros"] < 0.01
    assert all(len(run["layers"]) == 7 for run in result["runs"])
    assert is_svg(selection.draw(result))


def test_swaps_are_measured_for_every_pair(lab: Lab, repository: Path) -> None:
    """With its own function a network is what it was."""
    result = swaps.run(lab, repository=repository, functions=("relu", "tanh", "identity"))
    summary = result["summary"]
    own = {run["model"]: run["accuracy"] for run in affine.run(lab, repository=repository, pairs=20)["runs"]}

    assert set(summary["models"]) == set(NAMES) - {"binary-relu"}
    assert summary["accuracy"]["cnn-relu"]["relu"] == own["cnn-relu"]
    assert summary["accuracy"]["cnn-identity"]["identity"] == own["cnn-identity"]
    assert all(set(row) == {"relu", "tanh", "identity"} for row in summary["accuracy"].values())
    assert is_svg(swaps.draw(result))


def test_costs_are_ratios_within_a_round(lab: Lab, repository: Path) -> None:
    result = cost.run(lab, repository=repository, elements=(256,), rounds=3)
    summary = result["summary"]

    assert summary["element"]["native"]["256"]["identity"]["ratio"] == [1.0, 1.0, 1.0]
    assert summary["step"]["relu"]["ratio"] == summary["picture"]["fused"]["cnn-relu"]["ratio"] == [1.0, 1.0, 1.0]
    assert set(summary["step"]) == set(ACTIVATIONS)
    assert set(summary["picture"]["not fused"]) == set(NAMES)
    assert all(row["microseconds"] > 0 for row in summary["element"]["exact"]["256"].values())
    assert is_svg(cost.draw(result))


def test_ratios_are_taken_call_by_call() -> None:
    """Called in turn, once to warm up and once a round."""
    order: list[str] = []
    found = cost.ratios({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, "a", 2)
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert set(found) == {"a", "b"}


def test_formulas_are_those_of_the_books(lab: Lab) -> None:
    result = formulas.run(lab)
    facts = result["summary"]

    assert facts["sigmoid"]["largest_slope"] == 0.25
    assert facts["relu"]["mean_over_normal_inputs"] == pytest.approx((2 * np.pi) ** -0.5, rel=1e-6)
    assert facts["swish"]["smallest"] == pytest.approx(-0.278465, abs=1e-6)
    assert facts["elu"]["value_at_minus_1"] == pytest.approx(np.expm1(-1), rel=1e-12)
    assert facts["printed"]["sigmoid_largest_difference"] == pytest.approx(1.0)
    assert is_svg(formulas.draw(result))


def test_experiments_become_claims(source: Path, tmp_path: Path) -> None:
    """By the command that `make evidence` runs; what is written is what the service reads."""
    folder = tmp_path / "evidence"
    options = ["--data", str(source), "--runs", str(tmp_path / "runs"), "--evidence", str(folder), "--pictures", "5"]
    evidence.main(["formulas", *options, "--page", str(tmp_path / "claims.md")])

    written = ClaimsFile.model_validate_json((folder / "claims.json").read_text())
    assert "sigmoid-formula" in {claim.id for claim in written.claims}
    described = json.loads((folder / "formulas.json").read_text())
    assert described["command"] == "python -m models.evidence --data cifar10.zip formulas"
    assert described["question"]
    assert is_svg((folder / "formulas.svg").read_text())
    assert "## sigmoid" in (tmp_path / "claims.md").read_text()


def test_an_unknown_experiment_is_an_error_that_names_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        evidence.main(["dieing", "--data", "x.zip"])
    assert "unknown experiments ['dieing']; there are ['formulas'," in capsys.readouterr().err


def test_the_same_numbers_give_the_same_figure(lab: Lab) -> None:
    result = formulas.run(lab)
    assert formulas.draw(result) == formulas.draw(result)
