"""The networks have the size that is said, and start where their activation needs it."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the group `train` is not installed")

from models import architecture  # noqa: E402  # only where torch is there
from models.architecture import ACTIVATIONS, GAINS, STAGES, ActNet  # noqa: E402
from service.activations.catalogue import ACTIVATIONS as CATALOGUE  # noqa: E402


def test_the_size_is_counted_right() -> None:
    counted = architecture.size()
    weights = sum(p.numel() for p in ActNet("relu").parameters())
    norms = sum(2 * width for width, _ in STAGES)
    biases = sum(width for width, _ in STAGES)

    assert counted.parameters == weights - norms + biases <= 300_000


def test_multiply_adds_are_counted_by_layer() -> None:
    """3·4·9 weights at 32×32, 4·5·9 at 16×16, a head of 5 by 2."""
    counted = architecture.size(classes=2, stages=((4, 1), (5, 2)))
    assert counted.macs == 108 * 1024 + 180 * 256 + 10
    assert counted.parameters == 108 + 4 + 180 + 5 + 12


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_the_catalogues(name: str) -> None:
    x = torch.linspace(-5, 5, 101, dtype=torch.float64).reshape(1, 101, 1, 1)
    row = CATALOGUE[name]
    values = row.bind({} if row.elementwise else {"axis": 1})
    expected = row.reference(x.numpy(), values)
    np.testing.assert_allclose(ACTIVATIONS[name](x).numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", GAINS)
def test_a_gain_keeps_the_power_of_normal_inputs(name: str) -> None:
    z = torch.linspace(-12, 12, 240_001, dtype=torch.float64)
    density = torch.exp(-z * z / 2)
    power = float((ACTIVATIONS[name](z) ** 2 * density).sum() / density.sum())
    assert GAINS[name] == pytest.approx(power**-0.5, rel=2e-4)


@pytest.mark.parametrize("name", ["relu", "tanh", "swish"])
def test_without_batchnorm_the_signal_keeps_its_size(name: str) -> None:
    torch.manual_seed(0)
    net = ActNet(name, norm=False, stages=((64, 1), *[(64, 1)] * 5))
    x = torch.randn(8, 3, 32, 32)
    for convolution in net.convolutions:
        z = convolution(x)
        x = ACTIVATIONS[name](z)
    assert 0.4 < float(z.detach().square().mean()) < 1.6  # zeros beyond the border take some


def test_with_batchnorm_there_are_no_biases_to_learn_twice() -> None:
    assert all(convolution.bias is None for convolution in ActNet("relu").convolutions)
    assert all(convolution.bias is not None for convolution in ActNet("relu", norm=False).convolutions)
