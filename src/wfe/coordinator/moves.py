"""Hands partitions over before a start with another number of shards. Runs before anything serves.

What `wfe rebalance` has moved (`rebalance`) stays so as long as the number of shards does; another number deals all of
them out anew.

A partition whose owner changes has its newest events only in its old shard's log. So each old shard with a log replays
it and checkpoints all of it into the partitions' stores (a child process, role ``shard-drain``); only when all have
done so are the new owners committed. A crash in between repeats the drains, which find nothing left to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wfe.config import ServeOptions, ShardOptions
from wfe.errors import DataError
from wfe.journal.catalogue import Catalogue


def owners_for(partitions: int, shards: int) -> dict[int, int]:
    """partition -> shard, dealt out evenly."""
    return {partition: partition % shards for partition in range(partitions)}


def settle_owners(
    catalogue: Catalogue,
    options: ServeOptions,
    logs: Sequence[int],
    drain: Callable[[ShardOptions], int],
) -> list[int]:
    """Makes the catalogue's owners fit ``options.shards``; returns the shards that were drained for it.

    ``logs``: the shards that have a log; ``drain`` runs a drain to its end and returns the exit code. DataError when a
    shard cannot be drained: then nothing has changed.
    """
    old, new = catalogue.owners(), owners_for(catalogue.partitions, options.shards)
    if options.shards > catalogue.partitions:
        raise DataError(
            f"{options.shards} shards are more than the {catalogue.partitions} partitions of {options.data}; "
            f"use --shards {catalogue.partitions} or fewer"
        )
    if old == new or (catalogue.shards == options.shards and len(old) == catalogue.partitions):
        catalogue.assign(old, options.shards)
        return []
    drained = []
    for shard in sorted(set(old.values()) & set(logs)):
        own = [partition for partition, owner in old.items() if owner == shard]
        code = drain(
            ShardOptions(
                index=shard,
                epoch=catalogue.next_epoch(),
                data=options.data,
                partitions=own,
                partitions_total=catalogue.partitions,
                server=catalogue.server_id,
                durability=options.durability,
                log_level=options.log_level,
                log_format=options.log_format,
            )
        )
        if code != 0:
            raise DataError(
                f"partitions cannot be moved to {options.shards} shards: shard {shard} could not be checkpointed "
                f"(exit code {code}, see its messages above); start with the former number of shards, or repair its log"
            )
        drained.append(shard)
    catalogue.assign(new, options.shards)
    return drained
