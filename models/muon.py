"""Muon: steps that move a matrix alike in all directions. For the filters of convolutions that BatchNorm follows.

Of a step of momentum only the directions are kept: its singular values all become about 1. What few pictures ask for is
then learnt as fast as what most do, and a small network needs fewer epochs (`models.train.RECIPE` has the figures).

A convolution before a BatchNorm does the same at every scale of its filters. So they are kept at one norm, and the
learning rate is the share of it that a step moves them by; weight decay has nothing to do.

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024, https://kellerjordan.github.io/posts/muon/
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the iteration x ← a·x + b·x³ + c·x⁵, which brings singular values near 1 in few steps; the source's."""

STEPS = 3
"""Of the iteration; the source takes 5, and with 3 singular values are less even."""


class Muon(Optimizer):
    """For parameters of two or more dimensions, the first of which is that of the filters.

    Args:
        lr: the share of its norm that a step moves a parameter by.
        momentum: of the gradients, after Nesterov.
    """

    def __init__(self, parameters: Iterable[Any], lr: float, momentum: float) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    def step(self, closure: None = None) -> None:
        """Take one step."""
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    self._move(parameter, group["lr"], group["momentum"])

    def _move(self, parameter: Tensor, lr: float, momentum: float) -> None:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        velocity = state["momentum"].mul_(momentum).add_(parameter.grad)
        direction = parameter.grad.add(velocity, alpha=momentum).reshape(len(parameter), -1)
        norm = math.sqrt(min(direction.shape))  # of a matrix whose singular values are 1
        parameter.mul_(norm / parameter.norm()).add_(orthogonal(direction).view_as(parameter), alpha=-lr)


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix with singular values near 1 in the place of its own; they may lie anywhere from 0.3 to 1.3."""
    a, b, c = COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-7)
    for _ in range(STEPS):
        squared = x @ x.T
        x = a * x + (b * squared + c * squared @ squared) @ x
    return x if wide is matrix else x.T
