"""New runs are refused while the machine is short of memory, of room, or of time for commits."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from support.shard_cases import TASKS, chain
from support.shards import Host
from wfe.config import ShardOptions
from wfe.errors import Busy
from wfe.limits import ADMIT_COMMIT_US, ADMIT_PROBE_MS, HEARTBEAT_MS, MEMORY_SHARD_BYTES_MIN
from wfe.shard import machine
from wfe.shard.admission import Admission
from wfe.shard.core import ShardCore
from wfe.shard.machine import CommitTimes, Machine, memory_limit_bytes

NOW_MS = 10 * HEARTBEAT_MS
PLENTY_BYTES = 1 << 60


def core_of_a_shard() -> ShardCore:
    return Host(chain(), tasks=TASKS).shard.core


def options(data: Path, memory_max_bytes: int) -> ShardOptions:
    return ShardOptions(
        index=0, epoch=1, data=str(data), partitions=[0], partitions_total=1, memory_max_bytes=memory_max_bytes
    )


def refusal(core: ShardCore) -> str:
    with pytest.raises(Busy) as refused:
        Admission(core, lambda: False).check(b"client", NOW_MS)
    return str(refused.value)


def test_with_more_memory_in_use_than_allowed_new_runs_are_refused(tmp_path: Path) -> None:
    core = core_of_a_shard()
    Machine(core, options(tmp_path, 1), CommitTimes()).look(NOW_MS)
    assert "--memory-max" in refusal(core)
    assert core.counters["starts_refused_memory"] == 1


def test_they_are_taken_again_once_there_is_room(tmp_path: Path) -> None:
    core = core_of_a_shard()
    core.memory_full = True
    found = Machine(core, options(tmp_path, PLENTY_BYTES), CommitTimes())
    found.look(NOW_MS)
    Admission(core, lambda: False).check(b"client", NOW_MS)
    core.memory_full = True
    found.look(NOW_MS + HEARTBEAT_MS - 1)
    assert core.memory_full, "the system is asked once per heartbeat"


def test_a_container_s_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "CGROUP_LIMITS", (limit, tmp_path / "no-such-version"))
    everything = psutil.virtual_memory().total
    assert memory_limit_bytes() == everything
    limit.write_text("max\n")
    assert memory_limit_bytes() == everything
    limit.write_text("1000000\n")
    assert memory_limit_bytes() == 1_000_000


def test_a_shard_s_share_is_never_less_than_what_it_needs_to_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "memory_limit_bytes", lambda: 1 << 30)
    monkeypatch.setattr(machine, "memory_of", lambda process: (MEMORY_SHARD_BYTES_MIN, MEMORY_SHARD_BYTES_MIN - 1))
    core = core_of_a_shard()
    core.memory_full = True
    one_of_many = options(tmp_path, 0)
    one_of_many.partitions_total = 1_024
    Machine(core, one_of_many, CommitTimes()).look(NOW_MS)
    assert not core.memory_full, "most partitions went to other shards: what is left here must be served"
    monkeypatch.setattr(machine, "MEMORY_SHARD_BYTES_MIN", 1)
    Machine(core, one_of_many, CommitTimes()).look(NOW_MS)
    assert core.memory_full, "its share alone is less than the process itself takes"


def test_while_commits_are_slow_new_runs_are_refused_and_one_batch_a_second_tries_again(tmp_path: Path) -> None:
    core, commits = core_of_a_shard(), CommitTimes()
    found = Machine(core, options(tmp_path, PLENTY_BYTES), commits)
    commits.took(ADMIT_COMMIT_US)
    found.look(NOW_MS)
    assert not core.commits_slow, "one slow commit is none yet"
    for _ in range(50):
        commits.took(2 * ADMIT_COMMIT_US)
    found.look(NOW_MS)
    assert "disk" in refusal(core)
    assert core.counters["starts_refused_disk"] == 1
    commits.last_us -= ADMIT_PROBE_MS * 1_000
    found.look(NOW_MS)
    assert not core.commits_slow, "otherwise nobody would notice that the disk is quick again"
    for _ in range(50):
        commits.took(300)
    found.look(NOW_MS)
    assert not core.commits_slow
