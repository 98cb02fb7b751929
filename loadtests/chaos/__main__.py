"""`python -m loadtests.chaos`: the command line."""

import argparse
import datetime
import signal
import sys
import tempfile
from pathlib import Path

from loadtests.chaos import descriptors, disk, draining, killing, models, poison, reading, report, stopping
from loadtests.chaos.experiment import Experiment, Options, Result, Skipped
from loadtests.local import machine, pages
from loadtests.local.servers import ServerFailed

EXPERIMENTS: dict[str, Experiment] = {
    "kill -9 of a worker": killing.worker,
    "SIGTERM, one of two replicas": draining.one_of_two,
    "SIGTERM, one of two replicas of two workers": draining.workers_of_two,
    "SIGTERM, alone": draining.alone,
    "SIGTERM behind nginx, each of two replicas": draining.behind_nginx,
    "rolling restarts behind nginx": draining.rolling,
    "SIGTERM with a client that holds on": stopping.stuck,
    "SIGTERM twice": stopping.twice,
    "a model's file replaced": models.replaced,
    "a model's file cut short": models.truncated,
    "a model's file spoilt": models.corrupted,
    "a model's files deleted": models.deleted,
    "a bad row in a full batch": poison.row,
    "disk full, messages": disk.messages,
    "disk full, the repository": disk.repository,
    "disk full, the workers' counters": disk.counters,
    "descriptors used up, one worker": descriptors.one,
    "descriptors used up, two workers": descriptors.two,
    "clients that never read their 50 MB": reading.never,
}
"""In the order in which they are done."""


def main() -> None:
    """Exit code 1 if a goal is missed or a server does not start; what cannot be done here is named."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the servers are ended
    chosen = [name for name in EXPERIMENTS if not arguments.only or any(part in name for part in arguments.only)]
    if not chosen:
        sys.exit(f"there is no such experiment; there are: {', '.join(EXPERIMENTS)}")
    results: dict[str, Result] = {}
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        for number, name in enumerate(chosen):
            sys.stderr.write(f"{name} …\n")
            try:
                results[name] = EXPERIMENTS[name](_options(arguments, Path(folder) / str(number)))
                sys.stderr.write("\n".join(report.details(name, results[name])) + "\n")
            except Skipped as reason:
                skipped[name] = str(reason)
            except ServerFailed as error:
                failed[name] = str(error)
    _print(results, skipped | failed, arguments.write)
    sys.exit(1 if failed or not all(result.met for result in results.values()) else 0)


def _options(arguments: argparse.Namespace, folder: Path) -> Options:
    folder.mkdir()
    return Options(arguments.seconds, arguments.rounds, folder)


def _print(results: dict[str, Result], missing: dict[str, str], page: Path | None) -> None:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions().items())
    command = " ".join(["python -m loadtests.chaos", *sys.argv[1:]])
    facts = [f"{today}, {machine.describe()}", f"`{command}`; {versions}"]
    text = report.render(results, missing, facts)
    sys.stdout.write(text)
    if page:
        pages.write(page, text, report.MARKS)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.chaos", description="Does harm to servers under load.")
    parser.add_argument(
        "--only", nargs="+", metavar="WORDS", help=f"experiments whose name has these: {', '.join(EXPERIMENTS)}"
    )
    parser.add_argument("--seconds", type=float, default=3, help="of load before the harm and after it (3)")
    parser.add_argument("--rounds", type=int, default=20, help="of the rolling restart (20)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="a page that keeps the results: docs/reliability.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
