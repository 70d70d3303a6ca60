"""What workers lend to shards: credit for tasks that ask for nothing, and grants for those that need resources.

A shard says in its LOAD which resources the tasks that wait there want; the worker sets them aside, for one shard at a
time, and says so in a GRANT; what the shard does not use at once comes back as UNUSED. See `messages`.
"""

from __future__ import annotations

from msgspec import Struct

from wfe.model.needs import Needs


class Credit(Struct, array_like=True):
    """Room for so many further tasks and bytes of input, on top of what was lent before."""

    tasks: int
    bytes: int


class Want(Struct, array_like=True):
    """So many tasks that need this."""

    needs: Needs
    count: int


class Grants(Struct, array_like=True):
    """Of GRANT: resources are set aside for so many tasks. Of UNUSED: they are not wanted any more.

    ``seq`` counts the frames of this kind since the hello, from 1: one that comes twice counts once.
    """

    seq: int
    tasks: list[Want]


class ShardLoad(Struct, array_like=True):
    """``ready``: tasks that wait for credit and that this worker could run. ``dispatch_seq``: the last frame sent.
    ``wants``: tasks that wait for its resources."""

    ready: int
    dispatch_seq: int = 0
    wants: list[Want] = []
