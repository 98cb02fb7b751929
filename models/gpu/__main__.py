"""Check and measure everything that is promised of a GPU, on the one that is here; without network, in minutes.

    python -m models.gpu                        # prints, and writes report-gpu.json
    python -m models.gpu --page docs/benchmarks.md report-gpu.json   # the page from what was written

Without a GPU it is all done on the CPU, to see that it works, and the output says so.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

from models.gpu import agreement, facts, page, serving, speed
from models.gpu.bench import Here
from models.gpu.findings import Part, as_json, from_json, go_through
from service.engine.runtime.device import DeviceUnavailable, detect

LIMIT_S = 420.0
"""No part is begun after it; the longest takes a minute."""


def parts(here: Here) -> dict[str, Part]:
    """In the order in which they are done: what matters most comes first, should time run out."""
    return {
        "Machine": partial(facts.of_machine, here),
        "Models beside a CPU": partial(agreement.of_models, here),
        "Functions beside a CPU": partial(agreement.of_functions, here),
        "A CNN by itself": partial(speed.of_model, here),
        "Functions by themselves": partial(speed.of_functions, here),
        "The service": partial(serving.of_requests, here),
        "Memory and start": partial(facts.of_memory, here),
    }


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", nargs="?", type=Path, default=Path("report-gpu.json"))
    parser.add_argument("--page", type=Path, help="write the page from the report, and measure nothing")
    parser.add_argument("--seconds", type=float, default=0.5, help="for one figure")
    parser.add_argument("--device", choices=["auto", "cuda", "cpu"], default="auto")
    options = parser.parse_args(arguments)
    if options.page:
        page.write(options.page, page.render(from_json(json.loads(options.report.read_text()))))
        return 0
    try:
        here = Here.of(detect(options.device), options.seconds)
    except (DeviceUnavailable, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    findings = go_through(parts(here), LIMIT_S, lambda text: print(text, file=sys.stderr, flush=True))
    options.report.write_text(json.dumps(as_json(findings), indent=1) + "\n")
    print(page.render(findings))
    return int(any(goal.met == "no" for each in findings for goal in each.goals))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
