"""The one that asked: whether it is still there, and until when it waits, for whatever makes work wait.

What nobody waits for need not be done. It is kept with the task that answers a request (`contextvars`), so that nothing
in between has to hand it on.
"""

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeAlias

from service.errors import ClientLeft, DeadlineExceeded

Left: TypeAlias = Callable[[], bool]

NEVER = 2**63
"""A moment that does not come, in nanoseconds."""


@dataclass(slots=True)
class Caller:
    """Whoever a task works for.

    Attributes:
        left: whether it has left.
        limit_ns: how long it waits once it has sent everything; 0 for ever.
        deadline_ns: until when that is, by `time.perf_counter_ns`, which neither the wall clock nor a setting of it
            moves; `NEVER` for ever.
        begun: whether work for it has.
        waited_ns: how long it waited for that, once all of it was here.
        on_arrival: called once it has sent everything, and None from then on.
    """

    left: Left
    limit_ns: int = 0
    deadline_ns: int = NEVER
    begun: bool = False
    waited_ns: int = 0
    on_arrival: Callable[[], object] | None = None

    def check(self) -> None:
        """Check that the work is still wanted.

        Raises:
            ClientLeft, DeadlineExceeded: it is not.
        """
        if self.left():
            raise ClientLeft()
        if time.perf_counter_ns() > self.deadline_ns:
            raise DeadlineExceeded()


def watch(left: Left, limit_s: float = 0.0, clock: Callable[[], int] = time.perf_counter_ns) -> None:
    """Have the work of this task dropped while it waits, as soon as `left` is true or the time is over.

    Args:
        limit_s: from now, and again from `arrived`; 0 is none.
    """
    limit_ns = int(limit_s * 1e9)
    _caller.set(Caller(left, limit_ns, clock() + limit_ns if limit_ns else NEVER))


def arrived() -> None:
    """All that the caller sends is here; how long it took to send that is not our delay, so its time begins now."""
    caller = _caller.get()
    if caller.on_arrival is not None:
        caller.on_arrival()
        caller.on_arrival = None
    if caller.limit_ns:
        caller.deadline_ns = time.perf_counter_ns() + caller.limit_ns


def current() -> Caller:
    """The caller of this task; one that stays for ever, if nobody watches."""
    return _caller.get()


def _stays() -> bool:
    return False


_caller: ContextVar[Caller] = ContextVar("caller", default=Caller(_stays, begun=True))  # noqa: B039  # it is never changed
