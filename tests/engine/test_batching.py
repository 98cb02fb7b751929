"""Requests are merged by rows, each gets its own rows back, and nobody suffers for another's fault or departure."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine import callers
from service.engine.batching import Batcher, Outcome
from service.engine.model import Execution
from service.engine.pool import Pool
from service.engine.rules import Rules
from service.errors import BadRequest, ClientLeft, ModelUnavailable, QueueFull, QueueTimeout

T = TypeVar("T")
Feeds = Mapping[str, np.ndarray]


def rows(*values: float, width: int = 1) -> Feeds:
    return {"x": np.repeat(np.array(values, np.float32)[:, None], width, axis=1)}


class Model:
    """y = −x; a row of 13 is bad luck. Remembers the rows of each run, in order; a row takes a millisecond."""

    def __init__(self, clock: "Clock | None" = None) -> None:
        self.runs: list[list[float]] = []
        self.widths: list[int] = []
        self.merged: list[bool] = []
        self.clock = clock or Clock()
        self.row_ns = 1_000_000

    def __call__(self, feeds: Feeds, merged: bool) -> Execution:
        x = feeds["x"]
        self.runs.append(x[:, 0].tolist())
        self.widths.append(x.shape[1])
        self.merged.append(merged)
        if (x == 13).any():
            raise BadRequest("13")
        return Execution({"y": -x}, len(x), (len(x),), len(x) * self.row_ns, self.clock())

    @property
    def sizes(self) -> list[int]:
        return [len(run) for run in self.runs]


class Gate:
    """A place where runs wait until they are let through."""

    def __init__(self, *, open_: bool = False) -> None:
        self.waiting: list[asyncio.Event] = []
        self.open = open_

    async def __call__(self, call: Callable[[], T]) -> T:
        if not self.open:
            event = asyncio.Event()
            self.waiting.append(event)
            await event.wait()
        return call()

    async def let_through(self) -> None:
        """The oldest run goes; everything that follows from it happens."""
        self.waiting.pop(0).set()
        await settle()


class Clock:
    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


async def settle() -> None:
    """Let the loop do all that can be done without time passing."""
    for _ in range(20):
        await asyncio.sleep(0)


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


@dataclass
class Made:
    """A batcher of a model, whose runs are made at a gate."""

    model: Model
    batcher: Batcher

    def ask(self, *values: float, width: int = 1, **options: Any) -> asyncio.Future[Execution]:
        return self.batcher.submit(self.model, rows(*values, width=width), len(values), **options)


def made(gate: Gate, clock: Clock | None = None, short_ns: float = 0, **rules: Any) -> Made:
    clock = clock or Clock()
    return Made(Model(clock), Batcher(Rules(**({"max_batch_size": 8} | rules)), gate, short_ns, clock))


def ys(answer: asyncio.Future[Execution]) -> list[float]:
    return [float(y) for y in answer.result().outputs["y"][:, 0]]


def test_a_lone_request_leaves_at_once() -> None:
    async def main() -> None:
        it = made(Gate(open_=True))
        execution = await it.ask(1, 2)
        assert execution.outputs["y"].tolist() == [[-1], [-2]]
        assert (execution.rows, execution.batch_sizes) == (2, (2,))
        assert (it.model.sizes, it.model.merged, it.batcher.waiting_rows) == ([2], [False], 0)

    run(main())


def test_what_waits_is_merged_when_a_slot_is_free() -> None:
    """The first runs alone; what has come meanwhile runs together, each with its own rows."""

    async def main() -> None:
        gate = Gate()
        it = made(gate)
        first = it.ask(0)
        await settle()
        others = [it.ask(*values) for values in ((1,), (2, 3), (4,))]
        await settle()
        assert it.batcher.waiting_rows == 4
        await gate.let_through()
        await gate.let_through()

        assert (it.model.sizes, it.model.merged) == ([1, 4], [False, True])
        assert [ys(answer) for answer in (first, *others)] == [[0], [-1], [-2, -3], [-4]]
        assert [answer.result().rows for answer in others] == [1, 2, 1]

    run(main())


def test_a_run_is_counted_with_the_first_of_its_requests() -> None:
    async def main() -> None:
        it = made(Gate(open_=True))
        answers = [it.ask(1), it.ask(2, 3)]
        await asyncio.gather(*answers)
        assert [answer.result().batch_sizes for answer in answers] == [(3,), ()]
        assert {answer.result().infer_ns for answer in answers} == {3_000_000}

    run(main())


def test_requests_read_in_one_round_of_the_loop_are_one_batch() -> None:
    async def main() -> None:
        it = made(Gate(open_=True))
        await asyncio.gather(*(it.ask(value) for value in range(5)))
        assert it.model.sizes == [5]

    run(main())


def test_a_batch_has_at_most_its_rows_and_a_larger_request_runs_alone() -> None:
    async def main() -> None:
        it = made(Gate(open_=True), max_batch_size=4)
        answers = [it.ask(*range(count)) for count in (1, 2, 3, 9, 1)]
        await asyncio.gather(*answers)
        assert it.model.sizes == [3, 3, 9, 1]
        assert [len(ys(answer)) for answer in answers] == [1, 2, 3, 9, 1]

    run(main())


def test_nothing_is_merged_for_a_model_without_a_batch() -> None:
    async def main() -> None:
        it = made(Gate(open_=True), max_batch_size=0)
        await asyncio.gather(it.ask(1), it.ask(2, width=3), it.ask(3))
        assert (it.model.sizes, it.model.merged) == ([1, 1, 1], [False] * 3)

    run(main())


def test_several_slots_run_at_a_time() -> None:
    async def main() -> None:
        gate = Gate()
        it = made(gate, count=2, max_batch_size=1)
        answers = [it.ask(value) for value in range(3)]
        await settle()
        assert len(gate.waiting) == 2
        await gate.let_through()
        assert (len(gate.waiting), answers[0].done(), answers[2].done()) == (2, True, False)
        await gate.let_through()
        await gate.let_through()
        await asyncio.gather(*answers)

    run(main())


async def known(gate: Gate, short_ns: float) -> Made:
    """With a first run behind it, so that it is known how long a row takes."""
    it = made(gate, short_ns=short_ns)
    first = it.ask(1)
    await settle()
    await gate.let_through()
    await first
    return it


def test_a_run_that_is_known_to_be_short_is_made_in_the_loop() -> None:
    """A row takes 1 ms, which the first run shows: then up to 4 rows are short, and more are not."""

    async def main() -> None:
        gate = Gate()
        it = await known(gate, short_ns=4_000_000)
        short = [it.ask(1, 2), it.ask(3, 4)]
        await settle()
        assert [ys(answer) for answer in short] == [[-1, -2], [-3, -4]]
        assert not gate.waiting

        long = it.ask(*range(5))
        await settle()
        assert not long.done()
        await gate.let_through()
        await long
        assert it.model.sizes == [1, 4, 5]

    run(main())


def test_what_is_too_much_for_a_short_run_is_more_than_one() -> None:
    """A row takes 1 ms, a short run up to 4: of eight rows that wait none need another thread."""

    async def main() -> None:
        gate = Gate()
        it = await known(gate, short_ns=4_000_000)
        answers = [it.ask(value, -value) for value in range(4)]
        await settle()
        assert [ys(answer) for answer in answers] == [[-value, value] for value in range(4)]
        assert (it.model.sizes, gate.waiting) == ([1, 4, 4], [])

    run(main())


def test_short_runs_follow_each_other_and_other_work_gets_its_turn() -> None:
    async def main() -> None:
        it = made(Gate(open_=True), short_ns=1e12, max_batch_size=1)
        await it.ask(0)
        seen: list[int] = []
        answers = [it.ask(value) for value in range(1, 4)]
        while not answers[-1].done():
            await asyncio.sleep(0)
            seen.append(len(it.model.runs))
        assert {2, 3, 4} <= set(seen)

    run(main())


def test_a_caller_that_leaves_the_line_is_skipped() -> None:
    async def main() -> None:
        gate = Gate()
        it = made(gate)
        first = it.ask(0)
        await settle()
        leaving, staying = it.ask(1), it.ask(2)
        await settle()
        leaving.cancel()
        await gate.let_through()
        await gate.let_through()

        assert (it.model.runs, ys(staying), it.batcher.waiting_rows) == ([[0], [2]], [-2], 0)
        assert leaving.cancelled()
        await first

    run(main())


def test_a_caller_that_leaves_the_middle_of_the_line_is_skipped() -> None:
    async def main() -> None:
        gate = Gate()
        it = made(gate)
        first = it.ask(0)
        await settle()
        answers = [it.ask(1), it.ask(2), it.ask(3)]
        answers[1].cancel()
        await gate.let_through()
        await gate.let_through()

        assert (it.model.runs, it.batcher.waiting_rows) == ([[0], [1, 3]], 0)
        assert [ys(answers[0]), ys(answers[2])] == [[-1], [-3]]
        await first

    run(main())


def test_a_failure_of_a_caller_that_has_left_is_nobodys() -> None:
    async def main() -> None:
        it = made(Gate(open_=True))
        leaving = it.ask(1)

        def failing(feeds: Feeds, merged: bool) -> Execution:
            leaving.cancel()
            raise BadRequest("no")

        it.batcher._lines[((1,),)][0][2].run = failing
        await settle()
        assert leaving.cancelled()
        assert ys(await done(it.ask(2))) == [-2]

    run(main())


async def done(answer: asyncio.Future[Execution]) -> asyncio.Future[Execution]:
    await answer
    return answer


def test_a_line_of_callers_that_have_all_left_is_not_run() -> None:
    async def main() -> None:
        gate = Gate()
        it = made(gate)
        first = it.ask(0)
        await settle()
        for leaving in [it.ask(1), it.ask(2)]:
            leaving.cancel()
        await gate.let_through()
        await settle()
        assert (it.model.runs, gate.waiting, it.batcher.waiting_rows) == ([[0]], [], 0)
        await first

    run(main())


def test_a_caller_that_leaves_before_its_run_begins_is_not_run_for() -> None:
    async def main() -> None:
        gate = Gate()
        it = made(gate)
        leaving = it.ask(1)
        await settle()
        leaving.cancel()
        await gate.let_through()
        assert it.model.runs == []

    run(main())


def test_a_caller_that_leaves_while_its_batch_waits_takes_nothing_from_the_others() -> None:
    """MLServer's fault: the others waited for ever."""

    async def main() -> None:
        gate = Gate()
        it = made(gate)
        answers = [it.ask(value) for value in (1, 2, 3)]
        await settle()
        answers[1].cancel()
        await gate.let_through()

        assert [ys(answers[0]), ys(answers[2])] == [[-1], [-3]]
        again = it.ask(4)
        await settle()
        await gate.let_through()
        assert ys(again) == [-4]

    run(main())


def test_a_caller_that_leaves_during_the_run_takes_nothing_from_the_others() -> None:
    async def main() -> None:
        it = made(Gate(open_=True))
        answers = [it.ask(1), it.ask(2)]

        def leaving(feeds: Feeds, merged: bool) -> Execution:
            answers[0].cancel()
            return Model.__call__(it.model, feeds, merged)

        it.batcher._lines[((1,),)][0][2].run = leaving
        await settle()
        assert ys(answers[1]) == [-2]

    run(main())


def test_a_bad_row_fails_alone() -> None:
    async def main() -> None:
        it = made(Gate(open_=True))
        answers = [it.ask(value) for value in (1, 2, 13, 4, 5)]
        found = await asyncio.gather(*answers, return_exceptions=True)
        assert [type(each) for each in found].count(BadRequest) == 1
        assert isinstance(found[2], BadRequest)
        assert [ys(answers[i]) for i in (0, 1, 3, 4)] == [[-1], [-2], [-4], [-5]]
        assert await it.ask(6)

    run(main())


def test_a_caller_that_left_is_not_run_again_when_its_batch_is_halved() -> None:
    async def main() -> None:
        it = made(Gate(open_=True))
        bad, leaving, other = it.ask(13), it.ask(2), it.ask(3)
        plain = Model.__call__

        def run_and_leave(feeds: Feeds, merged: bool) -> Execution:
            leaving.cancel()
            return plain(it.model, feeds, merged)

        it.batcher._lines[((1,),)][0][2].run = run_and_leave
        with pytest.raises(BadRequest):
            await bad
        await other
        assert it.model.runs == [[13, 2, 3], [13], [3]]

    run(main())


def test_a_full_line_refuses_what_would_make_it_longer() -> None:
    async def main() -> None:
        gate = Gate()
        it = made(gate, max_queue_size=3)
        running = it.ask(0)
        await settle()
        waiting = it.ask(1, 2)
        await settle()
        with pytest.raises(QueueFull, match="Exceeds maximum queue size: 2 rows wait"):
            it.ask(3, 4)
        last = it.ask(5)
        await settle()
        await gate.let_through()
        await gate.let_through()
        await asyncio.gather(running, waiting, last)

    run(main())


def test_a_request_larger_than_the_line_is_run_if_nothing_waits() -> None:
    async def main() -> None:
        it = made(Gate(open_=True), max_queue_size=3)
        assert len((await it.ask(*range(9))).outputs["y"]) == 9

    run(main())


def test_a_request_that_waits_beyond_its_timeout_is_refused() -> None:
    async def main() -> None:
        gate, clock = Gate(), Clock()
        it = made(gate, clock)
        first = it.ask(0)
        await settle()
        late, patient = it.ask(1, timeout_us=1000), it.ask(2, timeout_us=9000)
        await settle()
        clock.ns = 2_000_000
        await gate.let_through()
        await gate.let_through()
        with pytest.raises(QueueTimeout, match="Request timeout expired: it waited 2000 µs"):
            await late
        assert (ys(patient), patient.result().queue_ns, it.model.runs) == ([-2], 2_000_000, [[0], [2]])
        await first

    run(main())


@pytest.mark.parametrize(("own", "refused"), [(None, True), (0, False), (5000, False), (1500, True)])
def test_a_request_without_a_timeout_has_the_models(own: int | None, refused: bool) -> None:
    """And 0 is none, whatever the model says."""

    async def main() -> None:
        gate, clock = Gate(), Clock()
        it = made(gate, clock, default_timeout_microseconds=1000)
        first = it.ask(0)
        await settle()
        second = it.ask(1, timeout_us=own)
        clock.ns = 2_000_000
        await gate.let_through()
        gate.open = True
        for event in gate.waiting:
            event.set()
        (found,) = await asyncio.gather(second, return_exceptions=True)
        assert isinstance(found, QueueTimeout) == refused
        await first

    run(main())


def test_priority_comes_before_arrival() -> None:
    async def main() -> None:
        gate = Gate()
        it = made(gate, max_batch_size=1)
        answers = [it.ask(0)]
        await settle()
        answers += [it.ask(value, priority=priority) for value, priority in ((1, 0), (2, 5), (3, 1), (4, 0), (5, 1))]
        await settle()
        gate.open = True
        await gate.let_through()
        await asyncio.gather(*answers)
        assert [run[0] for run in it.model.runs] == [0, 3, 5, 2, 1, 4]

    run(main())


def test_shapes_that_cannot_merge_do_not_starve_each_other() -> None:
    """The line of the oldest request comes first, however long another one is."""

    async def main() -> None:
        gate = Gate()
        it = made(gate, max_batch_size=2)
        answers = [it.ask(0)]
        await settle()
        answers += [it.ask(value, width=width) for value, width in enumerate((2, 2, 3, 2, 2, 2, 2))]
        await settle()
        gate.open = True
        await gate.let_through()
        await asyncio.gather(*answers)
        assert it.model.widths == [1, 2, 3, 2, 2]

    run(main())


HOUR_US = 3_600_000_000


def test_with_a_delay_a_request_waits_for_others() -> None:
    async def main() -> None:
        it = made(Gate(open_=True), max_batch_size=3, max_queue_delay_microseconds=HOUR_US)
        answers = [it.ask(1), it.ask(2)]
        await settle()
        assert not it.model.runs
        answers.append(it.ask(3))
        await asyncio.gather(*answers)
        assert it.model.sizes == [3]

    run(main())


def test_a_full_batch_does_not_wait_behind_a_line_that_may() -> None:
    async def main() -> None:
        it = made(Gate(open_=True), max_batch_size=2, max_queue_delay_microseconds=HOUR_US)
        alone = it.ask(1, width=5)
        await asyncio.gather(it.ask(2), it.ask(3))
        assert it.model.widths == [1]
        assert not alone.done()
        await it.batcher.close()
        assert it.model.widths == [1, 5]

    run(main())


def test_the_delay_ends() -> None:
    async def main() -> None:
        it = Made(Model(), Batcher(Rules(max_batch_size=3, max_queue_delay_microseconds=1000), Gate(open_=True)))
        await it.ask(1)
        assert it.model.sizes == [1]

    run(main())


def test_a_preferred_size_leaves_before_the_delay() -> None:
    async def main() -> None:
        it = made(Gate(open_=True), max_queue_delay_microseconds=HOUR_US, preferred_batch_size=(2,))
        await asyncio.gather(it.ask(1), it.ask(2))
        assert it.model.sizes == [2]

    run(main())


def test_closing_answers_all_that_wait_and_takes_no_more() -> None:
    async def main() -> None:
        gate = Gate()
        it = made(gate, max_batch_size=2, max_queue_delay_microseconds=HOUR_US)
        answers = [it.ask(value) for value in (1, 2, 3)]
        await settle()
        closing = asyncio.ensure_future(it.batcher.close())
        await settle()
        with pytest.raises(ModelUnavailable, match="stopping"):
            it.ask(9)
        gate.open = True
        await gate.let_through()
        await closing
        assert [ys(answer) for answer in answers] == [[-1], [-2], [-3]]
        assert it.model.sizes == [2, 1]

    run(main())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(-100, 100), min_size=1, max_size=5), min_size=1, max_size=30),
    st.integers(1, 8),
    st.sampled_from([0.0, 1e12]),
)
def test_a_batch_gives_each_request_what_it_gets_alone(
    requests: list[list[int]], max_batch_size: int, short_ns: float
) -> None:
    async def main() -> None:
        it = made(Gate(open_=True), short_ns=short_ns, max_batch_size=max_batch_size)
        answers = [it.ask(*values) for values in requests]
        found = await asyncio.gather(*answers, return_exceptions=True)
        for values, each, answer in zip(requests, found, answers, strict=True):
            if 13 in values:
                assert isinstance(each, BadRequest)
            else:
                assert ys(answer) == [-float(value) for value in values]
        assert it.batcher.waiting_rows == 0

    run(main())


def leaving(it: Made, left: list[str], name: str, *values: float) -> asyncio.Task[Execution]:
    """Ask for a client who leaves when its name is in the list."""

    async def ask() -> Execution:
        callers.watch(lambda: name in left)
        return await it.ask(*values)

    return asyncio.get_running_loop().create_task(ask())


def test_what_a_client_that_left_was_waiting_for_is_not_run() -> None:
    async def main() -> None:
        gate, left = Gate(), []
        it = made(gate)
        first = it.ask(0)
        await settle()
        gone, stays = leaving(it, left, "gone", 1), leaving(it, left, "stays", 2)
        await settle()
        left.append("gone")
        await gate.let_through()
        await gate.let_through()

        assert (ys(first), float((await stays).outputs["y"][0, 0])) == ([0], -2)
        with pytest.raises(ClientLeft):
            await gone
        assert (it.model.sizes, it.batcher.waiting_rows) == ([1, 1], 0)

    run(main())


def test_a_run_is_made_for_all_of_its_requests_whoever_leaves() -> None:
    """It must not depend on the client whose request has set it off."""

    async def main() -> None:
        left: list[str] = []
        pool = Pool(1)
        it = Made(Model(Clock()), Batcher(Rules(max_batch_size=8), pool.run))
        busy, go_on = threading.Event(), threading.Event()
        held = asyncio.ensure_future(pool.run(lambda: busy.set() or go_on.wait(10)))
        await asyncio.to_thread(busy.wait, 10)
        one, other = leaving(it, left, "one", 1), leaving(it, left, "other", 2)
        await settle()  # both are in a run that waits for the thread
        left += ["one", "other"]
        go_on.set()
        await held
        answers = await asyncio.gather(one, other)
        pool.close()
        assert [float(answer.outputs["y"][0, 0]) for answer in answers] == [-1, -2]
        assert it.model.sizes == [2]

    run(main())


def test_a_run_that_cannot_be_made_is_an_error_for_all_of_its_requests() -> None:
    async def main() -> None:
        async def nowhere(_: object) -> list[Outcome]:
            raise RuntimeError("no thread")

        it = Made(Model(Clock()), Batcher(Rules(max_batch_size=8), nowhere))
        found = await asyncio.gather(it.ask(1), it.ask(2), return_exceptions=True)
        assert [str(error) for error in found] == ["no thread", "no thread"]
        await it.batcher.close()

    run(main())
