"""The client's side of the protocol as a state machine: hello, requests and their answers, resends, watches.

Sans-IO: frames and the time (a millisecond clock that never steps) come in as arguments, frames leave through ``send``.
The simulator drives this class as it is. Invariants: every request is answered exactly once through its ``done``, by a
reply, a typed error, or its deadline; a request is sent again unchanged (starts say ``resent``), so whatever it does is
idempotent; nothing but HELLO leaves before the first WELCOME.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from wfe.client.questions import NEVER, Done, Request, StartRequest, pause_ms, resend_ms, served_by
from wfe.client.replies import decode_error, decode_outcomes, error_of, started_of, welcome_of
from wfe.client.start_queue import StartQueue
from wfe.client.starts import Spread, StartBatch, frames_of
from wfe.client.watches import Watch, Watches
from wfe.errors import Busy, ProtocolError, Unavailable, WfeError
from wfe.limits import REQUEST_RESEND_MS, REWATCH_MS_MAX
from wfe.model.ids import partition_of
from wfe.model.malformed import MALFORMED
from wfe.ports import Random
from wfe.wire.frames import PROTOCOL, Header, Kind, decode_header, encode_header, header
from wfe.wire.messages import Hello, StartOutcome, Welcome

HELLO_FIRST_MS = 5
HELLO_MAX_MS = 500
PROBE_MS = 1_000
"""While something is outstanding, HELLO is repeated: its answer shows restarted shards, its absence a lost server."""
SILENCE_MS = 3_000
"""No answer to probes for this long: the connection counts as lost."""
REWATCH_FIRST_MS = 5_000
AWAIT_FRAMES_PER_TICK = 100

_encode = msgspec.msgpack.Encoder().encode


class Session:
    """One client's conversation with one server. ``who``: its software, and a gateway's name (`Hello`).

    Unless ``fixed_token``, a refused token is asked for again: a server that starts may not have left its token yet.
    """

    def __init__(
        self,
        send: Callable[[list[bytes]], bool],
        random: Random,
        token: Callable[[], str],
        *,
        fixed_token: bool = True,
        who: tuple[str, str] = ("", ""),
        on_welcome: Callable[[], None] | None = None,
    ) -> None:
        self._send, self._bits, self._token, self._who = send, random.bits, token, who
        self._fixed_token, self._on_welcome = fixed_token, on_welcome
        self.welcome: Welcome | None = None
        self.connected = False
        self.failed: WfeError | None = None
        self.refused: WfeError | None = None
        """Why the last hello was refused, while it is said again."""
        self.due_ms = NEVER
        self.watches = Watches()
        self._clock_offset_ms = 0
        self._spread: Spread | None = None
        self._last_request = 0
        self._requests: dict[int, Request] = {}
        self._starts = StartQueue()
        self._hello_request = 0
        self._unanswered_since_ms = NEVER
        self._hello_due_ms = NEVER
        self._hello_delay_ms = HELLO_FIRST_MS
        self._rewatch_due_ms = NEVER
        self._rewatch_delay_ms = REWATCH_FIRST_MS

    # ---- what callers do ----

    def open(self, now_ms: int) -> None:
        """Says hello; go on calling `on_tick` at `due_ms`, and `on_frame`."""
        self._lost(now_ms)
        self.on_tick(now_ms)

    def reopened(self, now_ms: int) -> None:
        """The link was replaced by a fresh one: hello comes first again."""
        self.open(now_ms)

    def silent_ms(self, now_ms: int) -> int:
        """For how long the server has answered nothing, though it was asked."""
        return max(0, now_ms - self._unanswered_since_ms)

    def request(
        self,
        kind: Kind,
        body: bytes,
        done: Done,
        now_ms: int,
        *,
        partition: int = -1,
        timeout_ms: int | None = 30_000,
        patient: bool = True,
    ) -> int:
        """Asks, and asks again until there is an answer or the deadline. Not ``patient``: Unavailable is an answer."""
        number = self._number()
        request = Request(number, header(kind, partition, number), body, done, timeout_ms, patient)
        self._requests[number] = request
        self._transmit(request, now_ms)
        return number

    def forget(self, number: int) -> None:
        """Nobody waits for this answer any more."""
        self._requests.pop(number, None)

    def start(
        self,
        workflow: str,
        version: int,
        batch: StartBatch,
        now_ms: int,
        *,
        timeout_ms: int | None = 30_000,
    ) -> None:
        """Starts runs (their ids are minted here), after the first WELCOME. The batch's callbacks get the answers."""
        assert self._spread is not None, "starts need the server's number of partitions: wait for WELCOME"
        batch.moved_ms = now_ms
        self._spread.mint(workflow, batch.runs, now_ms + self._clock_offset_ms, self._bits)
        batch.watch_in(self.watches)
        for partition, indices in frames_of(batch.runs):
            number = self._number()
            head = encode_header(Header(PROTOCOL, int(Kind.START), partition, number, workflow, version))
            self._starts.add(StartRequest(number, partition, head, batch, indices, timeout_ms))
        self._pump_starts(now_ms)
        self._wake(self._starts.due_ms)

    def watch(self, run_id: str, now_ms: int) -> Watch:
        """The watch for a run's end; asks the server for it unless somebody here did already."""
        watch = self.watches.get(run_id)
        if self.watches.asking:
            self._wake(now_ms)
        return watch

    def close(self, error: WfeError) -> None:
        """Answers everything that is open with this error."""
        self.failed = self.failed or error
        requests, self._requests = [*self._requests.values(), *self._starts], {}
        self._starts.clear()
        for request in requests:
            self._answer(request, self.failed)
        self.due_ms = NEVER

    # ---- frames ----

    def on_frame(self, parts: list[bytes], now_ms: int) -> None:
        """One frame from the server. Frames that make no sense are ignored: resends and deadlines take care."""
        if len(parts) != 2 or self.failed is not None:
            return
        try:
            head = decode_header(parts[0])
            kind = head.kind
            if kind == Kind.OUTCOMES:
                outcomes = decode_outcomes(parts[1])
                self._unanswered_since_ms = NEVER
                self.watches.settle(outcomes)
            elif kind == Kind.REPLY:
                self._unanswered_since_ms = NEVER
                self._on_reply(head.request, parts[1], now_ms)
            elif kind == Kind.WELCOME:
                self._on_welcomed(welcome_of(parts[1]), now_ms)
            elif kind == Kind.ERROR:
                self._on_error(head, error_of(decode_error(parts[1])), parts[1], now_ms)
        except ProtocolError as error:
            if not self.connected:
                self.close(error)
        except MALFORMED:
            return

    def _on_reply(self, number: int, body: bytes, now_ms: int) -> None:
        request = self._requests.get(number)
        if isinstance(request, StartRequest):
            outcomes = started_of(body)  # before the request is taken: to a malformed answer it stays open
            del self._requests[number]
            if self._on_started(request, outcomes, now_ms):
                self._starts.ended(request)
            self._pump_starts(now_ms)
        elif request is not None:
            del self._requests[number]
            request.done(body, None)

    def _on_started(self, request: StartRequest, outcomes: list[StartOutcome], now_ms: int) -> bool:
        """Books the answers. False: some of the runs are to be tried again."""
        if len(outcomes) != len(request.indices):
            self._answer(request, ProtocolError(f"{len(outcomes)} answers to {len(request.indices)} starts"))
            return True
        again, retry_after_ms = request.book(outcomes, self.watches)
        if self.watches.asking:
            self._wake(now_ms)
        some = len(again) < len(request.indices)
        if some:
            self._starts.moved(request, now_ms)
        if not again:
            return True
        if request.is_overdue(now_ms):
            for index, error in again.items():
                request.batch.refused(index, error, self.watches)
            return True
        if some:
            request.narrow(self._number(), list(again))
        self._requests[request.id] = request
        self._put_off(request, again[request.indices[0]], retry_after_ms, now_ms)
        return False

    def _on_error(self, head: Header, error: WfeError, body: bytes, now_ms: int) -> None:
        number = head.request
        if not self.connected and number in (0, self._hello_request) and number not in self._requests:
            if error.code == "protocol" or (error.code == "unauthorized" and self._fixed_token):
                self.close(error)
            self.refused = error
            return
        self._unanswered_since_ms = NEVER
        if error.code == "unauthorized":
            if self.connected:
                self._lost(now_ms)
            return
        if (run_ids := self.watches.claim(number)) is not None:
            self._on_await_refused(run_ids, error, now_ms)
            return
        request = self._requests.get(number)
        if request is None:
            return
        if isinstance(error, Busy) or (isinstance(error, Unavailable) and request.patient):
            self._put_off(request, error, decode_error(body).retry_after_ms, now_ms)
            return
        self._finish(request, error, now_ms)

    def _on_await_refused(self, run_ids: list[str], error: WfeError, now_ms: int) -> None:
        if isinstance(error, (Busy, Unavailable)):
            self._rewatch_due_ms = min(self._rewatch_due_ms, now_ms + REQUEST_RESEND_MS)
            self._wake(self._rewatch_due_ms)
        elif len(run_ids) == 1:
            self.watches.fail(run_ids[0], error)
        else:
            for run_id in run_ids:
                self._send_await(partition_of(run_id), [run_id])

    # ---- hello ----

    def _on_welcomed(self, welcome: Welcome, now_ms: int) -> None:
        known, self.welcome = self.welcome, welcome
        self._unanswered_since_ms = NEVER
        self._clock_offset_ms = welcome.time_ms - now_ms
        if self._spread is None or self._spread.partitions != welcome.partitions:
            self._spread = Spread(welcome.partitions, self._bits(16))
            self._starts.share_among(welcome.partitions)
        fresh = not self.connected or known is None or known.server != welcome.server
        self.connected, self.refused = True, None
        self._hello_delay_ms = HELLO_FIRST_MS
        self._hello_due_ms = now_ms + PROBE_MS
        came = served_by(welcome) - (served_by(known) if known else set())
        for request in list(self._requests.values()) if fresh or came else ():
            self._transmit(request, now_ms)
        if came and not fresh and all(partition >= 0 for *_, partition in came):  # partitions moved, no shard started
            self.watches.ask_all(self._ids_under_way(), {partition for *_, partition in came})
        elif fresh or came:
            self._rewatch_delay_ms = REWATCH_FIRST_MS
            self._rewatch_due_ms = now_ms if known is not None else now_ms + REWATCH_FIRST_MS
        self._pump_starts(now_ms)
        self._wake(now_ms)
        if fresh and self._on_welcome is not None:
            self._on_welcome()

    def _lost(self, now_ms: int) -> None:
        self.connected = False
        self._hello_delay_ms = HELLO_FIRST_MS
        self._hello_due_ms = now_ms
        self._wake(now_ms)

    def _say_hello(self, now_ms: int) -> None:
        self._hello_request = self._number()
        self._unanswered_since_ms = min(self._unanswered_since_ms, now_ms)
        hello = Hello(self._token(), "client", *self._who)
        self._send([header(Kind.HELLO, -1, self._hello_request), _encode(hello)])
        if self.connected:
            self._hello_due_ms = now_ms + PROBE_MS
        else:
            self._hello_due_ms = now_ms + self._hello_delay_ms
            self._hello_delay_ms = min(self._hello_delay_ms * 2, HELLO_MAX_MS)

    # ---- time ----

    def on_tick(self, now_ms: int) -> None:
        """Does what is due: hello, resends, deadlines, watches; sets `due_ms` anew."""
        if now_ms < self.due_ms or self.failed is not None:
            return
        busy = bool(self._requests or self._starts or len(self.watches))
        if self._hello_due_ms <= now_ms and (busy or not self.connected):
            if self.connected and self.silent_ms(now_ms) > SILENCE_MS:
                self._lost(now_ms)
            self._say_hello(now_ms)
        for start in self._starts.overdue(now_ms):  # first, for each of the others lets one of those that wait leave
            self._give_up(start, now_ms)
        for request in [r for r in self._requests.values() if r.due_ms <= now_ms or r.deadline_ms <= now_ms]:
            if request.is_overdue(now_ms):
                self._give_up(request, now_ms)
            elif request.due_ms <= now_ms:
                self._transmit(request, now_ms)
        self._pump_starts(now_ms)
        if self.connected:
            self._ask_for_ends(now_ms)
        self._set_due(busy)

    def _set_due(self, busy: bool) -> None:
        due = min(self._starts.due_ms, self._hello_due_ms if busy or not self.connected else NEVER)
        for request in self._requests.values():
            due = min(due, request.due_ms, request.deadline_ms)
        if self.connected and len(self.watches):
            due = 0 if self.watches.asking else min(due, self._rewatch_due_ms)
        self.due_ms = due

    def _wake(self, at_ms: int) -> None:
        self.due_ms = min(self.due_ms, at_ms)

    def _ask_for_ends(self, now_ms: int) -> None:
        if self._rewatch_due_ms <= now_ms:
            self.watches.ask_all(self._ids_under_way())
            self._rewatch_delay_ms = min(self._rewatch_delay_ms * 2, REWATCH_MS_MAX)
            self._rewatch_due_ms = now_ms + self._rewatch_delay_ms
        for partition, run_ids in self.watches.take(AWAIT_FRAMES_PER_TICK):
            self._send_await(partition, run_ids)

    def _ids_under_way(self) -> frozenset[str]:
        starts = [request for request in self._requests.values() if isinstance(request, StartRequest)]
        return frozenset(r.batch.runs[index].run_id for r in (*starts, *self._starts) for index in r.indices)

    def _send_await(self, partition: int, run_ids: list[str]) -> None:
        number = self._number()
        if self._send([header(Kind.AWAIT, partition, number), _encode(run_ids)]):
            self.watches.sent(number, run_ids)
        else:
            self._rewatch_due_ms = min(self._rewatch_due_ms, self._hello_due_ms)

    # ---- sending ----

    def _number(self) -> int:
        self._last_request += 1
        return self._last_request

    def _pump_starts(self, now_ms: int) -> None:
        for request in self._starts.take() if self.connected and self._starts else ():
            self._requests[request.id] = request
            self._transmit(request, now_ms)

    def _transmit(self, request: Request, now_ms: int) -> None:
        if request.deadline_ms == NEVER and request.timeout_ms is not None:
            request.deadline_ms = now_ms + request.timeout_ms
        if self.connected:
            request.attempt += 1
            self._send([request.head, request.encoded()])
            request.due_ms = now_ms + self._jittered(resend_ms(request.attempt))
        else:
            request.due_ms = NEVER
        self._wake(min(request.due_ms, request.deadline_ms))
        if len(self._requests) == 1:
            self._wake(max(now_ms, self._hello_due_ms))

    def _put_off(self, request: Request, error: WfeError, retry_after_ms: int, now_ms: int) -> None:
        request.last_error = error
        request.answers += 1
        request.due_ms = now_ms + self._jittered(pause_ms(retry_after_ms, request.attempt))
        self._wake(min(request.due_ms, request.deadline_ms))

    def _jittered(self, delay_ms: int) -> int:
        """Between 75 % and 125 %, so that clients that were put off together do not come back together."""
        return delay_ms * (768 + self._bits(9)) // 1024

    def _give_up(self, request: Request, now_ms: int) -> None:
        """Its time is over; with a bulk start all that waits of its batch."""
        late = [request]
        if isinstance(request, StartRequest) and request.batch.bulk:
            late += self._starts.withdraw(request.batch)
        for each in late:
            self._finish(each, each.given_up(self.refused, self.connected), now_ms)

    def _finish(self, request: Request, error: WfeError, now_ms: int) -> None:
        known = self._requests.pop(request.id, None) is not None
        self._answer(request, error)
        if known and isinstance(request, StartRequest):
            self._starts.ended(request)
            self._pump_starts(now_ms)

    def _answer(self, request: Request, error: WfeError) -> None:
        if isinstance(request, StartRequest):
            for index in request.indices:
                request.batch.refused(index, error, self.watches)
        else:
            request.done(None, error)
