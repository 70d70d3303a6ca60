"""Mail between partitions: sent after its commit (`sending`), taken in order, once, acknowledged after the receiver's
commit.

The watermark of a line alone tells what was taken. A letter's epoch says which process of the sender's shard sent it;
nothing depends on that: a letter is durable before it leaves, so every later process sends the same one under its
number, and what an earlier process sent is as good.
"""

from __future__ import annotations

from collections import deque
from functools import partial

from msgspec import Raw

from wfe.core import decide
from wfe.errors import UnknownWorkflow, WfeError
from wfe.limits import MAIL_LETTERS_MAX
from wfe.model.event import MailTaken
from wfe.model.ids import partition_of
from wfe.model.mail import ChildControl, ChildEnded, ChildStart, ChildStarted, LockReleased, LockWanted
from wfe.model.policy import ErrorInfo
from wfe.observe import get_logger
from wfe.partition.entry import Entry
from wfe.partition.locks import on_lock_mail
from wfe.partition.mailbox import accept_mail, settle_mail
from wfe.partition.partition import Partition
from wfe.shard.core import Found, ShardCore, encode
from wfe.shard.letters import ToRun, Unreadable, command_of, read
from wfe.shard.loading import Compiled, Definition, Loader, NameWanted
from wfe.shard.sending import Line, Sending
from wfe.shard.starts import Origin, Starts
from wfe.shard.turns import Turns
from wfe.wire.frames import Kind, header
from wfe.wire.messages import Mail, MailAck, StartOutcome, StartRun

_log = get_logger("shard")


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

    def forget(self, number: int) -> None:
        """A partition leaves: letters to it are taken where it goes, its own are sent from there."""
        for lines in (self._lines, self._busy, self._waiting, self._acks):
            for line in [line for line in lines if line[1] == number]:
                del lines[line]
        self.sending.forget(number)

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
        try:
            body = read(letter)
        except Unreadable as error:
            self._step_over(partition, letter, error, now_ms)
            return
        if isinstance(body, ChildStart):
            wanted = NameWanted(body.workflow, body.version, "")
            self._loader.definition(wanted, partial(self._start, partition, letter, body), now_ms, partition)
        elif isinstance(body, (LockWanted, LockReleased)):
            on_lock_mail(partition, body)
            self._taken(partition, letter)
        else:
            self._load(partition, letter, body, now_ms)

    def _load(self, partition: Partition, letter: Mail, body: ToRun, now_ms: int) -> None:
        self._loader.run(partition, body.run_id, partial(self._deliver, partition, letter, body), now_ms)

    def _step_over(self, partition: Partition, letter: Mail, error: Unreadable, now_ms: int) -> None:
        """A letter that nobody can read must not block those behind it; whoever waits for it hears that it failed."""
        self._refused(letter, str(error))
        if error.instead is None:
            self._taken(partition, letter)
        elif error.start:
            partition.post(partition_of(error.instead.run_id), error.instead)
            self._taken(partition, letter)
        else:
            self._load(partition, letter, error.instead, now_ms)

    def _refused(self, letter: Mail, reason: str) -> None:
        self._core.counters["mail_refused"] += 1
        _log.error("a letter was stepped over", sender=letter.sender, receiver=letter.receiver, seq=letter.seq,
                   reason=reason)  # fmt: skip

    def _deliver(
        self,
        partition: Partition,
        letter: Mail,
        body: ToRun,
        found: Found,
        now_ms: int,
    ) -> None:
        if isinstance(found, Entry) and not found.ended:
            command = command_of(found, letter, body)
            deferred = None if body == ChildControl(body.run_id, "resume") else command
            try:
                self._turns.run(found, now_ms, partial(decide.apply, command=command), deferred)
            except WfeError as error:
                self._refused(letter, str(error))
        self._taken(partition, letter)

    def _start(self, partition: Partition, letter: Mail, body: ChildStart, found: Definition, now_ms: int) -> None:
        if not isinstance(found, Compiled):
            named = f"{body.workflow}@{body.version}" if body.version else body.workflow
            error = found or UnknownWorkflow(f"no workflow {named!r} is registered")
            self._impossible(partition, body, type(error).__name__, str(error))
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
            resent=True, namespace=body.namespace, named=True, trace=body.trace,
        )  # fmt: skip
        self._starts.start(partition, found, start, origin, told, now_ms)

    def _impossible(self, partition: Partition, body: ChildStart, kind: str, message: str) -> None:
        """Mail is never refused: the answer says that it could not be done."""
        error = ErrorInfo(_type_name(kind), message, types=(_type_name(kind),))
        ended = ChildEnded(body.parent, body.parent_node, body.parent_act, body.run_id, "failed", error=error)
        partition.post(partition_of(body.parent), ended)


def _type_name(code: str) -> str:
    """An error code as the name of its type, as authors write it in `catch`."""
    return "".join(part.capitalize() for part in code.split("_")) if "_" in code or code.islower() else code
