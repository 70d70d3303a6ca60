"""What the machine has left, as far as it decides whether new runs are taken: room on disk, memory, time for commits.

Looks at the file system and at its own process, once per heartbeat; on the deciding thread, as each look takes
microseconds. Invariants: only new runs are ever refused for what is found here, and what is short is looked at anew, so
that a refusal ends by itself.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import psutil

from wfe.config import ShardOptions
from wfe.limits import (
    ADMIT_COMMIT_US,
    ADMIT_PROBE_MS,
    DISK_FREE_BYTES_MIN,
    DISK_REFUSE_PERCENT,
    HEARTBEAT_MS,
    LOG_MAP_BYTES,
    MEMORY_REFUSE_PERCENT,
    MEMORY_SHARD_BYTES_MIN,
)
from wfe.shard.core import ShardCore
from wfe.shard.memory import MemoryGate, give_back

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where a container finds how much memory it may have (versions 2 and 1)."""


class CommitTimes:
    """How long commits take: a moving average over about eight, in microseconds, and when the last one ended."""

    def __init__(self) -> None:
        self.average_us = 0
        self.last_us = 0

    def took(self, us: int) -> None:
        self.average_us += (us - self.average_us) // 8
        self.last_us = time.monotonic_ns() // 1_000


class Machine:
    def __init__(self, core: ShardCore, options: ShardOptions, commits: CommitTimes) -> None:
        self._core = core
        self._options = options
        self._commits = commits
        self._process = psutil.Process()
        self._memory_bytes = memory_limit_bytes() * MEMORY_REFUSE_PERCENT // 100
        self._gate = MemoryGate(self._own_bytes, give_back)
        self._looked_ms = 0

    def look(self, now_ms: int) -> None:
        """Every turn. What costs a call of the system is looked at once per heartbeat."""
        core = self._core
        core.commits_slow = self._commits_are_slow()
        if now_ms - self._looked_ms < HEARTBEAT_MS:
            return
        self._looked_ms = now_ms
        core.disk_full = self._disk_is_full()
        core.memory_full = self._memory_is_full()

    def _commits_are_slow(self) -> bool:
        """After a while without any commit one more is tried, or a disk that recovered would never be noticed."""
        commits = self._commits
        if commits.average_us < ADMIT_COMMIT_US:
            return False
        return time.monotonic_ns() // 1_000 - commits.last_us < ADMIT_PROBE_MS * 1_000

    def _disk_is_full(self) -> bool:
        """Admission stops before the disk is full, so that completions and cancels still have room."""
        self._core.host["disk_free_bytes"] = free = shutil.disk_usage(self._options.data).free
        if free < DISK_FREE_BYTES_MIN:
            return True
        return self._core.disk.log.size_bytes() > LOG_MAP_BYTES * DISK_REFUSE_PERCENT // 100

    def _own_bytes(self) -> int:
        self._core.host["memory_bytes"], own_bytes = memory_of(self._process)
        return own_bytes

    def _memory_is_full(self) -> bool:
        limit = self._options.memory_max_bytes
        if not limit:  # of the machine's, a shard has the share of its partitions
            share = self._memory_bytes * len(self._core.partitions) // self._options.partitions_total
            limit = max(share, MEMORY_SHARD_BYTES_MIN)
        return self._gate.closed(limit, self._core.live_runs)


def memory_of(process: psutil.Process) -> tuple[int, int]:
    """All that is resident, and how much of it is its own, in bytes: pages of the stores' files are the system's to
    take back."""
    used = process.memory_info()
    if hasattr(used, "shared"):
        return used.rss, used.rss - used.shared
    return used.rss, getattr(process.memory_full_info(), "uss", used.rss)  # macOS


def memory_limit_bytes() -> int:
    """What the machine, or the container that this process is in, has."""
    limits = [psutil.virtual_memory().total]
    for path in CGROUP_LIMITS:
        try:
            text = path.read_text(encoding="ascii").strip()
        except OSError:
            continue  # no such version of cgroups here
        if text.isdigit():  # "max": no limit
            limits.append(int(text))
    return min(limits)
