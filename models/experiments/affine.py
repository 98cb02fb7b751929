"""Without an activation, is the network one affine map, however deep it is?

`cnn-identity` is asked for the zero picture and for each of the 3,072 unit pictures; that gives a matrix and a vector
after which nothing is left to learn about it. They are compared with the network on every validation picture. All the
served networks are asked for the superposition residual |f(x+y) − f(x) − f(y) + f(0)| as well, which is 0 for an affine
map and nothing else. The limit is float32, in which the files compute: the residual of a truly affine map is 1e-6 here.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.export import REPOSITORY, served
from models.export import run as answers
from models.lab import Lab, Result
from models.plots import COLORS, panels, to_svg
from service.engine.runtime.device import Device
from service.engine.runtime.session import Session

PIXELS = 3 * 32 * 32
UNIT = 100.0
"""How far from 0 the unit pictures are: the larger, the less the constant's rounding is seen in the matrix."""
PAIRS = 500

Floats = NDArray[np.float64]


def run(lab: Lab, *, repository: Path = REPOSITORY, pairs: int = PAIRS) -> Result:
    """Collapse the network without activation, and measure how far the others are from affine."""
    images = pictures(lab)
    networks = {
        name: Session.load(path.read_bytes(), Device.cpu(), threads=0) for name, path in served(repository).items()
    }
    identity = networks["cnn-identity"]
    matrix, constant = collapse(identity)
    outputs = logits(identity, images)
    affine = images.reshape(len(images), -1) @ matrix + constant
    targets = lab.validation.targets.cpu().numpy()
    return {
        "settings": {"unit": UNIT, "pairs": pairs, "pictures": len(images)},
        "runs": [about(name, network, images, targets, pairs) for name, network in networks.items()],
        "summary": {
            "largest_difference": float(np.abs(outputs - affine).max() / np.abs(outputs).max()),
            "same_class": float((outputs.argmax(axis=1) == affine.argmax(axis=1)).mean()),
            "accuracy_of_the_map": float((affine.argmax(axis=1) == targets).mean()),
            "numbers_of_the_map": matrix.size + constant.size,
        },
        "_matrix": np.round(matrix.T.reshape(10, 3, 32, 32), 5).tolist(),
    }


def about(name: str, session: Session, images: NDArray[np.float32], targets: NDArray[np.int64], pairs: int) -> Result:
    """A network's residual, and the share of pictures that it classifies rightly, by its own classes."""
    found = logits(session, images)
    right = None if found.shape[1] == 1 else float((found.argmax(axis=1) == targets).mean())
    return {"model": name, "accuracy": right, **residual(session, images, pairs)}


def pictures(lab: Lab) -> NDArray[np.float32]:
    """All validation pictures as the networks take them: float32 [N, 3, 32, 32]."""
    every = torch.arange(len(lab.validation.targets), device=lab.device)
    found: NDArray[np.float32] = lab.validation.centred(every).contiguous().cpu().numpy()
    return found


def logits(session: Session, images: NDArray[np.float32]) -> Floats:
    return answers(session, images)["logits"].astype(np.float64)


def collapse(session: Session) -> tuple[Floats, Floats]:
    """The matrix [3072, K] and the constant [K] of a network, if it is affine."""
    units = UNIT * np.eye(PIXELS, dtype=np.float32).reshape(PIXELS, 3, 32, 32)
    constant = logits(session, np.zeros((1, 3, 32, 32), np.float32))[0]
    return (logits(session, units) - constant) / UNIT, constant


def residual(session: Session, images: NDArray[np.float32], pairs: int) -> Result:
    """Of f(x+y) − f(x) − f(y) + f(0), relative to |f(x)| + |f(y)|, over pairs of pictures."""
    x, y = images[:pairs], images[-pairs:]
    zero = logits(session, np.zeros((1, 3, 32, 32), np.float32))
    of_x, of_y = logits(session, x), logits(session, y)
    left = np.abs(logits(session, x + y) - of_x - of_y + zero).max(axis=1)
    share = left / (np.abs(of_x).max(axis=1) + np.abs(of_y).max(axis=1))
    return {"median": float(np.median(share)), "largest": float(share.max())}


def draw(result: Result) -> str:
    """The ten rows of the matrix as pictures, and every network's residual."""
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    with panels(2, width=5.5, height=3.4) as (figure, (left, right)):
        rows = np.array(result["_matrix"]).transpose(0, 2, 3, 1)
        scale = np.percentile(np.abs(rows), 99)
        tiles = np.clip(rows / scale / 2 + 0.5, 0, 1)
        left.imshow(np.concatenate([np.concatenate(tiles[i : i + 5], axis=1) for i in (0, 5)]), interpolation="nearest")
        for index, name in enumerate(classes):
            left.text(index % 5 * 32 + 1, index // 5 * 32 + 4, name, fontsize=6, color="white")
        left.set_axis_off()
        left.set_title("cnn-identity is this matrix, a picture a class", fontsize=10)
        runs = sorted(result["runs"], key=lambda run: run["median"])
        names = [run["model"] for run in runs]
        colors = [COLORS[name.partition("-")[2]] for name in names]
        right.barh(names, [run["median"] for run in runs], color=colors)
        right.set_xscale("log")
        right.set_title("superposition residual: 0 for an affine map", fontsize=10)
        return to_svg(figure)
