"""The end of a worker, which is to lose nothing: for a while everything is still answered, while clients turn away.

At SIGTERM uvicorn closes the connections that are idle, and a client that is just sending its next request on one loses
it. So its handler is called later. Until then readiness says no, so that balancers look for another server, and each
answer closes its connection, so that clients do. In the last moments no connection can be begun, so that none is open
whose request has not come when the handler is called. A second signal ends this at once.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TypeAlias

from service.workers.listener import SharingLoop

log = logging.getLogger("actserve.workers")

Handler: TypeAlias = Callable[[int, FrameType | None], object]

PR_SET_PDEATHSIG = 1

SAME_SIGNAL_S = 1.0
"""A signal to a process group reaches a worker twice, the second time through the first process."""

CALM_S = 0.5
"""For what clients have begun to arrive, when they can begin no more; at most half of the lame duck's time."""

MARGIN_S = 5.0
"""After all times are over: for the threads of the process to end."""

HASTE_S = 1.0
"""The same, after a second signal."""

STUCK = 70
"""Exit code of a process that did not end in time; EX_SOFTWARE of sysexits.h."""


def end_with_parent() -> None:
    """Have the system send SIGTERM to this process when the one that started it has ended, however that was.

    Only Linux does. Source: prctl(2), PR_SET_PDEATHSIG.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Drain:
    """Whether this worker is about to end.

    Args:
        lame_duck_s: how long everything is still answered.
        limit_s: how long what is then being answered may take; enforced even if the event loop stands.
        leave: ends the process.
    """

    def __init__(self, lame_duck_s: float, limit_s: float, leave: Callable[[int], object] = os._exit) -> None:
        self.on = False
        self._lame_duck_s = lame_duck_s
        self._limit_s = limit_s
        self._leave = leave
        self._since = 0.0

    def take_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Handle the signals that the server handles now; it gets them later. Only in the main thread can one."""
        if threading.current_thread() is threading.main_thread():
            self._defer(signal.SIGTERM, self._lame_duck_s, loop)
            self._defer(signal.SIGINT, 0.0, loop)  # someone sits at a terminal

    def _defer(self, number: signal.Signals, lame_duck_s: float, loop: asyncio.AbstractEventLoop) -> None:
        stop = signal.getsignal(number)
        if callable(stop):
            signal.signal(number, lambda sig, _: loop.call_soon_threadsafe(self.begin, sig, stop, lame_duck_s, loop))

    def begin(self, sig: int, stop: Handler, lame_duck_s: float, loop: asyncio.AbstractEventLoop) -> None:
        """Call `stop` when the time is over; at a second signal at once."""
        now = loop.time()
        if self.on and now - self._since >= SAME_SIGNAL_S:
            self._watch(HASTE_S)
            stop(signal.SIGINT, None)
            stop(signal.SIGINT, None)  # at the second uvicorn waits for nothing
        elif not self.on:
            self.on, self._since = True, now
            self._watch(lame_duck_s + self._limit_s + MARGIN_S)
            log.info("stopping: everything is answered for another %g seconds", lame_duck_s)
            if isinstance(loop, SharingLoop) and lame_duck_s:
                loop.call_later(max(lame_duck_s - CALM_S, lame_duck_s / 2), loop.turn_away)
            loop.call_later(lame_duck_s, stop, sig, None)

    def _watch(self, limit_s: float) -> None:
        timer = threading.Timer(limit_s, self._give_up)
        timer.daemon = True
        timer.start()

    def _give_up(self) -> None:
        log.error("not ended in time; what is still being answered is lost")
        self._leave(STUCK)
