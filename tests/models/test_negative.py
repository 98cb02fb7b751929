"""Means and negative parts of outputs are measured rightly, and so is the noise that gets through. Needs torch."""

import json
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the group `train` is not installed")

from models import data, lab  # noqa: E402  # only where torch is there
from models.architecture import ACTIVATIONS, ActNet  # noqa: E402
from models.experiments import negative  # noqa: E402
from models.training import Batches, outputs  # noqa: E402

DEVICE = torch.device("cpu")


def pictures(count: int = 64, classes: int = 10) -> Batches:
    """Noise of about mean 0 and variance 1 once it is normalised; sorted by class."""
    generator = np.random.default_rng(0)
    images = generator.normal(122, 63, (count, 32, 32, 3)).clip(0, 255).astype(np.uint8)
    split = data.Split(images, np.sort(np.arange(count) % classes), tuple("abcdefghij"), "digest")
    return Batches.of(split, DEVICE)


@pytest.mark.parametrize(
    ("name", "mean_share", "negative_share"),
    [
        ("relu", 0.318, 0.0),
        ("leaky_relu", 0.312, 0.5),
        ("elu", 0.040, 0.5),
        ("tanh", 0.0, 0.5),
        ("sigmoid", 0.852, 0.0),
    ],
)
def test_the_first_layer_is_like_the_gaussian_table(name: str, mean_share: float, negative_share: float) -> None:
    """Noise through random weights is Gaussian: activations.md, table 1.4."""
    torch.manual_seed(0)
    net = ActNet(name, stages=((512, 1),), norm=False)
    [found] = negative.layer_statistics(net.eval(), pictures(8), torch.arange(8))
    assert found["mean_share"] == pytest.approx(mean_share, abs=0.02)
    assert found["negative_share"] == pytest.approx(negative_share, abs=0.02)


def test_elu_is_nearer_to_zero_than_leaky_relu_in_every_layer() -> None:
    found = {}
    for name in ("elu", "leaky_relu"):
        torch.manual_seed(0)
        net = ActNet(name, norm=False)
        found[name] = negative.layer_statistics(net, pictures(), torch.arange(64))
    for elu, leaky in zip(found["elu"], found["leaky_relu"], strict=True):
        assert abs(elu["mean"]) < leaky["mean"]
        assert elu["unit_mean_share"] < leaky["unit_mean_share"]
        assert elu["negative_power"] > 100 * leaky["negative_power"] > 0


def test_the_numbers_of_known_outputs() -> None:
    """Two channels: one is −1 everywhere, one 3 and 1 by turns."""
    f = torch.tensor([-1.0, 3.0]).reshape(1, 2, 1, 1).repeat(2, 1, 2, 2)
    f[1, 1] = 1.0
    found = negative._statistics(f)
    assert found["mean"] == pytest.approx(0.5)  # (−1 + 2) / 2
    assert found["mean_share"] == pytest.approx(0.25 / 3)  # E[f²] = (1 + 5) / 2
    assert found["unit_mean_share"] == pytest.approx((1 + 4) / 2 / 3)
    assert found["negative_share"] == pytest.approx(0.5)
    assert found["negative_power"] == pytest.approx(0.5 / 3)


def test_the_layers_are_the_networks() -> None:
    torch.manual_seed(0)
    net = ActNet("elu").eval()
    split = pictures(8)
    with torch.no_grad():
        *_, last = negative.layers(net, split.centred(torch.arange(8)))
        torch.testing.assert_close(net.head(last.mean(dim=(2, 3))), outputs(net, split))


def test_a_dead_network_has_no_statistics() -> None:
    net = ActNet("relu", norm=False)
    torch.nn.init.constant_(net.convolutions[0].bias, -1e9)
    assert negative.layer_statistics(net, pictures(8), torch.arange(8)) == []


def test_the_measured_pictures_are_of_all_classes() -> None:
    """The set lies sorted by class: its first pictures are all of one."""
    index = negative.spread(10_000, 1000)
    targets = np.repeat(np.arange(10), 1000)[index]
    assert np.bincount(targets).tolist() == [100] * 10
    assert negative.spread(30, 1000).tolist() == list(range(30))


def test_noise_through_straight_lines_is_exact() -> None:
    z = np.array([-3.0, 2.0])
    np.testing.assert_allclose(negative.noise_share(lambda x: 0.2 * x + 1, z, 0.5), [0.04, 0.04], rtol=1e-9)


def test_noise_through_elu() -> None:
    """Var e^(z + σn) = e^(2z + σ²)(e^(σ²) − 1), of a log-normal; far below 0, ELU is just that, less 1."""
    [found] = negative.noise_share(lambda x: ACTIVATIONS["elu"](torch.from_numpy(x)).numpy(), np.array([-5.0]), 0.5)
    assert found == pytest.approx(math.exp(-10 + 0.25) * (math.exp(0.25) - 1) / 0.25, rel=1e-6)


def test_elu_passes_more_noise_than_leaky_relu_just_below_minus_two_and_less_far_below() -> None:
    """With the article's slope, 0.01: the slopes are equal at ln 0.01 = −4.6."""
    found = negative.passed_noise()
    at = {name: found["at z"][name] for name in ("elu", "leaky_relu")}
    assert at["elu"]["-4"]["0.1"] > at["leaky_relu"]["-4"]["0.1"] == pytest.approx(1e-4)
    assert at["elu"]["-5"]["0.1"] < at["leaky_relu"]["-5"]["0.1"]
    assert found["equal slope at"] == pytest.approx(-4.605, abs=1e-3)
    assert found["below −2"]["leaky_relu 0.2"]["0.1"] == pytest.approx(0.04)


def layered(elu: float, leaky: float) -> dict[str, lab.Result]:
    """Two runs each, one layer, all quantities alike; the layer's mean is negative."""

    def run(accuracy: float, value: float) -> lab.Result:
        layer = [dict.fromkeys(negative.QUANTITIES, -value)]
        return {"accuracy": accuracy, "diverged": False, "initial": layer, "trained": layer}

    def cell(value: float) -> lab.Result:
        return {"learning_rate": 0.1, "runs": [run(value, value), run(value + 0.01, value + 0.01)]}

    return {"elu": cell(elu), "leaky_relu": cell(leaky)}


def test_the_difference_is_elu_less_leaky_relu_and_of_sizes() -> None:
    found = negative.summarize(layered(0.1, 0.3))["elu − leaky_relu"]
    assert found["accuracy"]["value"] == pytest.approx(-0.2)
    assert found["initial"]["mean"]["value"] == pytest.approx(-0.2)
    assert found["trained"]["mean_share"]["high"] < 0


def test_runs_without_statistics_are_left_out_and_seen_in_n() -> None:
    cells = layered(0.1, 0.3)
    cells["elu"]["runs"][0]["trained"] = []
    found = negative.summarize(cells)
    assert found["elu"]["trained"]["mean"]["n"] == 1
    assert found["elu"]["initial"]["mean"]["n"] == 2
    assert found["elu − leaky_relu"]["trained"]["mean"] is None
    cells["elu"]["runs"][1]["trained"] = []
    assert negative.summarize(cells)["elu"]["trained"] is None


def test_the_whole_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = lab.Lab(pictures(128), pictures(64), pictures(96), tmp_path)
    sizes = {
        "activations": ("elu", "leaky_relu"),
        "stages": ((4, 4), (8, 2)),
        "rates": (0.1,),
        "search_epochs": 1,
        "epochs": 1,
        "seeds": 2,
        "pictures": 20,
    }
    result = negative.run(place, **sizes)
    json.dumps(result, allow_nan=False)
    assert result["settings"]["measured_pictures"] == 20
    for variant in ("plain", "batch_norm"):
        assert len(result["summary"][variant]["elu"]["initial"]["mean by layer"]) == 2
        assert result["summary"][variant]["elu − leaky_relu"]["initial"]["mean_share"]["value"] < -0.1

    svg = negative.draw(result)
    ElementTree.fromstring(svg)
    assert "elu, before training" in svg
    assert "leaky_relu, after training" in svg

    monkeypatch.setattr(lab, "fit", None)  # all is there
    assert negative.run(place, **sizes) == result
