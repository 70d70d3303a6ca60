"""What becomes of a worker's tasks and results when partitions have other owners: after another `--shards`, or a
rebalance while it works.

Books only: nothing is sent but what `ShardLink.report` sends. A former owner would take such a result for stale and
acknowledge it, and it would be lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from wfe.model.ids import PARTITION_OF_PREFIX
from wfe.wire.messages import ShardEndpoint, TaskResult
from wfe.worker.link import ShardLink

Key = tuple[str, int, int, int]


def follow_partitions(
    links: dict[int, ShardLink],
    in_flight: dict[Key, tuple[ShardLink, int]],
    shards: Sequence[ShardEndpoint],
    now_ms: int,
) -> set[ShardLink]:
    """Hands what is held and what is not acknowledged to the links of its partitions' owners, as far as known.

    Gives the links whose shards have other partitions than before, or do not acknowledge what is another's now: both
    sides agree again after a hello.
    """
    changed = {link for shard in shards if (link := links[shard.index]).endpoint.partitions != shard.partitions}
    owners = {number: links[shard.index] for shard in shards for number in shard.partitions}

    def owner_of(run_id: str, present: ShardLink) -> ShardLink:
        return owners.get(PARTITION_OF_PREFIX.get(run_id[:2], -1), present)

    for key, (link, size) in in_flight.items():
        owner = owner_of(key[0], link)
        if owner is not link:
            in_flight[key] = (owner, size)
            link.beats.pop(key, None)
    for link in list(links.values()):

        def moved(result: TaskResult, link: ShardLink = link) -> bool:
            return owner_of(result.run_id, link) is not link

        for result in link.take_results(moved):
            changed.add(link)
            owner_of(result.run_id, link).report([result], now_ms)
    return changed
