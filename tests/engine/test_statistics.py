"""Statistics count requests, rows and runs as the protocol defines them, from many threads at once."""

import asyncio
import time
from pathlib import Path

import pytest

from service.engine.statistics import KINDS, LENGTH, MAX_SIZES, REASONS, Statistics
from service.errors import BadRequest, ModelFailed, ModelUnavailable, QueueFull, QueueTimeout
from service.workers import histogram
from service.workers.blocks import SharedBlock
from tests.engine.making import in_threads

NONE = {"count": 0, "ns": 0}
STAGES = ("compute_input", "compute_infer", "compute_output")


def batch(size: int, count: int, *ns: int) -> dict[str, object]:
    """Of `batch_stats`: so many runs of a size, and the nanoseconds of each stage."""
    return {"batch_size": size} | {stage: {"count": count, "ns": each} for stage, each in zip(STAGES, ns, strict=True)}


def test_before_the_first_request_all_is_zero() -> None:
    assert Statistics().snapshot() == {
        "last_inference": 0,
        "inference_count": 0,
        "execution_count": 0,
        "inference_stats": dict.fromkeys(KINDS, NONE),
        "response_stats": {},
        "batch_stats": [],
        "memory_usage": [],
    }


def test_rows_are_inferences_and_runs_are_executions() -> None:
    """Seven rows were run as three, three and one; two more went along with another request's run."""
    statistics = Statistics(clock=lambda: 1234)
    statistics.record(7, (3, 3, 1), queue_ns=5, input_ns=14, infer_ns=70, output_ns=7)
    statistics.record(2, (), queue_ns=1, input_ns=2, infer_ns=3, output_ns=4)
    shown = statistics.snapshot()

    assert [shown[key] for key in ("last_inference", "inference_count", "execution_count")] == [1234, 9, 3]
    assert shown["inference_stats"] == {
        "success": {"count": 2, "ns": 106},
        "fail": NONE,
        "queue": {"count": 2, "ns": 6},
        "compute_input": {"count": 2, "ns": 16},
        "compute_infer": {"count": 2, "ns": 73},
        "compute_output": {"count": 2, "ns": 11},
        "cache_hit": NONE,
        "cache_miss": NONE,
    }
    assert shown["batch_stats"] == [
        batch(1, 1, 2, 10, 1),
        batch(3, 2, 12, 60, 6),
    ]


def test_the_metrics_tell_times_as_histograms_and_runs_by_size() -> None:
    statistics = Statistics()
    statistics.record(7, (3, 3, 1), queue_ns=0, input_ns=62_500, infer_ns=62_501, output_ns=10**10)
    counts = statistics.counts()

    assert (counts.requests, counts.rows, counts.runs, counts.sizes) == (1, 7, 3, {3: 2, 1: 1})
    filled = {kind: [place for place, count in enumerate(buckets) if count] for kind, buckets in counts.buckets.items()}
    beyond = histogram.BUCKETS - 1
    assert filled == {
        "success": [beyond],
        "queue": [0],
        "compute_input": [0],
        "compute_infer": [1],
        "compute_output": [beyond],
    }
    assert counts.ns == {
        "success": 10**10 + 125_001,
        "queue": 0,
        "compute_input": 62_500,
        "compute_infer": 62_501,
        "compute_output": 10**10,
    }


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (QueueFull("full"), "REJECTED"),
        (QueueTimeout("late"), "REJECTED"),
        (asyncio.CancelledError(), "CANCELED"),
        (ModelFailed("no"), "BACKEND"),
        (BadRequest("wrong"), "OTHER"),
        (ModelUnavailable("gone"), "OTHER"),
    ],
)
def test_a_failure_has_a_reason(error: BaseException, reason: str) -> None:
    statistics = Statistics()
    statistics.record_failure(5, error)
    assert statistics.counts().failures == dict.fromkeys(REASONS, 0) | {reason: 1}


def test_more_sizes_than_there_is_room_for_are_in_the_totals() -> None:
    statistics = Statistics()
    for size in range(MAX_SIZES + 2):
        statistics.record(1, (size,), queue_ns=0, input_ns=1, infer_ns=1, output_ns=1)
    shown = statistics.snapshot()

    assert shown["execution_count"] == MAX_SIZES + 2
    assert [batch["batch_size"] for batch in shown["batch_stats"]] == list(range(MAX_SIZES))  # type: ignore[attr-defined]


def test_what_several_processes_have_counted_is_added(tmp_path: Path) -> None:
    first, second = (Statistics(SharedBlock(tmp_path, LENGTH), clock=lambda now=now: now) for now in (5, 3))  # type: ignore[misc]
    first.record(2, (2,), queue_ns=1, input_ns=2, infer_ns=3, output_ns=4)
    first.record(1, (1,), queue_ns=1, input_ns=2, infer_ns=3, output_ns=4)
    second.record(1, (1,), queue_ns=10, input_ns=20, infer_ns=30, output_ns=40)
    second.record_failure(7, ValueError())

    shown = first.snapshot()
    assert shown == second.snapshot()
    assert [shown[key] for key in ("last_inference", "inference_count", "execution_count")] == [5, 4, 3]
    assert shown["inference_stats"]["queue"] == {"count": 3, "ns": 12}  # type: ignore[index]
    assert shown["inference_stats"]["fail"] == {"count": 1, "ns": 7}  # type: ignore[index]
    assert shown["batch_stats"] == [
        batch(1, 2, 22, 33, 44),
        batch(2, 1, 2, 3, 4),
    ]


def test_an_empty_batch_is_a_run_of_no_rows() -> None:
    statistics = Statistics()
    statistics.record(0, (0,), queue_ns=0, input_ns=1, infer_ns=1, output_ns=1)
    shown = statistics.snapshot()
    assert (shown["inference_count"], shown["execution_count"]) == (0, 1)


def test_a_failure_counts_apart() -> None:
    statistics = Statistics()
    before = time.time_ns() // 10**6
    statistics.record_failure(9, ValueError())
    shown = statistics.snapshot()
    assert shown["inference_stats"] == dict.fromkeys(KINDS, NONE) | {"fail": {"count": 1, "ns": 9}}
    assert before <= int(str(shown["last_inference"])) <= time.time_ns() // 10**6


def test_a_snapshot_does_not_change() -> None:
    statistics = Statistics()
    before = statistics.snapshot()
    statistics.record_failure(1, ValueError())
    assert before["inference_stats"] == dict.fromkeys(KINDS, NONE)


def test_threads_lose_no_count() -> None:
    statistics = Statistics()

    def work(_: int) -> None:
        for _ in range(200):
            statistics.record(2, (2,), queue_ns=1, input_ns=1, infer_ns=1, output_ns=1)

    in_threads(work)
    shown = statistics.snapshot()
    assert (shown["inference_count"], shown["execution_count"]) == (1600, 800)


def test_the_slowest_workers_load_is_told(tmp_path: Path) -> None:
    first, second = (Statistics(SharedBlock(tmp_path, LENGTH)) for _ in range(2))
    assert first.counts().load_ns == 0
    first.loaded(7)
    second.loaded(5)
    assert [statistics.counts().load_ns for statistics in (first, second)] == [7, 7]
