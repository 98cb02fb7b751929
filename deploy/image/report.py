"""What the trial of an image found, for people and for docs/deployment.md."""

import re
from collections.abc import Sequence

from deploy.image.engine import Layer
from deploy.image.trial import Result
from loadtests.local import pages

MB = 1_000_000
LEAST = 100_000
"""Bytes that are worth a line."""

PARTS = {
    "CUDA and cuDNN": "/opt/actserve/lib",
    "Python's packages, ONNX Runtime first of all": "/opt/actserve",
    "the service, its models, the article's evidence": "/app",
}
"""What the Dockerfile copies into its last stage, by where to."""


def render(result: Result, facts: Sequence[str]) -> str:
    """Where and how it was measured, the goals, and what takes the room."""
    times = f"ready {result.start_s:.1f} s after `run`, on one processor"
    rows = [(name, mb(size)) for name, size in parts(result).items() if size >= LEAST]
    table = pages.table(("layers", "MB"), [*rows, ("all", mb(result.size))])
    return "\n\n".join([pages.bullets([*facts, times]), pages.bullets([*map(str, result.goals)]), table]) + "\n"


def parts(result: Result) -> dict[str, int]:
    """Bytes of the image that it stands on, and of each part; engines round, so they need not add up."""
    return {"the base image": result.base} | {name: added(result.layers, folder) for name, folder in PARTS.items()}


def added(layers: Sequence[Layer], folder: str) -> int:
    """What the steps that copy to a folder add; engines write them as `COPY x y` or `COPY dir:… in y`."""
    step = re.compile(rf"COPY .*\s{re.escape(folder)}(\s*# buildkit)?$")
    return sum(layer.size for layer in layers if step.search(layer.step))


def mb(size: int) -> str:
    return pages.digits(size / MB)
