"""Figures of the experiments as SVG: one look for all, text as text, the same bytes from the same numbers."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

matplotlib.use("svg")

COLORS = {
    "relu": "#0b62a8",
    "leaky_relu": "#3a9bd9",
    "elu": "#2a8a4a",
    "swish": "#d1662b",
    "tanh": "#8a4fb0",
    "sigmoid": "#b5293b",
    "softmax": "#7a5c3e",
    "identity": "#777777",
    "gelu": "#c9a227",
    "mish": "#e07fb0",
}
"""By activation, the same in every figure."""

_STYLE = {
    "font.family": "sans-serif",
    "font.size": 11,
    "svg.fonttype": "none",
    "svg.hashsalt": "actserve",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


@contextmanager
def panels(columns: int = 1, *, width: float = 4.2, height: float = 3.2) -> Iterator[tuple[Figure, Sequence[Axes]]]:
    """A figure of panels side by side, sizes in inches; closed afterwards."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = pyplot.subplots(1, columns, figsize=(width * columns, height), squeeze=False)
        try:
            yield figure, list(axes[0])
        finally:
            pyplot.close(figure)


def to_svg(figure: Figure) -> str:
    """The figure's file, without a date."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
