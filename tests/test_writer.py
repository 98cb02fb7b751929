"""Lines are written by a thread, whole and in order; what nobody takes in time is dropped and counted."""

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator

import pytest

from service import writer as writer_module
from service.writer import PIPE_BUF, Writer
from tests.serving import eventually

LINE = b"x" * 99 + b"\n"


class Pipe:
    """A pipe, and a writer into it that counts what it drops."""

    def __init__(self, capacity: int = writer_module.CAPACITY) -> None:
        self.out, self.into = os.pipe()
        self.writer = Writer(self.into, capacity)
        self.counters = memoryview(bytearray(16)).cast("q")
        self.writer.count_in(self.counters, 1)

    def fill(self) -> int:
        """Until no more goes into it; how many bytes that are."""
        flags = fcntl.fcntl(self.into, fcntl.F_GETFL)
        fcntl.fcntl(self.into, fcntl.F_SETFL, flags | os.O_NONBLOCK)
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                count += os.write(self.into, b"." * PIPE_BUF)
        fcntl.fcntl(self.into, fcntl.F_SETFL, flags)
        return count

    def read(self, count: int) -> bytes:
        content = b""
        while len(content) < count:
            content += os.read(self.out, count - len(content))
        return content

    @property
    def dropped(self) -> int:
        return self.counters[1]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe(capacity=1000)
    yield made
    made.writer.close()
    os.close(made.out)
    os.close(made.into)


def test_lines_come_out_in_order(pipe: Pipe) -> None:
    pipe.writer.start()
    pipe.writer.start()  # it has one
    lines = [b"%d\n" % number for number in range(100)]
    for line in lines:
        pipe.writer.put(line)
    assert pipe.read(len(b"".join(lines))) == b"".join(lines)
    assert pipe.dropped == 0


def test_the_end_writes_what_waits(pipe: Pipe) -> None:
    pipe.writer.start()
    pipe.writer.put(LINE)
    pipe.writer.close()
    assert pipe.read(len(LINE)) == LINE


def test_what_does_not_fit_is_dropped_and_counted(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads: what the pipe, the thread and the buffer hold stays, and the rest is not waited for."""
    monkeypatch.setattr(writer_module, "CLOSE_S", 0.01)
    filled = pipe.fill()
    pipe.writer.start()
    pipe.writer.put(b"first\n")
    eventually(lambda: not pipe.writer._lines)  # the thread has it, and is held up
    for _ in range(15):
        pipe.writer.put(LINE)
    assert pipe.dropped == 5  # 1,000 bytes wait

    pipe.writer.close()
    assert pipe.dropped == 15
    assert pipe.read(filled + 6).endswith(b".first\n")


def test_without_a_thread_lines_are_written_while_there_is_room(pipe: Pipe) -> None:
    pipe.writer.put(LINE)
    assert pipe.read(len(LINE)) == LINE
    pipe.fill()
    pipe.writer.put(LINE)
    assert pipe.dropped == 1


def test_without_a_thread_a_long_line_is_written_as_far_as_there_is_room(pipe: Pipe) -> None:
    filled = pipe.fill()
    pipe.read(2 * PIPE_BUF)
    pipe.writer.put(b"y" * 3 * PIPE_BUF)
    assert pipe.dropped == 1
    assert pipe.read(filled) == b"." * (filled - 2 * PIPE_BUF) + b"y" * 2 * PIPE_BUF


@pytest.mark.parametrize("threaded", [True, False])
def test_a_pipe_that_nobody_has_open_takes_nothing(threaded: bool) -> None:
    pipe = Pipe()
    os.close(pipe.out)
    if threaded:
        pipe.writer.start()
    pipe.writer.put(LINE)
    pipe.writer.put(LINE)
    pipe.writer.close()
    os.close(pipe.into)
    assert pipe.dropped == 2


def test_one_write_is_whole_lines_that_the_system_does_not_tear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three writers, as three processes would have them, at one pipe that is read slowly."""
    out, into = os.pipe()
    writers = [Writer(into) for _ in range(3)]
    for writer in writers:
        writer.start()
    lines = [[b"%d %d %s\n" % (number, count, b"-" * (count % 300)) for count in range(1500)] for number in range(3)]
    for writer, own in zip(writers, lines, strict=True):
        for line in own:
            writer.put(line)
    ends = [threading.Thread(target=writer.close) for writer in writers]
    for end in ends:
        end.start()
    expected = sum(len(line) for own in lines for line in own)
    content = b""
    while len(content) < expected:
        content += os.read(out, 5000)
    for end in ends:
        end.join()
    os.close(out)
    os.close(into)

    found = content.splitlines(keepends=True)
    for number, own in enumerate(lines):
        assert [line for line in found if line.startswith(b"%d " % number)] == own


def test_a_line_that_is_longer_than_one_write_is_written_alone(pipe: Pipe) -> None:
    long = b"z" * (PIPE_BUF + 1) + b"\n"
    assert list(writer_module._chunks([LINE, long, LINE, LINE])) == [(1, LINE), (1, long), (2, LINE * 2)]
