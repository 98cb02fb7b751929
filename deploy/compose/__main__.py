"""The command line of the compose file's trial; `make compose-test`."""

import argparse
import os
import sys

from deploy.compose.trial import Options, find, tried
from deploy.image.engine import Failed, NoEngine
from deploy.image.engine import find as find_engine


def main() -> None:
    """Exit code 1 if a goal is missed; 0 where there is nothing that could bring it up, which is said."""
    arguments = _arguments()
    try:
        engine = find_engine(arguments.engine)
        compose = find(engine, arguments.compose, arguments.override)
        result = tried(engine, compose, Options(arguments.users, arguments.seconds))
    except NoEngine as reason:
        sys.stdout.write(f"skipped: {reason}\n")
        return
    except Failed as error:
        sys.exit(str(error))
    sys.stdout.write("\n".join([result.log, *map(str, result.goals)]) + "\n")
    sys.exit(0 if result.met else 1)


def _arguments() -> argparse.Namespace:
    """Each of what belongs to a machine with a variable of the environment in its place, as make hands them on."""
    parser = argparse.ArgumentParser(prog="python -m deploy.compose", description="Brings up the service and its load.")
    usual = Options()
    command = "what reads the file, with its options: docker compose, podman-compose, … (COMPOSE)"
    parser.add_argument("--engine", default=os.environ.get("ENGINE", ""), help="podman, docker, … (ENGINE)")
    parser.add_argument("--compose", default=os.environ.get("COMPOSE", ""), help=command)
    parser.add_argument("--override", default=os.environ.get("OVERRIDE", ""), help="further files on top (OVERRIDE)")
    parser.add_argument("--users", type=int, default=usual.users, help=f"of the load test ({usual.users})")
    parser.add_argument("--seconds", type=int, default=usual.seconds, help=f"of load ({usual.seconds})")
    return parser.parse_args()


if __name__ == "__main__":
    main()
