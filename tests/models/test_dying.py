"""Units are counted as dead when they are, and only then: not the silent of others, and not runs that diverged."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

torch = pytest.importorskip("torch", reason="the group `train` is not installed")
pytest.importorskip("matplotlib", reason="the group `train` is not installed")

from models.architecture import ActNet  # noqa: E402
from models.experiments import dying  # noqa: E402
from models.lab import Lab, Result  # noqa: E402
from models.training import Recipe  # noqa: E402

STAGES = ((4, 2), (6, 2), (5, 2))
TINY = Recipe(
    epochs=1, batch_size=16, schedule="constant", peak_learning_rate=0.01, cutout=0, augment=False, label_smoothing=0.0
)


def net_with_silent_units(activation: str, layer: int, units: slice, bias: float = -50.0) -> ActNet:
    torch.manual_seed(0)
    net = ActNet(activation, stages=STAGES, norm=False)
    net.convolutions[layer].bias.data[units] = bias
    return net


def census(net: ActNet, lab: Lab) -> list[dict[str, int]]:
    index = torch.arange(len(lab.training.targets))
    return dying.Census.of(net, lab.validation, lab.training.centred(index), lab.training.targets).layers()


@pytest.mark.parametrize(
    ("activation", "bias", "without_gradient"),
    [("relu", -50, 1), ("leaky_relu", -50, 0), ("elu", -50, 0), ("elu", -1e3, 1)],
)
def test_a_silent_unit_is_without_gradient_under_relu_only(
    activation: str, bias: float, without_gradient: int, lab: Lab
) -> None:
    """Or where ELU's slope e^z is too small for a float32."""
    before, layer, after = census(net_with_silent_units(activation, 1, slice(2, 3), bias), lab)

    assert (before["silent"], before["without_gradient"]) == (0, 0)
    assert (layer["units"], layer["silent"], layer["silent_without_gradient"]) == (6, 1, without_gradient)
    assert (after["silent"], after["without_gradient"]) == (0, 0)


def test_where_a_whole_layer_is_dead_those_before_it_live_but_get_no_gradient(lab: Lab) -> None:
    first, second, last = census(net_with_silent_units("relu", 2, slice(None)), lab)

    assert (last["silent"], last["without_gradient"]) == (5, 5)
    for layer in (first, second):
        assert layer["silent"] == layer["silent_without_gradient"] == 0
        assert layer["without_gradient"] == layer["units"]


def test_a_unit_that_speaks_in_one_place_of_one_picture_is_not_silent(lab: Lab) -> None:
    net = net_with_silent_units("relu", 0, slice(0, 1))
    highest = float(dying.highest_inputs(net, lab.validation)[0][0][0])
    for bias, silent in ((-50 - highest + 1e-3, 0), (-50 - highest - 1e-3, 1)):
        net.convolutions[0].bias.data[0] = bias
        assert census(net, lab)[0]["silent"] == silent


def test_what_is_counted_does_not_depend_on_the_batches(lab: Lab) -> None:
    net = net_with_silent_units("elu", 1, slice(0, 0))
    whole, parts = (dying.highest_inputs(net, lab.validation, size) for size in (64, 7))

    assert whole[1] == parts[1]
    for a, b in zip(whole[0], parts[0], strict=True):
        torch.testing.assert_close(a, b)


def test_units_that_come_back_are_told_from_those_that_fall_silent() -> None:
    def found(*silent: bool) -> dying.Census:
        return dying.Census([torch.tensor(silent)], [torch.tensor(silent)], 0.5)

    recovery = dying.revived(found(True, True, False, False), found(True, False, True, False))
    assert (recovery["silent_before"], recovery["came_back"], recovery["newly_silent"]) == (2, 1, 1)


def small_run(lab: Lab, factors: tuple[float, ...] = (1, 1e12)) -> Result:
    return dying.run(
        lab,
        kinds=(("relu", False), ("leaky_relu", False), ("relu", True)),
        stages=STAGES,
        recipe=TINY,
        factors=factors,
        count=2,
        recovery_epochs=1,
    )


def test_a_diverged_run_is_not_counted_as_dead(lab: Lab) -> None:
    for entry in small_run(lab)["summary"]["units"]:
        if not entry["norm"] and entry["factor"] > 1:
            assert entry["diverged"] == entry["runs"] == 2
            assert entry["silent"] is entry["accuracy"] is None
        elif entry["factor"] == 1:
            assert entry["diverged"] == 0
            assert entry["silent"]["n"] == entry["accuracy"]["n"] == 2


def test_a_network_with_dead_units_is_trained_further(lab: Lab) -> None:
    torch.manual_seed(0)
    net = net_with_silent_units("relu", 1, slice(0, 2))
    found = dying._after(lab, net, replace(TINY, epochs=1))

    assert found["layers"][1]["silent"] == 2
    assert found["recovery"]["silent_before"] == 2
    assert found["recovery"]["came_back"] == 0
    assert dying._after(lab, net_with_silent_units("relu", 1, slice(0, 0)), TINY)["recovery"] is None


def test_the_recovery_is_of_networks_that_can_still_learn() -> None:
    def one(silent: int, came_back: int) -> Result:
        layers = [{"units": 4, "silent": silent}]
        return {"layers": layers, "factor": 3, "learning_rate": 0.1, "seed": 0} | {
            "recovery": {"silent_before": silent, "came_back": came_back}
        }

    summary = dying.recovery([one(2, 1), one(4, 0)])
    assert summary is not None
    assert (summary["networks"], summary["with_a_silent_layer"], summary["came_back"]["value"]) == (2, 1, 0.5)
    assert summary["worst"]["silent_before"] == 4


def test_a_run_is_done_once_and_the_same_each_time(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    first = small_run(lab)
    monkeypatch.setattr(dying, "ActNet", None)  # whoever makes a network now, fails

    assert small_run(lab) == first
    assert [entry["activation"] for entry in first["summary"]["against_relu"]] == ["leaky_relu"]


def test_the_figure_names_every_activation(lab: Lab) -> None:
    words = "".join(ElementTree.fromstring(dying.draw(small_run(lab))).itertext())
    for name in ("relu", "leaky_relu", "relu + BN"):
        assert name in words
