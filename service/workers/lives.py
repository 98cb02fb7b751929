"""The workers that there have been since the server's start: how many, and the processor time of all of them.

Those that have ended count too, so neither number ever falls.
"""

from service.workers.workers import Workers

BEGUN, CPU_US = range(2)


class Lives:
    """One is made in each worker, which is thereby counted."""

    def __init__(self, workers: Workers) -> None:
        self._block = workers.block("lives", 2)
        self._block.own[BEGUN] = 1

    def note(self, cpu_seconds: float) -> None:
        """Say how much processor time this worker has taken so far; what it has not said when it ends is lost."""
        self._block.own[CPU_US] = round(cpu_seconds * 1e6)

    def begun(self) -> int:
        """How many workers there have been."""
        return sum(block[BEGUN] for block in self._block.all())

    def cpu_seconds(self) -> float:
        """What they all have said of theirs."""
        return sum(block[CPU_US] for block in self._block.all()) / 1e6
