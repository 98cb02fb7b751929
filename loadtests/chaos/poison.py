"""One bad row in a full batch: its request fails, and every other one of the batch is answered exactly.

The model looks numbers up in a table, and fails on an index that is not in it: so whether it fails is known only in the
middle of the run. Its queue waits for a full batch, and its statistics tell how large the runs were. A batch can be
smaller on a machine that is busy: no more rows are run in the event loop than take 5 ms there.
"""

import asyncio
import time
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import orjson
from numpy.typing import NDArray
from onnx import TensorProto, helper

from loadtests import answers
from loadtests.answers import Answer, Check
from loadtests.chaos.experiment import Options, Result, all_right, none_lost, told
from loadtests.chaos.replica import Replica
from loadtests.ledger.client import Client
from loadtests.ledger.golden import HOST, Golden
from loadtests.ledger.ledger import Ledger
from loadtests.local.http import Request, as_http
from loadtests.verdict import Line

BATCH = 32
TABLE = np.arange(100, dtype=np.float32) ** 2
OUTSIDE = 1000
"""An index that the table does not have."""
FAILED = 400
DELAY_S = 2
"""For which the queue waits for a full batch: long, so that only a full one leaves."""
CONFIG = f"""
max_batch_size = {BATCH}

[batching]
max_queue_delay_microseconds = {DELAY_S * 1_000_000}
preferred_batch_size = [{BATCH}]
"""


def row(options: Options) -> Result:
    """Batch after batch, the bad row in another place each time."""
    repository = options.folder / "repository"
    _write(repository / "table")
    ledger, rounds = Ledger(), 0
    with Replica(options.folder, {"repository": repository, "workers": 1}) as replica:
        end = time.monotonic() + 2 * options.seconds
        before = _runs(replica)
        while time.monotonic() < end or not rounds:
            asyncio.run(_batch(ledger, replica.port, bad=rounds % BATCH))
            rounds += 1
        runs = {size: count - before[size] for size, count in _runs(replica).items()}
    failed, good = ledger.answered[FAILED], ledger.answered[200]
    goals = [
        none_lost(ledger),
        all_right(ledger),
        Line(
            failed == rounds and good == rounds * (BATCH - 1),
            f"of each of {rounds} batches of {BATCH} the bad row failed alone: {failed} × {FAILED}, {good} × 200",
        ),
        Line(
            runs[BATCH // 2] > 0,
            f"{runs[BATCH // 2]} batches were full: the half without the bad row was one run",
        ),
    ]
    return told(ledger, goals, [])


async def _batch(ledger: Ledger, port: int, bad: int) -> None:
    """All of its requests at once, each over a connection of its own."""
    clients = []
    for place in range(BATCH):
        once = iter([_bad() if place == bad else _good(place)])
        clients.append(Client(ledger, [("127.0.0.1", port)], partial(next, once, None)))
    await asyncio.gather(*(client.run() for client in clients))


def _good(place: int) -> Golden:
    return Golden("table", _message(place), _looked_up(place))


def _bad() -> Golden:
    return Golden("table, bad row", _message(OUTSIDE), answers.refused, status=FAILED)


def _message(index: int) -> bytes:
    port = {"name": "x", "datatype": "INT64", "shape": [1, 1], "data": [index]}
    body = orjson.dumps({"inputs": [port]})
    return as_http(HOST, Request("/v2/models/table/infer", {"Content-Type": "application/json"}, body))


def _looked_up(index: int) -> Check:
    def check(answer: Answer) -> None:
        (output,) = orjson.loads(answer.body)["outputs"]
        answers.require(output["data"] == [float(TABLE[index])], "another number")

    return check


def _runs(replica: Replica) -> Counter[int]:
    """How many runs there were, by their rows."""
    _, body = replica.get("/v2/models/table/stats")
    (statistics,) = orjson.loads(body)["model_stats"]
    return Counter(
        {int(batch["batch_size"]): int(batch["compute_infer"]["count"]) for batch in statistics["batch_stats"]}
    )


def _write(model: Path) -> None:
    folder = model / "1"
    folder.mkdir(parents=True)
    (model / "model.toml").write_text(CONFIG)
    onnx.save(_table(TABLE), folder / "model.onnx")


def _table(numbers: NDArray[np.float32]) -> onnx.ModelProto:
    """y[i] = numbers[x[i]]; fails on an index that is not there."""
    x = helper.make_tensor_value_info("x", TensorProto.INT64, ["N", 1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])
    table = helper.make_tensor("table", TensorProto.FLOAT, [len(numbers)], numbers.tolist())
    graph = helper.make_graph([helper.make_node("Gather", ["table", "x"], ["y"])], "table", [x], [y], [table])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
