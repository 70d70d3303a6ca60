"""Tasks that ask for labels or resources: which workers may have them, and what each has set aside for this shard.

A kind of task that only asks for labels joins the kinds of every worker that has them, once: dispatch then treats it
as any other. One that asks for resources is *rationed*: a worker is told that such tasks wait, grants what it can spare
for so many (`wire.lending`), and gets them at once; whatever it granted in vain is told back in the same turn, since
another shard may wait for it. Memory only. Invariant: no rationed task leaves without a grant for exactly its needs.
"""

from __future__ import annotations

from collections.abc import Mapping

from wfe.model.needs import Needs, missing_labels, missing_resources
from wfe.partition.ready import Kind
from wfe.shard.core import ShardCore, encode
from wfe.shard.links import Link
from wfe.wire.frames import Kind as FrameKind
from wfe.wire.frames import header
from wfe.wire.lending import Grants, Want

_UNUSED = header(FrameKind.UNUSED)
KINDS_MAX = 4_096
"""Kinds that calls of durable functions asked for, before those that no task waits for are forgotten."""


class Pools:
    def __init__(self, core: ShardCore) -> None:
        self._core = core
        self._known: dict[Kind, Needs] = {}
        """Kinds that ask for something, as far as they were met since the shard's start."""
        self.rationed: dict[Kind, Needs] = {}
        """Those of them that ask for resources."""
        self._passing: dict[Kind, None] = {}
        """Those of these that only calls of durable functions asked for: each may want another amount."""
        self._look_at = KINDS_MAX
        self._links: dict[Link, None] = {}
        self._granted: dict[Link, None] = {}
        """Workers with grants that are to be used or given back in this turn."""

    def learn(self, kind: Kind, *, lasting: bool = False) -> None:
        """Tasks of this kind will come; ``lasting``: whoever queues them does not say so again."""
        if len(kind) != 3:
            return
        if lasting:
            self._passing.pop(kind, None)
        if kind not in self._known:
            needs = self._known[kind] = kind[2]
            if needs.resources:
                self.rationed[kind] = needs
                if not lasting:
                    self._passing[kind] = None
            for link in self._links:
                _introduce(link, kind, needs)

    def look(self) -> None:
        """Now and then: what calls asked for, and no task waits for, is forgotten when there is much of it."""
        if len(self._passing) < self._look_at:
            return
        waiting = frozenset(self._core.ready.kinds())
        for kind in [kind for kind in self._passing if kind not in waiting]:
            del self._passing[kind], self._known[kind], self.rationed[kind]
            for link in self._links:
                link.rationed.pop(kind, None)
        self._look_at = max(KINDS_MAX, 2 * len(self._passing))

    def join(self, link: Link) -> None:
        """A worker said hello."""
        self._links[link] = None
        for kind, needs in self._known.items():
            _introduce(link, kind, needs)

    def on_grant(self, link: Link, grants: Grants, now_ms: int) -> None:
        """A worker has set resources aside."""
        if grants.seq <= link.grants_seq:
            return
        link.grants_seq = grants.seq
        for grant in grants.tasks:
            if grant.count > 0:
                link.grants[grant.needs] = link.grants.get(grant.needs, 0) + grant.count
            link.told_wants.discard(grant.needs)
        self._granted[link] = None

    @property
    def has_grants(self) -> bool:
        """Whether some worker is to hear what becomes of what it has granted."""
        return bool(self._granted)

    def granted(self, kind: Kind) -> list[Link]:
        """Workers that have set aside what tasks of this kind need."""
        needs = self.rationed[kind]
        return [link for link in self._granted if kind in link.rationed and link.grants.get(needs, 0) > 0]

    def give_back(self) -> None:
        """What was granted in vain: others may need it."""
        for link in self._granted:
            unused = [Want(needs, count) for needs, count in link.grants.items() if count > 0]
            link.grants.clear()
            if unused:
                link.unused_seq += 1
                self._core.workers.send(link.peer, [_UNUSED, encode(Grants(link.unused_seq, unused))])
        self._granted.clear()

    def forget(self, link: Link) -> None:
        """A worker is gone, or begins anew: what it granted is void."""
        self._links.pop(link, None)
        self._granted.pop(link, None)


def _introduce(link: Link, kind: Kind, needs: Needs) -> None:
    if kind[:2] in link.tasks and not missing_labels(needs, link.labels):
        if not needs.resources:
            link.kinds |= {kind}
        elif not missing_resources(needs, link.resources):
            link.rationed[kind] = None


def wants_of(link: Link, counts: Mapping[Kind, int], but: Mapping[Kind, int]) -> list[Want]:
    """What the tasks that wait for this worker's resources need; ``counts``: how many wait, ``but``: of these so many
    are not for it."""
    wants: dict[Needs, int] = {}
    for kind, count in counts.items():
        waiting = count - but.get(kind, 0)
        if waiting > 0 and len(kind) == 3 and kind in link.rationed:
            wants[kind[2]] = wants.get(kind[2], 0) + waiting
    return [Want(needs, count) for needs, count in wants.items()]
