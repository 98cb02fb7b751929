"""The recurrent networks are what they are said to be, and the gradient through time is that of the steps."""

from xml.etree import ElementTree

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the group `train` is not installed")
pytest.importorskip("matplotlib", reason="the group `train` is not installed")

from models.experiments import sequence  # noqa: E402
from models.experiments.sequence import RowReader  # noqa: E402
from models.lab import Lab, Result  # noqa: E402
from models.training import Recipe  # noqa: E402

TINY = Recipe(
    shrunk=0.0,
    epochs=2,
    batch_size=16,
    schedule="constant",
    peak_learning_rate=0.01,
    cutout=0,
    augment=False,
    label_smoothing=0.0,
)


@pytest.mark.parametrize(("cell", "activation"), [("elman", "tanh"), ("elman", "relu"), ("lstm", "tanh")])
def test_the_cells_are_those_of_torch(cell: str, activation: str, lab: Lab) -> None:
    """Its order of the gates is the same: input, forget, candidate, output; ours puts the candidate last."""
    torch.manual_seed(0)
    net = RowReader(cell, activation, hidden=8)
    theirs = (
        torch.nn.LSTM(96, 8, batch_first=True)
        if cell == "lstm"
        else torch.nn.RNN(96, 8, 1, activation, batch_first=True)
    )
    order = [0, 1, 3, 2] if cell == "lstm" else [0]
    for name, ours in (
        ("weight_ih_l0", net.read.weight),
        ("weight_hh_l0", net.recall.weight),
        ("bias_ih_l0", net.read.bias),
    ):
        chunks = ours.data.chunk(len(order))
        getattr(theirs, name).data = torch.cat([chunks[index] for index in order])
    theirs.bias_hh_l0.data.zero_()

    images = lab.training.centred(torch.arange(5))
    rows = torch.stack([images[:, :, row].flatten(1) for row in range(32)], dim=1)
    torch.testing.assert_close(net(images), net.head(theirs(rows)[0][:, -1]))


def test_gates_stay_sigmoids_whatever_the_activation() -> None:
    net = RowReader("lstm", "relu", hidden=1)
    z = torch.tensor([[-1.0, -2.0, -3.0, 5.0]])  # input, forget, output, candidate
    h, c = net.step(z, torch.tensor([[10.0]]))
    expected = torch.tensor(-2.0).sigmoid() * 10 + torch.tensor(-1.0).sigmoid() * 5

    torch.testing.assert_close(c, expected.reshape(1, 1))
    torch.testing.assert_close(h, (torch.tensor(-3.0).sigmoid() * expected).reshape(1, 1))


def test_weights_are_drawn_as_keras_draws_them() -> None:
    net = RowReader("lstm", "tanh", hidden=16)
    products = net.recall.weight.T @ net.recall.weight

    torch.testing.assert_close(products, torch.eye(16), atol=1e-5, rtol=0)
    assert net.read.bias.tolist() == [0.0] * 16 + [1.0] * 16 + [0.0] * 32


def test_autocast_changes_nothing(lab: Lab) -> None:
    net, images = RowReader("lstm", "tanh", hidden=8), lab.training.centred(torch.arange(5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = net(images)
    torch.testing.assert_close(inside, net(images), rtol=0, atol=0)


def test_the_gradient_of_a_network_that_remembers_nothing_is_in_the_last_step(lab: Lab) -> None:
    net = RowReader("elman", "tanh", hidden=8).double()
    net.recall.weight.data.zero_()
    norms = sequence.step_gradients(net, lab.training.centred(torch.arange(64)).double(), lab.training.targets)

    assert len(norms) == 32
    assert norms[-1] > 0
    assert max(norms[:-1]) == 0


def test_the_gradient_of_a_sum_is_the_same_in_every_step(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Identity for the activation and for the matrix U: the state is a sum over all rows."""
    net = RowReader("elman", "identity", hidden=8).double()
    net.recall.weight.data = torch.eye(8, dtype=torch.float64)
    norms = sequence.step_gradients(net, lab.training.centred(torch.arange(64)).double(), lab.training.targets)
    np.testing.assert_allclose(norms, norms[-1], rtol=1e-12)


def small_run(lab: Lab) -> Result:
    variants = (("elman", "tanh"), ("elman", "relu"), ("lstm", "sigmoid"))
    return sequence.run(lab, variants=variants, hidden=8, recipe=TINY, rates=(0.01, 0.1), count=2, draws=3)


def test_a_run_is_done_once_and_the_same_each_time(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    first = small_run(lab)
    monkeypatch.setattr(sequence, "RowReader", None)  # whoever makes a network now, fails

    assert small_run(lab) == first
    assert [len(run["log10_gradient_first_by_last_step"]) for run in first["runs"]] == [3, 3, 3]
    assert [entry["activation"] for entry in first["summary"]["against_tanh"]] == ["relu"]


def test_sigmoid_forgets_sooner_than_tanh(lab: Lab) -> None:
    """Its slope is a quarter at most: 31 steps back, less than 10^−18 is left."""
    sigmoid, tanh = (sequence.through_time(lab, "elman", name, 64, 2) for name in ("sigmoid", "tanh"))
    assert max(sigmoid) < -18 < -10 < min(tanh)


def test_a_diverged_run_is_counted(lab: Lab) -> None:
    found = sequence.train(lab, "elman", "relu", 8, TINY, (1e30,), 1)
    assert found["diverged"] == 1
    assert found["loss"] == [None]


def test_the_figure_names_every_variant(lab: Lab) -> None:
    words = "".join(ElementTree.fromstring(sequence.draw(small_run(lab))).itertext())
    for name in ("elman, tanh", "elman, relu", "lstm, sigmoid"):
        assert name in words
