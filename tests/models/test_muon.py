"""Muon moves a matrix alike in all directions, and keeps its norm. These need torch (group `train`)."""

import math

import pytest

torch = pytest.importorskip("torch", reason="the group `train` is not installed")

from models.muon import Muon, orthogonal  # noqa: E402  # only where torch is there


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(24, 27), (104, 936), (40, 10), (1, 9)])
def test_singular_values_become_alike(shape: tuple[int, int]) -> None:
    before = torch.linalg.svdvals(random(*shape))
    found = torch.linalg.svdvals(orthogonal(random(*shape)))
    assert found.min() > 0.3 * (before.min() / before.max() > 0.1)
    assert found.max() < 1.3


def test_directions_stay() -> None:
    """What is orthogonal already only changes its length."""
    matrix, _ = torch.linalg.qr(random(30, 20))
    found = orthogonal(5 * matrix)
    scale = float((found * matrix).sum() / matrix.square().sum())
    torch.testing.assert_close(found, scale * matrix, atol=1e-5, rtol=0)


def test_no_gradient_moves_nothing() -> None:
    assert not orthogonal(torch.zeros(3, 5)).any()


def moved(parameter: torch.Tensor, gradient: torch.Tensor, lr: float) -> torch.Tensor:
    parameter.grad = gradient
    Muon([parameter], lr=lr, momentum=0.9).step()
    return parameter


def test_the_learning_rate_is_the_share_of_the_norm_that_a_step_moves() -> None:
    before = random(8, 3, 3, 3)
    norm = math.sqrt(8)
    after = moved((7 * before).requires_grad_(), random(8, 3, 3, 3, seed=1), lr=0.01).detach()
    step = after - before * norm / before.norm()
    assert float(step.norm()) == pytest.approx(0.01 * norm, rel=0.3)  # singular values near 1


def test_it_goes_against_the_gradient_whatever_its_length() -> None:
    gradient = random(8, 3, 3, 3, seed=1)
    steps = [moved(random(8, 3, 3, 3).requires_grad_(), scale * gradient, lr=0.01).detach() for scale in (1.0, 100.0)]
    torch.testing.assert_close(steps[0], steps[1], atol=1e-5, rtol=0)
    still = moved(random(8, 3, 3, 3).requires_grad_(), gradient, lr=0.0).detach()
    assert float(((steps[0] - still) * gradient).sum()) < 0
