"""The image, tried: built, started as it should be run, asked, looked into, ended under load."""

import json
import re
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from deploy.image import health, readme
from deploy.image.engine import Container, Engine, Failed, Layer, NoEngine
from loadtests.chaos.experiment import all_right, none_lost
from loadtests.ledger import golden
from loadtests.ledger.load import Load
from loadtests.local.servers import ROOT, free_port
from loadtests.verdict import Line

SAFELY = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
"""How docs/deployment.md says to run it; the image names its user itself."""
QUOTA = ("--cpus", "1")
"""What tells a service that takes the machine's processors from one that takes its own."""

USER = "10001"
START_S = 300.0
"""For a machine that is busy."""
LOOK_S = 0.02

LAME_DUCK_S, STOP_S = 3, 25
"""The service's defaults."""
GRACE_S = 40
"""More than both, as for everybody who runs it."""
ROOM_S = 2.0
"""What the engine itself takes to end a container, on a machine that is busy."""
LOADED_S = 2.0
"""Of load before the signal and after it. It is over before the lame duck is: when the service has closed its port,
what publishes a container's port may still take connections, and break them off."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    base_image: str
    gpu: bool
    tag: str


@dataclass(slots=True)
class Result:
    """What was seen."""

    size: int
    base: int
    layers: list[Layer]
    start_s: float = 0.0
    goals: list[Line] = field(default_factory=list)

    @property
    def met(self) -> bool:
        return bool(self.goals) and all(goal.kept for goal in self.goals)


def built(engine: Engine, options: Options) -> Result:
    """The image made, or brought up to date; its smoke test is a step of that.

    Raises:
        NoEngine: the image to stand on is neither here nor to be had.
        Failed: it cannot be built.
    """
    if not engine.has(options.base_image):
        try:
            engine.call("pull", options.base_image, timeout_s=START_S)
        except Failed as error:
            raise NoEngine(f"the base image {options.base_image} is neither here nor to be had") from error
    arguments = {"BASE_IMAGE": options.base_image, "GPU": "1" if options.gpu else "0"}
    engine.build(str(ROOT), options.tag, arguments, "actserve")
    return Result(engine.size(options.tag), engine.size(options.base_image), engine.layers(options.tag))


def tried(engine: Engine, options: Options) -> Result:
    """Built, and started twice.

    Raises:
        NoEngine, Failed: as `built`; Failed also if a container does not become ready.
    """
    result = built(engine, options)
    with started(engine, options.tag, QUOTA) as (container, port, start_s):
        result.start_s = start_s
        result.goals += [*answers(port), *confined(container), healthy(container)]
        result.goals += [in_quota(_get(port, "/metrics"), _get(port, "/v1/device")), unbothered(container)]
    with started(engine, options.tag) as (container, port, _):
        result.goals += drained(container, port)
    return result


@contextmanager
def started(engine: Engine, tag: str, options: Sequence[str] = ()) -> Iterator[tuple[Container, int, float]]:
    """A container that is ready, its port on this machine, and the seconds from the command to readiness.

    The service listens on the very port that is published, so that a container on the host's network is reached alike.
    """
    port = free_port()
    published = ["--publish", f"127.0.0.1:{port}:{port}"]
    begin = time.monotonic()
    with engine.running(tag, [*SAFELY, *options, *published], {"ACTSERVE_PORT": str(port)}) as container:
        wait_until_ready(container, port)
        yield container, port, time.monotonic() - begin


def unready(port: int) -> str | None:
    """Why the service at a port of this machine is not ready, or None."""
    return health.fault({"ACTSERVE_PORT": str(port)}, health.READY)


def wait_until_ready(container: Container, port: int) -> None:
    deadline = time.monotonic() + START_S
    while fault := unready(port):
        if time.monotonic() > deadline or not container.is_running():
            raise Failed(f"the container is not ready: {fault}\n{container.log()[-3000:]}")
        time.sleep(LOOK_S)


def answers(port: int) -> list[Line]:
    faults = {mark: readme.fault(mark, f"127.0.0.1:{port}") for mark in readme.REQUESTS}
    return [Line(not fault, f"the README's request, {mark}: {fault or 'right'}") for mark, fault in faults.items()]


def confined(container: Container) -> list[Line]:
    """What it is run by, what it can write, and what it has besides."""
    user = container.execute("python", "-c", "import os; print(os.getuid())").output.strip()
    root = container.execute("python", "-c", ROOT_MODE).output.strip()
    held = container.execute("python", "-c", TOOLS).output.strip()
    return [
        Line(user == USER, f"its user is {USER}: {user}"),
        Line(root == "read-only", f"its root can only be read: {root}"),
        Line(held == "[]", f"no compiler in it: {held}"),
    ]


ROOT_MODE = "import os; print('read-only' if os.statvfs('/').f_flag & os.ST_RDONLY else 'writable')"
TOOLS = "import shutil; print([name for name in ('cc', 'gcc', 'c++', 'clang', 'as', 'ld') if shutil.which(name)])"


def healthy(container: Container) -> Line:
    checked = container.execute("python", "-m", "deploy.image.health")
    return Line(checked.code == 0, f"its health check: {_last(checked.messages) or 'well'}")


def in_quota(metrics: str, device: str) -> Line:
    """One worker, of one thread, whatever the machine has; by what `/metrics` and `/v1/device` say."""
    workers = re.search(r"^actserve_workers (\S+)$", metrics, re.MULTILINE)
    found = (float(workers[1]) if workers else 0, json.loads(device)["threads"])
    return Line(found == (1, 1), f"one worker of one thread for a quota of one processor: {found[0]:g} of {found[1]}")


def unbothered(container: Container) -> Line:
    """Nothing of the above was an error to it."""
    errors = [line for line in container.log().splitlines() if '"level":"error"' in line or "Traceback" in line]
    return Line(not errors, f"no errors in its log: {errors[:1] or 'none'}")


def drained(container: Container, port: int) -> list[Line]:
    """Ended while clients go on."""
    with ThreadPoolExecutor(1) as another, Load([port], golden.mixed()) as load:
        time.sleep(LOADED_S)
        stopping = another.submit(container.stop, GRACE_S)
        while not stopping.done() and unready(port) is None:
            time.sleep(LOOK_S)
        time.sleep(LOADED_S)
    seconds, code = stopping.result(), container.exit_code()
    fine = code == 0 and seconds <= LAME_DUCK_S + STOP_S + ROOM_S
    return [
        Line(fine, f"ends in order when told to: exit code {code} after {seconds:.1f} s"),
        none_lost(load.ledger),
        all_right(load.ledger),
    ]


def _get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        return str(answer.read(), "utf-8")


def _last(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]
