"""The Dockerfile keeps what docs/deployment.md says of the image, as far as reading it can tell."""

import fnmatch
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from deploy.image import health, trial
from service import __version__
from service.engine.runtime.device import LIBRARIES
from tests.serving import DEADLINE_S, ROOT

DOCKERFILE = ROOT / "Dockerfile"
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
needs_hadolint = pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed: make setup-dev, on x86-64")

IS_GPU_WHEEL = "CUDAExecutionProvider" in onnxruntime.get_available_providers()

Step = tuple[str, str]


def stages(text: str) -> dict[str, list[Step]]:
    """Instructions and their arguments, by the names of the stages."""
    whole = re.sub(r"\\\n\s*", "", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    found: dict[str, list[Step]] = {}
    for line in filter(None, whole.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name] = [("FROM", base)]
        elif found:
            found[name].append((word, rest.strip()))
    return found


STAGES = stages(DOCKERFILE.read_text())
SERVED = STAGES["actserve"]
WORDS = [word for word, _ in SERVED]
FINAL = pytest.mark.parametrize("name", ["actserve", "load"])


def last(stage: str, word: str) -> str:
    return next(rest for each, rest in reversed(STAGES[stage]) if each == word)


@needs_hadolint
def test_the_linter_finds_nothing() -> None:
    done = subprocess.run([str(HADOLINT), str(DOCKERFILE)], capture_output=True, text=True, timeout=DEADLINE_S)
    assert (done.returncode, done.stdout) == (0, "")


@needs_hadolint
def test_the_linter_would_find_something(tmp_path: Path) -> None:
    spoilt = tmp_path / "Dockerfile"
    spoilt.write_text(DOCKERFILE.read_text().replace('ENTRYPOINT ["python", "-m", "service"]', "ENTRYPOINT python"))
    done = subprocess.run([str(HADOLINT), str(spoilt)], capture_output=True, text=True, timeout=DEADLINE_S)
    assert "DL3025" in done.stdout


def test_the_service_is_the_last_stage_and_stands_on_the_base_image_as_the_builders_do() -> None:
    """Python is linked to, not copied: it must be the same in both."""
    assert list(STAGES)[-1] == "actserve"
    assert [STAGES[name][0][1] for name in ("pip", "load", "actserve")] == ["${BASE_IMAGE}"] * 3
    assert all(STAGES[name][0][1] == "pip" for name in STAGES if name not in ("pip", "load", "actserve"))


def test_the_base_image_is_the_one_that_the_trial_asks_for() -> None:
    default = re.search(r"^ARG BASE_IMAGE=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    command = (ROOT / "deploy/image/__main__.py").read_text()

    assert default is not None
    assert f'os.environ.get("BASE_IMAGE", "{default[1]}")' in command


TRIED = {
    "actserve": '["python", "-m", "deploy.image.smoke"]',
    "load": '["locust", "-f", "loadtests/locustfile.py", "--list"]',
}


@FINAL
def test_nothing_is_installed_in_what_is_shipped(name: str) -> None:
    """No compiler, no package manager's leavings: what other stages made is copied, and tried."""
    runs = [rest for word, rest in STAGES[name] if word == "RUN"]
    copies = [rest for word, rest in STAGES[name] if word in ("COPY", "ADD")]

    assert runs == [TRIED[name]]
    assert all(rest.startswith("--from=") for rest in copies)


@FINAL
def test_the_user_is_a_number_and_not_root(name: str) -> None:
    """Kubernetes cannot tell whether a name is root's."""
    assert last(name, "USER") == f"{trial.USER}:{trial.USER}"


@pytest.mark.parametrize("word", ["ENTRYPOINT", "RUN"])
def test_commands_are_in_exec_form(word: str) -> None:
    """A shell in between would keep the signal to itself."""
    assert json.loads(last("actserve", word))[:2] == ["python", "-m"]
    assert "CMD" not in WORDS


def test_the_smoke_test_is_made_as_the_images_user() -> None:
    assert WORDS.index("USER") < WORDS.index("RUN")


def test_the_end_and_the_health_check_are_stated() -> None:
    options, _, command = last("actserve", "HEALTHCHECK").partition(" CMD ")
    timeout = re.search(r"--timeout=(\d+)s", options)

    assert last("actserve", "STOPSIGNAL") == "SIGTERM"
    assert json.loads(command) == ["python", "-m", "deploy.image.health"]
    assert timeout is not None
    assert int(timeout[1]) > health.TIMEOUT_S


def test_it_listens_where_others_reach_it_and_on_the_port_that_it_exposes() -> None:
    assert "ACTSERVE_HOST=0.0.0.0" in last("actserve", "ENV")
    assert last("actserve", "EXPOSE") == "8000"


def test_labels_say_what_it_is() -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', last("actserve", "LABEL")))

    assert labels["version"] == __version__
    assert set(labels) == {"title", "description", "version", "revision"}


@pytest.mark.parametrize(("stage", "lock"), [("cuda", "gpu"), ("packages", "run"), ("locust", "load")])
def test_packages_come_from_locks_with_hashes(stage: str, lock: str) -> None:
    install = last("pip", "ENV")

    assert "--require-hashes" in install
    assert "--no-deps" in install
    assert ("COPY", f"requirements/{lock}.lock .") in STAGES[stage]
    runs = [rest for word, rest in STAGES[stage] if word == "RUN"]
    assert re.findall(r"\$INSTALL -r (\w+)\.lock", " ".join(runs)) == [lock]
    assert not any("pip" in run for run in runs)


def test_what_is_left_out_for_a_cpu_is_in_the_wheel() -> None:
    """Under another name the image would keep 284 MB that nobody can use."""
    left_out = re.findall(r"capi/(\S+\.so)", last("packages", "RUN"))

    assert left_out == ["libonnxruntime_providers_cuda.so", "libonnxruntime_providers_tensorrt.so"]
    assert not IS_GPU_WHEEL or all((LIBRARIES / name).exists() for name in left_out)


def copied() -> set[str]:
    """From the folder in which the image is built."""
    parts = [rest.split()[:-1] for steps in STAGES.values() for word, rest in steps if word == "COPY"]
    return {path for sources in parts if not sources[0].startswith("--from=") for path in sources}


def test_what_is_sent_to_the_builder_is_what_is_copied() -> None:
    """Everything is ignored but that; so neither keys nor training data get near an image."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    taken = [line[1:] for line in lines if line.startswith("!")]

    assert lines[0] == "*"
    assert [line for line in lines if line[0] != "!"] == ["*", "**/__pycache__"]
    assert all(
        any(fnmatch.fnmatch(f"{path}/", f"{each}/*") or fnmatch.fnmatch(path, each) for each in taken)
        for path in copied()
    )
    assert all(any(fnmatch.fnmatch(path, each) or path.startswith(each) for path in copied()) for each in taken)
    assert all((ROOT / path).exists() for path in copied())


def test_the_image_has_the_service_and_no_training() -> None:
    paths = {path for word, rest in STAGES["app"] if word == "COPY" for path in rest.split()[:-1]}

    assert paths == {
        "service",
        "models/repository",
        "models/evidence",
        "deploy/image/__init__.py",
        "deploy/image/health.py",
        "deploy/image/smoke.py",
    }
