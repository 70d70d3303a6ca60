"""One shard as a worker sees it: what was said, what was lent, and the results that it has not committed yet.

A state machine without I/O: it is given a `send` and says what it wants sent. Invariants: a result is kept until the
shard acknowledged its frame; between a hello and its welcome nothing that arrives counts (it belongs to an earlier
conversation, with other numbers); credit, dispatch and result numbers start anew with every hello.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import TypeVar

import msgspec
from msgspec import Raw

from wfe.limits import FRAME_BYTES_MAX, FRAME_MESSAGES_MAX, HEARTBEAT_MS, LEASE_MS, MIB, PAYLOAD_BYTES_MAX
from wfe.model.durable import NEED_ALL
from wfe.wire.blobs import BlobWindow
from wfe.wire.frames import PROTOCOL, Header, Kind, encode_header, header
from wfe.wire.lending import Credit, Grants, ShardLoad, Want
from wfe.wire.messages import (
    Results,
    ShardEndpoint,
    TaskBeat,
    TaskResult,
    WorkerHeartbeat,
    WorkerHello,
)
from wfe.wire.task_logs import LogFrame
from wfe.worker.credit import Account, Order
from wfe.worker.identity import HELLO_RETRY_MAX_MS

BYTES_PER_FRAME = FRAME_BYTES_MAX - PAYLOAD_BYTES_MAX - MIB
"""A frame is full once its messages are that large; one more of full size still fits."""
ACK_PATIENCE_MS = LEASE_MS
"""Results that stay unacknowledged for this long are presented anew (the stall of a disk is shorter)."""
LOST_CREDIT_MS = 2 * HEARTBEAT_MS
"""A shard that says for this long that it has no credit, while the books say that it has, never got it."""
_ENVELOPE_BYTES = 200
_SMALL_BYTES = 4_096
"""Results without errors that are smaller make no frame too large."""
assert FRAME_MESSAGES_MAX * (_SMALL_BYTES + _ENVELOPE_BYTES) <= BYTES_PER_FRAME

encode = msgspec.msgpack.Encoder().encode
Send = Callable[[list[bytes]], bool]
M = TypeVar("M")


class LinkState(Enum):
    """DOWN: the shard is not serving. HELLO: a hello was sent, no welcome yet. OPEN: in conversation."""

    DOWN = "down"
    HELLO = "hello"
    OPEN = "open"


class ShardLink:
    """The conversation with one shard. The actor decides; this class keeps the books and writes the frames."""

    def __init__(self, endpoint: ShardEndpoint, send: Send, *, home: bool) -> None:
        self.endpoint = endpoint
        self.state = LinkState.DOWN
        self.home = home
        self.credit_tasks = 0
        self.credit_bytes = 0
        self.recalled = False
        self.ready = 0
        self.lent_at_ms = 0
        self.dispatch_seq = 0
        self.heard_ms = 0
        self.opened_ms: int | None = None
        """When a connection was opened; None: never."""
        self.beats: dict[tuple[str, int, int, int], TaskBeat] = {}
        self.blobs: BlobWindow[Raw] = BlobWindow()
        """Large values that came with its tasks: it does not send them again."""
        self._send = send
        self._hello_number = 0
        self._hello_at_ms = 0
        self._hello_wait_ms = HEARTBEAT_MS
        self._beat_at_ms = 0
        self._seq = self._grants_seq = self._unused_seq = 0
        self._unacked: deque[tuple[int, list[TaskResult]]] = deque()
        self._progress_ms = 0
        self._recalled_ms = 0
        self._dispatched_ms = 0
        self._lost_frame = False
        self._unsent = False

    # ---- conversation ----

    def hello(self, message: WorkerHello, now_ms: int) -> None:
        """Starts the conversation anew; what was lent is void, and unacknowledged results follow at once."""
        self._hello_number += 1
        self.state = LinkState.HELLO
        self.blobs.clear()
        self.credit_tasks = self.credit_bytes = self.dispatch_seq = self.ready = 0
        self._grants_seq = self._unused_seq = 0
        self.recalled = self._lost_frame = self._unsent = False
        self._hello_at_ms = self._progress_ms = now_ms
        head = encode_header(Header(PROTOCOL, int(Kind.WORKER_HELLO), request=self._hello_number))
        if not self._send([head, encode(message)]):
            self._unsent = True  # not connected yet: try at the next tick
        else:
            # What was refused for want of a coroutine is not held, so it is given out anew; said again, it could meet
            # the same attempt where it runs by now.
            results = [result for _, frame in self._unacked for result in frame if result.status != NEED_ALL]
            self._unacked.clear()
            self._seq = 0
            self.report(results, now_ms)

    def welcome(self, request: int, epoch: int, now_ms: int) -> bool:
        """The shard knows this worker. False: it answers an earlier hello, and so do the frames that follow."""
        if request not in (0, self._hello_number):
            return False
        self.state = LinkState.OPEN
        self.endpoint.epoch = epoch
        self.credit_tasks = self.credit_bytes = self.dispatch_seq = self.ready = 0
        self.recalled = False
        self._hello_wait_ms = HEARTBEAT_MS
        self._beat_at_ms = self.heard_ms = self._progress_ms = now_ms
        return True

    def hello_due(self, now_ms: int) -> bool:
        """Whether to say hello (again): no welcome came, the shard is silent, or a frame was lost. Backs off."""
        if self.state is LinkState.OPEN:
            if self._lost_frame or now_ms - self.heard_ms >= LEASE_MS:
                return True
            if self.recalled and now_ms - self._recalled_ms >= ACK_PATIENCE_MS:
                return True
            return bool(self._unacked) and now_ms - self._progress_ms >= ACK_PATIENCE_MS
        if self.state is LinkState.DOWN:
            return False
        if self._unsent:
            return True
        if now_ms - self._hello_at_ms < self._hello_wait_ms:
            return False
        self._hello_wait_ms = min(2 * self._hello_wait_ms, HELLO_RETRY_MAX_MS)
        return True

    def silent(self, now_ms: int) -> bool:
        """Whether nothing came for so long that a fresh connection is worth it."""
        return not self._unsent and now_ms - max(self.heard_ms, self.opened_ms or 0) >= LEASE_MS

    def down(self) -> None:
        """The shard does not serve. Results stay until it is back."""
        self.state = LinkState.DOWN
        self.credit_tasks = self.credit_bytes = self.ready = 0
        self.recalled = False

    def heartbeat(self, running: int, now_ms: int, *, force: bool = False) -> None:
        """Says that the worker is alive, once per HEARTBEAT_MS; ``force``: now, because of heartbeats of tasks."""
        if self.state is not LinkState.OPEN or not (force or now_ms - self._beat_at_ms >= HEARTBEAT_MS):
            return
        self._beat_at_ms = now_ms
        beats = list(self.beats.values())
        self.beats.clear()
        for frame in _split(beats, _beat_bytes) or [[]]:
            self._write(Kind.HEARTBEAT, WorkerHeartbeat(self.dispatch_seq, running, frame))

    def bye(self) -> None:
        self._write(Kind.BYE, None)
        self.state = LinkState.DOWN

    def tell_lines(self, frame: LogFrame) -> bool:
        """What tasks said. One that is lost on the way is lost: no hello follows."""
        return self._send([header(Kind.TASK_LOGS), encode(frame)])

    # ---- results ----

    def report(self, results: list[TaskResult], now_ms: int) -> None:
        """Sends results (once the conversation is on) and keeps them until they are acknowledged."""
        if not self._unacked:
            self._progress_ms = now_ms
        for frame in split_results(results):
            self._seq += 1
            self._unacked.append((self._seq, frame))
            if self.state is not LinkState.DOWN:
                self._write(Kind.RESULTS, Results(self._seq, frame))

    def acknowledged(self, seq: int, now_ms: int) -> None:
        """Everything up to this number is durable. What says nothing new is no progress: a result in front may be one
        that the shard waits in vain to hear of from another hello."""
        while self._unacked and self._unacked[0][0] <= seq:
            self._unacked.popleft()
            self._progress_ms = now_ms

    def take_results(self, which: Callable[[TaskResult], bool]) -> list[TaskResult]:
        """Gives away unacknowledged results that another shard is to hear of; the frames keep their numbers."""
        taken: list[TaskResult] = []
        for place, (seq, frame) in enumerate(self._unacked):
            if moved := [result for result in frame if which(result)]:
                taken += moved
                self._unacked[place] = (seq, [result for result in frame if not which(result)])
        return taken

    def unacknowledged(self) -> int:
        return sum(len(frame) for _, frame in self._unacked)

    # ---- credit ----

    def account(self) -> Account:
        closed = self.recalled or self.state is not LinkState.OPEN
        return Account(self.credit_tasks, self.credit_bytes, self.ready, closed, self.home, self.lent_at_ms)

    def dispatched(self, tasks: int, size_bytes: int, now_ms: int) -> None:
        """The shard used credit; the books never show less than none."""
        self._dispatched_ms = now_ms
        self.credit_tasks = max(0, self.credit_tasks - tasks)
        self.credit_bytes -= size_bytes  # a frame may overdraw it by one task's input

    def carry_out(self, order: Order, now_ms: int) -> None:
        """Lends or recalls."""
        if order.recall:
            self.recalled = self._write(Kind.RECALL, None)
            self._recalled_ms = now_ms
        elif (order.tasks or order.bytes) and self._write(Kind.CREDIT, Credit(order.tasks, order.bytes)):
            self.credit_tasks += order.tasks
            self.credit_bytes += order.bytes
            self.ready = max(0, self.ready - order.tasks)
            if order.tasks:
                self.lent_at_ms = now_ms

    def grant(self, tasks: list[Want]) -> None:
        """Says for how many tasks with which needs resources are set aside."""
        self._grants_seq += 1
        self._write(Kind.GRANT, Grants(self._grants_seq, tasks))

    def unused(self, grants: Grants) -> list[Want]:
        """What the shard gives back of that; nothing if this was told before."""
        if grants.seq <= self._unused_seq:
            return []
        self._unused_seq = grants.seq
        return grants.tasks

    def loaded(self, load: ShardLoad, now_ms: int) -> bool:
        """What the shard would like to give. False: a frame was lost on the way, so the books disagree."""
        self.ready = load.ready
        if load.dispatch_seq > self.dispatch_seq:
            return False
        has_credit = self.credit_tasks > 0 and self.credit_bytes > 0 and not self.recalled
        used_ms = max(self.lent_at_ms, self._dispatched_ms)
        return not (load.ready > 0 and has_credit and now_ms - used_ms >= LOST_CREDIT_MS)

    def returned(self) -> None:
        """The answer to a recall. Nothing was lent meanwhile, so nothing is left."""
        self.recalled = False
        self.credit_tasks = self.credit_bytes = 0

    def finish_presenting(self) -> None:
        """Credit ends what a hello began: only then does the shard give out what this worker did not name."""
        self._write(Kind.CREDIT, Credit(0, 0))

    def _write(self, kind: Kind, body: object) -> bool:
        parts = [header(kind), b"" if body is None else encode(body)]
        if self._send(parts):
            return True
        self._lost_frame = True
        return False


def split_results(results: list[TaskResult]) -> list[list[TaskResult]]:
    """Frames of at most FRAME_MESSAGES_MAX results whose bytes fit; mostly that is one."""
    if len(results) <= FRAME_MESSAGES_MAX and all(r.error is None and len(r.value) < _SMALL_BYTES for r in results):
        return [results] if results else []
    return _split(results, _result_bytes)


def _split(messages: list[M], size_of: Callable[[M], int]) -> list[list[M]]:
    frames: list[list[M]] = []
    frame: list[M] = []
    size = 0
    for message in messages:
        if frame and (len(frame) >= FRAME_MESSAGES_MAX or size >= BYTES_PER_FRAME):
            frames.append(frame)
            frame, size = [], 0
        frame.append(message)
        size += size_of(message)
    if frame:
        frames.append(frame)
    return frames


def _result_bytes(result: TaskResult) -> int:
    error = result.error
    text = 4 * (len(error.traceback) + len(error.message)) if error is not None else 0
    return len(result.value) + text + _ENVELOPE_BYTES


def _beat_bytes(beat: TaskBeat) -> int:
    return len(beat.details) + _ENVELOPE_BYTES
