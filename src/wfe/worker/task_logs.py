"""Lines that tasks print and log, on their way from user code to the shard that keeps their runs.

`LineBuffer.tap` hears each line of wfe's log, on any thread; `LogSender` is the loop's: it sends what waits with
each tick, and before results, so that lines are there when their run ends. Invariants: a task that says nothing pays
nothing; what waits is bounded per attempt and in all, the oldest lines of an attempt go first and are counted; a shard
that is away costs memory up to that bound, never time; every line has passed the masker.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from wfe.limits import FRAME_MESSAGES_MAX, LOG_ATTEMPT_BYTES, LOG_LINE_CHARS_MAX, LOG_SEND_BYTES, LOG_WORKER_BYTES
from wfe.model.ids import PARTITION_OF_PREFIX
from wfe.wire.task_logs import LogBatch, LogFrame, LogLine
from wfe.worker.job import CURRENT
from wfe.worker.link import LinkState, ShardLink

_encode = msgspec.msgpack.Encoder().encode
_OWN = frozenset(
    ("time", "level", "logger", "event", "run", "node", "attempt", "process", "index", "trace_id", "exception")
)
"""Fields of a line that are told apart from its text."""
_LINES_MAX = 10_000
"""Of a batch."""
_GATHER_S = 0.1
"""A child gathers lines for so long, so that not each one is a message."""
_Attempt = tuple[str, str, int, int]


class _Waiting:
    """Lines of one attempt: encoded, one or several together, with their number."""

    __slots__ = ("dropped", "lines", "size")

    def __init__(self) -> None:
        self.lines: deque[tuple[bytes, int]] = deque()
        self.size = self.dropped = 0


class LineBuffer:
    """What waits to be sent. ``mask`` is applied to each line."""

    def __init__(self, mask: Callable[[str], str] | None = None) -> None:
        self._mask = mask
        self._lock = threading.Lock()
        self._attempts: dict[_Attempt, _Waiting] = {}
        self._size = 0
        self.waiting = False
        """There is something to send."""

    def tap(self, event: Mapping[str, Any]) -> None:
        """A line of the log; counts when an attempt says it."""
        job = CURRENT.get()
        if job is None:
            return
        text = _text_of(event)
        if self._mask is not None:
            text = self._mask(text)
        if len(text) > LOG_LINE_CHARS_MAX:
            text = f"{text[:LOG_LINE_CHARS_MAX]} [{len(text) - LOG_LINE_CHARS_MAX} more characters]"
        line = LogLine(
            time.time_ns() // 1_000_000, str(event.get("level", "info")), text, str(event.get("logger", "")),
            str(event.get("trace_id", "")),
        )  # fmt: skip
        spec = job.spec
        self._add((spec.run_id, spec.node_id, spec.activation, spec.attempt), _encoded(line), 1, 0)

    def put(self, batch: LogBatch) -> None:
        """Lines that another process of this worker has said."""
        key = (batch.run_id, batch.node, batch.activation, batch.attempt)
        self._add(key, _data_of(batch), batch.count, batch.dropped)

    def put_back(self, batches: list[LogBatch]) -> None:
        """Batches that were taken, and did not arrive: they wait in front again."""
        for batch in reversed(batches):
            key = (batch.run_id, batch.node, batch.activation, batch.attempt)
            self._add(key, _data_of(batch), batch.count, batch.dropped, front=True)

    def take(self, budget_bytes: int, may_leave: Callable[[str], bool]) -> list[LogBatch]:
        """Lines of about so many bytes at most, of runs that ``may_leave``; whoever waited longest comes first."""
        batches: list[LogBatch] = []
        with self._lock:
            for key in list(self._attempts):
                if budget_bytes <= 0 or len(batches) >= FRAME_MESSAGES_MAX:
                    break
                if not may_leave(key[0]):
                    continue
                held = self._attempts.pop(key)
                batch, size = _batch(key, held, budget_bytes)
                budget_bytes -= size
                self._size -= size
                batches.append(batch)
                if held.lines:
                    self._attempts[key] = held
            self.waiting = bool(self._attempts)
        return batches

    def _add(self, key: _Attempt, data: bytes, count: int, dropped: int, *, front: bool = False) -> None:
        size = len(data)
        with self._lock:
            held = self._attempts.get(key)
            if held is None:
                held = self._attempts[key] = _Waiting()
            held.dropped += dropped
            if front:
                held.lines.appendleft((data, count))
            else:
                held.lines.append((data, count))
            held.size += size
            self._size += size
            while held.lines and (held.size > LOG_ATTEMPT_BYTES or self._size > LOG_WORKER_BYTES):
                oldest, number = held.lines.popleft()
                held.size -= len(oldest)
                self._size -= len(oldest)
                held.dropped += number
            self.waiting = True


class LogSender:
    """Sends what waits to the shards of its runs: about LOG_SEND_BYTES per tick, and what attempts said before their
    results, which may run up a debt of LOG_WORKER_BYTES.

    What a shard has not acknowledged is sent again to the process that comes after it; one that lives has got it.
    """

    def __init__(self, lines: LineBuffer) -> None:
        self._lines = lines
        self._budget = LOG_ATTEMPT_BYTES
        self._seq = 0
        self._sent: dict[int, deque[tuple[int, int, list[LogBatch]]]] = {}
        """By shard: (epoch, number, batches) of frames that are not acknowledged."""
        self._sent_bytes = 0

    def on_tick(self, links: Mapping[int, ShardLink]) -> None:
        self._budget = min(self._budget + LOG_SEND_BYTES, LOG_ATTEMPT_BYTES)
        if self._sent:
            self._recover(links)
        if self._lines.waiting:
            self._send(links, self._budget)

    def before_results(self, links: Mapping[int, ShardLink]) -> None:
        """What ended attempts have said comes before their ends."""
        self._send(links, self._budget + LOG_WORKER_BYTES)

    def acknowledged(self, shard: int, seq: int) -> None:
        """Everything up to this number is in a store, or counted as dropped."""
        sent = self._sent.get(shard)
        while sent and sent[0][1] <= seq:
            self._forget(shard)

    def _forget(self, shard: int) -> list[LogBatch]:
        sent = self._sent[shard]
        batches = sent.popleft()[2]
        self._sent_bytes -= sum(len(batch.lines) for batch in batches)
        if not sent:
            del self._sent[shard]
        return batches

    def _recover(self, links: Mapping[int, ShardLink]) -> None:
        """What went to processes that are gone waits again, in front of what was said later."""
        for shard in list(self._sent):
            link = links.get(shard)
            lost: list[LogBatch] = []
            while shard in self._sent and (link is None or link.endpoint.epoch != self._sent[shard][0][0]):
                lost += self._forget(shard)
            self._lines.put_back(lost)

    def _send(self, links: Mapping[int, ShardLink], budget: int) -> None:
        up = {shard: link for shard, link in links.items() if link.state is LinkState.OPEN}
        if budget <= 0 or not up:
            return
        owners: dict[str, int] = {}

        def may_leave(run_id: str) -> bool:
            partition = PARTITION_OF_PREFIX.get(run_id[:2])
            owner = next((shard for shard, link in up.items() if partition in link.endpoint.partitions), None)
            if owner is not None:
                owners[run_id] = owner
            return owner is not None

        frames: dict[int, list[LogBatch]] = {}
        for batch in self._lines.take(budget, may_leave):
            self._budget -= len(batch.lines)
            frames.setdefault(owners[batch.run_id], []).append(batch)
        for shard, batches in frames.items():
            self._seq += 1
            up[shard].tell_lines(LogFrame(self._seq, batches))
            sent = self._sent.setdefault(shard, deque())
            sent.append((up[shard].endpoint.epoch, self._seq, batches))
            self._sent_bytes += sum(len(batch.lines) for batch in batches)
        while self._sent_bytes > LOG_WORKER_BYTES:
            self._forget(next(iter(self._sent)))


class LinePipe:
    """The child process of a task hands its lines to its worker: a while after they were said, together."""

    def __init__(self, lines: LineBuffer, send: Callable[[list[LogBatch]], object]) -> None:
        self._lines, self._send = lines, send
        self._said = threading.Event()
        self._sending = threading.Lock()
        threading.Thread(target=self._serve, name="wfe-lines", daemon=True).start()

    def tap(self, event: Mapping[str, Any]) -> None:
        """See `LineBuffer.tap`."""
        self._lines.tap(event)
        if self._lines.waiting and not self._said.is_set():
            self._said.set()

    def flush(self) -> None:
        """Everything that was said until now is on its way when this returns."""
        with self._sending:
            while self._lines.waiting:
                self._send(self._lines.take(LOG_ATTEMPT_BYTES, lambda _: True))

    def _serve(self) -> None:
        gather = threading.Event()
        while self._said.wait():
            gather.wait(_GATHER_S)
            self._said.clear()
            self.flush()


def _text_of(event: Mapping[str, Any]) -> str:
    """The line as people read it: what was said, further fields, the traceback."""
    parts = [str(event.get("event", "")), *(f"{key}={value!r}" for key, value in event.items() if key not in _OWN)]
    text = " ".join(parts)
    return f"{text}\n{event['exception']}" if event.get("exception") else text


def _encoded(line: LogLine) -> bytes:
    try:
        return _encode(line)
    except UnicodeEncodeError:  # surrogates, as paths may have them
        line.text = line.text.encode("utf-8", "backslashreplace").decode()
        line.logger = line.logger.encode("utf-8", "backslashreplace").decode()
        return _encode(line)


def _batch(key: _Attempt, held: _Waiting, budget_bytes: int) -> tuple[LogBatch, int]:
    taken: list[bytes] = []
    count = size = 0
    while held.lines and (not taken or size < budget_bytes) and count < _LINES_MAX:
        data, number = held.lines.popleft()
        taken.append(data)
        count, size = count + number, size + len(data)
    held.size -= size
    dropped, held.dropped = held.dropped, 0
    return LogBatch(*key, count, Raw(_header(count) + b"".join(taken)), dropped), size


def _data_of(batch: LogBatch) -> bytes:
    """The lines of a batch without the header of their array."""
    lines = bytes(batch.lines)
    return lines[1 if lines[0] < 0xDC else 3 :]


def _header(count: int) -> bytes:
    """Of a msgpack array."""
    if count < 16:
        return bytes((0x90 | count,))
    return b"\xdc" + count.to_bytes(2, "big")
