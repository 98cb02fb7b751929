"""Does the device give what a CPU gives? Every model and every function, also where numbers are not finite."""

import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.gpu.bench import Here, images, models
from models.gpu.findings import Findings, Goal
from service.activations.catalogue import ACTIVATIONS
from service.activations.graphs import KERNELS, Kernel, build
from service.engine.runtime.device import Device
from service.engine.runtime.precision import Precision, opened
from service.engine.runtime.session import Session
from service.errors import ServiceError

ROWS = 64
GOAL = 1e-4
"""Largest difference from a CPU, by an output's largest value, without TF32."""


def of_models(here: Here, findings: Findings) -> None:
    worst, away = 0.0, 0
    precisions: tuple[Precision, ...] = ("float32", "float16")
    feeds = {"image": images(ROWS)}
    for name, content in models().items():
        wanted = Session.load(content, Device.cpu()).run(feeds)
        for precision in precisions:
            session, got_precision = opened(content, here.device, precision, name)
            found = difference(session.run(feeds), wanted)
            elsewhere = sum(n for by, n in session.placement.items() if by != here.device.provider)
            away += elsewhere
            findings.table.append(
                {
                    "model": name,
                    "precision": got_precision,
                    "difference": found,
                    "nodes elsewhere": elsewhere,
                }
            )
            worst = max(worst, found if precision == "float32" else 0.0)
    findings.facts["difference"] = f"largest of {ROWS} random pictures, by the output's largest value; beside a CPU"
    findings.goals.append(_goal("every model gives what a CPU gives, to 1e-4", worst, here))
    findings.goals.append(here.judged("every node of every model runs on the device", not away, f"{away} do not"))


def of_functions(here: Here, findings: Findings) -> None:
    worst, wrong = 0.0, []
    for name, row in ACTIVATIONS.items():
        for kernel in KERNELS:
            for dtype in (np.dtype(np.float32), np.dtype(np.float16)):
                x = numbers(dtype)
                try:
                    got, wanted = (_applied(name, kernel, x, device) for device in (here.device, Device.cpu()))
                except ServiceError as error:
                    findings.skipped.append(f"{name}, {kernel}, {dtype}: {error}")
                    continue
                same = alike_where_not_finite(got[0], wanted[0])
                found = difference({"y": got[0]}, {"y": wanted[0]})
                wrong += [] if same else [f"{name} {kernel} {dtype}"]
                worst = max(worst, found if dtype == np.float32 else 0.0)
                findings.table.append(
                    {
                        "function": row.name,
                        "kernel": kernel,
                        "dtype": dtype.name,
                        "difference": found,
                        "NaN and ±inf alike": "yes" if same else "**no**",
                        "runs on": got[1],
                    }
                )
    findings.goals.append(_goal("every function gives what a CPU gives, to 1e-4", worst, here))
    note = "none differs" if not wrong else f"differ: {', '.join(wrong)}"
    findings.goals.append(here.judged("NaN and ±inf come out as on a CPU", not wrong, note))


def numbers(dtype: np.dtype) -> NDArray[np.floating]:
    """From all magnitudes, both signs; and what is not finite."""
    sizes = np.logspace(-7, 4, 2000)
    finite = np.concatenate([-sizes, [-0.0, 0.0], sizes, np.linspace(-20, 20, 2000)])
    return np.concatenate([finite, [np.nan, np.inf, -np.inf]]).astype(dtype)


def _applied(name: str, kernel: Kernel, x: NDArray[np.floating], device: Device) -> tuple[NDArray[np.floating], str]:
    row = ACTIVATIONS[name]
    session = Session.load(build(row, row.bind({}), x.dtype, kernel), device)
    if not row.elementwise:  # over an axis one NaN would be everywhere
        return session.run({"x": np.nan_to_num(x, posinf=5, neginf=-5).reshape(1, -1)})["y"], session.provider
    return session.run({"x": x})["y"], session.provider


def difference(got: Mapping[str, NDArray[np.floating]], wanted: Mapping[str, NDArray[np.floating]]) -> float:
    """The largest, by the largest value of each output; of what is finite on both sides."""
    worst = 0.0
    for name, array in wanted.items():
        first, second = got[name].astype(np.float64), array.astype(np.float64)
        finite = np.isfinite(first) & np.isfinite(second)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scale = float(np.max(np.abs(second), where=finite, initial=0.0)) or 1.0
            apart = np.abs(first - second)
        worst = max(worst, float(np.max(apart, where=finite, initial=0.0)) / scale)
    return worst


def alike_where_not_finite(got: NDArray[np.floating], wanted: NDArray[np.floating]) -> bool:
    """NaN where NaN is wanted, and infinities of the same sign."""
    return bool(
        np.array_equal(np.isnan(got), np.isnan(wanted))
        and np.array_equal(np.isposinf(got), np.isposinf(wanted))
        and np.array_equal(np.isneginf(got), np.isneginf(wanted))
    )


def _goal(text: str, worst: float, here: Here) -> Goal:
    return here.judged(text, worst <= GOAL, f"at most {worst:.2g}")
