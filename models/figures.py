"""Draw the article's seven functions as the service computes them: docs/functions.svg.

python -m models.figures
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from service.activations.catalogue import ARTICLE
from service.engine.functions import Functions
from service.engine.runtime.device import Device
from service.engine.runtime.session import Tensor

PICTURE = Path("docs/functions.svg")

WIDTH, HEIGHT, GAP = 220, 180, 16
"""Size of one panel and the space around it, in pixels."""

X_RANGE = (-6.0, 6.0)
Y_RANGE = (-1.5, 3.0)

STYLE = """
  text { font: 14px sans-serif; fill: #222 }
  .frame { fill: #fff; stroke: #ccc }
  .axis { stroke: #bbb }
  .function { fill: none; stroke: #0b62a8; stroke-width: 2.2 }
  .derivative { fill: none; stroke: #d1662b; stroke-width: 1.6; stroke-dasharray: 5 4 }
"""


def draw() -> str:
    """Return the picture: a panel a function, the derivative dashed; softmax as a function of x in softmax([x, 0])."""
    columns, rows = 4, 2
    width, height = columns * (WIDTH + GAP) + GAP, rows * (HEIGHT + GAP) + GAP
    engine = Functions(Device.cpu(), threads=1, capacity=20)
    panels = [_panel(engine, index, index % columns, index // columns) for index in range(len(ARTICLE))]
    legend = "\n".join(_legend(3 * (WIDTH + GAP) + GAP, HEIGHT + 2 * GAP))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
        f"<title>The seven activation functions of the article and their derivatives</title>\n<style>{STYLE}</style>\n"
        f'<rect width="{width}" height="{height}" fill="#fff"/>\n' + "\n".join(panels) + f"\n{legend}\n</svg>\n"
    )


def _panel(engine: Functions, index: int, column: int, row: int) -> str:
    activation = ARTICLE[index]
    x = np.linspace(*X_RANGE, 241)
    data = x if activation.elementwise else np.stack([x, np.zeros_like(x)], axis=-1)
    lines = []
    for derivative in (False, True):
        y = engine.apply(activation, activation.bind({}), data, "exact", derivative=derivative)
        kind = "derivative" if derivative else "function"
        lines.append(f'<path class="{kind}" d="{_path(x, y if activation.elementwise else y[:, 0])}"/>')
    left, top = GAP + column * (WIDTH + GAP), GAP + row * (HEIGHT + GAP)
    return (
        f'<g transform="translate({left} {top})"><rect class="frame" width="{WIDTH}" height="{HEIGHT}"/>'
        f'<path class="axis" d="M0 {_vertical(0.0):.1f}H{WIDTH}M{WIDTH / 2} 0V{HEIGHT}"/>\n'
        + "\n".join(lines)
        + f'\n<text x="8" y="20">{activation.title}</text></g>'
    )


def _path(x: Tensor, y: Tensor) -> str:
    """The part of the curve inside the panel; a new stroke after each gap."""
    low, high = X_RANGE
    pieces, drawing = [], False
    for u, v in zip(((x - low) / (high - low) * WIDTH).tolist(), y.tolist(), strict=True):
        inside = Y_RANGE[0] <= v <= Y_RANGE[1]
        if inside:
            pieces.append(f"{'L' if drawing else 'M'}{u:.1f} {_vertical(v):.1f}")
        drawing = inside
    return "".join(pieces)


def _vertical(y: float) -> float:
    low, high = Y_RANGE
    return (high - y) / (high - low) * HEIGHT


def _legend(left: float, top: float) -> Iterator[str]:
    notes = (f"x from {X_RANGE[0]:g} to {X_RANGE[1]:g}", f"y from {Y_RANGE[0]:g} to {Y_RANGE[1]:g}")
    for line, (kind, text) in enumerate((("function", "function"), ("derivative", "derivative"))):
        y = top + 30 + 26 * line
        yield f'<path class="{kind}" d="M{left} {y}h40"/><text x="{left + 52}" y="{y + 5}">{text}</text>'
    for line, text in enumerate(notes):
        yield f'<text x="{left}" y="{top + 90 + 22 * line}">{text}</text>'


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw())
