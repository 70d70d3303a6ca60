"""Clients' requests, each answered by REPLY or ERROR once whatever it changed is durable."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from msgspec import Raw

from wfe.core import decide
from wfe.core.plan import Plan
from wfe.errors import InvalidInput, PayloadTooLarge, ProtocolError, RunClosed, UnknownRun, UnknownWorkflow, WfeError
from wfe.limits import (
    FRAME_BYTES_MAX,
    FRAME_MESSAGES_REFUSED,
    KEY_CHARS_MAX,
    LIST_LIMIT_MAX,
    MIB,
    PAYLOAD_BYTES_MAX,
)
from wfe.model.command import Signal
from wfe.model.ids import is_run_id
from wfe.model.malformed import MALFORMED
from wfe.model.state import ENDED, RunState
from wfe.partition.entry import Entry, decode_events
from wfe.partition.partition import Partition
from wfe.partition.to_come import EntriesToCome
from wfe.partition.views import entry_view, history_events, run_view
from wfe.shard.askers import Askers
from wfe.shard.carrying import Carrying
from wfe.shard.core import Found, ShardCore
from wfe.shard.inbox import Inbox
from wfe.shard.listing import Listing
from wfe.shard.loading import Compiled, Definition, Loader, NameWanted
from wfe.shard.rounds import Rounds
from wfe.shard.starts import Origin, Starts
from wfe.shard.turns import Turns
from wfe.wire.frames import Header, Kind
from wfe.wire.messages import (
    ControlRun,
    FindRun,
    GetRun,
    HistoryEvent,
    HistoryPage,
    HistoryQuery,
    RunView,
    SignalRun,
    StartOutcome,
    StartRun,
)
from wfe.wire.payload import decode_any

_SEQ_MAX = (1 << 63) - 1
_PAGE_BYTES = FRAME_BYTES_MAX - MIB
_EVENT_BYTES = 300
"""What an event takes besides its data, generously."""
_OF_ALL_RUNS = frozenset((Kind.LIST, Kind.APPROVALS, Kind.AWAITERS, Kind.CARRY))
"""Questions about all runs of a partition."""
Handler = Callable[[bytes, Header, Partition, Any, int], None]


class Requests:
    """One method per kind; ``(client, header, partition, body, now_ms)``."""

    def __init__(self, core: ShardCore, loader: Loader, turns: Turns, starts: Starts) -> None:
        self._core, self._loader, self._turns, self._starts = core, loader, turns, starts
        self.followers: Askers[tuple[bytes, int], HistoryQuery] = Askers()
        """Who waits for further events of a run: clients and the numbers of their questions."""
        self.kinds: dict[int, tuple[Any, Handler]] = {
            Kind.START: (msgspec.msgpack.Decoder(list[StartRun]).decode, self._start),
            Kind.AWAIT: (msgspec.msgpack.Decoder(list[str]).decode, self._await),
            Kind.GET: (msgspec.msgpack.Decoder(GetRun).decode, self._get),
            Kind.FIND: (msgspec.msgpack.Decoder(FindRun).decode, self._find),
            Kind.HISTORY: (msgspec.msgpack.Decoder(HistoryQuery).decode, self._history),
            Kind.SIGNAL: (msgspec.msgpack.Decoder(SignalRun).decode, self._signal),
            Kind.CONTROL: (msgspec.msgpack.Decoder(ControlRun).decode, self._control),
            **Rounds(core, loader, turns).kinds(),
            **Inbox(core, loader).kinds(),
            **Listing(core, loader).kinds(),
            **Carrying(core, loader).kinds(),
        }

    def on_frame(self, client: bytes, header: Header, body: bytes, now_ms: int) -> None:
        """A client's frame, relayed by the coordinator."""
        core = self._core
        try:
            if header.kind not in self.kinds:
                raise ProtocolError(f"a shard takes no frame of kind {header.kind}")
            partition = core.owned(header.partition)
            decode, handler = self.kinds[header.kind]
            try:
                message = decode(body)
            except MALFORMED as error:
                raise ProtocolError(f"malformed body of {Kind(header.kind).name}: {error}") from error
            entries = partition.entries
            if header.kind in _OF_ALL_RUNS and isinstance(entries, EntriesToCome):
                # After a crash: the runs come into memory a slice per turn, and others are served between the slices.
                entries.when_whole(partial(self._handle, handler, client, header, partition, message))
            else:
                handler(client, header, partition, message, now_ms)
        except WfeError as error:
            core.refuse(client, header.request, error)

    def _handle(
        self, handler: Handler, client: bytes, header: Header, partition: Partition, message: Any, now_ms: int
    ) -> None:
        try:
            handler(client, header, partition, message, now_ms)
        except WfeError as error:
            self._core.refuse(client, header.request, error)

    # ---- starting and awaiting --------------------------------------------------------------------------------------

    def _start(self, client: bytes, header: Header, partition: Partition, starts: list[StartRun], now_ms: int) -> None:
        if len(starts) > FRAME_MESSAGES_REFUSED:
            raise ProtocolError(f"{len(starts)} starts in one frame")
        wanted = NameWanted("", 0, header.definition)

        def compiled(found: Definition, later_ms: int) -> None:
            if not isinstance(found, Compiled):
                unknown = UnknownWorkflow(f"definition {header.definition} of {header.workflow!r} is not registered")
                self._core.refuse(client, header.request, found or unknown)
                return
            self._start_all(client, header, partition, found, starts, later_ms)

        self._loader.definition(wanted, compiled, now_ms, partition)

    def _start_all(
        self, client: bytes, header: Header, partition: Partition, found: Compiled, starts: list[StartRun], now_ms: int
    ) -> None:
        outcomes: list[StartOutcome | None] = [None] * len(starts)
        missing = len(starts)
        origin = Origin(client, header.principal, version=header.version, refusal=header.refusal)

        def told_at(index: int) -> Callable[[StartOutcome], None]:
            def told(outcome: StartOutcome) -> None:
                nonlocal missing
                outcomes[index] = outcome
                missing -= 1
                if missing == 0:
                    self._core.answer(client, header.request, outcomes)

            return told

        if not starts:
            self._core.answer(client, header.request, [])
        for index, wanted in enumerate(starts):
            self._starts.start(partition, found, wanted, origin, told_at(index), now_ms)

    def _await(self, client: bytes, header: Header, partition: Partition, run_ids: list[str], now_ms: int) -> None:
        def watch(run_id: str) -> None:
            def then(found: Found, later_ms: int) -> None:
                if found is None:
                    self._core.refuse(client, header.request, UnknownRun(f"no run {run_id} is kept"))
                else:
                    self._starts.watch(found, client, later_ms)

            self._with_run(partition, run_id, then, now_ms)

        watchers = self._core.watchers
        for run_id in run_ids[:FRAME_MESSAGES_REFUSED]:
            if run_id in watchers:  # it has not ended, or they would have been told: it need not be loaded for that
                watchers.ask(run_id, client, None, now_ms)
            else:
                watch(run_id)

    def _with_run(self, partition: Partition, run_id: str, then: Callable[[Found, int], None], now_ms: int) -> None:
        if not is_run_id(run_id) or self._core.partition_for(run_id) is not partition:
            raise UnknownRun(f"{run_id!r} is no id of a run in partition {partition.number}")
        self._loader.run(partition, run_id, then, now_ms)

    # ---- reading ----------------------------------------------------------------------------------------------------

    def _get(self, client: bytes, header: Header, partition: Partition, query: GetRun, now_ms: int) -> None:
        self._with_run(partition, query.run_id, self._shower(client, header, query.run_id), now_ms)

    def _shower(self, client: bytes, header: Header, name: str) -> Callable[[Found, int], None]:
        def show(found: Found, later_ms: int) -> None:
            if found is None:
                self._core.refuse(client, header.request, UnknownRun(f"no run {name} is kept"))
            else:
                self._core.answer(client, header.request, _view(found))

        return show

    def _find(self, client: bytes, header: Header, partition: Partition, query: FindRun, now_ms: int) -> None:
        name = f"with key {query.key!r} of workflow {query.workflow!r}"

        def bound(found: tuple[str, bytes] | None, later_ms: int) -> None:
            if found is None:
                self._core.refuse(client, header.request, UnknownRun(f"no run {name} is kept"))
            else:
                self._loader.run(partition, found[0], self._shower(client, header, name), later_ms)

        self._loader.key(partition, query.namespace, query.workflow, query.key, bound, now_ms)

    def _history(self, client: bytes, header: Header, partition: Partition, query: HistoryQuery, now_ms: int) -> None:
        if not 0 <= query.after <= _SEQ_MAX:
            raise InvalidInput("events are numbered from 1 on", "after")

        def with_run(found: Found, later_ms: int) -> None:
            if found is None:
                self._core.refuse(client, header.request, UnknownRun(f"no run {query.run_id} is kept"))
                return
            run = found.run if isinstance(found, Entry) else found
            fresh = isinstance(found, Entry) and bool(found.events)  # they can be shown after this batch's commit
            if query.wait and (fresh or (run.seq <= query.after and run.status not in ENDED)):
                self.followers.ask(run.id, (client, header.request), query, later_ms)
                return
            plan = found.plan if isinstance(found, Entry) else None
            if plan is not None:
                self._send_history(client, header.request, partition, query, run, plan)
                return
            self._loader.definition(
                NameWanted("", 0, run.definition),
                lambda compiled, _: self._history_of_ended(client, header.request, partition, query, run, compiled),
                later_ms,
                partition,
            )

        self._with_run(partition, query.run_id, with_run, now_ms)

    def _history_of_ended(
        self,
        client: bytes,
        request: int,
        partition: Partition,
        query: HistoryQuery,
        run: RunState,
        found: Definition,
    ) -> None:
        if not isinstance(found, Compiled):
            unknown = UnknownWorkflow(f"definition {run.definition} is not registered")
            self._core.refuse(client, request, found or unknown)
        else:
            self._send_history(client, request, partition, query, run, found.plan)

    def _send_history(
        self, client: bytes, request: int, partition: Partition, query: HistoryQuery, run: RunState, plan: Plan
    ) -> None:
        entry = partition.entries.get(run.id)
        fresh = list(entry.chunks) if entry is not None else []
        store = self._core.disk.stores[partition.number]
        limit = max(1, min(query.limit, LIST_LIMIT_MAX))
        ended = run.status in ENDED and not (entry is not None and entry.events)

        def answer(chunks: list[tuple[int, bytes]], later_ms: int) -> None:
            if not chunks and not fresh and run.seq > query.after:  # it expired while its history was read
                self._core.refuse(client, request, UnknownRun(f"no run {run.id} is kept"))
                return
            events, more = _page_of(plan, sorted(dict([*chunks, *fresh]).items()), query.after, limit)
            complete = ended and not more and (not events or events[-1].seq >= run.seq)
            self._core.answer(client, request, HistoryPage(events, complete, more))

        if fresh and fresh[0][0] <= query.after + 1:
            answer([], 0)
        else:
            self._loader.read(lambda: store.history(run.id, query.after, limit), answer, partition)

    def followed(self, entries: list[Entry], now_ms: int) -> None:
        """Runs that have new events: answer those who wait for them."""
        if not self.followers:
            return
        for entry in entries:
            for (client, request), query in self.followers.take(entry.run.id):
                partition = self._core.partitions[entry.partition]
                self._send_history(client, request, partition, query, entry.run, entry.plan)

    # ---- commands ---------------------------------------------------------------------------------------------------

    def _signal(self, client: bytes, header: Header, partition: Partition, wanted: SignalRun, now_ms: int) -> None:
        if len(wanted.payload) > PAYLOAD_BYTES_MAX:
            raise PayloadTooLarge(f"a signal of {len(wanted.payload)} bytes is above the limit of {PAYLOAD_BYTES_MAX}")
        if not wanted.name or not wanted.event_id:
            raise InvalidInput("a signal has a name and an event id", "name")
        if len(wanted.correlation) > KEY_CHARS_MAX or "\x1f" in wanted.name + wanted.correlation:
            raise InvalidInput(f"a correlation is text of at most {KEY_CHARS_MAX} characters", "correlation")
        decode_any(wanted.payload)
        command = Signal(wanted.name, Raw(bytes(wanted.payload)), wanted.event_id, wanted.correlation)
        self._command(
            client,
            header,
            partition,
            wanted.run_id,
            lambda entry, later_ms: self._turns.apply(entry, later_ms, command),
            "it takes no more signals",
            wanted.event_id,
            now_ms,
        )

    def _control(self, client: bytes, header: Header, partition: Partition, wanted: ControlRun, now_ms: int) -> None:
        def apply(entry: Entry, later_ms: int) -> None:
            command = partial(
                decide.control, action=wanted.action, command_id=wanted.command_id, compensate=wanted.compensate
            )
            if not self._turns.run(entry, later_ms, command):
                raise WfeError(f"a defect of wfe met {wanted.action} of run {wanted.run_id}: see the server's log")

        late = f"{wanted.action} comes too late"
        self._command(client, header, partition, wanted.run_id, apply, late, wanted.command_id, now_ms, wanted.action)

    def _command(
        self,
        client: bytes,
        header: Header,
        partition: Partition,
        run_id: str,
        apply: Callable[[Entry, int], object],
        late: str,
        command: str,
        now_ms: int,
        action: str = "",
    ) -> None:
        def then(found: Found, later_ms: int) -> None:
            try:
                if found is None:
                    raise UnknownRun(f"no run {run_id} is kept")
                if isinstance(found, RunState):
                    repeated = any(known == command and not code for known, code in found.commands)
                    if repeated or (action == "cancel" and found.status == "cancelled"):
                        self._core.answer(client, header.request, None)
                        return
                    raise RunClosed(f"run {run_id} has ended as {found.status}: {late}")
                apply(found, later_ms)
            except WfeError as error:
                self._core.refuse(client, header.request, error)
                return
            self._core.answer(client, header.request, None)

        self._with_run(partition, run_id, then, now_ms)


def _page_of(plan: Plan, chunks: list[tuple[int, bytes]], after: int, limit: int) -> tuple[list[HistoryEvent], bool]:
    """The events above ``after`` that go into one frame, and whether there are more in these chunks."""
    events: list[HistoryEvent] = []
    size = 0
    for first_seq, data in chunks:
        for event in history_events(plan, first_seq, decode_events(data)):
            if event.seq <= after:
                continue
            size += len(event.data) + _EVENT_BYTES
            if len(events) >= limit or (events and size > _PAGE_BYTES):
                return events, True
            events.append(event)
            after = event.seq
    return events, False


def _view(found: Entry | RunState) -> RunView:
    return entry_view(found) if isinstance(found, Entry) else run_view(found, None, {})
