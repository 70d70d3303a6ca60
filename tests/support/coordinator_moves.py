"""A coordinator of two shards that moves partitions between them; the test speaks for the shards."""

from __future__ import annotations

from typing import Any

from support.coordinator_world import CLIENT, World, decode, encode
from wfe.limits import STALLED_MS
from wfe.wire.frames import Kind, decode_header, header
from wfe.wire.messages import ErrorReply, ShardStats
from wfe.wire.rebalance import Adopt, Adopted, Handed, Rebalance, RebalanceReport, Yield

BODIES = {Kind.YIELD: Yield, Kind.ADOPT: Adopt}


class Moving(World):
    """Two shards that serve (0 has partitions 0 and 2, 1 the others), and a client that asks for moves."""

    def __init__(self, partitions: int = 4) -> None:
        super().__init__(shards=2, partitions=partitions)
        self.serving()
        self.hello()

    def ask(self, *moves: tuple[int, int], id: str = "a", dry_run: bool = False) -> RebalanceReport:
        self.send(CLIENT, Kind.REBALANCE, Rebalance(id, list(moves), dry_run))
        head, body = self.answer()
        assert head.kind == Kind.REPLY, decode(body, ErrorReply)
        found: RebalanceReport = decode(body, RebalanceReport)
        return found

    def refusal(self, *moves: tuple[int, int], id: str = "b") -> ErrorReply:
        self.send(CLIENT, Kind.REBALANCE, Rebalance(id, list(moves)))
        return self.error()

    def orders(self) -> list[tuple[int, Any]]:
        """(shard, YIELD or ADOPT) since the last look."""
        found = []
        for peer, parts in self.effects.back:
            kind = Kind(decode_header(parts[0]).kind)
            if kind in BODIES:
                found.append((int(peer.split(b"-")[1]), decode(parts[1], BODIES[kind])))
        self.effects.back.clear()
        return found

    def handed(self, shard: int, number: int, partition: int) -> None:
        self.from_shard(shard, [header(Kind.HANDED), encode(Handed(number, partition))])

    def adopted(self, shard: int, number: int, partition: int) -> None:
        self.from_shard(shard, [header(Kind.ADOPTED), encode(Adopted(number, partition))])

    def states(self, id: str = "a") -> list[str]:
        return [move.state for move in self.ask(id=id).moves]

    def owner(self, partition: int) -> int:
        return self.catalogue.owners()[partition]

    def end(self, index: int, code: int = -9) -> None:
        self.actor.on_child_exit(f"shard-{index}", code, self.now_ms)

    def pass_time(self, ms: int, heard: tuple[int, ...] = ()) -> None:
        """``heard``: shards that say something at the end of it."""
        self.now_ms += ms
        for index in heard:
            self.from_shard(index, [header(Kind.SHARD_STATS), encode(ShardStats(index, 1, self.now_ms))])
        self.actor.on_tick(self.now_ms)

    def silence(self, index: int) -> None:
        """A shard says nothing for so long that it is taken for stalled; the others do."""
        for _ in range(STALLED_MS // 1_000 + 1):
            self.effects.back.clear()
            self.pass_time(1_000, heard=tuple({0, 1} - {index}))

    def is_routed(self, partition: int) -> bytes | None:
        return self.actor.topology.routes[partition]
