"""What waits too long is dropped when its time is over, and what would wait too long is not taken."""

import asyncio

import numpy as np
import pytest

from service.engine import callers
from service.engine.batching import GRAIN_NS, Batcher
from service.engine.model import Execution
from service.engine.pace import KEPT, Pace
from service.engine.pool import Pool
from service.engine.rules import Rules
from service.errors import BadRequest, DeadlineExceeded, DeviceFailed, QueueFull, QueueTimeout, RunStopped
from tests.engine import virtual
from tests.engine.test_batching import Feeds, Gate, Made, Model, made, run, settle, ys
from tests.engine.virtual import now_ns

GRAIN_S = GRAIN_NS / 1e9


def by_virtual_time(gate: Gate, **rules: int) -> Made:
    return Made(Model(), Batcher(Rules(max_batch_size=8, **rules), gate, 0, now_ns))


async def ask(it: Made, *values: float, limit_s: float = 0.0) -> float:
    """Ask for a caller who waits so long, and say when it was answered."""
    callers.watch(lambda: False, limit_s, now_ns)
    await it.ask(*values)
    return now_ns() / 1e9


def test_at_the_deadline_what_waits_is_dropped_whatever_runs_meanwhile() -> None:
    async def main() -> None:
        gate = Gate()
        it = by_virtual_time(gate)
        first = it.ask(0)
        await settle()
        late, stays = asyncio.ensure_future(ask(it, 1, 2, limit_s=30)), it.ask(3)
        with pytest.raises(DeadlineExceeded):
            await late
        assert 30 <= now_ns() / 1e9 <= 30 + GRAIN_S
        assert (it.batcher.waiting, it.batcher.waiting_rows) == (1, 1)
        gate.open = True
        await gate.let_through()
        await asyncio.gather(first, stays)
        assert it.model.runs == [[0], [3]]

    virtual.run(main())


def test_a_requests_own_timeout_is_looked_at_as_promptly() -> None:
    """Though it comes after others whose time is over later."""

    async def main() -> None:
        gate = Gate()
        it = by_virtual_time(gate)
        first = it.ask(0)
        await settle()
        waiting: list[asyncio.Future[Execution]] = []
        for value, timeout_us in ((1, 60_000_000), (2, 5_000_000), (3, 0)):
            waiting.append(it.ask(value, timeout_us=timeout_us))
            await settle()
        with pytest.raises(QueueTimeout, match="it waited 50"):
            await waiting[1]
        assert 5 < now_ns() / 1e9 <= 5 + 2 * GRAIN_S
        with pytest.raises(QueueTimeout):
            await waiting[0]
        assert 60 < now_ns() / 1e9 <= 60 + 2 * GRAIN_S
        await asyncio.sleep(1)  # of virtual time: a look that an earlier one has replaced does nothing
        gate.open = True
        await gate.let_through()
        assert [ys(first), ys(waiting[2])] == [[0], [-3]]

    virtual.run(main())


def test_the_looks_are_never_many() -> None:
    """Each goes through all that wait, so those who are late within a moment are found by one."""

    async def main() -> None:
        gate = Gate()
        it = by_virtual_time(gate)
        first = it.ask(0)
        await settle()
        waiting = [it.ask(1, timeout_us=1000 + 10 * number) for number in range(500)]
        looks = 0
        while not all(answer.done() for answer in waiting):
            before = now_ns()
            await asyncio.wait([answer for answer in waiting if not answer.done()], return_when=asyncio.FIRST_COMPLETED)
            assert now_ns() - before >= GRAIN_NS or not looks
            looks += 1
        assert looks <= 2
        await gate.let_through()
        await first

    virtual.run(main())


def test_a_batch_that_waits_for_a_thread_still_waits() -> None:
    async def main() -> None:
        gate = Gate()
        it = by_virtual_time(gate)
        late, stays = asyncio.ensure_future(ask(it, 1, limit_s=3)), it.ask(2)
        with pytest.raises(DeadlineExceeded):
            await late
        assert 3 <= now_ns() / 1e9 <= 3 + GRAIN_S
        await gate.let_through()
        await stays
        assert it.model.runs == [[2]]

    virtual.run(main())


def test_a_run_that_has_begun_is_waited_for() -> None:
    async def main() -> None:
        it = by_virtual_time(Gate())
        begun, end = asyncio.Event(), asyncio.Event()

        async def elsewhere(call: object) -> list[object]:
            (batch,) = it.batcher._running.values()
            batch.begun = True
            begun.set()
            await end.wait()
            return [(batch.tickets, Execution({"y": np.zeros((1, 1))}, 1, (1,), 1))]

        it.batcher.elsewhere = elsewhere  # type: ignore[assignment]
        asked = asyncio.ensure_future(ask(it, 1, limit_s=3))
        await begun.wait()
        asyncio.get_running_loop().call_later(60, end.set)
        assert await asked == 60

    virtual.run(main())


def test_a_delay_for_others_ends_with_the_deadline() -> None:
    async def main() -> None:
        it = by_virtual_time(Gate(open_=True), max_queue_delay_microseconds=60_000_000)
        with pytest.raises(DeadlineExceeded):
            await ask(it, 1, limit_s=2)
        assert 2 <= now_ns() / 1e9 <= 2 + GRAIN_S

    virtual.run(main())


async def paced(gate: Gate, left: int = 8, **rules: int) -> tuple[Made, list[asyncio.Future[Execution]]]:
    """With several runs behind it at 1 ms a row, one under way, and so many rows waiting."""
    it = made(gate, **rules)
    answers = [it.ask(1) for _ in range(8 * 5 + left)]
    await settle()
    while len(it.model.runs) < 4:
        it.model.clock.ns += 8_000_000 // it.batcher.rules.count
        await gate.let_through()
    assert it.batcher.waiting_rows == left
    return it, answers


async def let_all_through(gate: Gate, *answers: asyncio.Future[Execution]) -> None:
    gate.open = True
    for event in gate.waiting:
        event.set()
    await asyncio.gather(*answers)


def test_what_cannot_be_run_in_time_is_not_taken() -> None:
    """Eight rows wait, which take eight milliseconds."""

    async def main() -> None:
        gate = Gate()
        it, answers = await paced(gate)
        with pytest.raises(
            QueueFull, match=r"^8 rows wait, which take about 0\.008 s: longer than this one may$"
        ) as refusal:
            it.ask(1, timeout_us=7_000)
        assert refusal.value.headers == {"Retry-After": "1"}
        assert it.batcher.waiting_rows == 8
        answers += [it.ask(1, timeout_us=11_000), it.ask(1, timeout_us=7_000, priority=1), it.ask(1)]
        await let_all_through(gate, *answers)

    run(main())


def test_the_servers_deadline_counts_too_and_the_client_is_told_when_to_come_back() -> None:
    async def main() -> None:
        gate = Gate()
        it, answers = await paced(gate)
        it.batcher._pace.row_ns = 2_000_000_000
        callers.watch(lambda: False, 17, it.batcher.clock)
        with pytest.raises(QueueFull) as refusal:
            it.ask(1)
        assert refusal.value.headers == {"Retry-After": "16"}
        callers.watch(lambda: False, 21, it.batcher.clock)
        await let_all_through(gate, *answers, it.ask(1))

    run(main())


def test_runs_at_a_time_share_what_waits() -> None:
    async def main() -> None:
        gate = Gate()
        it, answers = await paced(gate, count=2, left=0)
        answers += [it.ask(value) for value in range(8)]
        answers.append(it.ask(1, timeout_us=5_200))
        with pytest.raises(QueueFull):
            it.ask(1, timeout_us=5_200)
        await let_all_through(gate, *answers)

    run(main())


def test_a_row_may_be_of_any_length_and_what_is_long_is_not_run_in_the_loop() -> None:
    """A number takes 1 ms, whatever of rows there is; short is what takes up to 4 ms."""

    async def main() -> None:
        gate = Gate(open_=True)
        it = made(gate, short_ns=4_000_000, max_batch_size=0)
        await it.ask(1)
        gate.open = False
        await it.ask(1, 2, width=2)
        long = it.ask(1, width=5)
        await settle()
        assert (len(gate.waiting), long.done()) == (1, False)
        await gate.let_through()
        await long

    run(main())


def test_an_idle_model_refuses_nobody_however_slow_it_was() -> None:
    async def main() -> None:
        it = made(Gate(open_=True))
        it.model.row_ns = 10**12
        for value in range(5):
            await it.ask(value, timeout_us=1)

    run(main())


def test_slow_lone_runs_say_nothing_of_many_together() -> None:
    """A run of one row takes nearly as long as one of many."""

    async def main() -> None:
        gate = Gate(open_=True)
        it = made(gate)
        it.model.row_ns = 10**9
        for value in range(5):
            await it.ask(value)
        await asyncio.gather(*(it.ask(1, timeout_us=1_000) for _ in range(40)))

    run(main())


@pytest.mark.parametrize("slow", range(3))
def test_one_slow_run_refuses_nobody(slow: int) -> None:
    """A process that was held, a first run: whenever it comes."""
    pace = Pace()
    for number in range(3):
        pace.left(8, 10**12 if number == slow else 8_000_000)
    assert pace.row_ns == 1_000_000


def test_a_pace_is_known_after_some_runs_and_follows_the_last() -> None:
    pace = Pace()
    for _ in range(2):
        pace.left(1, 1_000_000)
    assert pace.row_ns == 0
    for took_ns in (3_000_000, 1_000_000):
        for _ in range(KEPT):
            pace.left(1, took_ns)
        assert pace.row_ns == took_ns


def test_the_pace_is_that_of_the_whole_server_not_of_its_runs_alone() -> None:
    """Whatever else is done in between makes others wait as well; but not the time in which nobody waits."""

    async def main() -> None:
        gate = Gate()
        it, answers = await paced(gate)
        it.model.clock.ns += 10**12
        await gate.let_through()
        await let_all_through(gate, *answers)
        for _ in range(KEPT):
            it.model.clock.ns += 10**12
            await it.ask(1)
        assert it.batcher._pace.row_ns == 1_000_000

    run(main())


def test_a_delay_for_others_is_no_pace() -> None:
    async def main() -> None:
        it = by_virtual_time(Gate(open_=True), max_queue_delay_microseconds=1_000_000)
        for _ in range(2 * KEPT):
            await asyncio.gather(it.ask(1), it.ask(2, width=2))
        assert now_ns() > KEPT * 10**9
        assert it.batcher._pace.row_ns < 1_000_000

    virtual.run(main())


@pytest.mark.parametrize("error", [RunStopped("too long"), DeviceFailed("broken")])
def test_a_batch_whose_run_was_stopped_is_not_tried_again(error: Exception) -> None:
    """Its halves would take as long, one after the other; and of a broken device as many runs fail."""

    async def main() -> None:
        it = made(Gate(open_=True))
        answers = [it.ask(1), it.ask(2), it.ask(3)]

        def lost(feeds: Feeds, merged: bool) -> Execution:
            it.model.runs.append(feeds["x"][:, 0].tolist())
            raise error

        it.batcher._lines[((1,),)][0][2].run = lost
        found = await asyncio.gather(*answers, return_exceptions=True)
        assert (found, it.model.runs) == ([error] * 3, [[1, 2, 3]])

    run(main())


def test_a_half_whose_run_was_stopped_is_lost_alone() -> None:
    async def main() -> None:
        it = made(Gate(open_=True))
        answers = [it.ask(value) for value in (13, 2, 14, 4)]

        def unlucky(feeds: Feeds, merged: bool) -> Execution:
            if 13 in feeds["x"]:
                raise BadRequest("13")
            if 14 in feeds["x"]:
                raise RunStopped("14")
            return it.model(feeds, merged)

        for _, _, ticket in it.batcher._lines[((1,),)]:
            ticket.run = unlucky
        found = await asyncio.gather(*answers, return_exceptions=True)
        assert [type(each) for each in found] == [BadRequest, Execution, RunStopped, RunStopped]

    run(main())


def test_a_pool_that_has_ended_is_an_error_and_nobody_waits_for_ever() -> None:
    """F17."""

    async def main() -> None:
        pool = Pool(1)
        it = Made(Model(), Batcher(Rules(max_batch_size=8), pool.run))
        pool.close()
        found = await asyncio.gather(it.ask(1), it.ask(2), return_exceptions=True)
        assert [type(error) for error in found] == [RuntimeError, RuntimeError]
        await it.batcher.close()

    run(main())
