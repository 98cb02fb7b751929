"""A throw-away process that opens one version of a model and runs it, as the service would, and says how that went.

`python -m service.engine.trial` with a `Job` as JSON; started by `service.engine.probe`. It writes JSON to its output:
`{"digest": …}` of the file that it opened, or `{"reason": …}`. Whatever else happens to it is an answer too.

Its limits are set once everything is imported, so that they are the file's and not the interpreter's. The clock is the
system's: it ends the process whatever the runtime does, and also where nobody waits for it any more.
"""

import json
import math
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.engine.entry import REFUSALS, reason_of
from service.engine.loading import Loader
from service.engine.overrides import Overrides
from service.engine.rules import Limits
from service.engine.runtime.device import Device
from service.engine.vitals import mapped_bytes


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be tried, and within which limits.

    Attributes:
        model: the folder of the version's folder.
        seconds: of time by the clock.
        max_bytes: of memory, beside what the process has before it opens the file.
    """

    model: str
    version: int
    max_batch_size: int
    seconds: float
    max_bytes: int


def main(arguments: Sequence[str], confine: Callable[[Job], None]) -> None:
    """Try what the first argument says."""
    job = Job(**json.loads(arguments[0]))
    confine(job)
    sys.stdout.write(json.dumps(answer(job)))


def answer(job: Job) -> dict[str, str]:
    """Open the version and run it."""
    path = Path(job.model)
    try:
        load = Loader(Device.cpu(), threads=1, limits=Limits(max_batch_size=job.max_batch_size))
        return {"digest": load(path, job.version, Overrides.read(path)).digest}
    except MemoryError:
        return {"reason": "it takes more memory than it may"}
    except REFUSALS as error:
        return {"reason": reason_of(error)}


def limits(job: Job, mapped: int | None, used_s: float) -> dict[int, int]:
    """Of the process, by the system's number for each.

    Args:
        mapped: bytes of address space that the process has by now; where that is not known, memory is not limited.
        used_s: processor time that it has used by now.
    """
    memory = {} if mapped is None else {resource.RLIMIT_AS: mapped + job.max_bytes}
    return memory | {
        resource.RLIMIT_CPU: math.ceil(used_s + job.seconds) + 1,  # one thread: the clock strikes first
        resource.RLIMIT_FSIZE: 0,  # no file can be written
        resource.RLIMIT_CORE: 0,
    }


def confine(job: Job) -> None:
    """Limit this process, for good."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, job.seconds)
    set_limits(limits(job, mapped_bytes(), time.process_time()))


def set_limits(wanted: Mapping[int, int]) -> None:
    for what, most in wanted.items():
        resource.setrlimit(what, (most, most))


if __name__ == "__main__":  # pragma: no cover  # another process, which writes nothing down, its lines neither
    main(sys.argv[1:], confine)
