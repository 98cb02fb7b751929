"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give the path to write to: beside `path`, which it becomes at the end; the folder is made.

    A run cut short leaves what was there before, and two processes do not meet in one half-written file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    yield partial
    os.replace(partial, path)
