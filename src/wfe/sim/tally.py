"""Conservation and caps of one shard process, looked at after each of its turns (11, 15).

What its counters say equals what the auditor saw it commit, and nothing that is bounded grows beyond its bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wfe.limits import CREDIT_TASKS_MAX, MAIL_LETTERS_MAX
from wfe.model import event as ev
from wfe.model.durable import DONE
from wfe.model.event_durable import CallEnded
from wfe.model.event_kinds import CompensationDone
from wfe.sim.node import Violation

if TYPE_CHECKING:
    from wfe.sim.shards import ShardNode

COUNTED: dict[type, str] = {ev.RunStarted: "runs_started", ev.TaskDone: "tasks_done"}
TURNS_PER_LOOK = 16


class Tally:
    """What one process has committed, by the names of its counters."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {"runs_started": 0, "tasks_done": 0}
        for status in ("completed", "failed", "cancelled"):
            self.counts[f"runs_{status}"] = 0
        self._turns = 0

    def take(self, events: Sequence[ev.RunEvent]) -> None:
        """Events of a run that are durable now."""
        for event in events:
            name = COUNTED.get(type(event))
            if name is not None:
                self.counts[name] += 1
            elif isinstance(event, CallEnded):
                self.counts["tasks_done"] += event.status == DONE and event.attempt > 0
            elif isinstance(event, CompensationDone):
                self.counts["tasks_done"] += event.error is None
            elif isinstance(event, ev.RunEnded):
                self.counts[f"runs_{event.status}"] += 1

    def check(self, node: ShardNode) -> None:
        """After a turn, when all that was decided is durable."""
        assert node.shard is not None
        if node.shard.has_work:
            return
        core = node.shard.core
        for name, count in self.counts.items():
            if core.counters[name] != count:
                raise Violation(f"{node.name} counts {core.counters[name]} {name}, committed were {count}")
        self._turns += 1
        if self._turns % TURNS_PER_LOOK == 0:
            self._caps(node)

    def _caps(self, node: ShardNode) -> None:
        assert node.shard is not None
        if node.shard.recovery.tail.left:
            return  # a look at all runs would bring them into memory
        core, books = node.shard.core, node.world.auditor.partitions
        entries = sum(len(partition.entries) for partition in core.partitions.values())
        if core.live_runs != entries:
            raise Violation(f"{node.name} counts {core.live_runs} runs in memory, there are {entries}")
        # A worker lends the place of a task that has ended before its result leaves, with others; a double lends twice.
        most = CREDIT_TASKS_MAX * 2
        for link in node.shard.workers.links.values():
            if len(link.held) + link.credit_tasks > most:
                raise Violation(f"{node.name}: {link.worker} holds {len(link.held)}, and lends {link.credit_tasks}")
        for number, partition in core.partitions.items():
            for receiver, box in partition.record.outboxes.items():
                book = books[number]
                owed = book.sent.get(receiver, 0) - book.settled.get(receiver, 0)
                if len(box.letters) != owed:
                    raise Violation(f"partition {number} keeps {len(box.letters)} letters for {receiver}, owes {owed}")
        for (sender, receiver), way in node.shard.mailroom.sending._ways.items():
            first = core.partitions[sender].record.outboxes[receiver].letters[:1]
            if first and way.sent - first[0][0] >= MAIL_LETTERS_MAX:
                raise Violation(f"{node.name} has letters up to {way.sent} on the way, {first[0][0]} is unacknowledged")
