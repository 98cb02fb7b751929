"""Checkpoints → the ONNX files that the service serves, each with its whole description inside.

    python -m models.export --data cifar10.zip

BatchNorm is folded into the convolutions, so the file is convolution, activation, …, mean, linear, and softmax (or
sigmoid) of the logits divided by a temperature, which is fitted on pictures that were held out of training. The
activation is the catalogue's own `native` formula: the function served alone and the one inside the CNN are one.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper

from models import calibration, data
from models.architecture import IMAGE_SIZE, STAGES, ActNet, size
from models.train import CHECKPOINTS, TASKS, Task, hold_out, rates
from models.training import PADDING, SHRUNK
from service.activations.catalogue import find
from service.activations.expressions import Graph, Term, op
from service.engine.folder import FILE
from service.engine.runtime.device import Device
from service.engine.runtime.session import Session
from service.engine.runtime.words import runtime_version

REPOSITORY = Path("models/repository")
VERSION = "1"

OPSET = 17
"""Low, for the runtimes that others have; every operator used is in it."""
IR_VERSION = 8

TOLERANCE = 1e-5
"""Largest difference from PyTorch that is let pass: of probabilities absolutely, of logits relative to the largest."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Source:
    """What a model is measured on: pictures float32 [N, 3, 32, 32] of each split, and what the card says of them."""

    held_out: tuple[Floats, data.Split]
    validation: tuple[Floats, data.Split]
    described: Mapping[str, object]

    @classmethod
    def read(cls, path: Path) -> "Source":
        training, held_out = hold_out(data.read(path, "train"))
        splits = {"train": training, "held_out": held_out, "validation": data.read(path, "validation")}
        described = {name: {"images": len(split.targets), "sha256": split.sha256} for name, split in splits.items()}
        held_out, validation = splits["held_out"], splits["validation"]
        return cls((prepare(held_out), held_out), (prepare(validation), validation), described)

    def of(self, task: Task) -> "Source":
        """The same with the task's targets and classes."""
        if not task.binary:
            return self
        (held_out, kept), (validation, shown) = self.held_out, self.validation
        return Source((held_out, data.binary(kept)), (validation, data.binary(shown)), self.described)


def fold(net: ActNet) -> list[tuple[Floats, Floats]]:
    """Each convolution with its BatchNorm: weights [out, in, 3, 3] and biases [out], folded in float64."""
    folded = []
    for convolution, norm in zip(net.convolutions, net.norms, strict=True):
        weight, gain, shift, mean, variance = (
            part.detach().double().cpu().numpy()
            for part in (convolution.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var)
        )
        factor = gain / np.sqrt(variance + norm.eps)
        folded.append(
            ((weight * factor[:, None, None, None]).astype(np.float32), (shift - mean * factor).astype(np.float32))
        )
    return folded


def to_onnx(net: ActNet, metadata: Mapping[str, str], *, temperature: float = 1.0) -> bytes:
    """Write the network as ONNX: `image` [N, 3, 32, 32] → `logits` and `probabilities` [N, classes]."""
    graph = Graph(np.dtype(np.float32), np.dtype(np.float32))
    x = Term(graph, "image")
    for layer, ((weight, bias), (_, stride)) in enumerate(zip(fold(net), STAGES, strict=True), start=1):
        kernel, offset = graph.initializer(weight, f"conv{layer}.weight"), graph.initializer(bias, f"conv{layer}.bias")
        x = op("Conv", x, kernel, offset, kernel_shape=[3, 3], strides=[stride, stride], pads=[1, 1, 1, 1])
        x = _activated(x, net.activation)
    mean = op("Flatten", op("GlobalAveragePool", x), axis=1)
    weight, bias = (part.detach().float().cpu().numpy() for part in (net.head.weight, net.head.bias))
    head = graph.initializer(weight, "head.weight"), graph.initializer(bias, "head.bias")
    logits = op("Gemm", mean, *head, transB=1)
    graph.add_output(logits, "logits")
    calibrated = logits * (1 / temperature)
    binary = len(bias) == 1
    graph.add_output(op("Sigmoid", calibrated) if binary else op("Softmax", calibrated, axis=-1), "probabilities")
    return _model(graph, len(bias), metadata)


def _activated(x: Term, activation: str) -> Term:
    row = find(activation)
    formula = row.by_operators_of(OPSET)
    assert formula is not None
    return formula(x, row.in_network())


def _model(graph: Graph, classes: int, metadata: Mapping[str, str]) -> bytes:
    element = onnx.TensorProto.FLOAT
    image = helper.make_tensor_value_info("image", element, ["N", 3, IMAGE_SIZE, IMAGE_SIZE])
    outputs = [helper.make_tensor_value_info(name, element, ["N", classes]) for name in ("logits", "probabilities")]
    proto = helper.make_graph(graph.nodes, "actnet", [image], outputs, initializer=list(graph.constants.values()))
    model = helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="actserve"
    )
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=True)
    serialised: bytes = model.SerializeToString()
    return serialised


def preprocessing() -> dict[str, object]:
    """How an image becomes the input, in the terms of `service.wire.images.Preprocessing`."""
    return {
        "size": [IMAGE_SIZE, IMAGE_SIZE],
        "color": "RGB",
        "scale": 1 / 255,
        "mean": list(data.MEAN),
        "std": list(data.STD),
        "layout": "NCHW",
    }


def prepare(split: data.Split) -> Floats:
    """The pictures of a split as the model takes them: float32 [N, 3, 32, 32]."""
    scaled = (split.images / 255.0 - np.array(data.MEAN)) / np.array(data.STD)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)


def run(session: Session, images: Floats, batch_size: int = 500) -> dict[str, Floats]:
    """`logits` and `probabilities` [N, K] of all pictures."""
    parts = [session.run({"image": images[i : i + batch_size]}) for i in range(0, len(images), batch_size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in ("logits", "probabilities")}


def disagreement(net: ActNet, session: Session, images: Floats, temperature: float = 1.0) -> float:
    """Largest difference of ONNX Runtime from PyTorch in float64, as `TOLERANCE` counts it."""
    with torch.no_grad():
        logits = net.double()(torch.from_numpy(images).double())
    net.float()
    calibrated = logits / temperature
    probabilities = (calibrated.sigmoid() if logits.shape[1] == 1 else calibrated.softmax(dim=1)).numpy()
    wanted = logits.numpy()
    ours = session.run({"image": images})
    return float(
        max(
            np.max(np.abs(ours["probabilities"] - probabilities)),
            np.max(np.abs(ours["logits"] - wanted)) / np.max(np.abs(wanted)),
        )
    )


def served(repository: Path) -> dict[str, Path]:
    """The files of the networks that are there, by their models' names."""
    paths = {name: repository / name / VERSION / FILE for name in TASKS}
    return {name: path for name, path in paths.items() if path.exists()}


def predictions(logits: Floats) -> NDArray[np.int64]:
    """The class of each picture; one logit says 1 where it is positive."""
    chosen: NDArray[np.int64] = (logits[:, 0] > 0).astype(np.int64) if logits.shape[1] == 1 else logits.argmax(axis=1)
    return chosen


def confusion(predicted: NDArray[np.int64], targets: NDArray[np.int64], classes: int) -> list[list[int]]:
    """How often each class (row) was taken for each (column)."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (targets, predicted), 1)
    return [[int(count) for count in row] for row in counts]


@dataclass(frozen=True, slots=True)
class Trained:
    """A checkpoint, read."""

    net: ActNet
    saved: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path, task: Task) -> "Trained":
        saved = torch.load(path, map_location="cpu", weights_only=True)
        net = task.net(torch.device("cpu"), 0).eval()
        net.load_state_dict(saved["net"])
        return cls(net, saved)


def export(task: Task, checkpoints: Sequence[Path], source: Source, folder: Path) -> Path:
    """Write one model, of the first checkpoint, and check it.

    Args:
        checkpoints: of one seed each.

    Raises:
        RuntimeError: ONNX Runtime and PyTorch disagree by more than `TOLERANCE`.
    """
    source = source.of(task)
    seeds = [Trained.read(path, task) for path in checkpoints]
    net = seeds[0].net
    plain = Session.load(to_onnx(net, {}), Device.cpu(), threads=0)
    images, split = source.held_out
    temperature = calibration.temperature(run(plain, images)["logits"], split.targets)
    session = Session.load(to_onnx(net, {}, temperature=temperature), Device.cpu(), threads=0)
    gap = disagreement(net, session, source.validation[0][:512], temperature)
    if gap > TOLERANCE:
        raise RuntimeError(
            f"{task.name}: ONNX Runtime and PyTorch differ by {gap:.2e}, at most {TOLERANCE:g} is allowed"
        )
    measured = measure(plain, session, source, temperature)
    measured["seeds"] = [t.saved["recipe"]["seed"] for t in seeds]
    measured["accuracy_by_seed"] = {str(t.saved["recipe"]["seed"]): _accuracy(t.net, source) for t in seeds}
    measured["largest_difference_from_pytorch"] = gap
    measured["learning_rates"] = tried(task, checkpoints[0], seeds[0].saved["recipe"]["epochs"])
    metadata = {
        "kind": "binary_classifier" if task.binary else "classifier",
        "activation": task.activation,
        "labels": json.dumps(split.classes),
        "preprocessing": json.dumps(preprocessing()),
        "card": json.dumps(card(seeds[0].saved, source, net, measured)),
    }
    path = folder / task.name / VERSION / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_onnx(net, metadata, temperature=temperature))
    print(
        f"{path}: validation accuracy {measured['validation_accuracy']:.4f}, temperature {temperature:.3f}, "
        f"largest difference from PyTorch {gap:.1e}"
    )
    return path


def tried(task: Task, checkpoint: Path, epochs: int) -> dict[str, float]:
    """The learning rates among which that of the recipe was chosen, with the held-out accuracy of a short run."""
    path = rates(task, checkpoint.parent, epochs)
    found: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _accuracy(net: ActNet, source: Source) -> float:
    images, split = source.validation
    logits = run(Session.load(to_onnx(net, {}), Device.cpu(), threads=0), images)["logits"]
    return float((predictions(logits) == split.targets).mean())


def measure(plain: Session, calibrated: Session, source: Source, temperature: float) -> dict[str, object]:
    """Accuracy, confusion and calibration on the validation pictures, before and after the temperature."""
    images, split = source.validation
    before, after = run(plain, images), run(calibrated, images)
    chosen = predictions(after["logits"])
    numbers = {
        name: asdict(calibration.measure(outputs["probabilities"], split.targets))
        for name, outputs in (("before", before), ("after", after))
    }
    return {
        "validation_accuracy": float((chosen == split.targets).mean()),
        "confusion_matrix": confusion(chosen, split.targets, len(split.classes)),
        "calibration": {"temperature": temperature, **numbers},
    }


def card(saved: Mapping[str, Any], source: Source, net: ActNet, measured: Mapping[str, object]) -> dict[str, object]:
    """What the model is and how it came to be."""
    counted = size(net.head.out_features)
    augmentation = f"mirror, shift by up to {PADDING} pixels; {SHRUNK} pixels a side in the first epochs"
    return {
        "data": {"name": "CIFAR-10, recompressed as JPEG", **source.described},
        "recipe": saved["recipe"] | {"augmentation": augmentation},
        "epochs": len(saved["history"]),
        **measured,
        "parameters": counted.parameters,
        "macs": counted.macs,
        "date": saved["date"],
        "device": saved["device"],
        "versions": {"torch": saved["torch"], "onnx": onnx.__version__, "onnxruntime": runtime_version()},
    }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="model", help="default: all that have been trained")
    parser.add_argument("--data", type=Path, required=True, help="what the models were trained on")
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS)
    parser.add_argument("--repository", type=Path, default=REPOSITORY)
    options = parser.parse_args(arguments)
    source = Source.read(options.data)
    for name in options.models or TASKS:
        checkpoints = sorted(options.checkpoints.glob(f"{name}-seed*.pt"))
        if checkpoints:
            export(TASKS[name], checkpoints, source, options.repository)


if __name__ == "__main__":
    main(sys.argv[1:])
