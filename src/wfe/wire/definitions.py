"""Messages about registered definitions: commands on versions, who still uses one, what could carry live runs.

See `messages`. A command goes client -> coordinator; before a deletion the coordinator asks every shard (USAGE, USED).
Whether a version could carry the live runs of the others is asked of each partition (CARRY).
"""

from __future__ import annotations

from msgspec import Struct


class DefinitionCommand(Struct, array_like=True):
    """``action``: deprecate, undeprecate, tag, untag, use (make current) or delete. All are idempotent.

    ``version`` 0: all versions for deprecate, undeprecate and delete, else the current one. What comes again with the
    same ``command_id`` ("": it has none) is answered as it was, whichever connection it comes over; a deletion is asked
    for again so until the answer says *done*.
    """

    action: str
    workflow: str
    version: int = 0
    tag: str = ""
    note: str = ""
    command_id: str = ""


class DefinitionChanged(Struct, array_like=True):
    """``versions``: those that are not as they were before. ``done`` false: shards are still being asked."""

    workflow: str
    versions: list[int]
    done: bool = True


class UsageQuestion(Struct, array_like=True):
    """Which runs of these definitions does a shard keep? ``number`` pairs the answer with the question."""

    number: int
    hashes: list[str]


class Usage(Struct, array_like=True):
    """Runs kept by a shard, open or ended, up to a bound; ``run_id``: one of them for each definition that has any."""

    number: int
    runs: dict[str, str] = {}


class CarryQuery(Struct, array_like=True):
    """Live runs of a workflow in a partition that execute another definition than this one (canonical JSON)."""

    workflow: str
    definition: bytes
    hash: str
    after: str = ""
    limit: int = 100


class Obstacle(Struct, array_like=True):
    """Why a definition cannot carry a run: at which of the run's nodes, and what is missing ("" : the run as such)."""

    node: str
    reason: str


class CarryVerdict(Struct, array_like=True):
    """A live run; without ``obstacles`` the definition could carry it."""

    run_id: str
    version: int
    status: str
    key: str = ""
    obstacles: list[Obstacle] = []


class CarryPage(Struct, array_like=True):
    """Oldest run first. ``more``: ask again from the last one on; ``after``: from here (a run that needs no word)."""

    verdicts: list[CarryVerdict]
    more: bool = False
    after: str = ""
