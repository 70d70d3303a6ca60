"""Mail between partitions: sent after its commit (`sending`), taken in order, once, acknowledged after the receiver's
commit.

The watermark of a line alone tells what was taken. A letter's epoch says which process of the sender's shard sent it;
nothing depends on that: a letter is durable before it leaves, so every later process sends the same one under its
number, and what an earlier process sent is as good.
"""

from __future__ import annotations

from collections import deque
from functools import partial

import msgspec
from msgspec import Raw

from wfe.core import decide
from wfe.limits import MAIL_LETTERS_MAX
from wfe.model.command import ChildBegun, ChildOver, Command, Control
from wfe.model.event import MailTaken
from wfe.model.ids import partition_of
from wfe.model.mail import ChildControl, ChildEnded, ChildStart, ChildStarted, MailBody
from wfe.model.policy import ErrorInfo
from wfe.partition.entry import Entry
from wfe.partition.mailbox import accept_mail, settle_mail
from wfe.partition.partition import Partition
from wfe.shard.core import Found, ShardCore, encode
from wfe.shard.loading import Compiled, Loader, NameWanted
from wfe.shard.sending import Line, Sending
from wfe.shard.starts import Origin, Starts
from wfe.shard.turns import Turns
from wfe.wire.frames import Kind, header
from wfe.wire.messages import Mail, MailAck, StartOutcome, StartRun

_decode_body = msgspec.msgpack.Decoder(MailBody).decode


class Mailroom:
    def __init__(self, core: ShardCore, loader: Loader, turns: Turns, starts: Starts) -> None:
        self._core = core
        self._loader = loader
        self._turns = turns
        self._starts = starts
        self.sending = Sending(core)
        self._lines: dict[Line, deque[Mail]] = {}
        self._busy: dict[Line, int] = {}
        """Lines whose letter of this number waits for something to be loaded."""
        self._pumping: set[Line] = set()
        self._waiting: dict[Line, None] = {}
        """Lines whose head had to wait and is taken now: the others go on in this turn, by its time."""
        self._acks: dict[Line, int] = {}

    # ---- the shard's turns ------------------------------------------------------------------------------------------

    def after_commit(self, now_ms: int) -> None:
        """Send new letters and acknowledgements of what is durable now."""
        self.sending.after_commit(now_ms)
        acks, self._acks = self._acks, {}
        for (sender, receiver), seq in acks.items():
            ack = MailAck(sender, receiver, seq)
            if sender in self._core.partitions:
                self._core.acks_in.append(ack)
            else:
                self._core.to_back.append([header(Kind.MAIL_ACK, sender), encode([ack])])

    def on_tick(self, now_ms: int) -> None:
        """Go on with what had to wait, and send again what was not acknowledged."""
        waiting, self._waiting = self._waiting, {}
        for line in waiting:
            self._pump(line, now_ms)
        self.sending.on_tick(now_ms)

    def on_ack(self, ack: MailAck, now_ms: int) -> None:
        """The receiver holds letters up to a number: they leave the outbox."""
        partition = self._core.partitions.get(ack.sender)
        if partition is not None:
            event = settle_mail(partition.record, ack.receiver, ack.seq)
            if event is not None:
                partition.emit(event)
                self.sending.settled_through(ack.sender, ack.receiver, now_ms)

    # ---- receiving --------------------------------------------------------------------------------------------------

    def on_mail(self, letters: list[Mail], now_ms: int) -> None:
        """Letters arrive; a line whose head has to wait for something to be loaded keeps the others waiting."""
        for letter in letters:
            if letter.receiver not in self._core.partitions:
                continue
            line = (letter.sender, letter.receiver)
            queue = self._lines.get(line)
            last = queue[-1].seq if queue else self._busy.get(line)
            if last is not None and (letter.seq != last + 1 or len(queue or ()) >= MAIL_LETTERS_MAX):
                continue  # it waits here already, or the sender sends again what is in between
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
            self._busy[line] = letter.seq
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
        self._busy.pop(line, None)
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
            command = _command(found, letter, body)
            deferred = None if body == ChildControl(body.run_id, "resume") else command
            self._turns.run(found, now_ms, partial(decide.apply, command=command), deferred)
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


def _command(entry: Entry, letter: Mail, body: ChildEnded | ChildStarted | ChildControl) -> Command:
    """What a letter says to a run."""
    if isinstance(body, ChildControl):
        return Control(body.action, f"mail-{letter.sender}-{letter.seq}")
    key = body.act * entry.plan.stride + body.node
    if isinstance(body, ChildStarted):
        return ChildBegun(key, body.child, body.started)
    return ChildOver(key, body.child, body.status, body.output, body.error)


def _type_name(code: str) -> str:
    """An error code as the name of its type, as authors write it in `catch`."""
    return "".join(part.capitalize() for part in code.split("_")) if "_" in code or code.islower() else code
