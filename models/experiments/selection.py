"""Do activations "compress and select features: hold back what does not matter and bring out what does"?

In each served network, layer by layer on validation pictures: the share of exact zeros among the activation's outputs,
and how much of the negative inputs' power is let through. Whether what is held back does not matter is not measured;
that a network without any holding back is much worse is (`affine`).
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from models.experiments.affine import pictures
from models.export import REPOSITORY, served
from models.lab import Lab, Result
from models.plots import COLORS, panels, to_svg
from service.engine.runtime.device import Device
from service.engine.runtime.session import Session

PICTURES = 500


def run(lab: Lab, *, repository: Path = REPOSITORY, count: int = PICTURES) -> Result:
    """Look at what goes into each activation and at what comes out."""
    every = pictures(lab)
    images = every[:: max(1, len(every) // count)]  # they lie sorted by class
    layers = {
        name: [look(z, a) for z, a in around(path.read_bytes(), images)] for name, path in served(repository).items()
    }
    return {
        "settings": {"pictures": len(images)},
        "runs": [{"model": name, "layers": found} for name, found in layers.items()],
        "summary": {
            name: {key: float(np.mean([layer[key] for layer in found])) for key in found[0]}
            for name, found in layers.items()
        },
    }


Floats = NDArray[np.float32]


def around(model: bytes, images: Floats) -> list[tuple[Floats, Floats]]:
    """What each activation got and gave: the output of its convolution, and the input of what follows."""
    proto = onnx.load_model_from_string(model)
    before = [node.output[0] for node in proto.graph.node if node.op_type == "Conv"]
    after = [node.input[0] for node in proto.graph.node if node.op_type in ("Conv", "GlobalAveragePool")][1:]
    del proto.graph.output[:]
    wanted = dict.fromkeys([*before, *after])  # one and the same where there is no activation
    proto.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in wanted)
    outputs = Session.load(proto.SerializeToString(), Device.cpu(), threads=0).run({"image": images})
    return [(outputs[z], outputs[a]) for z, a in zip(before, after, strict=True)]


def look(z: Floats, a: Floats) -> dict[str, float]:
    """Shares over all pictures, channels and places.

    Returns:
        `zeros`: exact zeros among the outputs. `negative`: negative inputs. `passed`: power of the outputs where the
        input is negative, by the power of those inputs.
    """
    below = z < 0
    power = float(np.square(z[below], dtype=np.float64).sum())
    return {
        "zeros": float((a == 0).mean()),
        "negative": float(below.mean()),
        "passed": float(np.square(a[below], dtype=np.float64).sum()) / power if power else 0.0,
    }


def draw(result: Result) -> str:
    """Exact zeros by layer, and the power of negative inputs that is let through."""
    with panels(2, width=5) as (figure, (left, right)):
        for run in result["runs"]:
            layers = range(1, len(run["layers"]) + 1)
            color = COLORS[run["model"].partition("-")[2]]
            style = "--" if run["model"].startswith("binary") else "-"
            for axes, key in ((left, "zeros"), (right, "passed")):
                axes.plot(layers, [layer[key] for layer in run["layers"]], style, color=color, label=run["model"])
        left.set(title="share of exact zeros", xlabel="layer", ylim=(-0.03, 1))
        right.set(title="power let through where the input is negative", xlabel="layer", yscale="symlog")
        right.set_yscale("symlog", linthresh=1e-4)
        right.legend(fontsize=7, ncols=2)
        return to_svg(figure)
