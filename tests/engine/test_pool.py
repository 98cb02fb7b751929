"""The pool runs calls off the event loop, tells how long they took, and hands on what they raise."""

import asyncio
import threading

import pytest

from service.engine.pool import Pool, Timed


def test_a_call_runs_in_another_thread_and_is_timed() -> None:
    async def main() -> Timed[int]:
        return await pool.run(threading.get_ident)

    pool = Pool(1)
    timed = asyncio.run(main())
    pool.close()

    assert timed.result != threading.get_ident()
    assert timed.queue_ms >= 0
    assert timed.run_ms >= 0


def test_what_a_call_raises_is_raised() -> None:
    def fail() -> None:
        raise ValueError("no")

    pool = Pool(1)
    with pytest.raises(ValueError, match="no"):
        asyncio.run(pool.run(fail))
    pool.close()


def test_calls_beyond_the_threads_wait_their_turn() -> None:
    """With one thread busy the second call has not begun; it begins when the first ends."""
    started, release = threading.Event(), threading.Event()

    def first() -> None:
        started.set()
        release.wait(10)

    async def main() -> tuple[bool, float]:
        busy = asyncio.create_task(pool.run(first))
        await asyncio.to_thread(started.wait, 10)
        second = asyncio.create_task(pool.run(lambda: None))
        await asyncio.sleep(0)
        waiting = not second.done()
        release.set()
        await busy
        return waiting, (await second).queue_ms

    pool = Pool(1)
    waiting, queue_ms = asyncio.run(main())
    pool.close()

    assert waiting
    assert queue_ms > 0
