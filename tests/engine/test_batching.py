"""Requests are merged by rows, each gets its own rows back, and nobody suffers for another's fault or departure."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.batching import Batcher, Rules
from service.errors import BadRequest, ModelUnavailable, QueueFull, QueueTimeout

Feeds = Mapping[str, np.ndarray]


def rows(*values: float, width: int = 1) -> Feeds:
    return {"x": np.repeat(np.array(values, np.float32)[:, None], width, axis=1)}


class Model:
    """y = −x; a row of 13 is bad luck. Remembers how many rows each run had."""

    def __init__(self) -> None:
        self.runs: list[int] = []

    def __call__(self, feeds: Feeds) -> Feeds:
        self.runs.append(len(feeds["x"]))
        if (feeds["x"] == 13).any():
            raise BadRequest("13")
        return {"y": -feeds["x"]}


class Gate:
    """A place where runs wait until they are let through."""

    def __init__(self, *, open_: bool = False) -> None:
        self.waiting: list[asyncio.Event] = []
        self.open = open_

    async def __call__(self, call: Callable[[], Feeds]) -> Feeds:
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


def batcher(model: Model, place: Gate, clock: Clock | None = None, **rules: Any) -> Batcher:
    return Batcher(model, place, Rules(**({"max_rows": 8} | rules)), clock or Clock())


def asked(made: Batcher, *values: float, width: int = 1, **options: Any) -> asyncio.Task[Any]:
    return asyncio.ensure_future(made.submit(rows(*values, width=width), len(values), **options))


def ys(task: asyncio.Task[Any]) -> list[float]:
    return [float(y) for y in task.result().outputs["y"][:, 0]]


def test_a_lone_request_leaves_at_once() -> None:
    async def main() -> None:
        model = Model()
        made = batcher(model, Gate(open_=True))
        answer = await made.submit(rows(1, 2), 2)
        assert answer.outputs["y"].tolist() == [[-1], [-2]]
        assert (answer.batch_rows, answer.first, model.runs, made.waiting_rows) == (2, True, [2], 0)

    run(main())


def test_what_waits_is_merged_when_a_slot_is_free() -> None:
    """The first runs alone; what has come meanwhile runs together, each with its own rows."""

    async def main() -> None:
        model, gate = Model(), Gate()
        made = batcher(model, gate)
        first = asked(made, 0)
        await settle()
        others = [asked(made, *values) for values in ((1,), (2, 3), (4,))]
        await settle()
        assert made.waiting_rows == 4
        await gate.let_through()
        await gate.let_through()

        assert model.runs == [1, 4]
        assert [ys(task) for task in (first, *others)] == [[0], [-1], [-2, -3], [-4]]
        assert [task.result().first for task in others] == [True, False, False]
        assert {task.result().batch_rows for task in others} == {4}

    run(main())


def test_requests_read_in_one_round_of_the_loop_are_one_batch() -> None:
    async def main() -> None:
        model = Model()
        made = batcher(model, Gate(open_=True))
        await asyncio.gather(*(asked(made, value) for value in range(5)))
        assert model.runs == [5]

    run(main())


def test_a_batch_has_at_most_its_rows_and_a_larger_request_runs_alone() -> None:
    async def main() -> None:
        model = Model()
        made = batcher(model, Gate(open_=True), max_rows=4)
        tasks = [asked(made, *range(count)) for count in (1, 2, 3, 9, 1)]
        await asyncio.gather(*tasks)
        assert model.runs == [3, 3, 9, 1]
        assert [len(ys(task)) for task in tasks] == [1, 2, 3, 9, 1]

    run(main())


def test_nothing_is_merged_for_a_model_without_a_batch() -> None:
    async def main() -> None:
        model = Model()
        made = batcher(model, Gate(open_=True), max_rows=0)
        await asyncio.gather(asked(made, 1), asked(made, 2, width=3), asked(made, 3))
        assert model.runs == [1, 1, 1]

    run(main())


def test_several_slots_run_at_a_time() -> None:
    async def main() -> None:
        model, gate = Model(), Gate()
        made = batcher(model, gate, slots=2, max_rows=1)
        tasks = [asked(made, value) for value in range(3)]
        await settle()
        assert len(gate.waiting) == 2
        await gate.let_through()
        assert (len(gate.waiting), tasks[0].done(), tasks[2].done()) == (2, True, False)
        await gate.let_through()
        await gate.let_through()
        await asyncio.gather(*tasks)

    run(main())


def test_a_caller_that_leaves_the_line_is_skipped() -> None:
    async def main() -> None:
        model, gate = Model(), Gate()
        made = batcher(model, gate)
        first = asked(made, 0)
        await settle()
        leaving, staying = asked(made, 1), asked(made, 2)
        await settle()
        leaving.cancel()
        await gate.let_through()
        await gate.let_through()

        assert (model.runs, ys(staying), made.waiting_rows) == ([1, 1], [-2], 0)
        assert leaving.cancelled()
        await first

    run(main())


def test_a_caller_that_leaves_while_its_batch_runs_takes_nothing_from_the_others() -> None:
    """MLServer's fault: the others waited for ever."""

    async def main() -> None:
        model, gate = Model(), Gate()
        made = batcher(model, gate)
        tasks = [asked(made, value) for value in (1, 2, 3)]
        await settle()
        tasks[1].cancel()
        await gate.let_through()

        assert [ys(tasks[0]), ys(tasks[2])] == [[-1], [-3]]
        again = asked(made, 4)
        await settle()
        await gate.let_through()
        assert ys(again) == [-4]

    run(main())


def test_a_bad_row_fails_alone() -> None:
    async def main() -> None:
        model = Model()
        made = batcher(model, Gate(open_=True))
        tasks = [asked(made, value) for value in (1, 2, 13, 4, 5)]
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in found].count(BadRequest) == 1
        assert isinstance(found[2], BadRequest)
        assert [ys(tasks[i]) for i in (0, 1, 3, 4)] == [[-1], [-2], [-4], [-5]]
        assert await made.submit(rows(6), 1)

    run(main())


def test_a_caller_that_left_is_not_run_again_when_its_batch_is_halved() -> None:
    async def main() -> None:
        model, gate = Model(), Gate()
        made = batcher(model, gate)
        tasks = [asked(made, value) for value in (13, 2)]
        await settle()
        tasks[1].cancel()
        await gate.let_through()
        await gate.let_through()
        with pytest.raises(BadRequest):
            await tasks[0]
        assert model.runs == [2, 1]

    run(main())


def test_a_full_line_refuses_what_would_make_it_longer() -> None:
    async def main() -> None:
        gate = Gate()
        made = batcher(Model(), gate, max_waiting_rows=3)
        running = asked(made, 0)
        await settle()
        waiting = asked(made, 1, 2)
        await settle()
        with pytest.raises(QueueFull, match="Exceeds maximum queue size: 2 rows wait"):
            await made.submit(rows(3, 4), 2)
        last = asked(made, 5)
        await settle()
        await gate.let_through()
        await gate.let_through()
        await asyncio.gather(running, waiting, last)

    run(main())


def test_a_request_larger_than_the_line_is_run_if_nothing_waits() -> None:
    async def main() -> None:
        made = batcher(Model(), Gate(open_=True), max_waiting_rows=3)
        assert len((await made.submit(rows(*range(9)), 9)).outputs["y"]) == 9

    run(main())


def test_a_request_that_waits_beyond_its_deadline_is_refused() -> None:
    async def main() -> None:
        model, gate, clock = Model(), Gate(), Clock()
        made = batcher(model, gate, clock)
        first = asked(made, 0)
        await settle()
        late, patient = asked(made, 1, deadline_ns=1_000_000), asked(made, 2, deadline_ns=9_000_000)
        await settle()
        clock.ns = 2_000_000
        await gate.let_through()
        await gate.let_through()
        with pytest.raises(QueueTimeout, match="Request timeout expired: it waited 2000 µs"):
            await late
        assert (ys(patient), patient.result().queue_ns, model.runs) == ([-2], 2_000_000, [1, 1])
        await first

    run(main())


def test_priority_comes_before_arrival() -> None:
    async def main() -> None:
        gate = Gate()
        order: list[float] = []

        def model(feeds: Feeds) -> Feeds:
            order.extend(feeds["x"][:, 0].tolist())
            return {"y": feeds["x"]}

        made = Batcher(model, gate, Rules(max_rows=1))
        tasks = [asked(made, 0)]
        await settle()
        tasks += [asked(made, value, priority=priority) for value, priority in ((1, 0), (2, 5), (3, 1), (4, 0), (5, 1))]
        await settle()
        gate.open = True
        await gate.let_through()
        await asyncio.gather(*tasks)
        assert order == [0, 3, 5, 2, 1, 4]

    run(main())


def test_shapes_that_cannot_merge_do_not_starve_each_other() -> None:
    """The line of the oldest request comes first, however long another one is."""

    async def main() -> None:
        gate = Gate()
        widths: list[int] = []

        def model(feeds: Feeds) -> Feeds:
            widths.append(feeds["x"].shape[1])
            return {"y": feeds["x"]}

        made = Batcher(model, gate, Rules(max_rows=2))
        tasks = [asked(made, 0)]
        await settle()
        tasks += [asked(made, value, width=width) for value, width in enumerate((2, 2, 3, 2, 2, 2, 2))]
        await settle()
        gate.open = True
        await gate.let_through()
        await asyncio.gather(*tasks)
        assert widths == [1, 2, 3, 2, 2]

    run(main())


def test_with_a_delay_a_request_waits_for_others() -> None:
    async def main() -> None:
        model = Model()
        made = Batcher(model, Gate(open_=True), Rules(max_rows=3, max_delay_s=30))
        tasks = [asked(made, 1), asked(made, 2)]
        await settle()
        assert not model.runs
        tasks.append(asked(made, 3))
        await asyncio.gather(*tasks)
        assert model.runs == [3]

    run(main())


def test_the_delay_ends() -> None:
    async def main() -> None:
        model = Model()
        made = Batcher(model, Gate(open_=True), Rules(max_rows=3, max_delay_s=0.001))
        await asked(made, 1)
        assert model.runs == [1]

    run(main())


def test_a_preferred_size_leaves_before_the_delay() -> None:
    async def main() -> None:
        model = Model()
        made = Batcher(model, Gate(open_=True), Rules(max_rows=8, max_delay_s=30, preferred_rows=(2,)))
        await asyncio.gather(asked(made, 1), asked(made, 2))
        assert model.runs == [2]

    run(main())


def test_closing_answers_all_that_wait_and_takes_no_more() -> None:
    async def main() -> None:
        model, gate = Model(), Gate()
        made = Batcher(model, gate, Rules(max_rows=2, max_delay_s=30))
        tasks = [asked(made, value) for value in (1, 2, 3)]
        await settle()
        closing = asyncio.ensure_future(made.close())
        await settle()
        with pytest.raises(ModelUnavailable, match="stopping"):
            await made.submit(rows(9), 1)
        gate.open = True
        await gate.let_through()
        await closing
        assert [ys(task) for task in tasks] == [[-1], [-2], [-3]]
        assert model.runs == [2, 1]

    run(main())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(-100, 100), min_size=1, max_size=5), min_size=1, max_size=30), st.integers(1, 8))
def test_a_batch_gives_each_request_what_it_gets_alone(requests: list[list[int]], max_rows: int) -> None:
    async def main() -> None:
        made = batcher(Model(), Gate(open_=True), max_rows=max_rows)
        tasks = [asked(made, *values) for values in requests]
        found = await asyncio.gather(*tasks, return_exceptions=True)
        for values, each, task in zip(requests, found, tasks, strict=True):
            if 13 in values:
                assert isinstance(each, BadRequest)
            else:
                assert ys(task) == [-float(value) for value in values]
        assert made.waiting_rows == 0

    run(main())
