"""Run the experiments behind the claims, write down their numbers and figures, and draw up the verdicts.

    python -m models.evidence --data cifar10.zip                  # all of them
    python -m models.evidence --data cifar10.zip dying depth      # two of them

Each run within an experiment is kept as soon as it is done (`models/checkpoints/runs`), so the same command goes on
where it stopped. The verdicts are drawn up by `models.claims`, which needs the numbers only.
"""

import argparse
import datetime
import json
import os
import platform
import sys
from pathlib import Path
from types import ModuleType

import torch

from models.claims import page
from models.claims.page import EVIDENCE
from models.experiments import (
    affine,
    convergence,
    cost,
    depth,
    dying,
    formulas,
    gradients,
    heads,
    negative,
    quick,
    selection,
    sequence,
    swaps,
)
from models.lab import PICTURES, Lab, Result
from models.train import CHECKPOINTS
from service.engine.runtime.words import runtime_version

EXPERIMENTS: dict[str, ModuleType] = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        formulas, affine, selection, swaps, cost, gradients, dying, heads, sequence, negative, convergence, depth,
    )
}  # fmt: skip
"""By name, the shortest first."""


def write(name: str, result: Result, folder: Path, flags: str = "") -> None:
    """The experiment's numbers as JSON, and its figure; members whose name begins with _ are for the figure only.

    Args:
        flags: of the command that measured it.
    """
    module = EXPERIMENTS[name]
    described = {
        "experiment": name,
        "question": (module.__doc__ or "").partition("\n")[0],
        "command": f"python -m models.evidence --data cifar10.zip {name}{flags}",
        "machine": machine(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {"torch": str(torch.__version__), "onnxruntime": runtime_version()},
    }
    numbers = {key: value for key, value in result.items() if not key.startswith("_")}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(described | numbers, indent=1, allow_nan=False) + "\n")
    (folder / f"{name}.svg").write_text(module.draw(result))


def machine() -> str:
    """What the experiments ran on."""
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return f"{model}, {len(os.sched_getaffinity(0))} cores"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", metavar="experiment", help=f"of {', '.join(EXPERIMENTS)}")
    parser.add_argument("--data", type=Path, required=True, help="a zip or folder of CIFAR-10, or its official files")
    parser.add_argument("--runs", type=Path, default=CHECKPOINTS / "runs")
    parser.add_argument("--evidence", type=Path, default=EVIDENCE)
    parser.add_argument("--page", type=Path, default=page.PAGE, help="where the verdicts are written as a page")
    parser.add_argument("--pictures", type=int, help=f"of each class, for training (default {PICTURES})")
    parser.add_argument("--quick", action="store_true", help="a little of everything, to see that it works")
    options = parser.parse_args(arguments)
    unknown = set(options.experiments) - set(EXPERIMENTS)
    if unknown:
        parser.error(f"unknown experiments {sorted(unknown)}; there are {list(EXPERIMENTS)}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pictures = options.pictures or (quick.PICTURES if options.quick else PICTURES)
    lab = Lab.open(options.data, options.runs, device, each=pictures, held_out=max(1, 2 * pictures // 5))
    for name in options.experiments or EXPERIMENTS:
        print(f"== {name}", flush=True)
        reduced, flags = (quick.ARGUMENTS[name], " --quick") if options.quick else ({}, "")
        write(name, EXPERIMENTS[name].run(lab, **reduced), options.evidence, flags)
        page.write(options.evidence, options.page)


if __name__ == "__main__":
    main(sys.argv[1:])
