"""How fast the requests to one path come to their end; and by that, how long one more would take.

What is known of a request from its head alone is its path. But that is enough: a server that is asked for more than it
can do has a line of requests to that path, which gets shorter by one whenever one is answered. So whether a request can
be answered in time is known before its body is read, unpacked and decoded, which may be most of the work.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

KEPT, ENOUGH = 64, 8
"""Times of which the mean is taken: at most, and at least. Requests that were in one run end together: no median."""


@dataclass(eq=False, slots=True)
class Flow:
    """The requests to one path, in one worker.

    Attributes:
        begun: how many have been let in and are not yet answered.
        count: how many of them are here with their bodies.
        best_ns: the shortest time that one of many took so far; 0 if there never were many.
    """

    clock: Callable[[], int] = time.perf_counter_ns
    begun: int = field(default=0, init=False)
    count: int = field(default=0, init=False)
    best_ns: float = field(default=0.0, init=False)
    _since_ns: int = field(default=0, init=False)
    """When one was served last, if there were others then."""
    _times: deque[int] = field(default_factory=lambda: deque(maxlen=KEPT), init=False)

    def arrived(self) -> None:
        """All of a request is here."""
        if not self.count:
            self._since_ns = self.clock()
            self._times.clear()
        self.count += 1

    def ended(self, *, arrived: bool, served: bool) -> None:
        """A request is over.

        Args:
            served: it was done what was asked for. What is refused late has taken time of the others.
        """
        self.begun -= 1
        self.count -= arrived
        if arrived and served:
            now = self.clock()
            self._times.append(now - self._since_ns)
            self._since_ns = now
            if len(self._times) == KEPT:
                mean = sum(self._times) / KEPT
                self.best_ns = min(self.best_ns or mean, mean)

    def wait_ns(self) -> float:
        """How long all that are here will take; when a crowd has just come, how long at least; 0 if it is not known."""
        enough = len(self._times) >= ENOUGH
        return self.count * (sum(self._times) / len(self._times) if enough else self.best_ns)
