"""The networks, written in PyTorch: the one that every served CNN shares, and variants of it for the claims.

Their only nonlinearity is the hidden activation: downsampling is by strided convolution and the spatial
dimensions go by a global average, both linear. (Max-pooling is itself a nonlinearity and would blur every
comparison; without it, the `identity` network is exactly an affine map of its input.)

BatchNorm stands before the activation while training, where it lets every activation train with one recipe.
It is affine at inference and is folded into the convolution by `models.export`, so the served file is
convolution, activation, convolution, activation, …, mean, linear.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGE_SIZE = 32
"""Height and width of the input, in pixels."""

Stages: TypeAlias = Sequence[tuple[int, int]]
"""(output channels, stride) of each 3×3 convolution."""

STAGES: Stages = ((24, 1), (40, 2), (56, 1), (72, 2), (80, 1), (104, 1), (104, 2))
"""Of the served CNNs."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "leaky_relu": lambda x: functional.leaky_relu(x, 0.01),
    "elu": functional.elu,
    "swish": functional.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softmax": lambda x: functional.softmax(x, dim=1),
    "identity": lambda x: x,
    "gelu": functional.gelu,
    "mish": functional.mish,
}
"""Hidden activations by catalogue name, with the article's parameters. Softmax runs across channels."""

GAINS = {
    "relu": 1.4142,
    "leaky_relu": 1.4141,
    "elu": 1.2452,
    "swish": 1.6765,
    "tanh": 1.5925,
    "sigmoid": 1.8462,
    "identity": 1.0,
    "gelu": 1.5335,
    "mish": 1.4868,
}
"""1/√E[f(z)²] for z ~ N(0, 1): weights of deviation gain/√fan_in keep the mean square of f(z) at 1 from layer to layer.
`tests/models/test_architecture.py` computes them anew. Softmax across channels has no such number."""


@dataclass(frozen=True, slots=True)
class Size:
    """How big one network is: trainable numbers, and multiply-adds for one image."""

    parameters: int
    macs: int


class ActNet(nn.Module):
    """3×3 convolutions, each with the activation after it, then mean and linear layer.

    Args:
        activation: a key of `ACTIVATIONS`.
        classes: length of the logits.
        norm: BatchNorm before each activation; without it, weights are drawn with the activation's gain.

    Shape: float32 [N, 3, 32, 32] → logits float32 [N, classes].
    """

    def __init__(self, activation: str, classes: int = 10, *, stages: Stages = STAGES, norm: bool = True) -> None:
        super().__init__()
        self.activation = activation
        self.convolutions = nn.ModuleList()
        self.norms = nn.ModuleList()
        channels = 3
        for width, stride in stages:
            self.convolutions.append(nn.Conv2d(channels, width, 3, stride, padding=1, bias=not norm))
            self.norms.append(nn.BatchNorm2d(width) if norm else nn.Identity())
            channels = width
        self.head = nn.Linear(channels, classes)
        if not norm:
            self._draw(GAINS.get(activation, 1.0))

    def _draw(self, gain: float) -> None:
        """The first layer sees pictures of mean square 1, the others the activation's outputs."""
        for index, convolution in enumerate(self.convolutions):
            fan_in = convolution.in_channels * 9
            nn.init.normal_(convolution.weight, 0.0, (gain if index else 1.0) / math.sqrt(fan_in))
            nn.init.zeros_(convolution.bias)

    def forward(self, x: Tensor) -> Tensor:
        activate = ACTIVATIONS[self.activation]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = activate(norm(convolution(x)))
        logits: Tensor = self.head(x.mean(dim=(2, 3)))
        return logits


def size(classes: int = 10, stages: Stages = STAGES) -> Size:
    """Count the served network's parameters and multiply-adds, BatchNorm already folded into biases."""
    parameters = macs = 0
    channels, side = 3, IMAGE_SIZE
    for width, stride in stages:
        side = -(-side // stride)
        weights = channels * width * 9
        parameters += weights + width
        macs += weights * side * side
        channels = width
    return Size(parameters + (channels + 1) * classes, macs + channels * classes)
