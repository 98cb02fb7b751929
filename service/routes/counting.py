"""What a model has done for a request, told to all who count: the model's statistics, and the request's account."""

import time

from service.engine import callers
from service.engine.model import Execution
from service.routes import account
from service.routes.targets import Target


def answered(target: Target, execution: Execution, *, decode_ns: int, encode_ns: int) -> None:
    """Count a request that was answered; it waited for its turn to be read as well as for the run."""
    queue_ns = execution.queue_ns + callers.current().waited_ns
    target.statistics.record(
        execution.rows,
        execution.batch_sizes,
        queue_ns=queue_ns,
        input_ns=decode_ns,
        infer_ns=execution.infer_ns,
        output_ns=encode_ns,
    )
    account.current().ran(execution.rows, queue_ns, execution.infer_ns)


def failed(target: Target, started_ns: int, error: BaseException) -> None:
    """Count a request that failed; it was begun at that time of `time.perf_counter_ns`."""
    target.statistics.record_failure(time.perf_counter_ns() - started_ns, error)
