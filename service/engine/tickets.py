"""Requests that wait for a run of their model, and what becomes of them in one."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from service.engine.callers import Caller
from service.engine.model import Execution
from service.engine.runtime.session import Tensor
from service.errors import ClientLeft, DeadlineExceeded, DeviceFailed, QueueTimeout, RunStopped

Feeds: TypeAlias = Mapping[str, Tensor]

Run: TypeAlias = Callable[[Feeds, bool], Execution]
"""A model: its inputs, and whether they are several requests', so that its outputs must have as many rows."""

Result: TypeAlias = Execution | Exception

LOST = (RunStopped, DeviceFailed)
"""Errors of a run that its halves would meet again."""


@dataclass(eq=False, slots=True)
class Ticket:
    """A request that waits.

    Attributes:
        numbers: in its inputs.
        timeout_ns: when its own `timeout` is over.
        due_ns: when it is dropped if it still waits: then, or at the server's deadline.
    """

    run: Run
    feeds: Feeds
    rows: int
    numbers: int
    arrived_ns: int
    timeout_ns: int
    due_ns: int
    answer: asyncio.Future[Execution]
    caller: Caller

    def fail(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def waits(self, now: int) -> bool:
        """Whether it still does; one whose client has left, or whose time is over, is dropped."""
        if self.answer.done():
            return False
        if now <= self.due_ns and not self.caller.left():
            return True
        self.fail(self._fault(now))
        return False

    def _fault(self, now: int) -> Exception:
        if self.caller.left():
            return ClientLeft()
        if now <= self.timeout_ns:
            return DeadlineExceeded()
        return QueueTimeout(f"Request timeout expired: it waited {(now - self.arrived_ns) // 1000} µs")


@dataclass(eq=False, slots=True)
class Batch:
    """The requests of one run.

    Attributes:
        numbers: in the inputs of all.
        begun: whether its run has.
    """

    tickets: Sequence[Ticket]
    numbers: int
    begun: bool = False

    def run(self) -> "list[Outcome]":
        self.begun = True
        return _outcomes(self.tickets)


Outcome: TypeAlias = tuple[Sequence[Ticket], Result]
"""The requests of one run, and what came of it."""


def _outcomes(tickets: Sequence[Ticket]) -> list[Outcome]:
    """Run them together, in halves if that fails; those that no longer wait are not run for."""
    tickets = [ticket for ticket in tickets if not ticket.answer.done()]
    if not tickets:
        return []
    try:
        return [(tickets, tickets[0].run(_merged(tickets), len(tickets) > 1))]
    except LOST as error:
        return [(tickets, error)]
    except Exception as error:
        if len(tickets) == 1:
            return [(tickets, error)]
        middle = len(tickets) // 2
        return _outcomes(tickets[:middle]) + _outcomes(tickets[middle:])


def _merged(tickets: Sequence[Ticket]) -> Feeds:
    """The inputs of all requests, one below the other."""
    if len(tickets) == 1:
        return tickets[0].feeds
    return {name: np.concatenate([ticket.feeds[name] for ticket in tickets]) for name in tickets[0].feeds}


def parts(tickets: Sequence[Ticket], whole: Execution) -> Iterator[Execution]:
    """Each request's part: its own rows, as views; the run is counted with the first."""
    if len(tickets) == 1:
        yield whole.after(whole.started_ns - tickets[0].arrived_ns)
        return
    start = 0
    for ticket in tickets:
        rows = {name: array[start : start + ticket.rows] for name, array in whole.outputs.items()}
        sizes = () if start else whole.batch_sizes
        queue_ns = whole.started_ns - ticket.arrived_ns
        yield Execution(rows, ticket.rows, sizes, whole.infer_ns, whole.started_ns, queue_ns)
        start += ticket.rows
