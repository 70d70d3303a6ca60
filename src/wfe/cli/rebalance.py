"""Moves of partitions between the shards of a running server: rebalance."""

from __future__ import annotations

from typing import Any

import click

from wfe.cli.output import EXIT_FAILED, command, print_json, print_table
from wfe.cli.params import Duration, address_option, connected

TIMEOUT_S = 3600.0


class PartitionMove(click.ParamType):  # type: ignore[type-arg]
    """``PARTITION:SHARD``, both numbers."""

    name = "PARTITION:SHARD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        partition, _, shard = str(value).partition(":")
        if not (partition.isascii() and partition.isdecimal() and shard.isascii() and shard.isdecimal()):
            self.fail(f"{value!r} is no move: name a partition and its new shard, as in 5:1", param, ctx)
        return int(partition), int(shard)


@command("rebalance", short_help="Move partitions between running shards.")
@click.option("--move", "moves", type=PartitionMove(), multiple=True, help="Move this partition there; repeatable.")
@click.option("--dry-run", is_flag=True, help="Only say what would be moved.")
@click.option("--timeout", "timeout_s", type=Duration(), help="Wait at most this long [default: 1h].")
@address_option
def rebalance_command(
    moves: tuple[tuple[int, int], ...], dry_run: bool, timeout_s: float | None, address: str | None, as_json: bool
) -> int:
    """Move partitions between running shards: those that are named, or whatever evens out the load.

    One at a time; a partition stands still for some milliseconds while it moves. Exit code 1 if some could not be.
    """
    from wfe.client.views import rebalance_document

    with connected(address) as client:
        report = client.rebalance(moves, dry_run=dry_run, timeout_s=TIMEOUT_S if timeout_s is None else timeout_s)
    if as_json:
        print_json(rebalance_document(report))
    else:
        rows = [
            (
                str(move.partition),
                str(move.source),
                str(move.target),
                move.state,
                f"{move.held_ms} ms" if move.held_ms else "",
                move.error.message if move.error is not None else "",
            )
            for move in report.moves
        ]
        nothing = "nothing to move: the load is as even as it gets" if not moves else "all of them are there already"
        print_table(("PARTITION", "FROM", "TO", "STATE", "STOOD STILL", "WHY NOT"), rows, nothing)
    return EXIT_FAILED if any(move.state in ("failed", "unserved") for move in report.moves) else 0
