"""Short work is done in the event loop and long work in threads; requests for a model are run together."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from service.engine import callers, scheduler
from service.engine.model import Execution, Model
from service.engine.pool import Pool
from service.engine.runtime.device import Device
from service.engine.scheduler import Scheduler
from service.errors import ClientLeft, DeadlineExceeded, ModelUnavailable
from tests.engine.making import load, node, plain, put, serialised

T = TypeVar("T")


class Counting(Pool):
    """Knows how many calls it was given."""

    def __init__(self) -> None:
        super().__init__(1)
        self.calls = 0

    async def run(self, call: Callable[[], T]) -> T:
        self.calls += 1
        return await super().run(call)


def model(folder: Path, content: bytes | None = None, toml: str = "") -> Model:
    put(folder, "m", "1", plain(1.0) if content is None else content)
    (folder / "m" / "model.toml").write_text(toml)
    return load(folder).find("m")


def scheduled(main: Callable[[Scheduler, Counting], Coroutine[Any, Any, T]], device: Device | None = None) -> T:
    """What comes of using a scheduler, which is closed afterwards."""

    async def run() -> T:
        pool = Counting()
        scheduler = Scheduler(pool, device or Device.cpu())
        try:
            return await main(scheduler, pool)
        finally:
            await scheduler.close()

    return asyncio.run(run())


def row(value: float) -> dict[str, np.ndarray]:
    return {"x": np.full((1, 3), value, np.float32)}


def test_short_work_is_done_here_and_long_work_is_not() -> None:
    async def main(scheduler: Scheduler, _: Counting) -> list[int]:
        return [await scheduler.work(threading.get_ident, short=short) for short in (True, False)]

    here, there = scheduled(main)
    assert here == threading.get_ident() != there


def test_requests_are_run_together_and_each_gets_its_own_rows(tmp_path: Path) -> None:
    made = model(tmp_path)

    async def main(scheduler: Scheduler, _: Counting) -> list[Execution]:
        return list(await asyncio.gather(*(scheduler.submit(made, row(value)) for value in range(5))))

    found = scheduled(main)
    assert [execution.batch_sizes for execution in found] == [(5,), (), (), (), ()]
    assert [execution.outputs["y"].tolist() for execution in found] == [[[value + 1.0] * 3] for value in range(5)]
    assert all(execution.queue_ns >= 0 for execution in found)


@pytest.mark.parametrize(("kind", "expected"), [("cpu", 1), ("cuda", 3)])
def test_what_is_known_to_be_short_stays_here_on_a_cpu(tmp_path: Path, kind: Any, expected: int) -> None:
    """The first run's length is not known; on a GPU every run is made elsewhere."""
    made = model(tmp_path)

    async def main(scheduler: Scheduler, pool: Counting) -> int:
        for value in range(3):
            await scheduler.submit(made, row(value))
        return pool.calls

    assert scheduled(main, Device(kind, kind, None)) == expected


def test_model_toml_says_how_requests_wait(tmp_path: Path) -> None:
    made = model(tmp_path, toml="[batching]\nmax_queue_delay_microseconds = 1000000000\npreferred_batch_size = [2]")

    async def main(scheduler: Scheduler, _: Counting) -> list[Execution]:
        first = asyncio.ensure_future(scheduler.submit(made, row(1)))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not first.done()
        return [await scheduler.submit(made, row(2)), await first]

    assert sorted(execution.batch_sizes for execution in scheduled(main)) == [(), (2,)]


def test_a_model_that_does_not_keep_rows_apart_is_still_right(tmp_path: Path) -> None:
    """model.toml says that it batches, and is wrong: together its requests fail, so each is run alone."""
    content = serialised(node("ReduceMax", axes=[0], keepdims=1), outputs=(1, 3))
    made = model(tmp_path, content, toml="max_batch_size = 4")

    async def main(scheduler: Scheduler, _: Counting) -> list[Execution]:
        return list(await asyncio.gather(*(scheduler.submit(made, row(value)) for value in (3, 1, 2))))

    assert [execution.outputs["y"][0, 0] for execution in scheduled(main)] == [3, 1, 2]


def test_inputs_in_another_order_are_the_same_inputs(tmp_path: Path) -> None:
    made = model(tmp_path)
    assert list(made.ordered({"x": np.zeros((1, 3), np.float32)})) == [port.name for port in made.inputs]


def test_after_closing_nothing_is_taken(tmp_path: Path) -> None:
    made = model(tmp_path)

    async def main(scheduler: Scheduler, _: Counting) -> None:
        answer = asyncio.ensure_future(scheduler.submit(made, row(1)))
        await scheduler.close()
        assert (await answer).outputs["y"].tolist() == [[2.0] * 3]
        with pytest.raises(ModelUnavailable, match="stopping"):
            scheduler.submit(made, row(1))

    scheduled(main)


@pytest.fixture
def one_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any work is as much as a round of the event loop has time for."""
    monkeypatch.setattr(scheduler, "ROUND_NS", 0)


async def asked(scheduler: Scheduler, done: list[str], name: str, left: Callable[[], bool] = lambda: False) -> None:
    """A request with two pieces of short work."""
    callers.watch(left)
    for part in "ab":
        await scheduler.work(lambda part=part: done.append(name + part), short=True)  # type: ignore[misc]


@pytest.mark.usefixtures("one_a_round")
def test_of_many_requests_each_round_begins_one_and_goes_on_with_what_has_begun() -> None:
    async def main(scheduler: Scheduler, _: Counting) -> list[str]:
        done: list[str] = []
        requests = [asyncio.create_task(asked(scheduler, done, name)) for name in "123"]

        async def others() -> None:
            """They have a turn in each round."""
            while not all(request.done() for request in requests):
                done.append("-")
                await asyncio.sleep(0)

        await asyncio.gather(*requests, others())
        return done

    done = "".join(scheduled(main))
    assert done.replace("-", "") == "1a1b2a2b3a3b"
    assert done.index("1b") < done.index("-") < done.index("2a") < done.rindex("-", 0, done.index("3a"))


@pytest.mark.usefixtures("one_a_round")
def test_how_long_a_request_waited_for_its_turn_is_known() -> None:
    async def main(scheduler: Scheduler, _: Counting) -> list[int]:
        async def waited() -> int:
            await asked(scheduler, [], "1")
            return callers.current().waited_ns

        return await asyncio.gather(*[asyncio.create_task(waited()) for _ in range(3)])

    first, second, third = scheduled(main)
    assert first == 0
    assert 0 < second < third


def test_who_was_read_in_a_thread_waits_for_no_turn_later() -> None:
    async def main(scheduler: Scheduler, _: Counting) -> bool:
        callers.watch(lambda: False)
        await scheduler.work(threading.get_ident, short=False)
        return callers.current().begun

    assert scheduled(main)


@pytest.mark.usefixtures("one_a_round")
def test_who_leaves_or_is_late_in_line_is_not_worked_for() -> None:
    async def main(scheduler: Scheduler, _: Counting) -> tuple[list[str], list[Any]]:
        done: list[str] = []

        async def late() -> None:
            callers.watch(lambda: False, 1e-9)
            await scheduler.work(lambda: done.append("late"), short=True)

        requests = [
            asyncio.create_task(asked(scheduler, done, "1")),
            asyncio.create_task(asked(scheduler, done, "2", left=lambda: True)),
            asyncio.create_task(late()),
            asyncio.create_task(asked(scheduler, done, "3")),
            asyncio.create_task(asked(scheduler, done, "4")),
        ]
        await asyncio.sleep(0)
        requests[3].cancel()
        return done, await asyncio.gather(*requests, return_exceptions=True)

    done, ends = scheduled(main)
    assert done == ["1a", "1b", "4a", "4b"]
    assert [type(end) for end in ends] == [type(None), ClientLeft, DeadlineExceeded, asyncio.CancelledError, type(None)]
