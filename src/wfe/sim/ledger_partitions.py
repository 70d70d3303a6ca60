"""The auditor's book of one partition: its mail, its keys, its locks. Part of `ledger`, whose rules hold."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Raw

from wfe.model import event as ev
from wfe.sim.node import Violation


class PartitionBook:
    """One partition's durable record: its mail and its keys. ``may_be_gone`` says it of runs that have expired."""

    def __init__(self, number: int, may_be_gone: Callable[[str], bool]) -> None:
        self.number = number
        self.may_be_gone = may_be_gone
        self.seq = 0
        self.epoch = 0
        self.sent: dict[int, int] = {}
        self.taken: dict[int, int] = {}
        self.settled: dict[int, int] = {}
        self.letters: dict[tuple[int, int], Raw] = {}
        self.keys: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.definitions: dict[str, bytes] = {}
        self.locks: dict[str, list[tuple[str, int, int]]] = {}
        """Locks that all runs share -> places of runs that want one; the first holds it."""

    def twin(self, may_be_gone: Callable[[str], bool] | None = None) -> PartitionBook:
        """A copy that goes on by itself, perhaps in another world."""
        other = PartitionBook(self.number, may_be_gone or self.may_be_gone)
        other.seq, other.epoch = self.seq, self.epoch
        other.sent, other.taken, other.settled = dict(self.sent), dict(self.taken), dict(self.settled)
        other.letters, other.keys = dict(self.letters), dict(self.keys)
        other.definitions = dict(self.definitions)
        other.locks = {name: list(queue) for name, queue in self.locks.items()}
        return other

    def book(self, first_seq: int, events: list[ev.PartitionEvent], others: dict[int, PartitionBook]) -> None:
        """A durable chunk."""
        if first_seq != self.seq + 1:
            raise Violation(f"partition {self.number}: events from {first_seq} on follow event {self.seq}")
        self.seq += len(events)
        for event in events:
            match event:
                case ev.MailSent(receiver, seq, body):
                    self._next(self.sent, receiver, seq, "sends")
                    self.letters[receiver, seq] = body
                case ev.MailTaken(sender, seq):
                    self._next(self.taken, sender, seq, "takes")
                    if seq > others[sender].sent.get(self.number, 0):
                        raise Violation(f"partition {self.number} takes letter {seq} that {sender} never sent durably")
                case ev.MailSettled(receiver, seq):
                    if seq > others[receiver].taken.get(self.number, 0):
                        raise Violation(f"partition {self.number} forgets letter {seq}, which {receiver} has not taken")
                    self.settled[receiver] = seq
                case ev.KeyBound(_, workflow, key, run_id, digest):
                    known = self.keys.get((workflow, key))
                    if known is not None and not self.may_be_gone(known[0]):
                        raise Violation(f"key {key} of {workflow} is bound twice: {known}, {run_id}")
                    self.keys[workflow, key] = (run_id, digest)
                case ev.DefinitionStored(digest_hex, _, body):
                    self.definitions[digest_hex] = body
                case ev.LockQueued(lock, run_id, node, act):
                    self.locks.setdefault(lock, []).append((run_id, node, act))
                case ev.LockLeft(lock, run_id, node, act):
                    self.locks[lock].remove((run_id, node, act))
                    if not self.locks[lock]:
                        del self.locks[lock]

    def _next(self, numbers: dict[int, int], peer: int, seq: int, what: str) -> None:
        if seq != numbers.get(peer, 0) + 1:
            raise Violation(f"partition {self.number} {what} letter {seq} of {peer} after {numbers.get(peer, 0)}")
        numbers[peer] = seq
