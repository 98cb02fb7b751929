"""The pool runs calls off the event loop and hands on what they return and raise."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.engine import callers
from service.engine.pool import Pool
from service.errors import ClientLeft, DeadlineExceeded


@asynccontextmanager
async def busy(pool: Pool) -> AsyncIterator[threading.Event]:
    """The pool's one thread has a call, until the event is set or this is left."""
    started, release = threading.Event(), threading.Event()
    held = asyncio.create_task(pool.run(lambda: started.set() or release.wait(10)))
    await asyncio.to_thread(started.wait, 10)
    try:
        yield release
    finally:
        release.set()
        await held


def test_a_call_runs_in_another_thread() -> None:
    pool = Pool(1)
    thread = asyncio.run(pool.run(threading.get_ident))
    pool.close()

    assert thread != threading.get_ident()


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

    async def main() -> bool:
        busy = asyncio.create_task(pool.run(first))
        await asyncio.to_thread(started.wait, 10)
        second = asyncio.create_task(pool.run(lambda: None))
        await asyncio.sleep(0)
        waiting = not second.done()
        release.set()
        await busy
        await second
        return waiting

    pool = Pool(1)
    waiting = asyncio.run(main())
    pool.close()

    assert waiting


def test_what_a_client_that_left_was_waiting_for_is_not_called() -> None:
    """Only if it left before a thread was free."""
    started, release, called = threading.Event(), threading.Event(), []
    left = threading.Event()

    def first() -> None:
        started.set()
        release.wait(10)

    async def asked() -> None:
        callers.watch(left.is_set)
        await pool.run(lambda: called.append("for the one that left"))

    async def main() -> None:
        busy = asyncio.create_task(pool.run(first))
        await asyncio.to_thread(started.wait, 10)
        gone = asyncio.create_task(asked())
        other = asyncio.create_task(pool.run(lambda: called.append("for another")))
        await asyncio.sleep(0)
        left.set()
        release.set()
        await busy
        await other
        with pytest.raises(ClientLeft):
            await gone

    pool = Pool(1)
    asyncio.run(main())
    pool.close()
    assert called == ["for another"]


def test_what_still_waits_for_a_thread_at_the_deadline_is_answered_then() -> None:
    """And not only when a thread is free at last."""
    called: list[str] = []

    async def asked(name: str, limit_s: float) -> None:
        callers.watch(lambda: False, limit_s)
        await pool.run(lambda: called.append(name))

    async def main() -> None:
        async with busy(pool) as release:
            late, patient, for_ever = (asyncio.create_task(asked(*of)) for of in (("late", 0.01), ("60", 60), ("0", 0)))
            with pytest.raises(DeadlineExceeded):
                await late
            assert not patient.done()
            release.set()
            await asyncio.gather(patient, for_ever)

    pool = Pool(1)
    asyncio.run(main())
    pool.close()
    assert called == ["60", "0"]


def test_a_call_whose_time_is_over_before_it_begins_is_not_called() -> None:
    called: list[None] = []

    async def main() -> None:
        callers.watch(lambda: False, 1e-9)
        with pytest.raises(DeadlineExceeded):
            await pool.run(lambda: called.append(None))

    pool = Pool(1)
    asyncio.run(main())
    pool.close()
    assert not called


def test_a_call_that_has_begun_is_waited_for() -> None:
    """Its time is over while it runs: nothing comes of stopping to wait, the thread is busy with it either way."""
    begun, end = threading.Event(), threading.Event()

    async def main() -> bool:
        async with busy(pool) as release:
            callers.watch(lambda: False, 0.05)
            second = asyncio.create_task(pool.run(lambda: begun.set() or end.wait(10)))
            await asyncio.sleep(0)
            release.set()
            await asyncio.to_thread(begun.wait, 10)
            asyncio.get_running_loop().call_later(0.06, end.set)
            return await second

    pool = Pool(1)
    assert asyncio.run(main())
    pool.close()


def test_a_caller_that_no_longer_waits_cancels_its_call() -> None:
    async def main() -> None:
        async with busy(pool):
            callers.watch(lambda: False, 60)
            second = asyncio.create_task(pool.run(lambda: None))
            await asyncio.sleep(0)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second

    pool = Pool(1)
    asyncio.run(main())
    pool.close()


def test_a_thread_outlives_whatever_a_call_raises() -> None:
    """F17."""

    class Unheard(BaseException):
        pass

    def fail() -> None:
        raise Unheard

    async def main() -> int:
        with pytest.raises(Unheard):
            await pool.run(fail)
        return await pool.run(lambda: 1)

    pool = Pool(1)
    assert asyncio.run(main()) == 1
    pool.close()
