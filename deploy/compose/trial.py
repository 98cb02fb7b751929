"""The compose file, tried: the service and Locust brought up, a load test without a browser, all of it taken down."""

import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from deploy.image.engine import ANSWER_S, BUILD_S, Container, Done, Engine, Failed, NoEngine, Run, answering, run
from deploy.image.trial import GRACE_S
from loadtests.local.servers import ROOT
from loadtests.verdict import Line

FILE = str(ROOT / "docker-compose.yml")
PROJECT = "actserve-trial"
SERVED, MASTER = "actserve", "locust-master"
SLACK_S = 300
"""For Locust to start and to end, besides its run."""

VERDICT = re.compile(r"\b(PASS|FAIL) (.*)")


@dataclass(frozen=True, slots=True)
class Compose:
    """A command that reads compose files, such as `docker compose`, with the files and project of the trial."""

    command: Sequence[str]
    run_command: Run = run

    def call(self, *arguments: str, timeout_s: float = ANSWER_S, **variables: str) -> Done:
        """Run it with further variables of the environment.

        Raises:
            Failed: its exit code is not 0.
        """
        command = ["env", *(f"{name}={value}" for name, value in variables.items()), *self.command, *arguments]
        done = self.run_command(command, timeout_s)
        if done.code:
            raise Failed(f"{shlex.join(command)}: exit code {done.code}\n{done.output[-2000:]}{done.messages[-2000:]}")
        return done


def find(
    engine: Engine,
    wanted: str = "",
    override: str = "",
    run_command: Run = run,
    which: Callable[[str], str | None] = shutil.which,
) -> Compose:
    """The one that is wanted, or the engine's own, or podman-compose; for our file and those that override it.

    Raises:
        NoEngine: there is none.
    """
    known = [[*engine.command, "compose"], ["podman-compose"]]
    command = answering([shlex.split(wanted)] if wanted else known, "version", run_command, which)
    if command is not None:
        files = [part for name in [FILE, *shlex.split(override)] for part in ("-f", name)]
        return Compose([*command, "-p", PROJECT, *files, "--profile", "load"], run_command)
    raise NoEngine(f"nothing here reads compose files ({wanted or ', '.join(map(shlex.join, known))})")


@dataclass(frozen=True, slots=True)
class Options:
    """Of the load test."""

    users: int = 11
    seconds: int = 30

    def environment(self) -> Mapping[str, str]:
        """What compose hands on to Locust."""
        number = str(self.users)
        shape = {"LOCUST_USERS": number, "LOCUST_SPAWN_RATE": number, "LOCUST_RUN_TIME": f"{self.seconds}s"}
        return {"LOCUST_HEADLESS": "true"} | shape


@dataclass(slots=True)
class Result:
    goals: list[Line] = field(default_factory=list)
    log: str = ""
    """The end of what Locust said, with its table of requests."""

    @property
    def met(self) -> bool:
        return bool(self.goals) and all(goal.kept for goal in self.goals)


def tried(engine: Engine, compose: Compose, options: Options) -> Result:
    """Raises Failed if it cannot be brought up."""
    compose.call("build", timeout_s=BUILD_S)
    with up(compose, options):
        served, master = (container(engine, name) for name in (SERVED, MASTER))
        engine.call("wait", master.id, timeout_s=options.seconds + SLACK_S)
        code, log = master.exit_code(), master.log()
        running = served.is_running()
        served.stop(GRACE_S)
        ended = served.exit_code()
    verdicts = [Line(found[1] == "PASS", f"Locust: {found[2]}") for found in VERDICT.finditer(log)]
    goals = [
        *(verdicts or [Line(False, "Locust came to no verdict")]),
        Line(code == 0, f"the load test's exit code: {code}"),
        Line(running and ended == 0, f"the service runs to the end, and ends in order: exit code {ended}"),
    ]
    return Result(goals, log[-6000:])


@contextmanager
def up(compose: Compose, options: Options) -> Iterator[None]:
    """All services of the profile, until the end of the block."""
    try:
        compose.call("up", "--detach", timeout_s=SLACK_S, **options.environment())
        yield
    finally:
        compose.call("down", "--volumes", timeout_s=SLACK_S)


def container(engine: Engine, service: str) -> Container:
    """The project's one container of a service, by the labels that every compose gives it.

    Raises:
        Failed: there is none, or several.
    """
    labels = [("com.docker.compose.project", PROJECT), ("com.docker.compose.service", service)]
    filters = [part for name, value in labels for part in ("--filter", f"label={name}={value}")]
    found = engine.call("ps", "--all", "--quiet", *filters).split()
    if len(found) != 1:
        raise Failed(f"{len(found)} containers of {service}, expected one")
    return Container(engine, found[0])
