"""A container engine by its command line: podman, Docker, or what takes the same commands."""

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

KNOWN = ("podman", "docker")
ANSWER_S = 60
BUILD_S = 3600
"""For a GPU's libraries over a slow connection."""

DOCKERS_FORMAT = {"BUILDAH_FORMAT": "docker"}
"""podman's own format of images has no health check. Docker does not look at this."""


class Failed(Exception):
    """A command of the engine did; the text has its last words."""


class NoEngine(Exception):
    """There is none, or none that can do what is asked; the text says which were looked for."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended: its exit code, standard output and standard error."""

    code: int
    output: str = ""
    messages: str = ""


Run = Callable[[Sequence[str], float], Done]
"""Runs a command for so many seconds at most; raises Failed if that is not enough."""


def run(command: Sequence[str], timeout_s: float) -> Done:
    environment = os.environ | DOCKERS_FORMAT
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{shlex.join(command)} takes more than {timeout_s:g} s") from error
    return Done(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True, slots=True)
class Layer:
    """What one step of the Dockerfile adds to the image."""

    size: int
    step: str


@dataclass(frozen=True, slots=True)
class Engine:
    """One that answers.

    Args:
        command: its program, with the options that it always gets.
        build_options, run_options: what this machine needs besides, such as `--network=host`.
    """

    command: Sequence[str]
    build_options: Sequence[str] = ()
    run_options: Sequence[str] = ()
    run_command: Run = run

    @property
    def name(self) -> str:
        return shlex.join(self.command)

    def call(self, *arguments: str, timeout_s: float = ANSWER_S) -> str:
        """What a command says.

        Raises:
            Failed: its exit code is not 0.
        """
        done = self.run_command([*self.command, *arguments], timeout_s)
        if done.code:
            said = done.output[-2000:] + done.messages[-2000:]
            raise Failed(f"{self.name} {arguments[0]}: exit code {done.code}\n{said}")
        return done.output

    def has(self, image: str) -> bool:
        return self.run_command([*self.command, "image", "inspect", image], ANSWER_S).code == 0

    def build(self, folder: str, tag: str, arguments: Mapping[str, str], target: str) -> None:
        given = [part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")]
        options = [*self.build_options, *given, "--target", target, "--tag", tag]
        self.call("build", *options, folder, timeout_s=BUILD_S)

    def size(self, image: str) -> int:
        """Bytes, unpacked."""
        return int(self.call("image", "inspect", "--format", "{{.Size}}", image))

    def layers(self, image: str) -> list[Layer]:
        """The first first, those of the image that it stands on among them."""
        lines = self.call("history", "--no-trunc", "--human=false", "--format", "{{.Size}}\t{{.CreatedBy}}", image)
        parts = [line.partition("\t") for line in lines.splitlines()]
        return [Layer(in_bytes(size), step.strip()) for size, _, step in reversed(parts)]

    @contextmanager
    def running(self, image: str, options: Sequence[str], environment: Mapping[str, str]) -> Iterator["Container"]:
        """A container, which is removed afterwards whatever state it is in."""
        given = [part for name, value in environment.items() for part in ("--env", f"{name}={value}")]
        said = self.call("run", "--detach", *self.run_options, *options, *given, image)
        container = Container(self, said.split()[-1])
        try:
            yield container
        finally:
            self.call("rm", "--force", container.id)


@dataclass(frozen=True, slots=True)
class Container:
    """One that was started; it may have ended."""

    engine: Engine
    id: str

    def execute(self, *command: str) -> Done:
        """A command in it, by its own user."""
        return self.engine.run_command([*self.engine.command, "exec", self.id, *command], ANSWER_S)

    def stop(self, grace_s: int) -> float:
        """Ask it to end, by the image's own signal, and kill it after the grace; seconds until it had ended."""
        begin = time.monotonic()
        self.engine.call("stop", "-t", str(grace_s), self.id, timeout_s=grace_s + ANSWER_S)
        return time.monotonic() - begin

    def exit_code(self) -> int:
        return int(self.engine.call("inspect", "--format", "{{.State.ExitCode}}", self.id))

    def is_running(self) -> bool:
        return self.engine.call("inspect", "--format", "{{.State.Running}}", self.id).strip() == "true"

    def log(self) -> str:
        """Requests, which go to its standard output, and then messages."""
        done = self.engine.run_command([*self.engine.command, "logs", self.id], ANSWER_S)
        return done.output + done.messages


UNITS = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}


def in_bytes(size: str) -> int:
    """Of a size as an engine writes it: podman rounds to three digits even when asked not to."""
    found = re.fullmatch(r"([\d.]+)\s*(\w*)", size.strip())
    if found is None or found[2] not in UNITS:
        raise Failed(f"{size!r} is no size")
    return round(float(found[1]) * UNITS[found[2]])


def answering(
    commands: Iterable[Sequence[str]], question: str, run_command: Run, which: Callable[[str], str | None]
) -> Sequence[str] | None:
    """The first of the commands that is here and answers the question; None if none does."""
    here = (command for command in commands if which(command[0]))
    return next((c for c in here if run_command([*c, question], ANSWER_S).code == 0), None)


def find(
    wanted: str = "",
    build_options: str = "",
    run_options: str = "",
    run_command: Run = run,
    which: Callable[[str], str | None] = shutil.which,
) -> Engine:
    """The one that is wanted, or the first of those that are known, if it answers.

    Raises:
        NoEngine: none does.
    """
    commands = [shlex.split(wanted)] if wanted else [[name] for name in KNOWN]
    # Docker's program may be there without the daemon that does the work.
    command = answering(commands, "info", run_command, which)
    if command is not None:
        return Engine(command, shlex.split(build_options), shlex.split(run_options), run_command)
    raise NoEngine(f"no container engine answers ({wanted or ' or '.join(KNOWN)})")
