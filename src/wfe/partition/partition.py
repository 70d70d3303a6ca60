"""One partition: its runs in memory, its own record, its keys and definitions, and the events of the current batch."""

from __future__ import annotations

from msgspec import Raw

from wfe.core.values import encode
from wfe.limits import RECENT_RUNS_MS
from wfe.model.event import DefinitionStored, KeyBound, MailSent, PartitionEvent
from wfe.model.mail import MailBody
from wfe.partition.entry import Entry
from wfe.partition.mailbox import Outbox, RecordState, evolve_record

KeyName = tuple[str, str, str]


class Partition:
    """``entries``: runs in memory. ``recent``: ids of ended runs that left memory lately, with when; ``evicted``: of
    open ones; ``asleep``: all runs that are not in memory and that some timer is to bring back.

    ``keys``: bindings that the store does not hold yet. ``stored_definitions``: hashes that the journal holds for
    this partition;
    ``new_definitions``, ``new_keys``: to be written by the next checkpoint.
    """

    def __init__(self, number: int, epoch: int, record: RecordState | None = None) -> None:
        self.number = number
        self.epoch = epoch
        self.record = record or RecordState()
        self.entries: dict[str, Entry] = {}
        self.recent: dict[str, int] = {}
        self.evicted: dict[str, int] = {}
        self.asleep: set[str] = set()
        self.keys: dict[KeyName, tuple[str, bytes]] = {}
        self.stored_definitions: set[str] = set()
        self.new_definitions: dict[str, bytes] = {}
        self.new_keys: dict[KeyName, tuple[str, bytes]] = {}
        self.events: list[PartitionEvent] = []
        self.dirty_at = 0
        self.new_mail: set[int] = set()
        """Receivers of mail in the current batch."""
        self.gone = False
        """It has left for another shard: nothing is decided for it here any more."""
        self.settled_ms = 0
        """From this time on ids of recently ended runs are complete (whoever takes it over knows none)."""
        self.written_bytes = 0
        """What its checkpoints have written."""
        self.bytes_per_s = 0
        """What they write of late."""

    def emit(self, event: PartitionEvent) -> None:
        """Record an event of the partition itself and book it."""
        self.events.append(event)
        self.book(event)

    def book(self, event: PartitionEvent) -> None:
        """Fold an event, live or in replay."""
        evolve_record(self.record, event)
        if isinstance(event, KeyBound):
            name = (event.namespace, event.workflow, event.key)
            self.keys[name] = self.new_keys[name] = (event.run_id, event.digest)
        elif isinstance(event, DefinitionStored):
            self.stored_definitions.add(event.hash)
            self.new_definitions[event.hash] = event.body

    def post(self, receiver: int, body: MailBody) -> None:
        """Put a letter into the outbox; it leaves after the commit."""
        outbox = self.record.outboxes.get(receiver)
        number = outbox.next if isinstance(outbox, Outbox) else 1
        self.emit(MailSent(receiver, number, Raw(encode(body))))
        self.new_mail.add(receiver)

    def remember_ended(self, run_id: str, now_ms: int) -> None:
        """An ended run leaves memory; a repeated start must still find it for a while."""
        self.recent[run_id] = now_ms

    def remember_evicted(self, run_id: str, now_ms: int) -> None:
        """An open run leaves memory; a repeated start must not take its id for a new one."""
        self.evicted.pop(run_id, None)  # the oldest stay in front
        self.evicted[run_id] = now_ms

    def forget_old(self, now_ms: int) -> None:
        """Drop runs whose repeated starts will be looked up in the store."""
        limit = now_ms - RECENT_RUNS_MS
        for left in (self.recent, self.evicted):
            old = []  # looked for in one pass: the front of a dict from which much was deleted takes time to find
            for run_id, since_ms in left.items():
                if since_ms > limit:
                    break
                old.append(run_id)
            for run_id in old:
                del left[run_id]
