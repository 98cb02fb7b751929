"""Sums, temperatures and calibration of heads are measured rightly, and the kernels keep softmax's laws."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the group `train` is not installed")

from models import calibration, data, lab  # noqa: E402  # only where torch is there
from models.experiments import heads  # noqa: E402
from models.training import Batches  # noqa: E402

CELLS = heads.cells(((4, 4),))


def logits(count: int = 4000, classes: int = 10, scale: float = 1.0) -> tuple[heads.Floats, np.ndarray]:
    """Drawn so that softmax(logits / scale) is exactly calibrated."""
    generator = np.random.default_rng(0)
    values = generator.normal(0, 2, (count, classes))
    chances = calibration.probabilities(values)
    targets = (chances.cumsum(axis=1) < generator.random((count, 1))).sum(axis=1)
    return values * scale, np.minimum(targets, classes - 1)


def test_softmax_sums_to_one_and_sigmoids_do_not() -> None:
    known = logits()
    softmax, sigmoids = (heads.measure(CELLS[name], known, known) for name in ("ten-class softmax", "ten sigmoids"))
    assert softmax["row_sum"]["furthest_from_1"] < 1e-14
    expected = calibration.probabilities(known[0].reshape(-1, 1)).reshape(-1, 10).sum(axis=1)
    assert sigmoids["row_sum"]["mean"] == pytest.approx(expected.mean())
    assert sigmoids["row_sum"]["quantile 50"] == pytest.approx(np.median(expected))
    assert sigmoids["row_sum"]["least"] == pytest.approx(expected.min())


def test_temperature_finds_what_the_logits_were_multiplied_by() -> None:
    known = logits(scale=3.0)
    found = heads.measure(CELLS["ten-class softmax"], known, known)
    assert found["temperature"] == pytest.approx(3.0, rel=0.1)
    assert found["tempered"]["nll"] < found["raw"]["nll"]
    assert found["tempered"]["ece"] < 0.03 < found["raw"]["ece"]
    assert found["tempered"]["classwise_ece"] < found["raw"]["classwise_ece"]


def test_the_temperature_of_sigmoids_is_of_their_own_loss() -> None:
    """Each output is right as often as it says, at logits three times as large as they should be."""
    generator = np.random.default_rng(0)
    values = generator.normal(0, 1, (4000, 1))
    targets = (generator.random(4000) < 1 / (1 + np.exp(-values[:, 0]))).astype(np.int64)
    both = np.hstack([-values, values]) * 3  # class 1's sigmoid is right, and so is class 0's
    cell = heads.Cell("relu", ((4, 4),), norm=True, classes=2, head="sigmoid")
    found = heads.measure(cell, (both, targets), (both, targets))
    assert found["temperature"] == pytest.approx(3.0, rel=0.15)
    assert found["tempered"]["classwise_ece"] < 0.03 < found["raw"]["classwise_ece"]


def test_the_classwise_error_of_known_outputs() -> None:
    """Class 0 is said with 0.8 and comes half of the time; class 1 is said with 0.5 and comes half of the time."""
    answers, targets = np.tile([0.8, 0.5], (10, 1)), np.arange(10) % 2
    assert heads.classwise_ece(answers, targets) == pytest.approx((0.3 + 0.0) / 2)
    assert heads.classwise_ece(answers[:, :1], targets) == pytest.approx(0.3)  # one sigmoid is that of class 1


def test_two_class_softmax_is_a_sigmoid_of_the_difference() -> None:
    known = logits(classes=2)
    found = heads.measure(CELLS["two-class softmax"], known, known)
    assert found["identity"]["float64"] < 1e-15
    assert found["identity"]["float32"] < 2e-7


def test_binary_targets_are_the_datas() -> None:
    classes = heads.batches.CLASSES
    split = data.Split(np.zeros((20, 32, 32, 3), np.uint8), np.arange(20) % 10, classes, "digest")
    device = torch.device("cpu")
    wanted, found = Batches.of(data.binary(split), device), heads._binary(Batches.of(split, device))
    assert found.targets.dtype == wanted.targets.dtype
    assert torch.equal(found.targets, wanted.targets)


@pytest.fixture(scope="module")
def facts() -> lab.Result:
    return heads.functions(500)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 2e-15)])
@pytest.mark.parametrize("kernel", heads.KERNELS)
def test_the_kernels_keep_the_laws_of_softmax(facts: lab.Result, kernel: str, dtype: str, tolerance: float) -> None:
    found = facts[f"{kernel} {dtype}"]
    for scale in ("1", "10", "100"):
        softmax = found["softmax"][scale]
        assert softmax["sum_furthest_from_1"] <= tolerance
        assert softmax["shift_changes_at_most"] <= tolerance
        assert softmax["order_violations"] == 0
        assert 0 <= softmax["least"] <= softmax["most"] <= 1
    assert found["sigmoid"]["outside"] == 0
    assert found["sigmoid"]["two_class_gap"] <= tolerance


def test_the_exact_sigmoid_never_falls(facts: lab.Result) -> None:
    """ONNX Runtime's own does, in float32, but that differs from machine to machine."""
    assert facts["exact float32"]["sigmoid"]["falls"] == 0
    assert facts["exact float32"]["sigmoid"]["exactly_0"] == pytest.approx(-103.98, abs=0.02)
    assert facts["exact float32"]["sigmoid"]["exactly_1"] == pytest.approx(17.33, abs=0.02)


def test_the_whole_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (128, 32, 32, 3), dtype=np.uint8)
    split = data.Split(images, np.arange(128) % 10, heads.batches.CLASSES, "digest")
    batches = Batches.of(split, torch.device("cpu"))
    place = lab.Lab(batches, batches, batches, tmp_path)
    sizes = {"stages": ((4, 4), (8, 2)), "rates": (0.1,), "search_epochs": 1, "epochs": 1, "seeds": 2, "rows": 10}
    result = heads.run(place, **sizes)
    json.dumps(result, allow_nan=False)
    summary = result["summary"]
    assert summary["ten-class softmax"]["row_sum"]["mean"]["value"] == pytest.approx(1.0)
    assert summary["ten sigmoids"]["row_sum"]["mean"]["n"] == 2
    assert summary["one sigmoid"]["row_sum"] is None
    assert summary["one sigmoid"]["accuracy"]["value"] > 0.3  # of two classes
    expected = summary["hidden softmax"]["accuracy"]["value"] - summary["ten-class softmax"]["accuracy"]["value"]
    assert summary["hidden softmax − hidden relu"]["value"] == pytest.approx(expected)

    svg = heads.draw(result)
    ElementTree.fromstring(svg)
    for text in ("ten sigmoids", "one sigmoid", "two-class softmax", "hidden: softmax", "hidden: relu"):
        assert text in svg

    monkeypatch.setattr(lab, "fit", None)  # all is there
    assert heads.run(place, **sizes) == result


def test_a_diverged_run_has_no_outputs() -> None:
    run = {"accuracy": 0.1, "diverged": True, "outputs": None}
    found = heads._summary([run, run], 0.1)
    assert (found["diverged"], found["accuracy"]["n"]) == (2, 2)
    assert "temperature" not in found
