"""What a worker has of resources (GPUs, memory, ...), and which shard may use them for which tasks.

Shards say what tasks that wait there need; this worker sets it aside for so many (a grant), first come first served,
and counts it as taken until the tasks have ended or the grant comes back. Whoever waits longest and does not fit yet
keeps what he needs from those behind him, so that a task that needs much is not starved by many that need little.
Plain books without I/O. Invariant: what is granted and what is held together never exceed what there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wfe.limits import FRAME_MESSAGES_MAX, HEARTBEAT_MS
from wfe.model.needs import ANY, Needs, missing_resources
from wfe.wire.lending import Want

LOST_GRANT_MS = 2 * HEARTBEAT_MS
"""A shard uses a grant or gives it back at once: one that it kept for so long never arrived, or its answer was lost."""
Key = tuple[str, int, int, int]


class Ration:
    """``slots``: tasks with needs that are held or granted at once, whatever there is for them."""

    def __init__(self, resources: Mapping[str, int], slots: int) -> None:
        self._totals = dict(resources)
        self._free = dict(resources)
        self._slots = slots
        self._wants: dict[tuple[int, Needs], int] = {}
        """By shard and needs, who has waited longest first."""
        self._grants: dict[tuple[int, Needs], tuple[int, int]] = {}
        """How many, and since when."""
        self.held: dict[Key, Needs] = {}
        """Tasks that use what they need."""

    @property
    def waiting(self) -> bool:
        """Whether some shard wants something."""
        return bool(self._wants)

    @property
    def granted(self) -> bool:
        """Whether some shard has not used or given back what it was granted."""
        return bool(self._grants)

    # ---- what shards say ----

    def wanted(self, shard: int, wants: Iterable[Want]) -> None:
        """All that a shard's tasks wait for; who waited before keeps his place."""
        asked = {(shard, want.needs): want.count for want in wants if want.count > 0}
        for place in [place for place in self._wants if place[0] == shard and place not in asked]:
            del self._wants[place]
        for place, count in asked.items():
            if not missing_resources(place[1], self._totals):
                self._wants[place] = count

    def unused(self, shard: int, grants: Iterable[Want]) -> None:
        """A shard has no task any more for what it was granted."""
        for grant in grants:
            self._wants.pop((shard, grant.needs), None)
            self._settle(shard, grant.needs, grant.count)

    def used(self, shard: int, needs: Needs, count: int) -> None:
        """So many tasks came on a grant."""
        self._settle(shard, needs, count)

    def take(self, key: Key, needs: Needs) -> None:
        """A task is held from now on."""
        self._take(needs, 1)
        self.held[key] = needs

    def ended(self, keys: Iterable[Key]) -> None:
        """These tasks are held no longer."""
        for key in keys:
            needs = self.held.pop(key, None)
            if needs is not None:
                self._take(needs, -1)

    def void(self, shard: int) -> None:
        """A conversation is over: nothing that was said in it counts any more."""
        for place in [place for place in self._wants if place[0] == shard]:
            del self._wants[place]
        for place, (count, _) in list(self._grants.items()):
            if place[0] == shard:
                del self._grants[place]
                self._take(place[1], -count)

    def lost(self, shard: int, now_ms: int) -> bool:
        """Whether a grant to this shard, or what it said to it, must have been lost on the way."""
        return any(
            place[0] == shard and now_ms - since_ms >= LOST_GRANT_MS for place, (_, since_ms) in self._grants.items()
        )

    # ---- what this worker says ----

    def allot(self, shards: Iterable[int], now_ms: int) -> dict[int, list[Want]]:
        """Sets aside what it can for these shards: what to tell each."""
        able = frozenset(shards)
        spare = dict(self._free)
        room = self._slots - len(self.held) - sum(count for count, _ in self._grants.values())
        told: dict[int, list[Want]] = {}
        for place, wanted in list(self._wants.items()):
            shard, needs = place
            if room <= 0:
                break
            if shard not in able:
                continue
            count = self._fitting(needs, spare, min(wanted, room, FRAME_MESSAGES_MAX))
            if count:
                self._grant(place, wanted, count, now_ms)
                _use(spare, needs, count)
                room -= count
                told.setdefault(shard, []).append(Want(needs, count))
            elif missing_resources(needs, spare):
                _use(spare, needs, 1)  # it comes next: those behind it leave that much
        return told

    def _grant(self, place: tuple[int, Needs], wanted: int, count: int, now_ms: int) -> None:
        del self._wants[place]
        if wanted > count:
            self._wants[place] = wanted - count  # to the end
        before, since_ms = self._grants.get(place, (0, now_ms))
        self._grants[place] = (before + count, since_ms)
        self._take(place[1], count)

    def _fitting(self, needs: Needs, spare: Mapping[str, int], most: int) -> int:
        """How many tasks with these needs there is room for."""
        for name, amount in needs.resources:
            if name in spare:
                most = min(most, max(0, spare[name]) // amount)
            elif ANY not in self._totals:
                return 0
        return most

    def _settle(self, shard: int, needs: Needs, count: int) -> None:
        """A grant of so many is over."""
        place = (shard, needs)
        before, since_ms = self._grants.pop(place, (0, 0))
        over = min(before, count)
        if before > over:
            self._grants[place] = (before - over, since_ms)
        self._take(needs, -over)

    def _take(self, needs: Needs, count: int) -> None:
        _use(self._free, needs, count)


def _use(free: dict[str, int], needs: Needs, count: int) -> None:
    for name, amount in needs.resources:
        if name in free:
            free[name] -= amount * count
