"""What the throw-away process does, here in this one: the limits it sets, and its answers."""

import json
import resource
import signal
import subprocess
import sys
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from service.engine import trial, vitals
from service.engine.trial import Job
from tests.engine.making import plain, put
from tests.serving import uncounted

GIB = 2**30


def job(folder: Path, **changes: Any) -> Job:
    return Job(
        **({"model": str(folder), "version": 1, "max_batch_size": 8, "seconds": 9.5, "max_bytes": GIB} | changes)
    )


def test_it_is_confined_before_it_opens_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file is put there by what stands in for the limits."""
    content = plain()
    main = [json.dumps(asdict(job(tmp_path / "m")))]
    trial.main(main, lambda _: put(tmp_path, "m", "1", content) and None)
    assert json.loads(capsys.readouterr().out) == {"digest": sha256(content).hexdigest()}


@pytest.mark.parametrize(
    ("content", "config", "reason"),
    [
        (b"", None, "No graph was found in the protobuf."),
        (plain(), "nonsense = 1", "model.toml: unknown key 'nonsense'"),
    ],
)
def test_it_says_what_the_service_would_say(tmp_path: Path, content: bytes, config: str | None, reason: str) -> None:
    put(tmp_path, "m", "1", content)
    if config:
        (tmp_path / "m" / "model.toml").write_text(config)
    assert trial.answer(job(tmp_path / "m"))["reason"].startswith(reason)


def test_a_file_that_is_not_there_is_named_without_its_path(tmp_path: Path) -> None:
    assert trial.answer(job(tmp_path / "m")) == {"reason": "No such file or directory"}


def test_a_lack_of_memory_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(_: Path) -> None:
        raise MemoryError

    monkeypatch.setattr(trial.Overrides, "read", read)
    assert trial.answer(job(tmp_path)) == {"reason": "it takes more memory than it may"}


def test_limits_are_beside_what_the_process_has_already(tmp_path: Path) -> None:
    assert trial.limits(job(tmp_path), 5000, 0.7) == {
        resource.RLIMIT_AS: GIB + 5000,
        resource.RLIMIT_CPU: 12,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }


def test_where_memory_is_not_counted_it_is_not_limited(tmp_path: Path) -> None:
    assert vitals.mapped_bytes(tmp_path) is None
    assert resource.RLIMIT_AS not in trial.limits(job(tmp_path), None, 0.7)


def test_this_process_has_some_memory() -> None:
    assert (vitals.mapped_bytes() or 0) > 2**20


def test_limits_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of this process are set to what they are, and its clock is stopped again."""
    monkeypatch.setattr(trial, "limits", lambda *_: {resource.RLIMIT_CORE: resource.getrlimit(resource.RLIMIT_CORE)[1]})
    before = signal.getsignal(signal.SIGALRM)
    try:
        trial.confine(job(tmp_path, seconds=1000.0))
        assert 990 < signal.getitimer(signal.ITIMER_REAL)[0] <= 1000
        assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    assert resource.getrlimit(resource.RLIMIT_CORE) == (hard, hard)


@pytest.mark.parametrize(
    ("attempt", "seconds", "end"),
    [
        ("while True: pass", 0.2, "-14"),
        ("import time; time.sleep(60)", 0.2, "-14"),
        ("bytearray(2**30)", 60, "MemoryError"),
        ("pathlib.Path(sys.argv[1]).write_text('x')", 60, "File too large"),
        ("signal.signal(signal.SIGALRM, signal.SIG_IGN)\n    while True: pass", 0.2, "-9"),
    ],
)
def test_what_a_confined_process_cannot_do(tmp_path: Path, attempt: str, seconds: float, end: str) -> None:
    """Loop, sleep for long, take memory, write a file; and one that stops its clock runs out of processor time."""
    limits = job(tmp_path, seconds=seconds, max_bytes=2**27)
    code = f"""
import pathlib, signal, sys
from service.engine.trial import Job, confine
confine(Job(**{asdict(limits)}))
try:
    {attempt}
except Exception as error:
    print(type(error).__name__, error)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "file")]
    done = subprocess.run(command, capture_output=True, text=True, env=uncounted(), timeout=60, check=False)
    assert end in f"{done.stdout} {done.returncode}"
    assert [file.stat().st_size for file in tmp_path.iterdir()] in ([], [0])
