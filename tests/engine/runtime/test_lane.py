"""What is asked of a lane is done in one thread, whoever asks."""

import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.thread import _global_shutdown_lock

import pytest

from service.engine.runtime.lane import Lane
from tests.serving import DEADLINE_S


def test_everybody_is_served_by_one_thread_that_is_nobodys_own() -> None:
    lane = Lane()
    with ThreadPoolExecutor(4) as pool:
        threads = set(pool.map(lambda _: lane.call(threading.get_ident), range(40)))
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_what_is_asked_from_within_is_done_at_once() -> None:
    lane = Lane()
    assert lane.call(lambda: lane.call(lambda: "done")) == "done"


def test_an_error_is_the_askers() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Lane().call(fail)


def test_what_may_be_done_later_is_done_in_order() -> None:
    lane, done = Lane(), []
    lane.later(done.append, 1)
    lane.call(lambda: done.append(2))
    assert done == [1, 2]


def test_a_finalizer_may_ask_while_something_is_submitted_elsewhere() -> None:
    """Garbage may be collected within `submit`, which holds a lock that all executors share."""
    lane, done = Lane(), []
    with _global_shutdown_lock:
        asking = threading.Thread(target=lane.later, args=(done.append, 1), daemon=True)
        asking.start()
        asking.join(DEADLINE_S)
        assert not asking.is_alive()
    lane.call(lambda: done.append(2))
    assert done == [1, 2]


def test_once_there_is_no_thread_any_more_nothing_is_done_and_nothing_raised() -> None:
    lane, done = Lane(), []
    lane._executor.shutdown()
    lane.later(done.append, 1)
    assert done == []
