"""The shards as the front door sees them: which serves what, where workers reach them, when they were last heard.

Pure data and look-ups. Invariants: a partition has exactly one owner at a time, the one that the catalogue names;
``routes`` names a shard's identity only while that shard serves it, so never while it moves (`hold`); an identity
carries the epoch, so that a frame of an earlier process of a shard is never taken for one of the present process.
"""

from __future__ import annotations

from collections.abc import Mapping

from wfe.limits import STALLED_MS
from wfe.wire.messages import ShardEndpoint, ShardHello, ShardStats, ShardStatus


def shard_identity(index: int, epoch: int) -> bytes:
    """What a shard calls itself on the back socket."""
    return b"shard-%d-%d" % (index, epoch)


class Shard:
    """One shard across its restarts. ``state``: starting, serving, restarting, down (stalled is a matter of time)."""

    __slots__ = (
        *("draining", "epoch", "heard_ms", "identity", "index", "ipc", "partitions", "pid"),
        *("recovered_runs", "recovery_ms", "serving", "state", "stats", "tcp"),
    )

    def __init__(self, index: int, partitions: list[int]) -> None:
        self.index, self.partitions = index, partitions
        self.state = "starting"
        self.serving = False
        self.draining = False
        self.epoch = self.pid = self.heard_ms = self.recovered_runs = self.recovery_ms = 0
        self.identity = b""
        self.ipc = self.tcp = ""
        self.stats: ShardStats | None = None

    def stalled(self, now_ms: int) -> bool:
        """Whether it serves, but has been silent for long: its disk is slow, or its process was stopped."""
        return self.serving and now_ms - self.heard_ms > STALLED_MS


class Topology:
    """All shards of a server. ``routes[partition]`` is the identity to send to, or None while it is not served."""

    def __init__(self, owners: Mapping[int, int], shards: int) -> None:
        self.partitions = len(owners)
        self.owners = [owners[partition] for partition in range(self.partitions)]
        self.shards = [Shard(i, [p for p, owner in enumerate(self.owners) if owner == i]) for i in range(shards)]
        self.routes: list[bytes | None] = [None] * self.partitions
        self.held: set[int] = set()
        """Partitions that are on their way from one shard to another."""
        self._by_identity: dict[bytes, Shard] = {}

    def of_identity(self, identity: bytes) -> Shard | None:
        """The shard whose present process has this identity."""
        return self._by_identity.get(identity)

    def started(self, index: int, epoch: int) -> None:
        """A process for the shard is being started under a new epoch."""
        shard = self.shards[index]
        self._forget(shard)
        shard.partitions = [partition for partition, owner in enumerate(self.owners) if owner == index]
        shard.epoch, shard.identity = epoch, shard_identity(index, epoch)
        shard.state = "restarting" if shard.state in ("serving", "restarting", "down") else "starting"
        shard.ipc = shard.tcp = ""
        shard.stats = None
        self._by_identity[shard.identity] = shard

    def serves(self, shard: Shard, hello: ShardHello, now_ms: int) -> None:
        """The shard has recovered and takes frames."""
        shard.state, shard.serving, shard.heard_ms = "serving", True, now_ms
        shard.pid, shard.ipc, shard.tcp = hello.pid, hello.ipc, hello.tcp
        shard.recovered_runs, shard.recovery_ms = hello.recovered_runs, hello.recovery_ms
        for partition in shard.partitions:
            if partition not in self.held:
                self.routes[partition] = shard.identity

    def ended(self, index: int, *, down: bool) -> None:
        """The shard's process is gone; ``down``: it will not be started again."""
        shard = self.shards[index]
        self._forget(shard)
        shard.pid = 0
        shard.state = "down" if down else "restarting"

    def withdraw(self, shard: Shard) -> None:
        """The shard drains: nothing more is routed to it."""
        shard.draining = True
        self._unroute(shard)

    # ---- partitions that move ----

    def hold(self, partition: int) -> None:
        """From now on nothing is routed to the partition: its owner lets it go."""
        self.held.add(partition)
        self.routes[partition] = None

    def pass_on(self, partition: int, shard: int) -> None:
        """Its owner serves it no more; the catalogue says who does next (perhaps the same), once that says so."""
        former = self.shards[self.owners[partition]].partitions
        if partition in former:
            former.remove(partition)
        self.owners[partition] = shard

    def arrive(self, partition: int) -> None:
        """Its owner serves it."""
        shard = self.shards[self.owners[partition]]
        shard.partitions = sorted({*shard.partitions, partition})
        self.settle(partition)

    def settle(self, partition: int) -> None:
        """It is on no way any more: whoever owns it has it, or will have it at its next start."""
        self.held.discard(partition)
        shard = self.shards[self.owners[partition]]
        if shard.serving and not shard.draining and partition in shard.partitions:
            self.routes[partition] = shard.identity

    def serving(self) -> list[Shard]:
        return [shard for shard in self.shards if shard.serving]

    def endpoints(self) -> list[ShardEndpoint]:
        """What workers are told."""
        return [
            ShardEndpoint(s.index, s.epoch, s.ipc, s.tcp, s.serving and not s.draining, s.partitions)
            for s in self.shards
        ]

    def status(self, shard: Shard, restarts: int, now_ms: int) -> ShardStatus:
        return ShardStatus(
            shard.index,
            "stalled" if shard.stalled(now_ms) else shard.state,
            shard.pid,
            shard.epoch,
            restarts,
            shard.partitions,
            shard.stats,
            shard.recovery_ms,
        )

    def _forget(self, shard: Shard) -> None:
        self._by_identity.pop(shard.identity, None)
        shard.serving = False
        self._unroute(shard)

    def _unroute(self, shard: Shard) -> None:
        for partition in shard.partitions:
            self.routes[partition] = None
