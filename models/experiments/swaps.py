"""What does a trained network lose if another activation takes the place of its own, and the weights stay?

Each served network of ten classes with each of the functions that one was trained with, at default parameters,
classifies all validation pictures, edited as the service edits it (`service.engine.surgery`).
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from models.architecture import ACTIVATIONS
from models.experiments.affine import pictures
from models.export import REPOSITORY, predictions, served
from models.export import run as answers
from models.lab import Lab, Result
from models.plots import panels, to_svg
from service.activations.catalogue import find
from service.engine import patterns, surgery
from service.engine.runtime.device import Device
from service.engine.runtime.session import Session


def run(lab: Lab, *, repository: Path = REPOSITORY, functions: tuple[str, ...] = tuple(ACTIVATIONS)) -> Result:
    """Measure every pair of a network and a function."""
    images, targets = pictures(lab), lab.validation.targets.cpu().numpy()
    found = {
        name: accuracies(path.read_bytes(), functions, images, targets)
        for name, path in served(repository).items()
        if name != "binary-relu"
    }
    return {
        "settings": {"pictures": len(images)},
        "runs": [{"model": name, "accuracy": of} for name, of in found.items()],
        "summary": {"models": list(found), "functions": list(functions), "accuracy": found},
    }


def accuracies(
    model: bytes, functions: tuple[str, ...], images: NDArray[np.float32], targets: NDArray[np.int64]
) -> dict[str, float]:
    """Share of pictures that the network classifies rightly with each function in the place of its own."""
    proto = onnx.load_model_from_string(model)
    sites = patterns.sites(proto.graph, surgery.opset(proto))
    found = {}
    for function in functions:
        edited = surgery.swapped(proto, sites, find(function)).SerializeToString()
        session = Session.load(edited, Device.cpu(), threads=0)
        chosen = predictions(answers(session, images)["logits"])
        found[function] = float((chosen == targets).mean())
    return found


def draw(result: Result) -> str:
    """A square a pair, its shade the accuracy."""
    summary = result["summary"]
    models, functions = summary["models"], summary["functions"]
    shares = np.array([[100 * summary["accuracy"][model][function] for function in functions] for model in models])
    with panels(1, width=7.0, height=5.2) as (figure, (axis,)):
        axis.imshow(shares, cmap="Blues", vmin=10, vmax=100)
        axis.set_xticks(range(len(functions)), functions, rotation=40, ha="right")
        axis.set_yticks(range(len(models)), models)
        axis.set_xlabel("in the place of its own")
        axis.grid(visible=False)
        for row, values in enumerate(shares):
            for column, value in enumerate(values):
                shade = "white" if value > 60 else "black"
                axis.text(column, row, f"{value:.0f}", ha="center", va="center", color=shade, fontsize=9)
        axis.set_title("accuracy on validation pictures, %", fontsize=11)
        return to_svg(figure)
