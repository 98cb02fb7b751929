"""Locust's side of `steps`; in a module of its own, for Locust takes every shape that it finds in the locustfile."""

import time
from collections.abc import Callable

import locust

from loadtests.steps import Counters, Ladder

FASTEST_SPAWN = 100
"""Users started a second; Locust warns above."""


class Steps(locust.LoadTestShape):
    """Climbs a ladder that is made anew for each test."""

    def __init__(self, make: Callable[[], Ladder], run_time_s: float | None) -> None:
        self._make = make
        self._run_time_s = run_time_s
        self.ladder = make()
        super().__init__()

    def reset_time(self) -> None:
        """Called by Locust when a test starts."""
        super().reset_time()
        self.ladder = self._make()

    def tick(self) -> tuple[int, float] | None:
        """Called by Locust every second."""
        if self._run_time_s and self.get_run_time() > self._run_time_s:
            self.ladder.reason = self.ladder.reason or "the time is up"
            return None
        assert self.runner is not None
        total = self.runner.stats.total
        counters = Counters(total.num_reqs_per_sec, total.num_fail_per_sec, total.response_times)
        users = self.ladder.users(time.time(), counters)
        return None if users is None else (users, min(self.ladder.step_users, FASTEST_SPAWN))
