"""The one network that every served CNN shares, written in PyTorch.

Its only nonlinearity is the hidden activation: downsampling is by strided convolution and the spatial
dimensions go by a global average, both linear. (Max-pooling is itself a nonlinearity and would blur every
comparison; without it, the `identity` network is exactly an affine map of its input.)

BatchNorm stands before the activation while training, where it lets every activation train with one recipe.
It is affine at inference and is folded into the convolution by `models.export`, so the served file is
convolution, activation, convolution, activation, …, mean, linear.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGE_SIZE = 32
"""Height and width of the input, in pixels."""

STAGES: tuple[tuple[int, int], ...] = ((24, 1), (32, 2), (48, 1), (64, 2), (64, 1), (96, 1), (96, 2))
"""(output channels, stride) of each 3×3 convolution."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "leaky_relu": lambda x: functional.leaky_relu(x, 0.01),
    "elu": functional.elu,
    "swish": functional.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softmax": lambda x: functional.softmax(x, dim=1),
    "identity": lambda x: x,
}
"""Hidden activations by catalogue name, with the article's parameters. Softmax runs across channels."""


@dataclass(frozen=True, slots=True)
class Size:
    """How big one network is: trainable numbers, and multiply-adds for one image."""

    parameters: int
    macs: int


class ActNet(nn.Module):
    """Seven 3×3 convolutions, each with BatchNorm and the activation, then mean and linear layer.

    Args:
        activation: a key of `ACTIVATIONS`.
        classes: length of the logits.

    Shape: float32 [N, 3, 32, 32] → logits float32 [N, classes].
    """

    def __init__(self, activation: str, classes: int = 10) -> None:
        super().__init__()
        self.activation = activation
        self.convolutions = nn.ModuleList()
        self.norms = nn.ModuleList()
        channels = 3
        for width, stride in STAGES:
            self.convolutions.append(nn.Conv2d(channels, width, 3, stride, padding=1, bias=False))
            self.norms.append(nn.BatchNorm2d(width))
            channels = width
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        activate = ACTIVATIONS[self.activation]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = activate(norm(convolution(x)))
        logits: Tensor = self.head(x.mean(dim=(2, 3)))
        return logits


def size(classes: int = 10) -> Size:
    """Count the served network's parameters and multiply-adds, BatchNorm already folded into biases."""
    parameters = macs = 0
    channels, side = 3, IMAGE_SIZE
    for width, stride in STAGES:
        side = -(-side // stride)
        weights = channels * width * 9
        parameters += weights + width
        macs += weights * side * side
        channels = width
    return Size(parameters + (channels + 1) * classes, macs + channels * classes)
