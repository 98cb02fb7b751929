"""The gradient's way back is measured rightly: where it must stay, where theory knows it, and at what layer it is."""

import math
from xml.etree import ElementTree

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the group `train` is not installed")
pytest.importorskip("matplotlib", reason="the group `train` is not installed")

from models.architecture import GAINS, ActNet  # noqa: E402
from models.experiments import gradients  # noqa: E402
from models.lab import Lab, Result  # noqa: E402
from models.training import Recipe  # noqa: E402

TINY = Recipe(epochs=1, batch_size=16, schedule="constant", peak_learning_rate=0.01, cutout=0, augment=False)


def mean_ratio(lab: Lab, activation: str, start: str, depth: int = 10, draws: int = 4) -> float:
    return float(np.mean(gradients.fresh_draws(lab, activation, start, depth, draws)["log10_ratio"]))


def test_without_activation_the_gradient_comes_back_whole(lab: Lab) -> None:
    """But for what the zeros around the pictures take."""
    assert mean_ratio(lab, "identity", "own") == pytest.approx(-0.18, abs=0.2)


def test_a_gain_scales_the_gradient_of_every_layer(lab: Lab) -> None:
    """Nine equal steps of √2; the weights are the same draws, so but for the softmax nothing else differs."""
    more = mean_ratio(lab, "identity", "he") - mean_ratio(lab, "identity", "xavier")
    assert more == pytest.approx(9 * math.log10(math.sqrt(2)), abs=0.1)


@pytest.mark.parametrize(("activation", "start"), [("sigmoid", "own"), ("sigmoid", "xavier"), ("relu", "xavier")])
def test_measurement_and_theory_agree(activation: str, start: str, lab: Lab) -> None:
    gain = GAINS[activation] if start == "own" else 1.0
    measured, expected = mean_ratio(lab, activation, start), gradients.expected(activation, gain, 10)
    assert expected < -1
    assert measured == pytest.approx(expected, abs=0.35)


@pytest.mark.parametrize(
    ("activation", "gain", "without_border"),
    [("identity", 1.0, 0.0), ("relu", 1.0, -2.86), ("sigmoid", GAINS["sigmoid"], -7.75), ("tanh", 1.0, -0.47)],
)
def test_theory_is_that_of_the_literature_where_the_pictures_are_large(
    activation: str, gain: float, without_border: float
) -> None:
    """19 steps between 20 layers; pictures so large that the border is nothing."""
    assert gradients.expected(activation, gain, 20, side=30) == pytest.approx(without_border, abs=0.15)


def test_the_norms_are_of_the_pre_activations(lab: Lab) -> None:
    """Checked by a finite difference: a step along the gradient raises the loss by its squared norm."""
    net, images, targets = gradients.one_draw(lab, "tanh", "own", 3, 0)
    norms = gradients.measure(net, images, targets)["gradients"]
    loss = torch.nn.functional.cross_entropy(net(images), targets)
    (_, _, z, *_), _ = gradients.overhear(net, images)
    rest = ActNet("tanh", stages=((16, 1),) * 2, norm=False).double()
    rest.convolutions, rest.head = net.convolutions[3:], net.head
    z = z.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(rest(z.tanh()), targets), z)
    moved = torch.nn.functional.cross_entropy(rest((z + 1e-3 * gradient / norms[0]).tanh()), targets)

    assert norms[0] == pytest.approx(float(gradient.norm()))
    assert float((moved - loss).detach()) == pytest.approx(1e-3 * norms[0], rel=0.01)


def test_saturation_counts_where_the_slope_is_nearly_none(lab: Lab) -> None:
    def saturated(activation: str, scale: float) -> float:
        net, images, targets = gradients.one_draw(lab, activation, "own", 2, 0)
        for convolution in net.convolutions:
            convolution.weight.data *= scale
        return float(gradients.measure(net, images, targets)["saturated"])

    assert saturated("relu", 1.0) == pytest.approx(0.5, abs=0.1)
    assert saturated("leaky_relu", 1.0) == 0.0
    assert saturated("sigmoid", 0.1) == 0.0
    assert saturated("sigmoid", 100.0) > 0.8


def test_batchnorm_is_before_the_activation(lab: Lab) -> None:
    net, images, _ = gradients.one_draw(lab, "sigmoid", "batch_norm", 2, 0)
    for z in gradients.overhear(net, images)[0]:
        np.testing.assert_allclose(z.detach().mean(dim=(0, 2, 3)), 0, atol=1e-9)


def small_run(lab: Lab) -> Result:
    return gradients.run(
        lab,
        names=("relu", "sigmoid"),
        depths=(2, 3),
        draws=2,
        trained=(("relu", "own"), ("sigmoid", "batch_norm")),
        trained_depth=2,
        recipe=TINY,
        rates=(0.01, 0.1),
        count=2,
    )


def test_a_run_is_done_once_and_the_same_each_time(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    first = small_run(lab)
    monkeypatch.setattr(gradients, "network", None)  # whoever makes a network now, fails

    assert small_run(lab) == first
    assert len(first["summary"]["fresh"]) == 4 * 2 * 2
    assert all(entry["accuracy"]["n"] == 2 for entry in first["summary"]["trained"])


def test_the_figure_names_every_activation(lab: Lab) -> None:
    picture = gradients.draw(small_run(lab))
    words = "".join(ElementTree.fromstring(picture).itertext())

    for name in ("relu", "sigmoid", "sigmoid + BN", "xavier", "batch norm"):
        assert name in words
    assert picture == gradients.draw(small_run(lab))
