"""Whether the one that asked is still there, for whatever makes work wait: what nobody waits for need not be done.

It is kept with the task that answers a request (`contextvars`), so that nothing in between has to hand it on.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeAlias

Left: TypeAlias = Callable[[], bool]

_left: ContextVar[Left | None] = ContextVar("left", default=None)


def watch(left: Left) -> None:
    """Have the work of this task dropped while it waits, as soon as `left` is true."""
    _left.set(left)


def current() -> Left:
    """What tells whether the caller of this task has left; never, if nobody watches."""
    return _left.get() or _stays


def _stays() -> bool:
    return False
