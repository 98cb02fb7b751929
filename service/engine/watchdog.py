"""Watches over one worker process: an event loop that does not move, a run that does not end, a GPU that is broken.

A run that takes too long is told to stop. Where that does not help the worker is no longer live, and then ends itself:
whoever started it starts another.

Time is counted in looks of the watchdog's own thread, not by a clock. While the process is held (`SIGSTOP`, a virtual
machine that sleeps) nobody looks, so it does not look like a standstill afterwards; nor does a jump of the wall clock.
"""

import asyncio
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from service.engine.runs import RUNS, Runs, Stoppable
from service.workers.drain import STUCK

log = logging.getLogger("actserve.watchdog")

LOOK_S = 0.05
"""Between two looks."""
BEAT_S = 0.02
"""Between two signs of life of the event loop: how exactly the time of a block is known."""
LONG_BLOCK_S = 1.0
"""The log tells of a block as long as this, while it lasts, and where the loop stands."""
SAYING_S = 1.0
"""How long the log is waited for: it may be what blocks."""
DEVICE_FAILURES = 3
"""So many failed runs in a row, without one that works, and the device is taken for broken."""
EXIT_CODE = STUCK
"""Of a worker that ends itself; uvicorn takes 3 for a failed start, after which it starts no other."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a run may take, and how long the event loop, or a run that was told to stop, may stand still."""

    run_s: float
    stall_s: float


class Watchdog:
    """Of one event loop and all runs of the process.

    Args:
        end: ends the process at once; called in the watchdog's thread.
        clock: seconds; to measure how long the loop is blocked, and for nothing else.

    Attributes:
        trouble: why the worker is not live; None while it is.
        longest_block_s: the longest time for which the loop did not move, by the clock, at most `BEAT_S` too short.
    """

    def __init__(
        self,
        limits: Patience,
        *,
        runs: Runs = RUNS,
        end: Callable[[int], None] = os._exit,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.trouble: str | None = None
        self.longest_block_s = 0.0
        self._limits = limits
        self._runs = runs
        self._end = end
        self._clock = clock
        self._beats = 0
        self._seen_beats = 0
        self._still = 0
        self._ages: dict[Stoppable, int] = {}
        self._loop_thread = threading.get_ident()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="actserve-watchdog", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch over the loop, in whose thread this is called."""
        self._loop_thread = threading.get_ident()
        self.beat(loop, self._clock())
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()

    def beat(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        """A sign of life of the loop, which was due at this time of the clock, and again after `BEAT_S`."""
        now = self._clock()
        self._beats += 1
        if now - due > self.longest_block_s:
            self.longest_block_s = now - due
        if not self._closed.is_set():
            loop.call_later(BEAT_S, self.beat, loop, now + BEAT_S)

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        """Look once."""
        found = [self._loop_stands(), self._run_hangs(), self._device_is_broken()]
        self.trouble = next(filter(None, found), None)

    def _loop_stands(self) -> str | None:
        """Why the worker is not live for its loop's sake, if it is not."""
        self._still = self._still + 1 if self._beats == self._seen_beats else 0
        self._seen_beats = self._beats
        if self._still == _looks(LONG_BLOCK_S):
            self._say(logging.WARNING, f"the event loop has been blocked for {LONG_BLOCK_S} s: {self._place()}")
        return self._judged(self._still, "the event loop has not moved")

    def _run_hangs(self) -> str | None:
        under_way = self._runs.under_way()
        self._ages = {run: self._ages.get(run, -1) + 1 for run in under_way}
        overdue = [age - self._limit(under_way[run]) for run, age in self._ages.items()]
        for run, over in zip(under_way, overdue, strict=True):
            if over >= 0 and not run.terminate:
                run.terminate = True
                self._say(logging.ERROR, "a run of a model took too long and is told to stop")
        return self._judged(max(overdue, default=0), "a run of a model was told to stop and has not ended")

    def _limit(self, thread: int) -> int:
        """In looks. A run in the loop's thread holds up everybody, and must be over before that ends the worker."""
        in_loop = thread == self._loop_thread
        return _looks(min(self._limits.run_s, self._limits.stall_s / 4) if in_loop else self._limits.run_s)

    def _device_is_broken(self) -> str | None:
        if self._runs.device_failures < DEVICE_FAILURES:
            return None
        reason = f"the last {self._runs.device_failures} runs failed for the device's fault"
        self._give_up(reason)
        return reason

    def _judged(self, looks: int, what: str) -> str | None:
        """Not live after half of the time, ended after all of it."""
        reason = f"{what} for {looks * LOOK_S:.1f} s"
        if looks == _looks(self._limits.stall_s):
            self._give_up(reason)
        return reason if looks >= _looks(self._limits.stall_s / 2) else None

    def _give_up(self, reason: str) -> None:
        self._say(logging.CRITICAL, f"{reason}; this worker ends itself. The event loop: {self._place()}")
        self._end(EXIT_CODE)

    def _place(self) -> str:
        """Where in the program the loop's thread is."""
        frame = sys._current_frames().get(self._loop_thread)
        return "".join(traceback.format_stack(frame)) if frame else "its thread has ended"

    def _say(self, level: int, text: str) -> None:
        """Log it in a thread of its own: that may be what never returns."""
        saying = threading.Thread(target=log.log, args=(level, "%s", text), daemon=True)
        saying.start()
        saying.join(SAYING_S)


def _looks(seconds: float) -> int:
    return max(1, round(seconds / LOOK_S))
