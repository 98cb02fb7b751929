"""A lock between processes."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """While this is entered nobody else is, in any process or thread; the system frees it if the process is killed.

    Args:
        path: a file for nothing else: to map a file into memory would keep its lock.
    """
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
