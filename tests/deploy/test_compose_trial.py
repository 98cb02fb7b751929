"""The trial of the compose file fails where it should, and takes down what it has brought up."""

import pytest

from deploy.compose import trial
from deploy.compose.trial import Compose, Options
from deploy.image.engine import Done, Failed, NoEngine
from tests.deploy.fake_engine import FakeEngine

OPTIONS = Options(users=5, seconds=1)
LOG = """\
[2026-11-28 21:00:00,000] m/INFO/actserve.load: PASS error share 0.00%, 0 of 500 requests (limit: at most 0.00%)
[2026-11-28 21:00:00,000] m/INFO/actserve.load: PASS p95 20 ms (limit: below 500 ms)
"""


def fakes(log: str = LOG, code: str = "0", running: str = "true") -> tuple[FakeEngine, Compose]:
    fake = FakeEngine(
        {
            "ps --all": Done(0, "5ce1\n"),
            "ExitCode": Done(0, f"{code}\n"),
            "Running": Done(0, f"{running}\n"),
            "logs": Done(0, "", log),
        }
    )
    return fake, Compose(["compose"], fake)


def test_a_load_without_failures_meets_every_goal() -> None:
    fake, compose = fakes()
    result = trial.tried(fake.engine(), compose, OPTIONS)

    assert result.met, result.goals
    assert [str(goal) for goal in result.goals[:2]] == [
        "PASS Locust: error share 0.00%, 0 of 500 requests (limit: at most 0.00%)",
        "PASS Locust: p95 20 ms (limit: below 500 ms)",
    ]
    shape = "LOCUST_HEADLESS=true LOCUST_USERS=5 LOCUST_SPAWN_RATE=5 LOCUST_RUN_TIME=1s"
    assert [command for command in fake.commands if command.startswith("env")] == [
        "env compose build",
        f"env {shape} compose up --detach",
        "env compose down --volumes",
    ]


@pytest.mark.parametrize(
    ("log", "code", "running"),
    [(LOG.replace("PASS p95", "FAIL p95"), "0", "true"), ("", "0", "true"), (LOG, "1", "true"), (LOG, "0", "false")],
    ids=["a limit missed", "no verdict", "an exit code", "the service ended by itself"],
)
def test_what_went_wrong_is_a_goal_missed(log: str, code: str, running: str) -> None:
    fake, compose = fakes(log, code, running)
    assert not trial.tried(fake.engine(), compose, OPTIONS).met


def test_what_was_brought_up_is_taken_down_if_it_fails() -> None:
    fake, compose = fakes()
    fake.answers = {" wait ": Done(1, "", "no such container")} | fake.answers

    with pytest.raises(Failed, match="no such container"):
        trial.tried(fake.engine(), compose, OPTIONS)
    assert fake.commands[-1] == "env compose down --volumes"


def test_a_service_of_no_container_is_an_error() -> None:
    with pytest.raises(Failed, match="0 containers of locust-master, expected one"):
        trial.container(FakeEngine().engine(), "locust-master")


def test_compose_is_the_engines_own_or_podman_compose() -> None:
    fake = FakeEngine({"podman compose version": Done(125)})
    found = trial.find(fake.engine(), override="more.yml another.yml", run_command=fake, which=lambda name: name)

    files = ["-f", trial.FILE, "-f", "more.yml", "-f", "another.yml"]
    assert found.command == ["podman-compose", "-p", "actserve-trial", *files, "--profile", "load"]


def test_where_nothing_reads_compose_files_it_says_so() -> None:
    with pytest.raises(NoEngine, match=r"^nothing here reads compose files \(podman compose, podman-compose\)$"):
        trial.find(FakeEngine().engine(), which=lambda _: None)


def test_the_one_that_is_named_is_taken() -> None:
    found = trial.find(FakeEngine().engine(), "docker-compose --verbose", run_command=FakeEngine(), which=str)
    assert found.command[:2] == ["docker-compose", "--verbose"]
