"""The ledger: what was sent, and how each request ended."""

import time
from array import array
from collections import Counter
from dataclasses import dataclass, field

KEPT = 1000
"""Lost and wrong requests that are kept with all that is known of them; all are counted."""


@dataclass(slots=True)
class Entry:
    """A request under way.

    Args:
        connection: the client's port, which names the connection.
        sent: seconds of the monotonic clock.
    """

    number: int
    kind: str
    connection: int
    sent: float
    ended: float = 0.0
    reason: str = ""
    """Why the answer is wrong, or in which phase the request was lost."""


@dataclass(slots=True)
class Ledger:
    """Counts all requests of a load.

    Attributes:
        left: requests whose client went away without waiting for the answer.
        refused: connections that were not let in.
        connected: connections that were made.
        given_up: requests of which the last try was lost or answered wrongly too; each try counts as sent.
    """

    sent: int = 0
    answered: Counter[int] = field(default_factory=Counter)
    """By status."""
    lost: Counter[str] = field(default_factory=Counter)
    """By phase."""
    wrong: Counter[str] = field(default_factory=Counter)
    """By reason; they are among the answered."""
    left: int = 0
    refused: int = 0
    connected: int = 0
    given_up: int = 0
    open: dict[int, Entry] = field(default_factory=dict)
    """Sent and not yet ended, by number."""
    losses: list[Entry] = field(default_factory=list)
    faults: list[Entry] = field(default_factory=list)
    starts: "array[float]" = field(default_factory=lambda: array("d"))
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    """Of answered requests, in seconds, in the order of their ends; `starts` says when each was sent."""

    def send(self, kind: str, connection: int) -> Entry:
        self.sent += 1
        entry = Entry(self.sent, kind, connection, time.monotonic())
        self.open[entry.number] = entry
        return entry

    def answer(self, entry: Entry, status: int, fault: str | None) -> None:
        """It was answered, wrongly if there is a fault."""
        self._end(entry)
        self.answered[status] += 1
        self.starts.append(entry.sent)
        self.latencies.append(entry.ended - entry.sent)
        if fault:
            entry.reason = fault
            self.wrong[f"{entry.kind}: {fault}"] += 1
            self._keep(self.faults, entry)

    def lose(self, entry: Entry, phase: str) -> None:
        self._end(entry)
        entry.reason = phase
        self.lost[phase] += 1
        self._keep(self.losses, entry)

    def leave(self, entry: Entry) -> None:
        """The client itself went away: neither answered nor lost."""
        self._end(entry)
        self.left += 1

    @property
    def balanced(self) -> bool:
        """Has every request ended?"""
        return not self.open and self.sent == self.answered.total() + self.lost.total() + self.left

    def slowest(self, since: float, until: float) -> float:
        """Seconds that the slowest answered request sent in that time took; 0 if there was none."""
        pairs = zip(self.starts, self.latencies, strict=False)  # they may be added to meanwhile
        return max((latency for start, latency in pairs if since <= start < until), default=0.0)

    def _end(self, entry: Entry) -> None:
        entry.ended = time.monotonic()
        del self.open[entry.number]

    def _keep(self, entries: list[Entry], entry: Entry) -> None:
        if len(entries) < KEPT:
            entries.append(entry)
