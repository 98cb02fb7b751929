"""The watchdog stops runs that hang, tells of a loop that stands, and ends a worker that nothing else helps."""

import asyncio
import logging
import threading
from dataclasses import dataclass, field

import pytest

from service.engine import watchdog
from service.engine.runs import Runs
from service.engine.watchdog import BEAT_S, DEVICE_FAILURES, EXIT_CODE, LOOK_S, Patience, Watchdog

RUN_S, STALL_S = 6.0, 4.0


@dataclass(eq=False)
class Options:
    """What ONNX Runtime's `RunOptions` are to us."""

    terminate: bool = False


@dataclass
class Loop:
    """Keeps what it is to call later."""

    later: list[tuple[float, object]] = field(default_factory=list)

    def call_later(self, delay: float, call: object, *_: object) -> None:
        self.later.append((delay, call))


class Watched:
    """A watchdog whose loop moves when it is told to, and whose time passes look by look; the ends of the process."""

    def __init__(self) -> None:
        self.runs = Runs()
        self.ends: list[int] = []
        self.loop = Loop()
        self.now = 0.0
        self.dog = Watchdog(Patience(RUN_S, STALL_S), runs=self.runs, end=self.ends.append, clock=lambda: self.now)

    def look(self, seconds: float, *, moves: bool = True) -> None:
        for _ in range(round(seconds / LOOK_S)):
            if moves:
                self.dog.beat(self.loop, 0)  # type: ignore[arg-type]
            self.dog.look()

    def run_elsewhere(self) -> Options:
        """A run in a thread that is not the loop's begins."""
        options = Options()
        other = threading.Thread(target=self.runs.begin, args=(options,))
        other.start()
        other.join()
        return options


def test_a_worker_that_does_its_work_is_live() -> None:
    it = Watched()
    for _ in range(3):
        options = it.run_elsewhere()
        it.look(RUN_S)
        it.runs.end(options)
        it.look(LOOK_S)
        assert (it.dog.trouble, options.terminate, it.ends) == (None, False, [])


def test_a_run_that_takes_too_long_is_told_to_stop_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    it = Watched()
    hangs = it.run_elsewhere()
    it.look(RUN_S / 2)
    fine = it.run_elsewhere()
    it.look(RUN_S / 2)
    assert not hangs.terminate
    it.look(LOOK_S)
    assert (hangs.terminate, fine.terminate) == (True, False)
    it.runs.end(hangs)
    it.look(STALL_S / 2)
    assert (it.dog.trouble, it.ends) == (None, [])
    assert [record.getMessage() for record in caplog.records] == ["a run of a model took too long and is told to stop"]


def test_a_run_that_does_not_stop_ends_the_worker() -> None:
    """Half of the time before, it is no longer live."""
    it = Watched()
    it.run_elsewhere()
    it.look(RUN_S + STALL_S / 2)
    assert it.dog.trouble is None
    it.look(LOOK_S)
    assert it.dog.trouble == "a run of a model was told to stop and has not ended for 2.0 s"
    it.look(STALL_S / 2 - LOOK_S)
    assert it.ends == []
    it.look(LOOK_S)
    assert it.ends == [EXIT_CODE]


def test_a_loop_that_does_not_move_ends_the_worker_and_the_log_says_where_it_stands(
    caplog: pytest.LogCaptureFixture,
) -> None:
    it = Watched()
    it.look(1)
    it.look(1, moves=False)
    (told,) = caplog.records
    assert told.levelno == logging.WARNING
    assert told.getMessage().startswith("the event loop has been blocked for 1.0 s:")
    assert "test_a_loop_that_does_not_move" in told.getMessage()
    assert it.dog.trouble is None
    it.look(STALL_S / 2 - 1, moves=False)
    assert it.dog.trouble == "the event loop has not moved for 2.0 s"
    it.look(STALL_S / 2 - LOOK_S, moves=False)
    assert it.ends == []
    it.look(LOOK_S, moves=False)
    assert (it.ends, len(caplog.records)) == ([EXIT_CODE], 2)
    assert "this worker ends itself" in caplog.records[1].getMessage()


def test_a_loop_that_moves_again_is_live() -> None:
    it = Watched()
    it.look(STALL_S - LOOK_S, moves=False)
    assert it.dog.trouble is not None
    it.look(LOOK_S)
    assert it.dog.trouble is None
    it.look(STALL_S - LOOK_S, moves=False)
    assert it.ends == []


def test_a_run_in_the_loops_thread_is_stopped_before_it_ends_the_worker() -> None:
    """It holds up everybody. This thread is the loop's."""
    it = Watched()
    options, other = Options(), it.run_elsewhere()
    it.runs.begin(options)
    it.look(STALL_S / 4, moves=False)
    assert not options.terminate
    it.look(LOOK_S, moves=False)
    assert (options.terminate, other.terminate) == (True, False)


def test_time_in_which_nobody_looks_does_not_count() -> None:
    """The process is held for an hour, or a clock jumps: for one look the loop has not moved nor the run ended."""
    it = Watched()
    options = it.run_elsewhere()
    it.look(1)
    for jump in (3600.0, -3600.0):
        it.now += jump
        it.look(LOOK_S, moves=False)
        it.look(LOOK_S)
    assert (it.dog.trouble, options.terminate, it.ends) == (None, False, [])


@pytest.mark.parametrize("failures", range(1, DEVICE_FAILURES + 1))
def test_a_device_on_which_nothing_runs_any_more_ends_the_worker(failures: int) -> None:
    """F14."""
    it = Watched()
    for _ in range(failures):
        assert it.runs.is_device_failure("CUDA failure 700: an illegal memory access was encountered ; GPU=0 ;")
    it.look(LOOK_S)
    broken = failures == DEVICE_FAILURES
    assert it.ends == ([EXIT_CODE] if broken else [])
    assert it.dog.trouble == ("the last 3 runs failed for the device's fault" if broken else None)


def test_the_longest_block_is_measured() -> None:
    it = Watched()
    for it.now, due in ((10.0, 10.0), (10.021, 10.02), (10.5, 10.04), (10.53, 10.52)):
        it.dog.beat(it.loop, due)  # type: ignore[arg-type]
    assert it.dog.longest_block_s == pytest.approx(0.46)
    assert [delay for delay, _ in it.loop.later] == [BEAT_S] * 4


def test_a_log_that_blocks_does_not_keep_a_worker_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    blocked, go_on = threading.Event(), threading.Event()

    class Blocked(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            blocked.set()
            go_on.wait(10)

    monkeypatch.setattr(watchdog, "SAYING_S", 0.01)
    handler = Blocked()
    watchdog.log.addHandler(handler)
    it = Watched()
    it.look(STALL_S, moves=False)
    assert (it.ends, blocked.is_set()) == ([EXIT_CODE], True)
    watchdog.log.removeHandler(handler)
    go_on.set()


def test_a_loops_thread_that_has_ended_stands_nowhere() -> None:
    it = Watched()
    ended = threading.Thread(target=lambda: None)
    ended.start()
    ended.join()
    it.dog._loop_thread = 0
    assert it.dog._place() == "its thread has ended"


def test_it_watches_in_a_thread_of_its_own() -> None:
    """A real loop, which is held up for longer than it may be."""
    ended = threading.Event()
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    dog = Watchdog(Patience(60, 1), runs=Runs(), end=end)

    async def main() -> None:
        dog.start(asyncio.get_running_loop())
        assert ended.wait(60)
        dog.close()
        await asyncio.sleep(2 * BEAT_S)  # the beat that is due is the last

    asyncio.run(main())
    assert codes == [EXIT_CODE]
    assert dog.longest_block_s > 0.9


def test_one_that_was_never_started_can_be_closed() -> None:
    Watched().dog.close()
