"""When a user sends its next request."""

import random
from collections.abc import Callable


class Pace:
    """Times to send at that do not depend on the answers.

    A Poisson process: the gaps are exponential, so the arrivals of many users together are one, of the summed rate,
    and users that start together do not go on in step. A request that falls due while the last one is still under way
    is late, and goes out as soon as it can; it is neither dropped nor do the later ones move. Its lateness belongs to
    its latency: without it a slow service would look quicker than the people in the queue find it.
    """

    def __init__(self, rate: float, now: float, draw: Callable[[float], float] = random.expovariate) -> None:
        """Begin.

        Args:
            rate: requests a second.
            now: seconds, on the clock of all the other times.
            draw: gives a gap in seconds for a rate.
        """
        self.rate = rate
        self.due = now
        self._draw = draw

    def wait(self, now: float) -> float:
        """Seconds until the next request is due; 0 if it is late already."""
        self.due += self._draw(self.rate)
        return max(0.0, self.due - now)

    def late(self, now: float) -> float:
        """Seconds since the request was due that is sent now."""
        return max(0.0, now - self.due)


def think(mean: float, uniform: Callable[[float, float], float] = random.uniform) -> float:
    """Seconds that a user without a pace waits after an answer: half to one and a half times the mean."""
    return uniform(0.5 * mean, 1.5 * mean)
