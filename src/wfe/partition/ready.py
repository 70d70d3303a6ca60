"""Ready tasks, by priority and kind: a view in memory, refilled from state after a restart.

Order: higher priority first; within a priority runs that are under way before runs that have just been started (else a
server with too much to do begins everything and ends nothing), but for every eighth helping, so that these get their
turn, too; then the kinds of tasks (name, version) take turns, and within a kind first come, first served. Entries are
not removed when a task is withdrawn: whoever takes one checks that its attempt is still open. Those that nobody takes
are thrown out when they might be most of the queue (`compact`).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from typing import TypeAlias

from wfe.limits import ADMIT_READY_MAX
from wfe.model.needs import Needs
from wfe.partition.entry import Entry

Kind: TypeAlias = tuple[str, int] | tuple[str, int, Needs]
"""A task's name and version, and what it asks of its worker if it asks for anything."""
Item = tuple[Entry, int]


COMPACT_MIN = 10_000
NEW_EVERY = 8
"""Of so many helpings one begins with tasks of new runs."""


def rank_of(priority: int, *, begun: bool) -> int:
    """Where a task stands among others; ``begun``: its run is under way."""
    return 2 * priority + begun


class ReadyQueue:
    """Ready tasks of a shard. ``most``: what admission allows."""

    def __init__(self, most: int = ADMIT_READY_MAX) -> None:
        self._most = most
        self._levels: dict[int, dict[Kind, deque[Item]]] = {}
        self._order: list[int] = []
        """Ranks, the highest first."""
        self._new_first: list[int] = []
        """The same, but of each priority the new runs in front."""
        self._helpings = 0
        self._compact_least = min(COMPACT_MIN, most // 2)
        self._compact_at = self._compact_least
        self.size = 0
        """Tasks in the queue, withdrawn ones included."""

    def push(self, rank: int, kind: Kind, entry: Entry, key: int) -> None:
        """Add a task at the end of its kind."""
        level = self._levels.get(rank)
        if level is None:
            level = self._levels[rank] = {}
            self._sort()
        queue = level.get(kind)
        if queue is None:
            queue = level[kind] = deque()
        queue.append((entry, key))
        self.size += 1

    def extend(self, rank: int, kind: Kind, entry: Entry, keys: list[int]) -> None:
        """Add tasks of one run, at least one, at the end of their kind."""
        self.push(rank, kind, entry, keys[0])
        self._levels[rank][kind].extend([(entry, key) for key in keys[1:]])
        self.size += len(keys) - 1

    def take(self, kinds: frozenset[Kind], count: int) -> list[Item]:
        """At most ``count`` tasks of these kinds; which are withdrawn is for the caller to see."""
        taken: list[Item] = []
        self._helpings += 1
        for rank in self._order if self._helpings % NEW_EVERY else self._new_first:
            level = self._levels[rank]
            for kind in list(level):
                if kind not in kinds:
                    continue
                queue = level.pop(kind)
                share = min(len(queue), count - len(taken))
                if share == len(queue):
                    taken.extend(queue)
                else:
                    give = queue.popleft
                    taken += [give() for _ in range(share)]
                    level[kind] = queue  # to the end: kinds take turns
                if len(taken) == count:
                    break
            if len(taken) == count:
                break
        self.size -= len(taken)
        return taken

    def put_back(self, rank: int, kind: Kind, entry: Entry, key: int) -> None:
        """Return a task that was taken and could not be sent, to the front of its kind."""
        self._levels.setdefault(rank, {}).setdefault(kind, deque()).appendleft((entry, key))
        self._sort()
        self.size += 1

    def _sort(self) -> None:
        self._order = sorted(self._levels, reverse=True)
        self._new_first = sorted(self._levels, key=lambda rank: (-(rank >> 1), rank))

    def compact(self, wanted: Callable[[Entry, int], bool]) -> None:
        """When the queue has doubled, or nears what admission allows: keep only what is wanted, each once."""
        if self.size < self._compact_at:
            return
        for rank, level in list(self._levels.items()):
            for kind, queue in list(level.items()):
                level[kind] = deque(item for item in dict.fromkeys(queue) if wanted(*item))
                if not level[kind]:
                    del level[kind]
            if not level:
                del self._levels[rank]
        self._sort()
        self.size = size = sum(len(queue) for level in self._levels.values() for queue in level.values())
        room = (size + self._most) // 2 if size < self._most else size + size // 4
        self._compact_at = max(self._compact_least, min(2 * size, room))

    def drop(self, unwanted: Callable[[Entry], bool]) -> None:
        """Forget all tasks of some runs."""
        for level in self._levels.values():
            for kind, queue in list(level.items()):
                kept = deque(item for item in queue if not unwanted(item[0]))
                self.size -= len(queue) - len(kept)
                if kept:
                    level[kind] = kept
                else:
                    del level[kind]

    def count(self, kinds: frozenset[Kind]) -> int:
        """Tasks of these kinds."""
        return sum(len(queue) for level in self._levels.values() for kind, queue in level.items() if kind in kinds)

    def counts(self, kinds: Collection[Kind]) -> Counter[Kind]:
        """Tasks of each of these kinds."""
        found: Counter[Kind] = Counter()
        for level in self._levels.values():
            for kind, queue in level.items():
                if kind in kinds:
                    found[kind] += len(queue)
        return found

    def waiting(self, kinds: Collection[Kind]) -> list[Kind]:
        """Those of these kinds that have tasks, in the order in which they are to be served."""
        found = (kind for rank in self._order for kind, queue in self._levels[rank].items() if queue)
        return list(dict.fromkeys(kind for kind in found if kind in kinds))

    def kinds(self) -> Iterable[Kind]:
        """Kinds that have tasks waiting."""
        return {kind for level in self._levels.values() for kind, queue in level.items() if queue}
