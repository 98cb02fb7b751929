"""`python -m loadtests.peers`: the command line."""

import argparse
import datetime
import signal
import sys
import tempfile
from pathlib import Path

from loadtests.local import machine, pages
from loadtests.local.servers import ROOT, ServerFailed
from loadtests.peers import compare, environments, isolation, report, wrk, yardstick
from loadtests.peers.measuring import Options, Results, say
from loadtests.peers.peers import IN_PYTHON, TRITON
from loadtests.peers.wrk import LoadFailed

PEERS = (TRITON, *IN_PYTHON)
LISTENS_EVERYWHERE = "ray"


def main() -> None:
    """Exit code 1 if a goal is missed, or something of ours could not be measured; a peer may be lacking."""
    arguments = _arguments()
    if not wrk.version():
        sys.exit("wrk is needed: apt-get install wrk")
    peers = [peer for peer in PEERS if not arguments.peers or peer.key in arguments.peers]
    unfit = {}
    if isolation.isolated():
        isolation.raise_loopback()
    else:
        for peer in [] if arguments.quick else peers:
            say(f"setting up {peer.name}")
            environments.install(peer.key, peer.requirements)
        isolation.isolate(sys.argv[1:])
        unfit[LISTENS_EVERYWHERE] = "it listens on all interfaces, and a network of its own cannot be made here"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the servers are ended
    load = machine.load()
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        options = Options(
            arguments.model or yardstick.write(Path(folder) / "yardstick.onnx"),
            arguments.seconds or (2 if arguments.quick else 5),
            arguments.pairs,
            arguments.workers,
            Path(folder),
        )
        try:
            results = compare.quick(options) if arguments.quick else compare.full(options, peers, unfit)
        except (ServerFailed, LoadFailed) as error:
            sys.exit(f"ours: {error}")
    _print(results, options, arguments, load)
    verdicts = [row.met for row in results.ratios] + [measure.met for measure in results.measures]
    sys.exit(0 if verdicts and all(verdicts) and not results.failed else 1)


def _print(results: Results, options: Options, arguments: argparse.Namespace, load: float) -> None:
    how = (
        f"{_name(arguments.model)}; {options.pairs} pairs of {options.seconds} s each, alternated; {options.workers} "
        f"processes or instances of one thread each; `wrk -t1` on the same cores; load before: {load:.1f}"
    )
    command = " ".join(["python -m loadtests.peers", *sys.argv[1:]])
    today = datetime.datetime.now(datetime.UTC).date()
    facts = report.facts(
        machine.describe(), machine.versions() | {"wrk": wrk.version()} | results.versions, command, how, today
    )
    text = report.render(results, facts)
    sys.stdout.write(f"\n{text}")
    if arguments.write:
        pages.write(arguments.write, text, report.RESULTS)
    if arguments.summary:
        pages.write(arguments.summary, report.summary_table(results.ratios), report.SUMMARY)


def _name(model: Path | None) -> str:
    """Another folder's name is nobody's business."""
    if model is None:
        return "the CNN of `loadtests/peers/yardstick.py`"
    inside = model.resolve().is_relative_to(ROOT)
    return f"`{model.resolve().relative_to(ROOT) if inside else model.name}`"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="ours against ONNX Runtime alone, in a minute")
    parser.add_argument("--model", type=Path, help="ONNX file, served by all, in place of the harness's own")
    parser.add_argument("--seconds", type=int, help="of one measurement (5; with --quick 2)")
    parser.add_argument("--pairs", type=int, default=5, help="of measurements in each row")
    parser.add_argument("--workers", type=int, default=machine.cores(), help="processes of each server (the cores)")
    parser.add_argument("--peers", nargs="+", choices=[peer.key for peer in PEERS], help="some of them only")
    parser.add_argument(
        "--write", type=Path, metavar="PAGE", help="a page that keeps the results, such as docs/benchmarks.md"
    )
    parser.add_argument("--summary", type=Path, metavar="PAGE", help="one that keeps the ratios alone: README.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
