"""The trial of an image fails where it should; where there is an engine and a base image, it is made for real."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.image import engine, readme, report, trial
from deploy.image.engine import Container, Done, Failed, Layer, NoEngine
from deploy.image.trial import Options, Result
from loadtests.verdict import Line
from tests.deploy.fake_engine import DOCKERS, HISTORY, FakeEngine
from tests.serving import DEADLINE_S, ROOT, free_port, serving

OPTIONS = Options("slim", gpu=False, tag="actserve:cpu")
BASE_IMAGE = os.environ.get("BASE_IMAGE", "python:3.11-slim")


def container(**answers: Done) -> Container:
    return Container(FakeEngine({words.replace("_", " "): done for words, done in answers.items()}).engine(), "5ce1")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with serving(tmp_path_factory.mktemp("log") / "server.log", workers="1") as (_, address):
        yield int(address.rpartition(":")[2])


def test_the_readmes_requests_are_answered_at_another_address(port: int) -> None:
    assert [line for line in trial.answers(port) if not line.kept] == []
    assert len(trial.answers(port)) == 3


def test_a_request_that_nobody_answers_is_a_fault() -> None:
    fault = readme.fault("tensor", f"127.0.0.1:{free_port()}")

    assert fault is not None
    assert fault.startswith("exit code 7")


def test_a_wrong_answer_is_a_fault(tmp_path: Path) -> None:
    """Another command in the README's place: the judge is the same."""
    page = tmp_path / "README.md"
    page.write_text("<!-- tensor -->\n```sh\necho '{\"data\": [1]}'\n```\n")

    assert "AssertionError" in str(readme.fault("tensor", "127.0.0.1:8000", page))


def test_a_block_that_is_not_there_is_an_error() -> None:
    assert readme.block("b", "<!-- a -->\n```sh\nno\n```\n<!-- b -->\n```sh\nyes\n```\n") == "yes\n"
    with pytest.raises(ValueError, match="no block after <!-- c -->"):
        readme.block("c", "<!-- a -->\n```sh\nno\n```\n")


def test_the_quota_is_kept_by_one_worker_of_one_thread(port: int) -> None:
    metrics, device = (trial._get(port, path) for path in ("/metrics", "/v1/device"))

    assert trial.in_quota(metrics, device).kept
    assert not trial.in_quota(metrics.replace("actserve_workers 1", "actserve_workers 2"), device).kept
    assert not trial.in_quota(metrics, device.replace('"threads":1', '"threads":2')).kept
    assert not trial.in_quota("", device).kept


@pytest.mark.parametrize(
    ("user", "root", "held", "missed"),
    [
        ("10001", "read-only", "[]", []),
        ("0", "read-only", "[]", ["its user is 10001: 0"]),
        ("10001", "writable", "[]", ["its root can only be read: writable"]),
        ("10001", "read-only", "['gcc']", ["no compiler in it: ['gcc']"]),
    ],
)
def test_what_is_not_confined_is_told(user: str, root: str, held: str, missed: list[str]) -> None:
    fake = FakeEngine({"getuid": Done(0, f"{user}\n"), "statvfs": Done(0, f"{root}\n"), "which": Done(0, f"{held}\n")})
    lines = trial.confined(Container(fake.engine(), "5ce1"))

    assert [line.text for line in lines if not line.kept] == missed


def test_a_health_check_that_fails_says_why() -> None:
    assert trial.healthy(container()).kept
    line = trial.healthy(container(health=Done(1, "", "Traceback\n/v2/health/live is 503\n")))
    assert str(line) == "FAIL its health check: /v2/health/live is 503"


def test_errors_in_the_log_are_told() -> None:
    log = '{"level":"info"}\n{"level":"error","event":"request"}\n'
    assert trial.unbothered(container(logs=Done(0, '{"level":"info"}\n', "INFO fine\n"))).kept
    assert not trial.unbothered(container(logs=Done(0, log))).kept
    assert not trial.unbothered(container(logs=Done(0, "", "Traceback (most recent call last):\n"))).kept


def test_a_container_that_ends_at_the_start_is_an_error_with_its_log() -> None:
    ended = container(Running=Done(0, "false\n"), logs=Done(0, "", "actserve: device cuda was asked for, but …\n"))

    with pytest.raises(Failed, match="device cuda was asked for"):
        trial.wait_until_ready(ended, free_port())


@dataclass(slots=True)
class Process:
    """An engine whose container is a process of ours: it is ended with a signal."""

    process: subprocess.Popen[str]
    by: signal.Signals

    def __call__(self, command: Sequence[str], timeout_s: float) -> Done:
        if command[1] == "stop":
            self.process.send_signal(self.by)
            self.process.wait(timeout_s)
            return Done(0)
        code = self.process.returncode  # as the first process of a container it would not end itself with the signal
        return Done(0, f"{0 if code == -signal.SIGTERM else 128 - code}\n")


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
def test_one_that_drains_loses_nothing_and_one_that_is_killed_is_told(tmp_path: Path, by: signal.Signals) -> None:
    with serving(tmp_path / "log", workers="1", lame_duck_seconds="3") as (process, address):
        machine = engine.Engine(["process"], run_command=Process(process, by))
        lines = trial.drained(Container(machine, "1"), int(address.rpartition(":")[2]))

    assert lines[0].kept == (by == signal.SIGTERM), lines
    assert by == signal.SIGKILL or all(line.kept for line in lines), lines
    assert lines[2].text.startswith("every answer right, of ")


def test_an_image_without_its_base_is_not_built() -> None:
    fake = FakeEngine({"image inspect": Done(1), "pull": Done(1)})

    with pytest.raises(NoEngine, match="the base image slim is neither here nor to be had"):
        trial.built(fake.engine(), OPTIONS)
    assert not any("build" in command for command in fake.commands)


@pytest.mark.parametrize(("gpu", "history", "cuda"), [(False, HISTORY, 3580), (True, DOCKERS, 2_000_000_000)])
def test_what_takes_the_room_is_told_by_its_part(gpu: bool, history: str, cuda: int) -> None:
    sizes = {"Size}} slim": Done(0, "176000000"), "Size}} actserve": Done(0, "462000000")}
    fake = FakeEngine(sizes | {"history": Done(0, history)})
    result = trial.built(fake.engine(), Options("slim", gpu, "actserve:test"))

    assert f"--build-arg GPU={int(gpu)}" in next(command for command in fake.commands if " build " in command)
    assert list(report.parts(result).values()) == [176_000_000, cuda, 276_000_000, 10_800_000]


def test_a_report_has_the_goals_and_the_sizes() -> None:
    result = Result(462_000_000, 176_000_000, [Layer(276_000_000, "COPY x /opt/actserve # buildkit")], 1.25)
    result.goals = [Line(True, "nothing lost of 100 sent"), Line(False, "its user is 10001: 0")]
    text = report.render(result, ["2026-11-28, a machine"])

    assert not result.met
    assert "* ready 1.2 s after `run`, on one processor" in text
    assert "* FAIL its user is 10001: 0" in text
    assert "| Python's packages, ONNX Runtime first of all | 276 |" in text
    assert "| all | 462 |" in text
    assert "CUDA" not in text


def test_nothing_tried_is_nothing_met() -> None:
    assert not Result(0, 0, []).met


@pytest.mark.parametrize("package", ["image", "compose"])
def test_where_there_is_no_engine_the_commands_say_so_and_are_content(package: str) -> None:
    command = [sys.executable, "-m", f"deploy.{package}", "--engine", "no-such-engine"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "skipped: no container engine answers (no-such-engine)\n"


def here() -> engine.Engine:
    """This machine's engine, with the base image, or the test is skipped."""
    try:
        found = engine.find(*(os.environ.get(name, "") for name in ("ENGINE", "BUILD_OPTIONS", "RUN_OPTIONS")))
    except NoEngine as reason:
        pytest.skip(f"{reason}: apt-get install podman")
    if not found.has(BASE_IMAGE):
        pytest.skip(f"{found.name} has no image {BASE_IMAGE}: {found.name} pull {BASE_IMAGE}, or set BASE_IMAGE")
    return found


def test_the_image_keeps_its_promises() -> None:
    result = trial.tried(here(), Options(BASE_IMAGE, gpu=False, tag="actserve:cpu"))

    assert [str(goal) for goal in result.goals if not goal.kept] == []
