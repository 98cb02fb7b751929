"""What the article says of the functions themselves: formulas, ranges, slopes, symmetry. Asked of the served kernels.

Everything is computed by the `exact` kernel in float64, so the numbers are true to its 4 units in the last place.
"""

import numpy as np
from numpy.typing import NDArray

from models.lab import Lab, Result
from models.plots import COLORS, panels, to_svg
from service.activations.catalogue import ACTIVATIONS
from service.engine.functions import Functions
from service.engine.runtime.device import Device

ARTICLE = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "swish")

Floats = NDArray[np.float64]


def apply(name: str, x: Floats, *, derivative: bool = False, **parameters: float) -> Floats:
    """A function with the article's parameters, in float64."""
    row = ACTIVATIONS[name]
    engine = Functions(Device.cpu(), threads=1, capacity=1)
    return engine.apply(row, row.bind(parameters), x, "exact", derivative=derivative)


def run(lab: Lab) -> Result:
    """Numbers for each function, and of the article's printed formulas. `lab` is not needed here."""
    x = np.linspace(-40, 40, 160_001)
    near = np.array([-1e-9, 1e-9])
    facts = {}
    for name in ARTICLE:
        y, slope = apply(name, x), apply(name, x, derivative=True)
        left, right = apply(name, near, derivative=True)
        facts[name] = {
            "smallest": float(y.min()),
            "largest": float(y.max()),
            "mean_over_normal_inputs": mean_over_normal_inputs(name),
            "largest_asymmetry": float(np.abs(y + y[::-1]).max()),
            "largest_slope": float(slope.max()),
            "slope_at_minus_10": float(apply(name, np.array([-10.0]), derivative=True)[0]),
            "slope_at_10": float(apply(name, np.array([10.0]), derivative=True)[0]),
            "value_at_minus_1": float(apply(name, np.array([-1.0]))[0]),
            "jump_of_the_slope_at_0": float(abs(right - left)),
        }
    return {
        "settings": {"from": -40, "to": 40, "points": len(x)},
        "runs": [],
        "summary": facts | {"printed": printed(x)},
    }


def mean_over_normal_inputs(name: str) -> float:
    """E[f(z)] for z ~ N(0, 1), by the trapezoidal rule."""
    z = np.linspace(-12, 12, 240_001)
    density = np.exp(-z * z / 2)
    return float((apply(name, z) * density).sum() / density.sum())


def printed(x: Floats) -> dict[str, float]:
    """How far the article's formulas, as they are printed, are from the functions."""
    with np.errstate(over="ignore"):
        sigmoid, tanh = 2 / (1 + np.exp(-x)), 2 / (1 + np.exp(-2 * x)) - 1
        tiny = np.array([1e-9])
        tanh_of_tiny = 2 / (1 + np.exp(-2 * tiny)) - 1
    leaky = np.maximum(0.01 * x, x)
    return {
        "sigmoid_largest_difference": float(np.abs(sigmoid - apply("sigmoid", x)).max()),
        "tanh_largest_difference": float(np.abs(tanh - apply("tanh", x)).max()),
        "tanh_relative_difference_at_1e-9": float(abs(tanh_of_tiny[0] / tiny[0] - 1)),
        "leaky_relu_largest_difference": float(np.abs(leaky - apply("leaky_relu", x)).max()),
    }


def draw(result: Result) -> str:
    """The slopes on a logarithmic scale: where the gradient vanishes."""
    x = np.linspace(-12, 12, 481)
    with panels(1, width=6) as (figure, (axes,)):
        for name in ARTICLE:
            axes.plot(x, np.abs(apply(name, x, derivative=True)), color=COLORS[name], label=name)
        axes.set(title="|f'(x)|", xlabel="x", yscale="log", ylim=(1e-8, 3))
        figure.legend(fontsize=8, loc="outside right center")
        return to_svg(figure)
