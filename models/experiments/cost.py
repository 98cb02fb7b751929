"""What does each activation cost: an element, a picture, a step of training?

On one CPU thread, the functions in turn, round after round, so that whatever else the machine does meets all alike;
ratios are taken within a round and their median reported, with the quartiles. Elements: ONNX Runtime's own operators
(`native`) and this service's `exact` kernels, relative to Identity, which copies. Pictures: the served networks, as
they are and with the runtime's fusions off. Steps: forward, backward and update of a small network in PyTorch.
The machine is a shared one; a GPU would find all element-wise functions equal to a copy (not measured here).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from models.architecture import ACTIVATIONS, ActNet
from models.experiments.affine import pictures
from models.export import REPOSITORY, served
from models.lab import PLAIN, SEVEN, Lab, Result
from models.plots import COLORS, panels, to_svg
from models.training import softmax_loss
from service.activations.catalogue import ACTIVATIONS as CATALOGUE
from service.activations.graphs import Kernel, build
from service.engine.runtime.device import Device
from service.engine.runtime.session import Session

ELEMENTS = (2**12, 2**16, 2**20)
"""16 kB, 256 kB and 4 MB of float32: the first two levels of cache, and what goes beyond."""
ROUNDS = 31
BATCH = 16
FUSING = {
    True: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    False: onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}

Calls = Mapping[str, Callable[[], object]]


def run(
    lab: Lab, *, repository: Path = REPOSITORY, elements: tuple[int, ...] = ELEMENTS, rounds: int = ROUNDS
) -> Result:
    """Time everything."""
    names = [name for name in ACTIVATIONS if name != "softmax"]
    return {
        "settings": {"elements": list(elements), "rounds": rounds, "batch": BATCH, "threads": 1},
        "runs": [],
        "summary": {
            "element": {
                kernel: {str(n): ratios(kernels(names, kernel, n), "identity", rounds) for n in elements}
                for kernel in ("native", "exact")
            },
            "picture": {
                "fused" if fuse else "not fused": ratios(
                    networks(repository, pictures(lab)[:BATCH], fuse), "cnn-relu", rounds
                )
                for fuse in (True, False)
            },
            "step": ratios(steps(lab), "relu", rounds),
        },
    }


def ratios(calls: Calls, base: str, rounds: int) -> Result:
    """Median microseconds of each call, and the median and quartiles of its ratio to `base` in the same round."""
    for call in calls.values():
        call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            taken[name].append((time.perf_counter() - started) * 1e6)
    against = np.array(taken[base])
    return {
        name: {
            "microseconds": round(float(np.median(times)), 3),
            "ratio": [round(float(q), 4) for q in np.quantile(np.array(times) / against, (0.25, 0.5, 0.75))],
        }
        for name, times in taken.items()
    }


def kernels(names: list[str], kernel: Kernel, n: int) -> Calls:
    """One run of each function on n numbers of a normal distribution of deviation 2."""
    x = (np.random.default_rng(0).standard_normal(n) * 2).astype(np.float32)

    def call(name: str) -> Callable[[], object]:
        row = CATALOGUE[name]
        session = Session.load(build(row, row.bind({}), x.dtype, kernel), Device.cpu(), threads=1)
        return lambda: session.run({"x": x})

    return {name: call(name) for name in names}


def networks(repository: Path, images: np.ndarray, fuse: bool) -> Calls:
    """One run of each served network on a batch."""

    def call(path: Path) -> Callable[[], object]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.graph_optimization_level = FUSING[fuse]
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"image": images})

    return {name: call(path) for name, path in served(repository).items()}


def steps(lab: Lab) -> Calls:
    """One step of training a network of each activation, on one thread."""
    index = torch.arange(min(PLAIN.batch_size, len(lab.training.targets)), device=lab.device)
    images, targets = lab.training.centred(index), lab.training.targets[index]
    recipe = replace(PLAIN, peak_learning_rate=1e-4)

    def call(name: str) -> Callable[[], object]:
        net = ActNet(name, stages=SEVEN).to(lab.device)
        optimizer = torch.optim.SGD(net.parameters(), lr=recipe.peak_learning_rate)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            softmax_loss(net(images), targets, recipe).backward()
            optimizer.step()

        def alone() -> None:
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            step()
            torch.set_num_threads(threads)

        return alone

    return {name: call(name) for name in ACTIVATIONS}


def draw(result: Result) -> str:
    """Ratios: elements beyond the cache, pictures, steps of training."""
    summary, largest = result["summary"], str(max(result["settings"]["elements"]))
    groups = {
        "an element, native (identity = 1)": summary["element"]["native"][largest],
        "a picture, fused (cnn-relu = 1)": summary["picture"]["fused"],
        "a step of training (relu = 1)": summary["step"],
    }
    with panels(3, width=4) as (figure, axes):
        for place, (title, group) in zip(axes, groups.items(), strict=True):
            low, middle, high = np.array([row["ratio"] for row in group.values()]).T
            colors = [COLORS[name.rpartition("-")[2]] for name in group]
            place.barh(list(group), middle, xerr=[middle - low, high - middle], color=colors)
            place.set_title(title, fontsize=10)
            place.invert_yaxis()
        return to_svg(figure)
