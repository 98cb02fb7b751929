"""Health as a load balancer asks it: again and again, each time over a new connection."""

import http.client
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from loadtests.local.repeating import repeating

EVERY_S = 0.05
PATIENCE_S = 5.0


@contextmanager
def probing(ports: Callable[[], int], path: str = "/v2/health/ready") -> Iterator[Counter[str]]:
    """Ask while the block runs; gives how often which status came, or which error in its place."""
    seen: Counter[str] = Counter()

    def ask_one() -> None:
        seen[ask(ports(), path)] += 1

    with repeating(ask_one, EVERY_S):
        yield seen


def ask(port: int, path: str, patience_s: float = PATIENCE_S) -> str:
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=patience_s)) as connection:
            connection.request("GET", path)
            return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__


def timed(port: int, path: str) -> tuple[str, float]:
    """Status or error, and seconds."""
    begin = time.monotonic()
    return ask(port, path), time.monotonic() - begin
