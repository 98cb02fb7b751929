"""What one version of a model has done since it was loaded: counts and nanoseconds, as the protocol reports them.

Rows count as inferences, runs as executions. A request is counted when it has been answered or has failed; the runs
that it needed are counted with it, by their size.

Source: Triton's statistics extension of the Open Inference Protocol.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

STAGES = ("compute_input", "compute_infer", "compute_output")
KINDS = ("success", "fail", "queue", *STAGES, "cache_hit", "cache_miss")


@dataclass(slots=True)
class Duration:
    """How often something happened and how long it took, all together."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int, count: int = 1) -> None:
        self.count += count
        self.ns += ns

    def shown(self) -> dict[str, int]:
        return {"count": self.count, "ns": self.ns}


@dataclass(slots=True)
class Statistics:
    """Counters of one model version; callable from several threads at once.

    Args:
        clock: milliseconds since 1970.
    """

    clock: Callable[[], int] = field(default=lambda: time.time_ns() // 10**6, repr=False)
    _rows: int = 0
    _runs: int = 0
    _last: int = 0
    _durations: dict[str, Duration] = field(default_factory=lambda: {kind: Duration() for kind in KINDS})
    _batches: dict[int, dict[str, Duration]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def record(
        self, rows: int, batch_sizes: Sequence[int], *, queue_ns: int, input_ns: int, infer_ns: int, output_ns: int
    ) -> None:
        """Count a request that was answered.

        Args:
            rows: of the request; 1 if the model does not batch.
            batch_sizes: rows of each run made for it; none for a request that shared another's run. The times are
                divided among the runs by their rows.
        """
        times = dict(zip(STAGES, (input_ns, infer_ns, output_ns), strict=True))
        whole = sum(batch_sizes) or 1
        with self._lock:
            self._rows += rows
            self._runs += len(batch_sizes)
            self._last = self.clock()
            self._durations["success"].add(queue_ns + sum(times.values()))
            self._durations["queue"].add(queue_ns)
            for stage, ns in times.items():
                self._durations[stage].add(ns)
            for size in batch_sizes:
                batch = self._batches.setdefault(size, {stage: Duration() for stage in STAGES})
                for stage, ns in times.items():
                    batch[stage].add(ns * size // whole)

    def record_failure(self, ns: int) -> None:
        """Count a request that failed, and how long that took."""
        with self._lock:
            self._last = self.clock()
            self._durations["fail"].add(ns)

    def snapshot(self) -> dict[str, object]:
        """All counters at one moment, in the protocol's JSON; the name and the version are the caller's to add."""
        with self._lock:
            return {
                "last_inference": self._last,
                "inference_count": self._rows,
                "execution_count": self._runs,
                "inference_stats": {kind: duration.shown() for kind, duration in self._durations.items()},
                "response_stats": {},
                "batch_stats": [
                    {"batch_size": size} | {stage: duration.shown() for stage, duration in stages.items()}
                    for size, stages in sorted(self._batches.items())
                ],
                "memory_usage": [],
            }
