"""A task knows whom it works for: whether they are still there, and until when they wait."""

import asyncio
from collections.abc import Callable

import pytest

from service.engine import callers
from service.engine.callers import NEVER
from service.errors import ClientLeft, DeadlineExceeded


def after(*steps: Callable[[], object]) -> callers.Caller:
    """The caller of a task that takes these steps."""

    async def main() -> callers.Caller:
        for step in steps:
            step()
        return callers.current()

    return asyncio.run(main())


def test_without_a_caller_nothing_is_dropped() -> None:
    caller = after(callers.arrived)
    caller.check()
    assert caller.deadline_ns == NEVER


def test_one_that_left_and_one_whose_time_is_over_are_not_worked_for() -> None:
    with pytest.raises(ClientLeft):
        after(lambda: callers.watch(lambda: True, 1)).check()
    with pytest.raises(DeadlineExceeded):
        after(lambda: callers.watch(lambda: False, 1e-9)).check()
    after(lambda: callers.watch(lambda: False, 60)).check()


def test_the_time_begins_when_everything_has_been_sent() -> None:
    """A slow connection is no reason to drop a request that has just come in."""
    began = after(lambda: callers.watch(lambda: False, 60, lambda: 5))
    assert began.deadline_ns == 60 * 10**9 + 5
    assert after(lambda: callers.watch(lambda: False, 60, lambda: 5), callers.arrived).deadline_ns > began.deadline_ns


def test_no_limit_stays_none() -> None:
    assert after(lambda: callers.watch(lambda: False), callers.arrived).deadline_ns == NEVER
