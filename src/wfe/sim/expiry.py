"""Ended runs that expire, and what the auditor makes of answers about them: the rule of retention, told a second time.

A run may be gone once its time is over by its definition's policy, else the server's, and is gone at the latest when
every partition was looked through since. Until then everything about it is answered as ever; afterwards it is unknown:
"not found", never something wrong. Its key names nothing, or a run that was started since.

Simulated runs are over in seconds: so when everything has ended, clients go on for some minutes, and only ask and start
by key (`Expiry.begin`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wfe.limits import RETENTION_MS_MIN, SWEEP_MS
from wfe.sim.ledger import ENDS
from wfe.sim.node import Violation

if TYPE_CHECKING:
    from wfe.journal.store import PartitionStore
    from wfe.sim.ledger import RunBook
    from wfe.sim.world import World

SLACK_MS = 3_000
"""Clocks of simulated processes differ by less within that time."""
LATEST_MS = SWEEP_MS + 10_000
"""After its time is over, and its shard's last start, a run is gone within this."""
KILL_MS_MAX = RETENTION_MS_MIN
"""Within this time of the beginning a shard is killed, so that others find what their forerunners began to remove."""
AFTERWARDS_MS = RETENTION_MS_MIN + LATEST_MS + SLACK_MS
ACTIONS = ["get", "get", "find", "find", "history", "list", "start_key"]
PAUSE_US = 700_000


class Expiry:
    """``began_ms``: since when clients only ask; 0: they do other things still. ``named``: runs that they asked about:
    whoever is looked at is left for the next time.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.began_ms = 0
        self._killed_ms = 0
        self._before = (world.swarm.actions, world.swarm.pause_us)
        self.named: set[str | None] = set()

    @property
    def now_ms(self) -> int:
        return self._world.wall_offset_ms + self._world.schedule.now_us // 1_000

    @property
    def is_due(self) -> bool:
        """Whether there is something to wait for, once all runs have ended."""
        return not self.began_ms and any(self._kept_ms(book) for book in self._world.auditor.runs.values())

    def _kept_ms(self, book: RunBook) -> int:
        """How long the run is kept once it has ended; 0: for ever."""
        own_ms = book.shape.definition.retention_ms
        kept_ms = int(self._world.shard_settings.get("retention_ms", 0)) if own_ms is None else max(1, own_ms)
        return max(RETENTION_MS_MIN, kept_ms) if kept_ms else 0

    def may_be_gone(self, run_id: str) -> bool:
        """Whether an answer that knows nothing of a run is right."""
        book = self._world.auditor.runs.get(run_id)
        if book is None or book.status not in ENDS:
            return False
        kept_ms = self._kept_ms(book)
        return bool(kept_ms) and self.now_ms + SLACK_MS >= _ended_ms(book) + kept_ms

    def _must_be_gone(self, book: RunBook) -> bool:
        kept_ms = self._kept_ms(book)
        if not kept_ms or book.status not in ENDS:
            return False
        return self.now_ms - SLACK_MS >= max(_ended_ms(book) + kept_ms, self._killed_ms) + LATEST_MS

    def begin(self) -> None:
        """From now on clients only ask about what was, and start by keys that were."""
        world = self._world
        self.began_ms = self.now_ms
        self.named.clear()
        self._before = (world.swarm.actions, world.swarm.pause_us)
        world.swarm.actions, world.swarm.pause_us = ACTIONS, PAUSE_US
        for client in world.clients:
            client.go_on()
        world.schedule.after(world.chance("expiry").randint(0, KILL_MS_MAX) * 1_000, self._kill)

    def _kill(self) -> None:
        nodes = self._world.shards()
        if nodes and self._world.chance("expiry").random() < 0.7:
            self._killed_ms = self.now_ms
            self._world.chance("expiry").choice(nodes).die(-9)

    @property
    def is_over(self) -> bool:
        return self.began_ms > 0 and self.now_ms - self.began_ms >= AFTERWARDS_MS

    def end(self) -> None:
        """Nobody asks any more."""
        self._world.swarm.actions, self._world.swarm.pause_us = self._before
        for client in self._world.clients:
            client.busy = False

    def check(self) -> None:
        """Whatever must be gone is gone, with its key, its history and its values."""
        world = self._world
        for node in world.shards():
            assert node.shard is not None
            for number, store in node.shard.core.disk.stores.items():
                for run_id in world.auditor.runs_of(number):
                    book = world.auditor.runs[run_id]
                    if store.seq_of(run_id) is None and _is_named(book, store):
                        raise book.fail("is gone, but its key still names it")
                    if run_id in self.named or not self._must_be_gone(book):
                        continue
                    left = [store.ended(run_id), store.blobs(run_id), store.history(run_id), store.snapshot(run_id)]
                    if any(left):
                        raise book.fail(f"ended at {_ended_ms(book)}, it is {self.now_ms}, its store still has {left}")
                    world.auditor.count("runs_expired")

    def forgotten(self, run_id: str, what: str) -> None:
        """Somebody was told that there is no such run."""
        if not self.may_be_gone(run_id):
            raise Violation(f"{what} of {run_id}, which is kept still, is answered with unknown_run")
        self._world.auditor.count("asked_of_expired")


def _ended_ms(book: RunBook) -> int:
    """When the last commit of an ended run was made: that of its end."""
    return book.chunks[-1][0]


def _is_named(book: RunBook, store: PartitionStore) -> bool:
    """Whether the run's key still names it."""
    started = book.started
    found = store.key(started.namespace, started.workflow, started.key) if started.key else None
    return found is not None and found[0] == book.id
