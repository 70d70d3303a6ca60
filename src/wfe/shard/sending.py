"""Letters leave: after their commit, a window at a time, and again when nothing is heard of them for ever longer.

Each line (sender, receiver) has at most `MAIL_LETTERS_MAX` letters and about `MAIL_BYTES_MAX` bytes on the way; what is
beyond them waits in the outbox for acknowledgements. A receiver that comes back is sent everything at once. While a
backup is made, letters to other shards can be held back in their outboxes (`hold`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from msgspec import Raw

from wfe.limits import (
    FRAME_BYTES_MAX,
    FRAME_MESSAGES_MAX,
    MAIL_BYTES_MAX,
    MAIL_LETTERS_MAX,
    MAIL_RESEND_MAX_MS,
    MIB,
    REQUEST_RESEND_MS,
)
from wfe.partition.partition import Partition
from wfe.shard.core import ShardCore, encode
from wfe.wire.frames import Kind, header
from wfe.wire.messages import Mail

ALL_LETTERS = 1 << 63
_FRAME_BODIES_BYTES = FRAME_BYTES_MAX - MIB
_LOOK_MS = REQUEST_RESEND_MS // 4
Line = tuple[int, int]
"""(sender, receiver): letters of one line are taken in order."""


@dataclass(slots=True)
class Way:
    """A line with letters on the way: up to which number they were sent, and when to send them again."""

    sent: int = 0
    resend_at_ms: int = 0
    wait_ms: int = REQUEST_RESEND_MS


class Sending:
    def __init__(self, core: ShardCore) -> None:
        self._core = core
        self._ways: dict[Line, Way] = {}
        """Lines that have letters on the way."""
        self._looked_ms: int | None = None
        self.holding = False
        self._marks: dict[Line, int] | None = None
        """While mail is held: per line to another shard the last letter that may be sent."""

    def after_commit(self, now_ms: int) -> None:
        """Send what is durable now, as far as the windows reach."""
        for partition in self._core.partitions.values():
            if partition.new_mail:
                for receiver in sorted(partition.new_mail):
                    self._send(partition, receiver, now_ms)
                partition.new_mail.clear()
        if self.holding and self._marks is None:
            # Whatever is in an outbox by now may be on its way, sent by an earlier process of this shard, perhaps.
            self._marks = {line: letters[-1][0] for line, letters in self._outgoing() if letters}

    def on_tick(self, now_ms: int) -> None:
        """Send again what was not acknowledged for a while; at first everything, for nobody knows what arrived."""
        if self._looked_ms is None:
            for partition in self._core.partitions.values():
                partition.new_mail.update(r for r, box in partition.record.outboxes.items() if box.letters)
        elif now_ms - self._looked_ms < _LOOK_MS:
            return
        self._looked_ms = now_ms
        for line, way in self._ways.items():
            if now_ms >= way.resend_at_ms:
                way.wait_ms = min(2 * way.wait_ms, MAIL_RESEND_MAX_MS)
                self._again(line, way)
                self._core.counters["mail_resends"] += 1

    def settled_through(self, sender: int, receiver: int, now_ms: int) -> None:
        """The receiver holds what has just left the outbox: there is room for more."""
        partition = self._core.partitions[sender]
        letters = partition.record.outboxes[receiver].letters
        if not letters:
            self._ways.pop((sender, receiver), None)
            return
        way = self._ways.get((sender, receiver))
        if way is not None:
            way.wait_ms, way.resend_at_ms = REQUEST_RESEND_MS, now_ms + REQUEST_RESEND_MS
            if way.sent < letters[-1][0]:
                partition.new_mail.add(receiver)

    def serves(self, receivers: Iterable[int]) -> None:
        """A shard has come back: what it was sent may be lost, so it is sent again at once."""
        back = set(receivers)
        for line, way in self._ways.items():
            if line[1] in back:
                way.wait_ms = REQUEST_RESEND_MS
                self._again(line, way)

    def forget(self, number: int) -> None:
        """A partition leaves: its letters leave from elsewhere."""
        for line in [line for line in self._ways if line[0] == number]:
            del self._ways[line]

    def adopt(self, partition: Partition) -> None:
        """A partition comes: its letters are sent from here, and those to it stay within this shard."""
        partition.new_mail.update(r for r, box in partition.record.outboxes.items() if box.letters)
        self.serves([partition.number])

    def _again(self, line: Line, way: Way) -> None:
        way.sent = 0
        self._core.partitions[line[0]].new_mail.add(line[1])

    def _send(self, partition: Partition, receiver: int, now_ms: int) -> None:
        letters = partition.record.outboxes[receiver].letters
        if not letters:
            return
        line = (partition.number, receiver)
        way = self._ways.get(line)
        if way is None:
            way = self._ways[line] = Way(resend_at_ms=now_ms + REQUEST_RESEND_MS)
        if way.sent < letters[0][0]:  # nothing is on the way
            way.resend_at_ms = now_ms + way.wait_ms
        found = self._window(line, way.sent, letters)
        if not found:
            return
        way.sent = found[-1][0]
        mail = [Mail(partition.number, receiver, partition.epoch, seq, body) for seq, body in found]
        if receiver in self._core.partitions:
            self._core.mail_in.extend(mail)
            return
        for page in pages(mail):
            self._core.to_back.append([header(Kind.MAIL, receiver), encode(page)])

    def _window(self, line: Line, sent: int, letters: list[tuple[int, Raw]]) -> list[tuple[int, Raw]]:
        """The letters after ``sent`` that may leave now; numbers in an outbox have no gaps."""
        first = letters[0][0]
        begin = max(0, sent + 1 - first)
        stop = min(len(letters), MAIL_LETTERS_MAX, self._may_send(line) - first + 1)
        size = sum(len(body) for _, body in letters[:begin])
        for position in range(begin, stop):
            size += len(letters[position][1])
            if size > MAIL_BYTES_MAX and position:
                return letters[begin:position]
        return letters[begin:stop] if stop > begin else []

    # ---- held back --------------------------------------------------------------------------------------------------

    def _may_send(self, line: Line) -> int:
        """The number of the last letter that may leave on a line."""
        if self._marks is None or line[1] in self._core.partitions:
            return ALL_LETTERS
        return self._marks.get(line, 0)

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


def pages(letters: list[Mail]) -> list[list[Mail]]:
    """Letters in frames of bounded count and size: one that is too large would cost the shard its connection."""
    found: list[list[Mail]] = []
    page: list[Mail] = []
    size = 0
    for letter in letters:
        size += len(letter.body)
        if page and (len(page) >= FRAME_MESSAGES_MAX or size > _FRAME_BODIES_BYTES):
            found.append(page)
            page, size = [], len(letter.body)
        page.append(letter)
    found.append(page)
    return found
