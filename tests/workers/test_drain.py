"""The end of a worker: what it does with signals, in which order; the signals and the server are fakes."""

import asyncio
import logging
import signal
import threading
from types import FrameType
from typing import Any

import pytest

from service.workers import drain
from service.workers.drain import Drain
from service.workers.listener import SharingLoop


class Ending:
    """A worker in the state of being told to end, with a loop whose clock the test moves."""

    def __init__(self, lame_duck_s: float = 3.0, limit_s: float = 25.0) -> None:
        self.calls: list[tuple[int, FrameType | None]] = []
        self.codes: list[int] = []
        self.later: list[float] = []
        self.now = 100.0
        self.drain = Drain(lame_duck_s, limit_s, leave=self.codes.append)

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Any, *arguments: Any) -> None:
        self.later.append(delay)
        self.due = lambda: call(*arguments)

    def begin(self, number: int = signal.SIGTERM) -> None:
        self.drain.begin(number, lambda *a: self.calls.append(a), self.drain._lame_duck_s, self)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def watches(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each watch over the end would wait; none is started."""
    found: list[float] = []
    monkeypatch.setattr(Drain, "_watch", lambda _, limit_s: found.append(limit_s))
    return found


def test_the_server_is_told_when_the_time_is_over(watches: list[float]) -> None:
    ending = Ending()
    assert not ending.drain.on
    ending.begin()

    assert (ending.drain.on, ending.calls, ending.later) == (True, [], [3.0])
    assert watches == [3.0 + 25.0 + drain.MARGIN_S]
    ending.due()
    assert ending.calls == [(signal.SIGTERM, None)]


def test_the_same_signal_by_two_ways_is_one(watches: list[float]) -> None:
    ending = Ending()
    ending.begin()
    ending.now += 0.6
    ending.begin()

    assert (ending.calls, ending.later, len(watches)) == ([], [3.0], 1)


def test_a_second_signal_ends_it_at_once(watches: list[float]) -> None:
    ending = Ending()
    ending.begin()
    ending.now += 1.5
    ending.begin()

    assert ending.calls == [(signal.SIGINT, None)] * 2
    assert watches[1:] == [drain.HASTE_S]


@pytest.mark.parametrize(("lame_duck_s", "expected"), [(0.02, ["turn away", "stop"]), (0.0, ["stop"])])
def test_nobody_begins_a_connection_in_the_last_moments(lame_duck_s: float, expected: list[str]) -> None:
    told: list[str] = []

    class Loop(SharingLoop):
        def turn_away(self) -> None:
            told.append("turn away")

    loop = Loop(None)
    stop: Any = lambda *_: (told.append("stop"), loop.stop())  # noqa: E731
    Drain(lame_duck_s, 1.0).begin(signal.SIGTERM, stop, lame_duck_s, loop)
    loop.run_forever()
    loop.close()
    assert told == expected


def test_who_sits_at_the_terminal_does_not_wait() -> None:
    loop, number = asyncio.new_event_loop(), signal.SIGINT
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    told: list[int] = []
    try:
        signal.signal(number, lambda sig, _: (told.append(sig), loop.stop()))
        ending = Drain(3.0, 25.0, leave=told.append)
        ending.take_over(loop)
        loop.call_soon(signal.raise_signal, number)
        loop.run_forever()
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)
        loop.close()
    assert (told, ending.on) == ([number], True)


def test_in_another_thread_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: Drain(1.0, 1.0).take_over(loop))
    thread.start()
    thread.join()
    loop.close()
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_nobody_handles_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    loop = asyncio.new_event_loop()
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Drain(1.0, 1.0)._defer(signal.SIGTERM, 1.0, loop)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
        loop.close()


def test_a_process_that_does_not_end_is_ended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(logging.getLogger("actserve"), "propagate", True)
    codes: list[int] = []
    ended = threading.Event()
    Drain(0.0, 0.0, leave=lambda code: (codes.append(code), ended.set()))._watch(0.0)

    assert ended.wait(10)
    assert codes == [drain.STUCK]
    assert "not ended in time" in caplog.text
