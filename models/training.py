"""Training a network, for the served CNNs and the claims: the recipe, the pictures on the training device, the loop.

The order of the pictures and their augmentation depend on (seed, epoch) alone, so a run that was cut short and goes on
sees the batches that an unbroken one would.
"""

import datetime
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from models import data
from models.architecture import IMAGE_SIZE
from models.files import whole
from models.muon import Muon

PADDING = 4
"""Pixels of reflected border that a random crop may take in."""

SHRUNK = 24
"""Side in pixels of the pictures in the first part of a run; they cost 0.56 of what whole ones do."""

Loss: TypeAlias = Callable[[Tensor, Tensor, "Recipe"], Tensor]
"""(logits [N, K], targets [N], recipe) → scalar."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that shapes a training run; goes into the model card as it is.

    Attributes:
        optimizer: of the convolutions' filters; all else goes by SGD. Muon is for networks with BatchNorm.
        peak_learning_rate: highest of the one cycle, or the constant one.
        rest_learning_rate: the same of what Muon does not move.
        warm_up: share of a one-cycle run in which the learning rate rises.
        weight_decay: on weights that SGD moves, not on biases or BatchNorm.
        augment: mirror, and shift by up to `PADDING` pixels.
        cutout: side in pixels of the square that is blanked, 0 for none.
        shrunk: share of the epochs, the first ones, that see pictures of `SHRUNK` pixels.
        clip: largest norm of the gradient, 0 for any.
    """

    epochs: int = 80
    batch_size: int = 128
    optimizer: Literal["SGD", "Muon"] = "SGD"
    schedule: Literal["one cycle", "constant"] = "one cycle"
    peak_learning_rate: float = 0.1
    rest_learning_rate: float = 0.1
    warm_up: float = 0.25
    momentum: float = 0.9
    weight_decay: float = 5e-4
    augment: bool = True
    cutout: int = 10
    shrunk: float = 0.5
    label_smoothing: float = 0.1
    clip: float = 0.0
    seed: int = 0

    def side(self, epoch: int) -> int:
        """Of the pictures in this epoch, in pixels."""
        return SHRUNK if epoch < round(self.shrunk * self.epochs) else IMAGE_SIZE

    def height(self, progress: float) -> float:
        """Of the learning rate, as a share of its peak, at this share of the run.

        Constant, or a linear rise over `warm_up` and a cosine fall to zero after it.
        """
        if self.schedule == "constant":
            return 1.0
        if progress < self.warm_up:
            return progress / self.warm_up
        fall = (progress - self.warm_up) / (1 - self.warm_up)
        return (1 + math.cos(math.pi * fall)) / 2


def softmax_loss(logits: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
    """Cross-entropy of the softmax, with the recipe's label smoothing."""
    return functional.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)


def sigmoid_loss(logits: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
    """Binary cross-entropy of a sigmoid on each logit; one logit takes the targets 0 and 1 as they are."""
    wanted = (
        targets.to(logits.dtype)[:, None]
        if logits.shape[1] == 1
        else functional.one_hot(targets, logits.shape[1]).to(logits.dtype)
    )
    smooth = recipe.label_smoothing
    return functional.binary_cross_entropy_with_logits(logits, wanted * (1 - smooth) + smooth / 2)


@dataclass(frozen=True, slots=True)
class Batches:
    """A split on the training device: pictures uint8 [N, H, W, 3], padded by `PADDING`; targets int64 [N]."""

    padded: Tensor
    targets: Tensor
    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, split: data.Split, device: torch.device) -> "Batches":
        images = torch.from_numpy(split.images).permute(0, 3, 1, 2).float()
        padded = functional.pad(images, [PADDING] * 4, mode="reflect").to(torch.uint8)
        return cls(
            padded.permute(0, 2, 3, 1).contiguous().to(device),
            torch.from_numpy(split.targets).to(device),
            torch.tensor(data.MEAN, device=device),
            torch.tensor(data.STD, device=device),
        )

    def take(self, index: Tensor, shift: Tensor, flip: Tensor) -> Tensor:
        """Cut out pictures at `index`: normalised float32 [B, 3, 32, 32], cropped at `shift`, mirrored by `flip`."""
        steps = torch.arange(IMAGE_SIZE, device=index.device)
        rows = shift[:, :1] + steps
        columns = shift[:, 1:] + torch.where(flip[:, None], steps.flip(0), steps)
        crops = self.padded[index[:, None, None], rows[:, :, None], columns[:, None, :]]
        return ((crops.float() / 255 - self.mean) / self.std).permute(0, 3, 1, 2)

    def centred(self, index: Tensor) -> Tensor:
        """The pictures at `index` as they are: no shift, no mirror."""
        still = torch.full((len(index), 2), PADDING, device=index.device)
        return self.take(index, still, torch.zeros(len(index), dtype=torch.bool, device=index.device))


@dataclass(frozen=True, slots=True)
class Order:
    """One epoch's order of the pictures, and what is done to each; drawn on the CPU, so equal on every device."""

    index: Tensor
    shift: Tensor
    flip: Tensor
    blank: Tensor
    side: int

    @classmethod
    def of(cls, recipe: Recipe, epoch: int, count: int, device: torch.device) -> "Order":
        generator = torch.Generator().manual_seed(recipe.seed * 100_003 + epoch)
        index = torch.randperm(count, generator=generator)
        shift = torch.randint(0, 2 * PADDING + 1, (count, 2), generator=generator)
        flip = torch.rand(count, generator=generator) < 0.5
        blank = torch.randint(0, IMAGE_SIZE, (count, 2), generator=generator)
        if not recipe.augment:
            shift, flip = torch.full_like(shift, PADDING), torch.zeros_like(flip)
        return cls(index.to(device), shift.to(device), flip.to(device), blank.to(device), recipe.side(epoch))

    def batches(self, training: Batches, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
        """Pictures and targets of each step; what is left over at the end waits for another epoch's order."""
        for index in self.index.split(recipe.batch_size)[: len(self.index) // recipe.batch_size]:
            images = training.take(index, self.shift[index], self.flip[index])
            yield shrink(cut_out(images, self.blank[index], recipe.cutout), self.side), training.targets[index]


def cut_out(images: Tensor, centres: Tensor, side: int) -> Tensor:
    """Blank a square in each picture with the mean colour, around `centres` [B, 2]; at the border less of it.

    Source: DeVries, Taylor, arXiv 1708.04552.
    """
    if side == 0:
        return images
    steps = torch.arange(IMAGE_SIZE, device=images.device)
    rows, columns = (
        (steps >= centre - side // 2) & (steps < centre + side - side // 2)
        for centre in (centres[:, :1], centres[:, 1:])
    )
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


def shrink(images: Tensor, side: int) -> Tensor:
    """Pictures [B, 3, 32, 32] with sides of so many pixels."""
    if side == IMAGE_SIZE:
        return images
    return functional.interpolate(images, size=(side, side), mode="bilinear", antialias=True)


@dataclass(frozen=True, slots=True)
class Epoch:
    """What came of one epoch; the loss is the mean over its steps, not a number if the run diverged."""

    loss: float
    accuracy: float
    seconds: float


def fit(
    net: nn.Module,
    recipe: Recipe,
    training: Batches,
    validation: Batches,
    *,
    loss: Loss = softmax_loss,
    checkpoint: Path | None = None,
    label: str = "",
) -> list[Epoch]:
    """Train the network in place, and return what came of each epoch; a run that diverges ends there.

    Args:
        checkpoint: written after every epoch; a run of the same recipe goes on from it.
        label: what the progress bar calls the run.

    Raises:
        ValueError: there are less pictures than one batch takes.
    """
    if len(training.targets) < recipe.batch_size:
        raise ValueError(f"{len(training.targets)} pictures are less than one batch of {recipe.batch_size}")
    optimizers = _optimizers(net, recipe)
    history = _resume(checkpoint, recipe, net, optimizers)
    steps = len(training.targets) // recipe.batch_size
    with tqdm(total=recipe.epochs * steps, initial=len(history) * steps, desc=label, unit="step", disable=None) as bar:
        for epoch in range(len(history), recipe.epochs):
            started = time.perf_counter()
            mean = _epoch(net, optimizers, recipe, training, epoch, loss, bar)
            accuracy = evaluate(net, validation)
            history.append(Epoch(mean, accuracy, time.perf_counter() - started))
            bar.set_postfix(epoch=f"{epoch + 1}/{recipe.epochs}", loss=f"{mean:.3f}", accuracy=f"{accuracy:.4f}")
            if bar.disable:  # no terminal: a line an epoch
                left = history[-1].seconds * (recipe.epochs - epoch - 1)
                done = f"{label} epoch {epoch + 1}/{recipe.epochs}"
                print(f"{done} loss {mean:.4f} accuracy {accuracy:.4f} {left:.0f} s left", flush=True)
            if checkpoint is not None:
                _save(checkpoint, recipe, net, optimizers, history)
            if not math.isfinite(mean):
                break
    return history


def _optimizers(net: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Each parameter is in one group of one of them; a group's `peak` is what its learning rate rises to."""
    muon = recipe.optimizer == "Muon"
    filters = [p for p in net.parameters() if p.ndim > 2] if muon else []
    weights = [p for p in net.parameters() if p.ndim > 1 and not (muon and p.ndim > 2)]
    others = [p for p in net.parameters() if p.ndim <= 1]
    peak = recipe.rest_learning_rate if muon else recipe.peak_learning_rate
    sgd = torch.optim.SGD(
        [
            {"params": weights, "weight_decay": recipe.weight_decay, "peak": peak},
            {"params": others, "weight_decay": 0.0, "peak": peak},
        ],
        lr=peak,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
    )
    if not muon:
        return [sgd]
    group = {"params": filters, "peak": recipe.peak_learning_rate}
    return [Muon([group], lr=recipe.peak_learning_rate, momentum=recipe.momentum), sgd]


def _epoch(
    net: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    recipe: Recipe,
    training: Batches,
    epoch: int,
    loss: Loss,
    bar: Any,
) -> float:
    device = training.targets.device
    order = Order.of(recipe, epoch, len(training.targets), device)
    steps = len(training.targets) // recipe.batch_size
    total = 0.0
    net.train()
    for step, (images, targets) in enumerate(order.batches(training, recipe), start=1):
        height = recipe.height((epoch + step / steps) / recipe.epochs)
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = group["peak"] * height
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=has_fast_bfloat16(device)):
            logits = net(images.contiguous(memory_format=torch.channels_last))
        value = loss(logits.float(), targets, recipe)
        net.zero_grad(set_to_none=True)
        value.backward()
        if recipe.clip:
            nn.utils.clip_grad_norm_(net.parameters(), recipe.clip)
        for optimizer in optimizers:
            optimizer.step()
        total += value.item()
        bar.update()
        if not math.isfinite(total):
            break
    return total / steps


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether convolutions gain from it: a processor without AVX-512 does them ten times slower than in float32."""
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def outputs(net: nn.Module, split: Batches, batch_size: int = 500) -> Tensor:
    """The logits [N, K] of a split's pictures as they are, in float32, on the CPU."""
    net.eval()
    with torch.no_grad():
        indices = torch.arange(len(split.targets), device=split.targets.device).split(batch_size)
        return torch.cat([net(split.centred(index)).float().cpu() for index in indices])


def evaluate(net: nn.Module, split: Batches) -> float:
    """Share of pictures classified rightly; one logit says 1 where it is positive."""
    logits = outputs(net, split)
    chosen = (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(dim=1)
    return float((chosen == split.targets.cpu()).double().mean())


def _resume(
    checkpoint: Path | None, recipe: Recipe, net: nn.Module, optimizers: list[torch.optim.Optimizer]
) -> list[Epoch]:
    if checkpoint is None or not checkpoint.exists():
        return []
    device = next(net.parameters()).device
    saved = torch.load(checkpoint, map_location=device, weights_only=True)
    if saved["recipe"] != asdict(recipe):
        return []
    net.load_state_dict(saved["net"])
    for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    return [Epoch(**epoch) for epoch in saved["history"]]


def _save(
    path: Path, recipe: Recipe, net: nn.Module, optimizers: list[torch.optim.Optimizer], history: list[Epoch]
) -> None:
    """A run cut short leaves the last whole checkpoint."""
    state = {
        "recipe": asdict(recipe),
        "net": net.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "history": [asdict(epoch) for epoch in history],
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "torch": str(torch.__version__),
        "device": _device_name(next(net.parameters()).device),
    }
    with whole(path) as partial:
        torch.save(state, partial)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
