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

    A lone row takes longer than a row among many, and a first run longer than those that follow. So what waits is
    judged by runs alone that were as full as they could be, because others were left waiting; and by the median of
    several, which one slow run does not move.

    Attributes:
        row_ns: a row's share of the time of recent runs; infinite before the first.
        number_ns: likewise that of a number of their inputs. Where rows are of any length, a row says little.
    """

    row_ns: float = UNKNOWN
    number_ns: float = UNKNOWN
    _full: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT), init=False)

    def add(self, infer_ns: int, rows: int, numbers: int, *, full: bool) -> None:
        """Count a run.

        Args:
            numbers: in its inputs.
            full: others were left waiting that could not be in it.
        """
        of_row, of_number = infer_ns / (rows or 1), infer_ns / (numbers or 1)
        if self.row_ns == UNKNOWN:
            self.row_ns, self.number_ns = of_row, of_number
        else:
            self.row_ns = 0.8 * self.row_ns + 0.2 * of_row
            self.number_ns = 0.8 * self.number_ns + 0.2 * of_number
        if full:
            self._full.append(of_row)

    def wait_ns(self, rows: int, slots: int) -> float:
        """How long so many rows take at least, in as many runs at a time as there are slots; 0 if it is not known."""
        if len(self._full) < ENOUGH:
            return 0.0
        return rows * min(self.row_ns, median(self._full)) / slots
