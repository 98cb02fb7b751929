"""The pool runs calls off the event loop and hands on what they return and raise."""

import asyncio
import threading

import pytest

from service.engine import callers
from service.engine.pool import Pool
from service.errors import ClientLeft


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
