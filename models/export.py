"""Checkpoints → the ONNX files that the service serves, each with its whole description inside.

    python -m models.export --data cifar10.zip

BatchNorm is folded into the convolutions, so the file is convolution, activation, …, mean, linear, softmax. The
activation is the catalogue's own `native` formula: the function served alone and the one inside the CNN are one.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper

from models import data
from models.architecture import IMAGE_SIZE, STAGES, ActNet, size
from service.activations.catalogue import find
from service.activations.expressions import Graph, Term, op
from service.engine.session import Device, Session, runtime_version

REPOSITORY = Path("models/repository")
VERSION = "1"

OPSET = 17
"""Low, for the runtimes that others have; every operator used is in it."""
IR_VERSION = 8

TOLERANCE = 1e-5
"""Largest difference from PyTorch that is let pass: of probabilities absolutely, of logits relative to the largest."""

Floats = NDArray[np.float32]


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


def to_onnx(net: ActNet, metadata: dict[str, str]) -> bytes:
    """Write the network as ONNX: `image` [N, 3, 32, 32] → `logits` and `probabilities` [N, classes]."""
    graph = Graph(np.dtype(np.float32), np.dtype(np.float32))
    row = find(net.activation)
    values = row.bind({} if row.elementwise else {"axis": 1})
    x = Term(graph, "image")
    for layer, ((weight, bias), (_, stride)) in enumerate(zip(fold(net), STAGES, strict=True), start=1):
        kernel, offset = graph.initializer(weight, f"conv{layer}.weight"), graph.initializer(bias, f"conv{layer}.bias")
        x = op("Conv", x, kernel, offset, kernel_shape=[3, 3], strides=[stride, stride], pads=[1, 1, 1, 1])
        x = row.native(x, values)
    mean = op("Flatten", op("GlobalAveragePool", x), axis=1)
    head = [part.detach().float().cpu().numpy() for part in (net.head.weight, net.head.bias)]
    logits = op(
        "Gemm", mean, graph.initializer(head[0], "head.weight"), graph.initializer(head[1], "head.bias"), transB=1
    )
    graph.add_output(logits, "logits")
    graph.add_output(op("Softmax", logits, axis=-1), "probabilities")
    return _model(graph, len(head[1]), metadata)


def _model(graph: Graph, classes: int, metadata: dict[str, str]) -> bytes:
    element = onnx.TensorProto.FLOAT
    image = helper.make_tensor_value_info("image", element, ["N", 3, IMAGE_SIZE, IMAGE_SIZE])
    outputs = [helper.make_tensor_value_info(name, element, ["N", classes]) for name in ("logits", "probabilities")]
    proto = helper.make_graph(graph.nodes, "actnet", [image], outputs, initializer=list(graph.constants.values()))
    model = helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="actserve"
    )
    helper.set_model_props(model, metadata)
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


def disagreement(net: ActNet, session: Session, images: Floats) -> float:
    """Largest difference of ONNX Runtime from PyTorch in float64, as `TOLERANCE` counts it."""
    with torch.no_grad():
        logits = net.double()(torch.from_numpy(images).double())
    probabilities = logits.softmax(dim=1).numpy()
    logits = logits.numpy()
    net.float()
    ours = session.run({"image": images})
    return float(
        max(
            np.max(np.abs(ours["probabilities"] - probabilities)),
            np.max(np.abs(ours["logits"] - logits)) / np.max(np.abs(logits)),
        )
    )


def accuracy(session: Session, images: Floats, targets: NDArray[np.int64]) -> float:
    """Share of pictures that the exported file classifies rightly."""
    batches = range(0, len(images), 500)
    right = sum(
        int((session.run({"image": images[i : i + 500]})["logits"].argmax(axis=1) == targets[i : i + 500]).sum())
        for i in batches
    )
    return right / len(images)


def export(checkpoint: Path, source: dict[str, Any], images: Floats, targets: NDArray[np.int64], folder: Path) -> None:
    """Write one model and check it.

    Raises:
        RuntimeError: ONNX Runtime and PyTorch disagree by more than `TOLERANCE`.
    """
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    net = ActNet(saved["activation"]).eval()
    net.load_state_dict(saved["net"])
    session = Session.load(to_onnx(net, {}), Device.cpu())
    gap = disagreement(net, session, images[:512])
    if gap > TOLERANCE:
        raise RuntimeError(
            f"{checkpoint}: ONNX Runtime and PyTorch differ by {gap:.2e}, at most {TOLERANCE:g} is allowed"
        )
    measured = accuracy(session, images, targets)
    metadata = {
        "kind": "classifier",
        "activation": net.activation,
        "labels": json.dumps(source["classes"]),
        "preprocessing": json.dumps(preprocessing()),
        "card": json.dumps(card(saved, source, measured, gap)),
    }
    path = folder / f"cnn-{net.activation}" / VERSION / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_onnx(net, metadata))
    print(f"{path}: validation accuracy {measured:.4f}, largest difference from PyTorch {gap:.1e}")


def card(saved: dict[str, Any], source: dict[str, Any], measured: float, gap: float) -> dict[str, object]:
    """What the model is and how it came to be."""
    counted = size(len(source["classes"]))
    return {
        "data": {"name": "CIFAR-10, recompressed as JPEG", **source["splits"]},
        "recipe": saved["recipe"] | {"optimizer": "SGD, Nesterov", "augmentation": "mirror, shift by up to 4 pixels"},
        "seeds": [saved["recipe"]["seed"]],
        "epochs": len(saved["history"]),
        "validation_accuracy": measured,
        "largest_difference_from_pytorch": gap,
        "parameters": counted.parameters,
        "macs": counted.macs,
        "date": saved["date"],
        "versions": {"torch": saved["torch"], "onnx": onnx.__version__, "onnxruntime": runtime_version()},
    }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the zip or folder that the models were trained on")
    parser.add_argument("--checkpoints", type=Path, default=Path("models/checkpoints"))
    parser.add_argument("--repository", type=Path, default=REPOSITORY)
    options = parser.parse_args(arguments)
    source = json.loads((options.checkpoints / "data.json").read_text())
    split = data.read(options.data, "validation")
    images = prepare(split)
    for checkpoint in sorted(options.checkpoints.glob("*-seed0.pt")):
        export(checkpoint, source, images, split.targets, options.repository)


if __name__ == "__main__":
    main(sys.argv[1:])
