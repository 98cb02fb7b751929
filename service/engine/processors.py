"""How many processors this process may use: the smaller of its CPU affinity and its control group's quota.

ONNX Runtime counts the host's cores instead, which in a container leads to throttling.
"""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available(cgroup: Path = CGROUP) -> int:
    """Whole processors, at least 1; a quota of 1.5 counts as 2."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return max(1, min(affinity, math.ceil(quota) if quota else affinity))


def _quota(cgroup: Path) -> float | None:
    """Processors by the control group: version 2's `cpu.max`, else version 1's pair of files; None if unlimited."""
    try:
        limit, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            limit = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    return int(limit) / int(period) if limit.strip() not in ("max", "-1") else None
