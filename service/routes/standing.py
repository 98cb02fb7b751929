"""How things stand in this worker at this moment, for whichever worker is asked for the metrics."""

import asyncio
import time
from concurrent.futures import TimeoutError as NotInTime

from service.engine.scheduler import Scheduler
from service.engine.vitals import cpu_seconds, vitals
from service.engine.watchdog import Watchdog
from service.routes.traffic import Traffic
from service.workers.lives import Lives
from service.workers.workers import State

REPORT = "standing"
"""The name of the report."""

LIMIT_S = 0.5
"""How long the event loop is waited for; one that takes longer does not answer requests either."""


class Standing:
    """Reports what waits and what is answered. Called in another thread than the event loop's, which it asks.

    Args:
        start_s: how long this worker took to start.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        scheduler: Scheduler,
        traffic: Traffic,
        watchdog: Watchdog,
        lives: Lives,
        *,
        start_s: float = 0.0,
    ) -> None:
        self._loop = loop
        self._scheduler = scheduler
        self._traffic = traffic
        self._watchdog = watchdog
        self._lives = lives
        self._start_s = start_s

    def __call__(self) -> State:
        """Look; empty if the event loop does not come to it. The processor time is noted in any case."""
        self._lives.note(cpu_seconds())
        looked = asyncio.run_coroutine_threadsafe(self._look(time.perf_counter()), self._loop)
        try:
            return looked.result(LIMIT_S) | vitals()
        except NotInTime:
            looked.cancel()
            return {}

    async def _look(self, asked: float) -> State:
        waiting = self._scheduler.waiting()
        return {
            "start_seconds": self._start_s,
            "lag_seconds": time.perf_counter() - asked,
            "longest_block_seconds": self._watchdog.longest_block_s,
            "in_flight": self._traffic.in_flight,
            "waiting": [[model.name, str(model.version), requests, rows] for model, requests, rows in waiting],
        }
