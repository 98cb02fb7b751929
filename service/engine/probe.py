"""A version of a model is tried in a throw-away process: whatever it does there, the service goes on.

A model file is code: it can loop for ever, ask for all memory there is, or meet a fault of the runtime that ends the
process. So one that nobody has vouched for is first opened and run where that does no harm. This is a fence around
accidents and crashes, not a prison: the process may read what the service may read, but for its environment.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from service.engine.trial import Job
from service.errors import ModelUnavailable

ROOT = Path(__file__).parent.parent.parent
"""Where the package `service` lies."""

START_LIMIT_S = 60.0
"""For a process to start and import what it needs: half a second, on a busy machine many times that."""

MAX_ANSWER_BYTES = 2**16

KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""Of the environment; nothing else reaches the process, keys and passwords neither."""

COMMAND = (sys.executable, "-m", "service.engine.trial")


@dataclass(frozen=True, slots=True)
class Probe:
    """Tries versions, each in a process of its own, on the CPU.

    Attributes:
        seconds: how long a trial may take.
        max_bytes: memory that opening and running the model may take.
        max_batch_size: rows of one run where `model.toml` sets no other number.
        command: what is started, with a `Job` as its last argument.
    """

    seconds: float
    max_bytes: int
    max_batch_size: int
    command: Sequence[str] = COMMAND

    def __call__(self, path: Path, version: int) -> str:
        """Try a version of the model in the folder; blocks until that is done, or was stopped.

        Returns:
            The digest of the file that was opened, with its external data put in.

        Raises:
            ModelUnavailable: it cannot be served, or what the trial ended with; says why.
            OSError: no process can be started.
        """
        job = Job(str(path.absolute()), version, self.max_batch_size, self.seconds, self.max_bytes)
        text, code = _run([*self.command, json.dumps(asdict(job))], START_LIMIT_S + self.seconds)
        if code == -signal.SIGALRM:
            raise ModelUnavailable(f"its trial took more than {self.seconds:g} s and was stopped")
        if code:
            raise ModelUnavailable(f"the process that tried it {_ended(code)}")
        return _digest(text)


def _run(command: Sequence[str], limit_s: float) -> tuple[bytes, int]:
    """What a program prints, and its exit code; below zero a signal's number."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        with _killed_after(process.pid, limit_s):
            text = process.stdout.read(MAX_ANSWER_BYTES)
            if len(text) == MAX_ANSWER_BYTES:  # it would wait for somebody to read on
                _kill(process.pid)
            code = process.wait()
        _kill(process.pid)  # what it may have started is in its group
        return text, code


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Of the process: ours but for what it has no use for; and no GPU."""
    return {name: ours[name] for name in KEPT if name in ours} | {"CUDA_VISIBLE_DEVICES": ""}


@contextmanager
def _killed_after(pid: int, limit_s: float) -> Iterator[None]:
    """End the process with all that it has started, should it outlive its own limits."""
    timer = threading.Timer(limit_s, _kill, (pid,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _ended(code: int) -> str:
    if code > 0:
        return f"failed with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"


def _digest(text: bytes) -> str:
    """Of the process's answer, which is trusted no more than the file."""
    answer = None
    with contextlib.suppress(ValueError):
        answer = json.loads(text)
    match answer:
        case {"digest": str(digest)}:
            return digest
        case {"reason": str(reason)}:
            raise ModelUnavailable(reason)
    raise ModelUnavailable("the process that tried it said nothing")
