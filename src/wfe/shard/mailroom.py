"""Mail between partitions: sent after its commit, taken in order, once, acknowledged after the receiver's commit.

While a backup is made, letters to other shards can be held back in their outboxes (`hold`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import partial

import msgspec
from msgspec import Raw

from wfe.core import decide
from wfe.core.turn import Turn
from wfe.limits import FRAME_BYTES_MAX, FRAME_MESSAGES_MAX, MIB, REQUEST_RESEND_MS
from wfe.model.event import MailTaken
from wfe.model.ids import partition_of
from wfe.model.mail import ChildControl, ChildEnded, ChildStart, ChildStarted, MailBody
from wfe.model.policy import ErrorInfo
from wfe.partition.entry import Entry
from wfe.partition.mailbox import accept_mail, settle_mail
from wfe.partition.partition import Partition
from wfe.shard.core import Found, ShardCore, encode
from wfe.shard.loading import Compiled, Loader, NameWanted
from wfe.shard.starts import Origin, Starts
from wfe.shard.turns import Turns
from wfe.wire.frames import Kind, header
from wfe.wire.messages import Mail, MailAck, StartOutcome, StartRun

_decode_body = msgspec.msgpack.Decoder(MailBody).decode
ALL_LETTERS = 1 << 63
_FRAME_BODIES_BYTES = FRAME_BYTES_MAX - MIB
Line = tuple[int, int]
"""(sender, receiver): letters of one line are taken in order."""


class Mailroom:
    def __init__(self, core: ShardCore, loader: Loader, turns: Turns, starts: Starts) -> None:
        self._core = core
        self._loader = loader
        self._turns = turns
        self._starts = starts
        self._lines: dict[Line, deque[Mail]] = {}
        self._busy: set[Line] = set()
        self._pumping: set[Line] = set()
        self._waiting: dict[Line, None] = {}
        """Lines whose head had to wait and is taken now: the others go on in this turn, by its time."""
        self._sent: dict[Line, int] = {}
        self._sent_ms = 0
        self._acks: dict[Line, int] = {}
        self.holding = False
        self._marks: dict[Line, int] | None = None
        """While mail is held: per line to another shard the last letter that may be sent."""

    # ---- sending ----------------------------------------------------------------------------------------------------

    def after_commit(self, now_ms: int) -> None:
        """Send new letters and acknowledgements of what is durable now."""
        for partition in self._core.partitions.values():
            if partition.new_mail:
                for receiver in sorted(partition.new_mail):
                    self._send(partition, receiver, self._sent.get((partition.number, receiver), 0))
                partition.new_mail.clear()
        if self.holding and self._marks is None:
            # Whatever is in an outbox by now may be on its way, sent by an earlier process of this shard, perhaps.
            self._marks = {line: letters[-1][0] for line, letters in self._outgoing() if letters}
        acks, self._acks = self._acks, {}
        for (sender, receiver), seq in acks.items():
            ack = MailAck(sender, receiver, seq)
            if sender in self._core.partitions:
                self._core.acks_in.append(ack)
            else:
                self._core.to_back.append([header(Kind.MAIL_ACK, sender), encode([ack])])

    def _send(self, partition: Partition, receiver: int, after: int) -> None:
        outbox = partition.record.outboxes[receiver]
        through = self._may_send(partition.number, receiver)
        letters = [
            Mail(partition.number, receiver, partition.epoch, seq, body)
            for seq, body in outbox.letters
            if after < seq <= through
        ]
        if not letters:
            return
        self._sent[partition.number, receiver] = letters[-1].seq
        if receiver in self._core.partitions:
            self._core.mail_in.extend(letters)
            return
        for page in _pages(letters):
            self._core.to_back.append([header(Kind.MAIL, receiver), encode(page)])

    def on_tick(self, now_ms: int) -> None:
        """Send again what was not acknowledged for a while."""
        waiting, self._waiting = self._waiting, {}
        for line in waiting:
            self._pump(line, now_ms)
        if now_ms - self._sent_ms < REQUEST_RESEND_MS:
            return
        self._sent_ms = now_ms
        for partition in self._core.partitions.values():
            for receiver, outbox in partition.record.outboxes.items():
                if outbox.letters:
                    self._send(partition, receiver, 0)

    def _may_send(self, sender: int, receiver: int) -> int:
        """The number of the last letter that may leave on a line."""
        if self._marks is None or receiver in self._core.partitions:
            return ALL_LETTERS
        return self._marks.get((sender, receiver), 0)

    def _outgoing(self) -> Iterator[tuple[Line, list[tuple[int, Raw]]]]:
        """The unacknowledged letters of every line to another shard."""
        for partition in self._core.partitions.values():
            for receiver, outbox in partition.record.outboxes.items():
                if receiver not in self._core.partitions:
                    yield (partition.number, receiver), outbox.letters

    def hold(self) -> None:
        """Letters to other shards that are made after the next commit stay in their outboxes; again: from then on."""
        self.release()
        self.holding = True

    @property
    def settled(self) -> bool:
        """While mail is held: every letter that may have been sent is settled. Ask right after a commit."""
        marks = self._marks
        if marks is None:
            return False
        return all(not letters or letters[0][0] > marks.get(line, 0) for line, letters in self._outgoing())

    def release(self) -> None:
        """What was held leaves after the next commit."""
        self.holding, self._marks = False, None
        for (sender, receiver), letters in self._outgoing():
            if letters:
                self._core.partitions[sender].new_mail.add(receiver)

    def on_ack(self, ack: MailAck) -> None:
        """The receiver holds letters up to a number: they leave the outbox."""
        partition = self._core.partitions.get(ack.sender)
        if partition is not None:
            event = settle_mail(partition.record, ack.receiver, ack.seq)
            if event is not None:
                partition.emit(event)

    # ---- receiving --------------------------------------------------------------------------------------------------

    def on_mail(self, letters: list[Mail], now_ms: int) -> None:
        """Letters arrive; a line whose head has to wait for something to be loaded keeps the others waiting."""
        for letter in letters:
            if letter.receiver not in self._core.partitions:
                continue
            line = (letter.sender, letter.receiver)
            self._lines.setdefault(line, deque()).append(letter)
            if line not in self._busy:
                self._pump(line, now_ms)

    def _pump(self, line: Line, now_ms: int) -> None:
        queue = self._lines.get(line)
        self._pumping.add(line)
        while queue and line not in self._busy:
            letter = queue.popleft()
            partition = self._core.partitions[letter.receiver]
            verdict = accept_mail(partition.record, letter.sender, letter.seq)
            if verdict is None:
                continue  # a gap: the sender sends again, in order
            if not verdict:
                self._acks[line] = partition.record.taken[letter.sender]
                continue
            self._busy.add(line)
            self._take(partition, letter, now_ms)
        self._pumping.discard(line)
        if not queue:
            self._lines.pop(line, None)

    def _taken(self, partition: Partition, letter: Mail) -> None:
        """The letter's effect is in this batch, and so is its watermark."""
        line = (letter.sender, letter.receiver)
        partition.emit(MailTaken(letter.sender, letter.seq))
        self._core.counters["mail_taken"] += 1
        self._acks[line] = letter.seq
        self._busy.discard(line)
        if line not in self._pumping and self._lines.get(line):
            self._waiting[line] = None

    def _take(self, partition: Partition, letter: Mail, now_ms: int) -> None:
        body = _decode_body(letter.body)
        if isinstance(body, ChildStart):
            wanted = NameWanted(body.workflow, body.version, "")
            self._loader.definition(wanted, partial(self._start, partition, letter, body), now_ms)
        else:
            self._loader.run(partition, body.run_id, partial(self._deliver, partition, letter, body), now_ms)

    def _deliver(
        self,
        partition: Partition,
        letter: Mail,
        body: ChildEnded | ChildStarted | ChildControl,
        found: Found,
        now_ms: int,
    ) -> None:
        if isinstance(found, Entry) and not found.ended:
            self._turns.run(found, now_ms, lambda turn: _tell(turn, letter, body))
        self._taken(partition, letter)

    def _start(self, partition: Partition, letter: Mail, body: ChildStart, found: Compiled | None, now_ms: int) -> None:
        if found is None:
            named = f"{body.workflow}@{body.version}" if body.version else body.workflow
            self._impossible(partition, body, "UnknownWorkflow", f"no workflow {named!r} is registered")
            self._taken(partition, letter)
            return

        def told(outcome: StartOutcome) -> None:
            if outcome.error is not None:
                self._impossible(partition, body, outcome.error.code, outcome.error.message)
            elif body.detached:
                place = (body.parent, body.parent_node, body.parent_act)
                partition.post(partition_of(body.parent), ChildStarted(*place, body.run_id, outcome.run_id))
            self._taken(partition, letter)

        parent = "" if body.detached else body.parent
        origin = Origin(b"", body.principal, parent, body.parent_node, body.parent_act, body.depth, by_mail=True)
        start = StartRun(
            body.run_id, Raw(bytes(body.input)), body.key, body.priority,
            resent=True, namespace=body.namespace, named=True,
        )  # fmt: skip
        self._starts.start(partition, found, start, origin, told, now_ms)

    def _impossible(self, partition: Partition, body: ChildStart, kind: str, message: str) -> None:
        """Mail is never refused: the answer says that it could not be done."""
        error = ErrorInfo(_type_name(kind), message, types=(_type_name(kind),))
        ended = ChildEnded(body.parent, body.parent_node, body.parent_act, body.run_id, "failed", error=error)
        partition.post(partition_of(body.parent), ended)


def _tell(turn: Turn, letter: Mail, body: ChildEnded | ChildStarted | ChildControl) -> None:
    """What a letter says to a run."""
    if isinstance(body, ChildControl):
        decide.control(turn, body.action, f"mail-{letter.sender}-{letter.seq}")
        return
    key = body.act * turn.plan.stride + body.node
    if isinstance(body, ChildStarted):
        decide.child_started(turn, key, body.child, body.started)
    else:
        decide.child_ended(turn, key, body.child, body.status, body.output, body.error)


def _pages(letters: list[Mail]) -> list[list[Mail]]:
    """Letters in frames of bounded count and size: one that is too large would cost the shard its connection."""
    pages: list[list[Mail]] = []
    page: list[Mail] = []
    size = 0
    for letter in letters:
        size += len(letter.body)
        if page and (len(page) >= FRAME_MESSAGES_MAX or size > _FRAME_BODIES_BYTES):
            pages.append(page)
            page, size = [], len(letter.body)
        page.append(letter)
    pages.append(page)
    return pages


def _type_name(code: str) -> str:
    """An error code as the name of its type, as authors write it in `catch`."""
    return "".join(part.capitalize() for part in code.split("_")) if "_" in code or code.islower() else code
