"""A version is tried in a process of its own: whatever the file does there, here it is a reason."""

import json
import os
import sys
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from service.engine import probe
from service.engine.probe import Probe
from service.errors import ModelUnavailable
from tests.engine.hostile import crashing, endless, large
from tests.engine.making import plain, put
from tests.serving import eventually

ROOMY = Probe(seconds=60, max_bytes=2**30, max_batch_size=8)


def reason(tried: Probe, path: Path) -> str:
    with pytest.raises(ModelUnavailable) as refused:
        tried(path, 1)
    return refused.value.text


def test_a_good_file_is_known_by_its_digest(tmp_path: Path) -> None:
    content = put(tmp_path, "m", "1", plain()).read_bytes()
    assert ROOMY(tmp_path / "m", 1) == sha256(content).hexdigest()


def test_a_folder_may_be_named_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process works elsewhere."""
    put(tmp_path, "m", "1", plain())
    monkeypatch.chdir(tmp_path)
    assert ROOMY(Path("m"), 1)


def test_a_broken_file_is_refused_in_the_runtimes_words(tmp_path: Path) -> None:
    put(tmp_path, "m", "1", b"version https://git-lfs.github.com/spec/v1")
    assert reason(ROOMY, tmp_path / "m") == "Failed to load model because protobuf parsing failed."


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = put(tmp_path, "m", "1", b"")
    path.unlink()
    os.mkfifo(path)
    assert reason(ROOMY, tmp_path / "m") == "model.onnx is not a regular file"


def test_an_endless_loop_is_stopped(tmp_path: Path) -> None:
    put(tmp_path, "m", "1", endless())
    assert reason(replace(ROOMY, seconds=0.5), tmp_path / "m") == "its trial took more than 0.5 s and was stopped"


@pytest.mark.parametrize("elements", [2**40, 2**28])
def test_memory_beyond_the_limit_is_not_given(tmp_path: Path, elements: int) -> None:
    """4 TiB, which no machine has, and 1 GiB, which this one may have."""
    put(tmp_path, "m", "1", large(elements))
    tried = replace(ROOMY, max_bytes=2**29)
    assert reason(tried, tmp_path / "m").startswith("one run takes more memory than there is: ")


def test_memory_within_the_limit_is(tmp_path: Path) -> None:
    put(tmp_path, "m", "1", large(2**20))
    assert ROOMY(tmp_path / "m", 1)


def test_a_file_that_ends_its_process_is_refused(tmp_path: Path) -> None:
    """Should ONNX Runtime learn to refuse this one, another that crashes it is to be found."""
    put(tmp_path, "m", "1", crashing())
    assert reason(ROOMY, tmp_path / "m") == "the process that tried it was ended by SIGFPE"


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("import os; os.abort()", "the process that tried it was ended by SIGABRT"),
        ("import os; os.kill(os.getpid(), 9)", "the process that tried it was ended by SIGKILL"),
        ("raise SystemExit(3)", "the process that tried it failed with exit code 3"),
        ("", "the process that tried it said nothing"),
        ("print('nonsense')", "the process that tried it said nothing"),
        ("print('[]')", "the process that tried it said nothing"),
        ("print('{}')", "the process that tried it said nothing"),
        ("print('x' * 2**17)", "the process that tried it was ended by SIGKILL"),
        ('print(\'{"reason": "a\\\\u001b\\\\nb"}\')', "a\\x1b\\nb"),
    ],
)
def test_however_it_ends_there_is_a_reason(tmp_path: Path, program: str, text: str) -> None:
    tried = replace(ROOMY, command=(sys.executable, "-c", program))
    assert reason(tried, tmp_path) == text


def test_one_that_outlives_its_limits_is_killed_with_what_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sets no limits of its own here, and has a child that would go on."""
    program = f"""
import os, time
child = os.fork()
if child:
    open({str(tmp_path / "pid")!r}, "w").write(str(child))
    os.rename({str(tmp_path / "pid")!r}, {str(tmp_path / "child")!r})
time.sleep(1000)
"""
    monkeypatch.setattr(probe, "START_LIMIT_S", 3.0)
    started = time.monotonic()
    tried = replace(ROOMY, seconds=0.0, command=(sys.executable, "-c", program))
    assert reason(tried, tmp_path) == "the process that tried it was ended by SIGKILL"
    assert time.monotonic() - started < 60

    child = int((tmp_path / "child").read_text())
    eventually(lambda: not _runs(child))


def test_what_it_has_started_ends_with_it(tmp_path: Path) -> None:
    program = f"""
import os, subprocess, sys
child = subprocess.Popen(["sleep", "1000"], stdout=subprocess.DEVNULL)
open({str(tmp_path / "child")!r}, "w").write(str(child.pid))
print('{{"digest": "d"}}')
"""
    assert replace(ROOMY, command=(sys.executable, "-c", program))(tmp_path, 1) == "d"
    eventually(lambda: not _runs(int((tmp_path / "child").read_text())))


def _runs(pid: int) -> bool:
    """Not ended, nor ended and not yet taken note of."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_no_secret_reaches_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ("ACTSERVE_ADMIN_KEY", "ACTSERVE__FOLDER", "AWS_SECRET_ACCESS_KEY", "HOME")
    for name in secrets:
        monkeypatch.setenv(name, "secret")
    program = "import json, os; print(json.dumps({'reason': ' '.join(sorted(os.environ))}))"
    given = reason(replace(ROOMY, command=(sys.executable, "-c", program)), tmp_path).split()

    assert {"PATH", "CUDA_VISIBLE_DEVICES"} <= set(given)
    assert not set(secrets) & set(given)
    assert set(given) <= {*probe.KEPT, "CUDA_VISIBLE_DEVICES", "LC_CTYPE"}  # the last is the interpreter's own


def test_it_is_told_what_to_try_and_how(tmp_path: Path) -> None:
    program = "import json, sys; print(json.dumps({'reason': sys.argv[1]}))"
    told = json.loads(reason(replace(ROOMY, command=(sys.executable, "-c", program)), tmp_path / "m"))
    assert told == {
        "model": str(tmp_path / "m"), "version": 1, "max_batch_size": 8, "seconds": 60, "max_bytes": 2**30,
    }  # fmt: skip


def test_a_process_that_cannot_be_started_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace(ROOMY, command=(str(tmp_path / "none"),))(tmp_path, 1)
