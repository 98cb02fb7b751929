"""Lines for a file descriptor, of which nobody waits for one: a thread writes them.

Who reads the other end of a pipe may stop reading, and writing to it then waits until they go on. So lines are put into
a buffer, and those that do not fit are dropped and counted.

The thread writes what has come together every 50 ms: to wake it for each line would cost the event loop more than the
line. One call writes whole lines, at most `PIPE_BUF` bytes of them, which the system does not mix with what other
processes write to the same pipe; only a line that is longer by itself can be torn.
"""

import contextlib
import os
import select
import threading
from collections.abc import Iterable, Iterator

PAUSE_S = 0.05
CAPACITY = 4 * 2**20
"""Bytes that wait in the buffer; as many again may be on their way."""
CLOSE_S = 1.0
"""How long the end waits for what is in the buffer to be written."""
PIPE_BUF = select.PIPE_BUF


class Writer:
    """Writes lines to a descriptor; callable in any thread.

    While no thread runs, before `start` and after `close`, a line is written at once if there is room for it.
    """

    def __init__(self, descriptor: int, capacity: int = CAPACITY) -> None:
        self._descriptor = descriptor
        self._capacity = capacity
        self._lines: list[bytes] = []
        self._bytes = 0
        self._lock = threading.RLock()  # a signal's handler may log while the thread that it interrupts does
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._counters, self._place = memoryview(bytearray(8)).cast("q"), 0

    def count_in(self, counters: "memoryview[int]", place: int) -> None:
        """Count dropped lines there from now on."""
        self._counters, self._place = counters, place

    def start(self) -> None:
        """Have a thread write from now on."""
        if self._thread is None:
            self._ended = threading.Event()  # a thread that was held up keeps its own
            self._thread = threading.Thread(target=self._run, args=(self._ended,), name="actserve-log", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Write what waits, for `CLOSE_S` at most, and end the thread; one that is held up ends with the process."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._ended.set()
            self._wake.set()
            thread.join(CLOSE_S)
        for line in self._take():
            self._write_at_once(line)

    def put(self, line: bytes) -> None:
        """Have a line written that has its end; it is dropped if it does not fit any more."""
        if self._thread is None:
            self._write_at_once(line)
            return
        with self._lock:
            if self._bytes + len(line) > self._capacity:
                self._drop(1)
                return
            self._lines.append(line)
            self._bytes += len(line)
        if not self._wake.is_set():
            self._wake.set()

    def _drop(self, count: int) -> None:
        with self._lock:
            self._counters[self._place] += count

    def _take(self) -> list[bytes]:
        with self._lock:
            lines, self._lines, self._bytes = self._lines, [], 0
        return lines

    def _run(self, ended: threading.Event) -> None:
        while not ended.is_set():
            self._wake.wait()
            ended.wait(PAUSE_S)
            self._wake.clear()
            for count, chunk in _chunks(self._take()):
                if not self._write(chunk):
                    self._drop(count)

    def _write(self, content: bytes) -> bool:
        """All of it, however long that takes; false if that is not possible, as with a pipe that nobody has open."""
        with contextlib.suppress(OSError):
            while content:
                content = content[os.write(self._descriptor, content) :]
        return not content

    def _write_at_once(self, line: bytes) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        for start in range(0, len(line), PIPE_BUF):
            if not poll.poll(0) or not self._write(line[start : start + PIPE_BUF]):
                self._drop(1)
                return


def _chunks(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines in pieces of at most `PIPE_BUF` bytes, and how many each has."""
    chunk: list[bytes] = []
    length = 0
    for line in lines:
        if chunk and length + len(line) > PIPE_BUF:
            yield len(chunk), b"".join(chunk)
            chunk, length = [], 0
        chunk.append(line)
        length += len(line)
    if chunk:
        yield len(chunk), b"".join(chunk)
