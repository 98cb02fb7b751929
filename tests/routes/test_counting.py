"""What a request waited for before it was read is its time in the queue, not the time that reading took."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

from service.engine import callers
from service.engine.model import Execution
from service.engine.statistics import Statistics
from service.routes import account, counting


@dataclass
class Counted:
    """As much of a model as counts."""

    statistics: Statistics = field(default_factory=Statistics)


async def answered(target: Counted) -> account.Account:
    callers.watch(lambda: False)
    callers.current().waited_ns = 100
    account.keep(account.Account({"headers": ()}, cast("Any", None), cast("Any", None)))
    execution = Execution({}, 1, (1,), infer_ns=7, queue_ns=3)
    counting.answered(cast("Any", target), execution, decode_ns=5, encode_ns=2)
    return account.current()


def test_the_wait_for_a_turn_is_queue() -> None:
    target = Counted()
    kept = asyncio.run(answered(target))

    assert target.statistics.counts().ns == {
        "success": 117, "queue": 103, "compute_input": 5, "compute_infer": 7, "compute_output": 2,
    }  # fmt: skip
    assert (kept.rows, kept.queue_ns, kept.compute_ns) == (1, 103, 7)
