"""How fast the device is by itself: a CNN in every way of running it, and functions beside plain copying."""

from functools import partial

import numpy as np

from models.gpu.bench import Here, images, models, runs, timed
from models.gpu.findings import Findings
from service.activations.catalogue import ACTIVATIONS
from service.activations.graphs import build
from service.engine.gpu.memory import Block
from service.engine.runtime.precision import Precision
from service.engine.runtime.session import Place, Session

MODEL = "cnn-relu"
ROWS = (1, 8, 64, 512)
GPU_NUMBERS, CPU_NUMBERS = 64 * 2**20, 2**20
"""In the tensor that functions are measured on."""
GOAL = 0.8
FLOAT = np.dtype(np.float32)


def of_model(here: Here, findings: Findings) -> None:
    content = models()[MODEL]
    precisions: tuple[Precision, ...] = ("float32", "float16")
    for precision in precisions:
        for rows in ROWS:
            feeds = {"image": images(rows)}
            line: dict[str, object] = {
                "precision": precision,
                "rows": rows,
                "plain": None,
                "bound": None,
                "graph": None,
            }
            for way, run in runs(content, here, rows, precision).items():
                line[way] = round(rows / timed(partial(run, feeds, rows), here.seconds))
            findings.table.append(line)
    findings.facts["figures"] = f"pictures a second of {MODEL}, to and from the host's memory, one run at a time"
    if not here.on_gpu:
        findings.skipped.append("CUDA graphs: no GPU here")


def of_functions(here: Here, findings: Findings) -> None:
    """On the device: nothing is copied to the host."""
    count = GPU_NUMBERS if here.on_gpu else CPU_NUMBERS
    x = np.random.default_rng(0).standard_normal(count).astype(FLOAT)
    given, made = here.memory.allocate(x.nbytes), here.memory.allocate(x.nbytes)
    here.memory.to_device(given, x)
    copy = 2 * x.nbytes / timed(lambda: here.memory.within(made, given), here.seconds)
    findings.facts |= {"numbers": f"{count} float32", "copying, GB/s read and written": f"{copy / 1e9:.1f}"}
    slow = []
    for name, row in ACTIVATIONS.items():
        session = Session.load(build(row, row.bind({}), FLOAT, "native"), here.device)
        run = session.bind(
            here.memory.device,
            {"x": _place(given, count, row.elementwise)},
            {"y": _place(made, count, row.elementwise)},
        )
        share = 2 * x.nbytes / timed(run, here.seconds) / copy
        findings.table.append({"function": name, "GB/s": round(share * copy / 1e9, 1), "of copying": round(share, 3)})
        slow += [name] if share < GOAL else []
    text = f"every function at {GOAL} of the speed of copying, or more"
    note = f"slower: {', '.join(slow)}" if slow else "all of them"
    findings.goals.append(here.judged(text, not slow, note))


def _place(block: Block, count: int, elementwise: bool) -> Place:
    """A vector; rows of a thousand for what goes along an axis."""
    return Place(FLOAT, (count,) if elementwise else (count // 1024, 1024), block.address)
