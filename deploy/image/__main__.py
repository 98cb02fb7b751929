"""`python -m deploy.image`: builds the image, runs it and tries it; `make image-test`."""

import argparse
import datetime
import os
import sys
from pathlib import Path

from deploy.image import report
from deploy.image.engine import Failed, NoEngine, find
from deploy.image.trial import Options, tried
from loadtests.local import machine, pages


def main() -> None:
    """Exit code 1 if a goal is missed; 0 where there is nothing that could build it, which is said."""
    arguments = _arguments()
    options = Options(arguments.base_image, arguments.gpu, f"actserve:{'gpu' if arguments.gpu else 'cpu'}")
    try:
        engine = find(arguments.engine, arguments.build_options, arguments.run_options)
        load = machine.load()
        result = tried(engine, options)
    except NoEngine as reason:
        sys.stdout.write(f"skipped: {reason}\n")
        return
    except Failed as error:
        sys.exit(str(error))
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    command = " ".join(["python -m deploy.image", *sys.argv[1:]])
    where = f"{today}, {machine.describe()}; load before it {load:.1f}"
    facts = [where, f"`{command}`: `{options.tag}` of {options.base_image}, by {engine.name}"]
    text = report.render(result, facts)
    sys.stdout.write(text)
    if arguments.write:
        pages.write(arguments.write, text, pages.marks(f"image {'gpu' if options.gpu else 'cpu'}"))
    sys.exit(0 if result.met else 1)


def _arguments() -> argparse.Namespace:
    """Each with a variable of the environment in its place, as make hands them on."""
    parser = argparse.ArgumentParser(prog="python -m deploy.image", description="Builds the image and tries it.")
    text = "options for each `build`, such as --network=host (BUILD_OPTIONS)"
    parser.add_argument("--engine", default=os.environ.get("ENGINE", ""), help="podman, docker, … (ENGINE)")
    parser.add_argument("--build-options", default=os.environ.get("BUILD_OPTIONS", ""), help=text)
    parser.add_argument("--run-options", default=os.environ.get("RUN_OPTIONS", ""), help="for each `run` (RUN_OPTIONS)")
    parser.add_argument("--base-image", default=os.environ.get("BASE_IMAGE", "python:3.11-slim"), help="(BASE_IMAGE)")
    parser.add_argument("--gpu", action="store_true", default=os.environ.get("GPU") == "1", help="(GPU=1)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="a page that keeps the results: docs/deployment.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
