"""How fast the rows of a model are run, measured; and by that, how long those that wait will take."""

from collections import deque
from dataclasses import dataclass, field
from statistics import median

KEPT, ENOUGH = 9, 3
"""Runs of which the median is taken: at most, and at least."""


UNKNOWN = float("inf")


@dataclass(eq=False, slots=True)
class Pace:
    """Of one version of a model.

    What waits is judged by how fast rows leave the line while others are left in it: that is what the model is given of
    the machine, with all that is done beside its runs. A lone row takes longer than a row among many, and a first run
    longer than those that follow; so it is the median of several such times, which one slow run does not move.

    Attributes:
        number_ns: a number's share of the time of recent runs; infinite before the first. A row may be of any length.
        row_ns: for each row that waits, how long it takes until they have left the line; 0 if it is not known.
    """

    number_ns: float = UNKNOWN
    row_ns: float = 0.0
    _left: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT), init=False)

    def ran(self, infer_ns: int, numbers: int) -> None:
        """Count a run, with so many numbers in its inputs."""
        of_number = infer_ns / (numbers or 1)
        self.number_ns = of_number if self.number_ns == UNKNOWN else 0.8 * self.number_ns + 0.2 * of_number

    def left(self, rows: int, took_ns: int) -> None:
        """Count rows that have left a line in which others were, by the time until the next could."""
        self._left.append(took_ns / rows)
        if len(self._left) >= ENOUGH:
            self.row_ns = median(self._left)
