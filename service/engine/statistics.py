"""What one version of a model has done since it was loaded: counts and nanoseconds, as the protocol reports them.

Rows count as inferences, runs as executions. A request is counted when it has been answered or has failed; the runs
that it needed are counted with it, by their size.

The counters lie in a block that other processes read, and add theirs to (`service.workers.blocks`).

Source: Triton's statistics extension of the Open Inference Protocol.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from service.errors import ClientLeft, DeadlineExceeded, ModelFailed, QueueFull, QueueTimeout, RunStopped
from service.workers import histogram
from service.workers.blocks import Block, added

STAGES = ("compute_input", "compute_infer", "compute_output")
KINDS = ("success", "fail", "queue", *STAGES, "cache_hit", "cache_miss")

REASONS = ("REJECTED", "CANCELED", "BACKEND", "OTHER")
"""Why a request failed, in Triton's words: not taken or too late, left by its client, the model itself, else."""

MAX_SIZES = 1024
"""Sizes of runs that are counted one by one; what is run in further ones is in the totals only."""

# Where each counter is in a block. A pair is a count and nanoseconds; a size has its rows and a pair a stage.
_ROWS, _RUNS, _LAST, _SIZES, _LOAD = range(5)
_PAIRS = {kind: 5 + 2 * index for index, kind in enumerate(KINDS)}
_REASONS = 5 + 2 * len(KINDS)
_BUCKETS = _REASONS + len(REASONS)
TIMED = ("success", "queue", *STAGES)
"""What has a histogram; `success` is the whole of a request that was answered."""
_ANSWERED = tuple((_PAIRS[kind], _BUCKETS + place * histogram.BUCKETS) for place, kind in enumerate(TIMED))
_FIRST_SIZE = _BUCKETS + len(TIMED) * histogram.BUCKETS
_SIZE_LENGTH = 1 + 2 * len(STAGES)
LENGTH = _FIRST_SIZE + MAX_SIZES * _SIZE_LENGTH
"""Counters in a block."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the metrics tell of one model version.

    Attributes:
        requests: how many were answered.
        failures: by reason, of `REASONS`.
        rows, runs: of the answered requests.
        ns: spent on the answered requests, by stage, of `TIMED`.
        buckets: the same as histograms (`service.workers.histogram`).
        sizes: how many runs had so many rows.
        load_ns: how long it took to load it, in the worker that took longest; 0 if that is not known.
    """

    requests: int
    failures: dict[str, int]
    rows: int
    runs: int
    ns: dict[str, int]
    buckets: dict[str, list[int]]
    sizes: dict[int, int]
    load_ns: int


class Statistics:
    """Counters of one model version; callable from several threads at once, and shared with other processes.

    Args:
        block: of `LENGTH` counters; without one they are this process's own.
        clock: milliseconds since 1970.
    """

    def __init__(
        self, block: Block | None = None, *, clock: Callable[[], int] = lambda: time.time_ns() // 10**6
    ) -> None:
        self._block = block or Block(LENGTH)
        self._own = self._block.own
        self._clock = clock
        self._places: dict[int, int] = {}
        self._lock = threading.Lock()

    def record(
        self, rows: int, batch_sizes: Sequence[int], *, queue_ns: int, input_ns: int, infer_ns: int, output_ns: int
    ) -> None:
        """Count a request that was answered.

        Args:
            rows: of the request; 1 if the model does not batch.
            batch_sizes: rows of each run made for it; none for a request that shared another's run. The times are
                divided among the runs by their rows.
        """
        times = (input_ns, infer_ns, output_ns)
        whole = sum(batch_sizes) or 1
        own = self._own
        with self._lock:
            own[_ROWS] += rows
            own[_RUNS] += len(batch_sizes)
            own[_LAST] = self._clock()
            for (pair, buckets), ns in zip(_ANSWERED, (queue_ns + sum(times), queue_ns, *times), strict=True):
                own[pair] += 1
                own[pair + 1] += ns
                histogram.add(own, buckets, ns)
            for size in batch_sizes:
                place = self._places.get(size) or self._take_place(size)
                if place:
                    for pair, ns in zip((place + 1, place + 3, place + 5), times, strict=True):
                        own[pair] += 1
                        own[pair + 1] += ns * size // whole

    def record_failure(self, ns: int, error: BaseException) -> None:
        """Count a request that failed, how long that took, and why it did."""
        with self._lock:
            self._own[_LAST] = self._clock()
            self._own[_PAIRS["fail"]] += 1
            self._own[_PAIRS["fail"] + 1] += ns
            self._own[_REASONS + REASONS.index(_reason(error))] += 1

    def loaded(self, ns: int) -> None:
        """Note how long it took to load the version."""
        self._own[_LOAD] = ns

    def _take_place(self, size: int) -> int:
        """Where the counters of another size of runs are from now on; 0 if there is no more room."""
        count = len(self._places)
        if count == MAX_SIZES:
            return 0
        place = self._places[size] = _FIRST_SIZE + count * _SIZE_LENGTH
        self._own[place] = size
        self._own[_SIZES] = count + 1
        return place

    def snapshot(self) -> dict[str, object]:
        """All counters, of all processes, in the protocol's JSON; the name and the version are the caller's to add."""
        with self._lock:
            blocks = self._block.all()
            sizes = _added(size for block in blocks for size in _sizes(block))
            return {
                "last_inference": max(block[_LAST] for block in blocks),
                "inference_count": sum(block[_ROWS] for block in blocks),
                "execution_count": sum(block[_RUNS] for block in blocks),
                "inference_stats": {
                    kind: _pair([block[pair : pair + 2] for block in blocks]) for kind, pair in _PAIRS.items()
                },
                "response_stats": {},
                "batch_stats": [
                    {"batch_size": size} | {stage: _pair([pairs[2 * n : 2 * n + 2]]) for n, stage in enumerate(STAGES)}
                    for size, pairs in sorted(sizes.items())
                ],
                "memory_usage": [],
            }

    def counts(self) -> Counts:
        """All counters, of all processes, as the metrics tell them."""
        with self._lock:
            blocks = self._block.all()
            sums = added(blocks, 0, _FIRST_SIZE)
            sizes = _added(size for block in blocks for size in _sizes(block))
        return Counts(
            requests=sums[_PAIRS["success"]],
            failures={reason: sums[_REASONS + place] for place, reason in enumerate(REASONS)},
            rows=sums[_ROWS],
            runs=sums[_RUNS],
            ns={kind: sums[pair + 1] for kind, (pair, _) in zip(TIMED, _ANSWERED, strict=True)},
            buckets={
                kind: sums[first : first + histogram.BUCKETS] for kind, (_, first) in zip(TIMED, _ANSWERED, strict=True)
            },
            sizes={size: pairs[0] for size, pairs in sizes.items()},
            load_ns=max(block[_LOAD] for block in blocks),
        )


def _reason(error: BaseException) -> str:
    if isinstance(error, QueueFull | QueueTimeout | DeadlineExceeded):
        return "REJECTED"
    if isinstance(error, asyncio.CancelledError | ClientLeft):
        return "CANCELED"
    return "BACKEND" if isinstance(error, ModelFailed | RunStopped) else "OTHER"


def _pair(pairs: Iterable[Sequence[int]]) -> dict[str, int]:
    count, ns = (sum(values) for values in zip(*pairs, strict=True))
    return {"count": count, "ns": ns}


def _sizes(block: Sequence[int]) -> Iterator[Sequence[int]]:
    """The counters of each size of runs, the size first."""
    for place in range(_FIRST_SIZE, _FIRST_SIZE + block[_SIZES] * _SIZE_LENGTH, _SIZE_LENGTH):
        yield block[place : place + _SIZE_LENGTH]


def _added(sizes: Iterable[Sequence[int]]) -> dict[int, list[int]]:
    """The counters of each size, those of different blocks added."""
    sums: dict[int, list[int]] = {}
    for size, *pairs in sizes:
        sums[size] = [a + b for a, b in zip(sums.get(size, [0] * len(pairs)), pairs, strict=True)]
    return sums
