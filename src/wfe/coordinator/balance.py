"""Which partitions are to move so that shards have about the same to do. Pure; `rebalance` does it.

What a partition is to its shard: its share of all that is written, its share of all runs in memory, and a little for
being there at all, so that partitions without load are spread as well. For the hint that a
server is uneven, little load counts as little (``damped``): a dozen runs make no shard a busy one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wfe.wire.rebalance import PartitionLoad

IDLE_SHARE = 0.2
"""What all partitions count together for being there; their load counts 2."""
RUNS_MIN = 1_000
BYTES_PER_S_MIN = 1_000_000
"""Of all partitions together: damped, less counts as a part of this, not of what there is."""
WORTH = 0.05
"""The difference between two shards must shrink by so much of what a shard has on average, or nothing is moved."""


def weights(partitions: int, loads: Iterable[PartitionLoad], *, damped: bool = False) -> dict[int, float]:
    """partition -> what it is, in no particular unit. Those that nobody told of count as idle."""
    known = list(loads)
    runs = max(RUNS_MIN if damped else 1, sum(load.runs for load in known))
    written = max(BYTES_PER_S_MIN if damped else 1, sum(load.bytes_per_s for load in known))
    found = dict.fromkeys(range(partitions), IDLE_SHARE / max(1, partitions))
    for load in known:
        if load.partition in found:
            found[load.partition] += load.runs / runs + load.bytes_per_s / written
    return found


def busiest_percent(owners: Mapping[int, int], shards: int, weight: Mapping[int, float]) -> int:
    """What the shard with most to do has, of what a shard has on average."""
    total = dict.fromkeys(range(shards), 0.0)
    for partition, shard in owners.items():
        total[shard] += weight[partition]
    return round(100 * max(total.values()) * shards / sum(total.values()))


def plan(owners: Mapping[int, int], shards: Iterable[int], weight: Mapping[int, float]) -> list[tuple[int, int]]:
    """``(partition, shard)`` moves between these shards, each partition at most once. Empty: it is as even as it gets.

    From the shard with most to the one with least, the partition that brings both closest, as long as that helps.
    """
    held: dict[int, dict[int, float]] = {shard: {} for shard in shards}
    for partition, shard in owners.items():
        if shard in held:
            held[shard][partition] = weight[partition]
    if len(held) < 2:
        return []
    total = {shard: sum(each.values()) for shard, each in held.items()}
    worth = WORTH * sum(total.values()) / len(held)
    moves: list[tuple[int, int]] = []
    moved: set[int] = set()
    while True:
        most = max(total, key=lambda shard: (total[shard], -shard))
        least = min(total, key=lambda shard: (total[shard], shard))
        gap = total[most] - total[least]
        free = [(abs(gap / 2 - w), p) for p, w in held[most].items() if p not in moved]
        if not free:
            return moves
        _, chosen = min(free)
        if gap - abs(gap - 2 * held[most][chosen]) <= worth:
            return moves
        weighs = held[most].pop(chosen)
        held[least][chosen] = weighs
        total[most] -= weighs
        total[least] += weighs
        moved.add(chosen)
        moves.append((chosen, least))
