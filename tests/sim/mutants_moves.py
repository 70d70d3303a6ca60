"""Planted bugs of partitions that move between shards. Part of `mutants`."""

from __future__ import annotations

from typing import Any

from planting import always, around, nothing

from wfe.coordinator.rebalance import Rebalancing
from wfe.shard import loading
from wfe.shard.checkpoints import Checkpoints
from wfe.shard.handover import Handovers
from wfe.shard.recovery import Recovery
from wfe.shard.workers import Workers
from wfe.wire.frames import Kind
from wfe.wire.rebalance import Handed


def _goes_on(let_go: Any, self: Handovers, number: int) -> None:
    partition = self._core.partitions[number]
    let_go(self, number)
    self._core.partitions[number] = partition


def _early(let_go: Any, self: Handovers, number: int) -> None:
    let_go(self, number)
    self._say(Kind.HANDED, Handed(self._numbers[number], number))


def _owner_first(begin: Any, self: Rebalancing, move: Any, now_ms: int) -> None:
    begin(self, move, now_ms)
    self._owners.assign({move.partition: move.target})


def _acknowledges(on_results: Any, self: Workers, link: Any, message: Any, now_ms: int) -> None:
    on_results(self, link, message, now_ms)
    if any(self._core.partition_for(result.run_id) is None for result in message.results):
        link.late.pop(message.seq, None)
        self._acks[link.peer] = link.booked_seq()


def _unfenced(adopt: Any, self: Handovers, number: int, epoch: int) -> None:
    adopt(self, number, self._core.settings.epoch)


def move_patches() -> dict[str, Any]:
    return {
        "an owner that let a partition go decides on": around(Handovers, "_let_go", _goes_on),
        "a partition is handed over while its store is open": around(Handovers, "_let_go", _early),
        "a partition is handed over before its runs are written": around(Checkpoints, "holds_all_of", always),
        "the next owner is written down before the partition is handed over": around(
            Rebalancing, "_begin", _owner_first
        ),
        "what waited for a definition goes on in a partition that has left": around(
            loading, "_while_here", lambda original, partition, then: then
        ),
        "a partition comes without its timers and tasks": around(Recovery, "adopt", nothing),
        "results of a partition that has left are acknowledged": around(Workers, "_on_results", _acknowledges),
        "a new owner writes under its own, older epoch": around(Handovers, "_adopt", _unfenced),
    }
