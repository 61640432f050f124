"""How many processors this process may use: a container or a mask may allow fewer than the machine has."""

from __future__ import annotations

import os
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
"""Where a container on Linux says how much time of how much it may use: `200000 100000`, or `max 100000`."""


def usable_processors(cpu_max: Path = CPU_MAX) -> int:
    """The processors that this process may run on, at least 1, by its mask and by the quota of its container."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = cpu_max.read_text(encoding="ascii").split()
        share = int(int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):  # no container, another system, or `max`
        return allowed
    return max(1, min(allowed, share))
