"""How many requests a key may send."""

from service.errors import TooManyRequests
from service.workers.workers import Workers


class Quota:
    """How many requests each key has sent in this second, to all workers.

    Each worker counts its own for each key, beside the second that it counts in; what counts in this second is added.

    Args:
        keys: how many there are.
        limit: requests a second; 0 is none.
    """

    def __init__(self, keys: int, limit: int, workers: Workers) -> None:
        self._limit = limit
        self._block = workers.block("quota", 2 * max(1, keys))

    def take(self, key: int, second: int) -> None:
        """Count a request.

        Raises:
            TooManyRequests: the key has none left.
        """
        if not self._limit:
            return
        own, at = self._block.own, 2 * key
        if own[at] != second:
            own[at], own[at + 1] = second, 0
        sent = sum(block[at + 1] for block in self._block.all() if block[at] == second)
        if sent >= self._limit:
            raise TooManyRequests(f"this key may send {self._limit} requests a second")
        own[at + 1] += 1
