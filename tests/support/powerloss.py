"""A shard on real LMDB whose acknowledgements are counted, and what must be true of any image a power loss leaves."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec

from support.shard_cases import TASKS, chain, waiting
from support.shards import PARTITIONS, Host, Outbox
from wfe.errors import WfeError
from wfe.journal.log import ShardLog
from wfe.journal.store import PartitionStore
from wfe.lmdb.layout import open_log, open_store
from wfe.model.definition import Definition, Map, SubWorkflow
from wfe.model.ids import partition_of
from wfe.partition.entry import decode_state
from wfe.shard.actor import Shard
from wfe.shard.core import Disk, Settings
from wfe.sim.threads import SimReader, SimWriter
from wfe.wire import messages as m


def definitions() -> tuple[Definition, ...]:
    body = SubWorkflow(id="sub", workflow="chain", with_={"n": "${item}"})
    parent = Definition("parent", params={"n": {}}, nodes=(Map(id="m", items="n", do=(body,)),), output="${m}")
    return chain(), waiting(), parent


class LmdbHost(Host):
    """`Host` on a real data directory."""

    def __init__(self, data: Path, durability: str, known: tuple[Definition, ...], epoch: int = 0) -> None:
        self.data, self.durability, self._epoch = data, durability, epoch
        super().__init__(*known, tasks=TASKS)

    def boot(self) -> None:
        self.epoch = self._epoch = self._epoch + 1
        self.back, self.workers = Outbox(), Outbox()
        self.completions: list[tuple[Any, ...]] = []
        durability: Any = self.durability
        self.raw = {number: open_store(self.data, number, durability=durability) for number in self.owned}
        self.log = open_log(self.data, 0, durability=durability)
        self.writer = SimWriter(self.raw, lambda token, error: self.completions.append(("w", token, None, error)))
        self.reader = SimReader(lambda token, found, error: self.completions.append(("r", token, found, error)))
        stores = {number: PartitionStore(store, number, PARTITIONS) for number, store in self.raw.items()}
        disk = Disk(ShardLog(self.log, self.epoch), stores, self.writer, self.reader)
        settings = Settings(0, self.epoch, PARTITIONS, "token")
        self.shard = Shard(settings, disk, self.owned, self.back, self.workers, lambda: 0.5, self.now_ms)
        self.results_seq = 0
        self.blobs = {}

    def close(self) -> None:
        for opened in (self.log, *self.raw.values()):
            opened.close()


class Acknowledged:
    """What left a shard: accepted starts, ends of runs, accepted signals, and the log's position at that moment."""

    def __init__(self) -> None:
        self._replies = 0
        self._outcomes: set[str] = set()

    def take(self, host: Host) -> dict[str, Any]:
        """News since the last time; empty when there is none."""
        fresh: dict[str, Any] = {}
        for _, (_, body) in host.replies[self._replies :]:
            with contextlib.suppress(msgspec.ValidationError):
                for outcome in msgspec.msgpack.decode(body, type=list[m.StartOutcome]):
                    if outcome.error is None:
                        fresh.setdefault("started", []).append(outcome.run_id)
        self._replies = len(host.replies)
        for run_id, outcome in host.outcomes.items():
            if run_id not in self._outcomes:
                self._outcomes.add(run_id)
                fresh.setdefault("ended", {})[run_id] = [outcome.status, msgspec.msgpack.decode(outcome.output)]
        if fresh:
            fresh["position"] = host.shard.core.disk.log.position
        return fresh


def violation(data: Path, acknowledged: list[dict[str, Any]], epoch: int) -> str:
    """Recover an image with the production code; why it breaks a promise, "" when it keeps all (invariants 1, 2, 4)."""
    try:
        host = LmdbHost(data, "none", definitions(), epoch)
    except (WfeError, AssertionError, OSError) as error:
        return f"does not recover: {type(error).__name__}: {error}"
    try:
        position = max((ack["position"] for ack in acknowledged), default=0)
        if host.shard.core.disk.log.position < position:
            return f"the log ends at {host.shard.core.disk.log.position}, {position} was acknowledged"
        for ack in acknowledged:
            for run_id in ack.get("started", ()):
                if state_of(host, run_id) is None:
                    return f"the start of {run_id} was acknowledged, the run is gone"
            for run_id, (status, output) in ack.get("ended", {}).items():
                state = state_of(host, run_id)
                if state is None or state.status != status or msgspec.msgpack.decode(state.output) != output:
                    return f"the end of {run_id} was acknowledged as {status} {output!r}, recovered: {state}"
        return ""
    except WfeError as error:
        return f"cannot be read: {type(error).__name__}: {error}"
    finally:
        host.close()


def state_of(host: Host, run_id: str) -> Any:
    """A run's recovered state, from memory or store; None when it is unknown."""
    partition = host.shard.core.partitions[partition_of(run_id)]
    entry = partition.entries.get(run_id)
    if entry is not None:
        return entry.run
    store = host.shard.core.disk.stores[partition.number]
    found = store.snapshot(run_id)
    if found is not None:
        return decode_state(found[1])
    ended = store.ended(run_id)
    return None if ended is None else decode_state(ended.snapshot)
