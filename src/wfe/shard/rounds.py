"""Requests that need a run's whole history: retry, skip, fork, and its state at an event.

The history is read off the loop, then the command is decided like any other. A retried run that had left memory comes
back with all its chunks, so that its next checkpoint makes it an open run again (`Entry.reopened`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec

from wfe.core import decide, skips
from wfe.core import rounds as core_rounds
from wfe.core.plan import Plan
from wfe.core.turn import Turn
from wfe.errors import Busy, InvalidInput, UnknownRun, UnknownWorkflow, WfeError
from wfe.journal.store import PartitionStore
from wfe.limits import ROUND_EVENTS_MAX
from wfe.model.blob import expand
from wfe.model.event import RunEvent, RunStarted
from wfe.model.ids import is_run_id, partition_of
from wfe.model.state import ENDED, RUN_DEADLINE, RunState
from wfe.observe import get_logger
from wfe.partition.entry import Entry, decode_events, decode_state, reopened
from wfe.partition.partition import Partition
from wfe.partition.past import run_past
from wfe.shard.core import Found, ShardCore
from wfe.shard.loading import Compiled, Definition, Loader, NameWanted
from wfe.shard.turns import Turns
from wfe.wire.frames import Header, Kind
from wfe.wire.messages import StartOutcome
from wfe.wire.payload import decode_any
from wfe.wire.rounds import ForkRun, RetryRun, SkipNode, StateQuery

_log = get_logger("shard")
PAGE_CHUNKS = 1_000
EXPIRING_RETRY_S = 0.5
MOVING_RETRY_S = 0.05


class Past(NamedTuple):
    """A run with its history. ``spilled``: it has ended, and its store holds its history in rows of their own."""

    found: Found
    run: RunState
    plan: Plan
    chunks: list[tuple[int, bytes]]
    spilled: bool

    def events(self) -> tuple[list[RunEvent], list[int]]:
        """All events, and when each was committed. InvalidInput when there are too many to look at; Busy when some of
        them moved from memory into the store while that was read."""
        events: list[RunEvent] = []
        times: list[int] = []
        for first_seq, data in self.chunks:
            chunk = decode_events(data)
            skip = len(events) + 1 - first_seq
            if skip < 0:
                break
            events += chunk.events[skip:]
            times += [chunk.time_ms] * (len(chunk.events) - skip)
            if len(events) > ROUND_EVENTS_MAX:
                raise InvalidInput(f"a history of more than {ROUND_EVENTS_MAX} events is too long for that", "run_id")
        pending = len(self.found.events) if isinstance(self.found, Entry) else 0
        if len(events) != self.run.seq - pending:
            raise Busy(f"the history of run {self.run.id} is being written", retry_after_s=MOVING_RETRY_S)
        return events, times


Then = Callable[[Past, int], None]


encode_state = msgspec.msgpack.Encoder().encode


class Rounds:
    """Handlers by kind, see `Requests`."""

    def __init__(self, core: ShardCore, loader: Loader, turns: Turns) -> None:
        self._core, self._loader, self._turns = core, loader, turns

    def kinds(self) -> dict[int, tuple[Any, Any]]:
        """For the table of `Requests`."""
        return {
            Kind.RETRY: (msgspec.msgpack.Decoder(RetryRun).decode, self._retry),
            Kind.SKIP: (msgspec.msgpack.Decoder(SkipNode).decode, self._skip),
            Kind.FORK: (msgspec.msgpack.Decoder(ForkRun).decode, self._fork),
            Kind.STATE: (msgspec.msgpack.Decoder(StateQuery).decode, self._state),
        }

    # ---- a run with its past ----------------------------------------------------------------------------------------

    def _with_past(
        self, client: bytes, header: Header, partition: Partition, run_id: str, then: Then, now_ms: int
    ) -> None:
        if not is_run_id(run_id) or self._core.partition_for(run_id) is not partition:
            raise UnknownRun(f"{run_id!r} is no id of a run in partition {partition.number}")
        store = self._core.disk.stores[partition.number]
        pin = (partition.number, run_id)
        if pin in self._loader.leaving:
            raise Busy(f"run {run_id} has expired and is being removed", retry_after_s=EXPIRING_RETRY_S)
        # What is acknowledged here goes on from rows of the store: they must not expire in between.
        self._loader.pins[pin] += 1

        def with_run(found: Found, later_ms: int) -> None:
            if found is None:
                self._loader.unpin(pin)
                self._core.refuse(client, header.request, UnknownRun(f"no run {run_id} is kept"))
                return
            run = found.run if isinstance(found, Entry) else found
            compiled: Then2 = partial(with_plan, found, run)
            self._loader.definition(NameWanted("", 0, run.definition), compiled, later_ms, partition)

        def with_plan(found: Found, run: RunState, compiled: Definition, later_ms: int) -> None:
            if not isinstance(compiled, Compiled):
                self._loader.unpin(pin)
                unknown = UnknownWorkflow(f"definition {run.definition} is not registered")
                self._core.refuse(client, header.request, compiled or unknown)
                return
            read = partial(_history_of, store, run_id)
            self._loader.read(read, partial(with_history, found, run, compiled.plan), partition)

        def with_history(found: Found, run: RunState, plan: Plan, read: _Read, later_ms: int) -> None:
            self._loader.unpin(pin)  # from here on it is in memory, or nothing came of it
            # What the run did since the question was asked counts: memory is newer than what was read.
            entry = partition.entries.get(run_id)
            if entry is not None:
                found, run = entry, entry.run
            fresh = list(entry.chunks) if entry is not None else []
            chunks = sorted({**dict(read.chunks), **dict(fresh)}.items())
            try:
                if entry is None and isinstance(found, Entry):
                    raise Busy(f"run {run_id} is leaving memory at this moment", retry_after_s=MOVING_RETRY_S)
                then(Past(found, run, plan, chunks, read.spilled), later_ms)
            except WfeError as error:
                self._core.refuse(client, header.request, error)

        self._loader.run(partition, run_id, with_run, now_ms)

    # ---- requests ---------------------------------------------------------------------------------------------------

    def _retry(self, client: bytes, header: Header, partition: Partition, wanted: RetryRun, now_ms: int) -> None:
        def apply(past: Past, later_ms: int) -> None:
            if not _applied(past.run, wanted.command_id):
                self._again(partition, past, later_ms, wanted.command_id)
            self._core.answer(client, header.request, None)

        self._with_past(client, header, partition, wanted.run_id, apply, now_ms)

    def _skip(self, client: bytes, header: Header, partition: Partition, wanted: SkipNode, now_ms: int) -> None:
        decode_any(wanted.value)

        def apply(past: Past, later_ms: int) -> None:
            if _applied(past.run, wanted.command_id):
                self._core.answer(client, header.request, None)
                return
            act = wanted.activation if wanted.activation >= 0 else None
            value = wanted.value.copy()

            def skip(turn: Turn) -> None:
                skips.skip(turn, wanted.node, value, act, wanted.command_id)

            if past.run.status in ENDED:
                self._again(partition, past, later_ms, "", skip)
            else:
                assert isinstance(past.found, Entry)
                self._run(past.found, later_ms, skip)
            self._core.answer(client, header.request, None)

        self._with_past(client, header, partition, wanted.run_id, apply, now_ms)

    def _again(
        self,
        partition: Partition,
        past: Past,
        now_ms: int,
        command_id: str,
        then: Callable[[Turn], None] | None = None,
    ) -> None:
        """A new round of a failed run. What an ended run needs to be an open one again is there from then on."""
        entry = past.found
        if isinstance(entry, Entry) and entry.ended and (entry.events or not entry.dirty_at):
            # Its end is about to be committed, or to move into the store, which would hold another run than memory.
            raise Busy(f"run {past.run.id} is ending at this moment", retry_after_s=0.1)
        events, _ = past.events()

        def retry(turn: Turn) -> None:
            core_rounds.retry(turn, events, command_id)
            if then is not None:
                then(turn)

        if then is not None:
            # What is refused must leave the run as it was, and the retry alone would not: try it on a copy first.
            copy = decode_state(encode_state(past.run))
            self._try(Turn(copy, past.plan, now_ms, self._core.settings.partitions_total, self._core.random), retry)
        if isinstance(entry, Entry):
            self._run(entry, now_ms, retry)
            self._core.open_runs += 1  # if it has ended in the same turn, its end took it off before
            return
        entry = reopened(partition.number, past.run, past.plan, past.chunks, spilled=past.spilled)
        self._run(entry, now_ms, retry)
        partition.entries[past.run.id] = entry
        partition.recent.pop(past.run.id, None)
        self._core.live_runs += 1
        self._core.open_runs += 1

    def _try(self, turn: Turn, work: Callable[[Turn], None]) -> None:
        """Whether it would be refused."""
        try:
            work(turn)
        except WfeError:
            raise
        except Exception:  # noqa: BLE001  a defect: the turn itself will meet it, and is undone
            _log.exception("a defect of wfe was met by what was tried on a copy of a run", run_id=turn.run.id)

    def _fork(self, client: bytes, header: Header, partition: Partition, wanted: ForkRun, now_ms: int) -> None:
        if not is_run_id(wanted.new_run_id) or partition_of(wanted.new_run_id) != partition.number:
            raise InvalidInput(f"{wanted.new_run_id!r} is no id of a run in partition {partition.number}", "new_run_id")

        def known(found: Found, later_ms: int) -> None:
            if found is not None:
                self._core.answer(client, header.request, StartOutcome(wanted.new_run_id, False))
                return
            self._with_past(client, header, partition, wanted.run_id, apply, later_ms)

        def apply(past: Past, later_ms: int) -> None:
            here = (partition.entries, partition.recent, partition.evicted)
            if any(wanted.new_run_id in known for known in here):
                # The same request came again while the origin's history was read, and that one was first.
                self._core.answer(client, header.request, StartOutcome(wanted.new_run_id, False))
                return
            events, _ = past.events()
            point, at = core_rounds.fork_point(past.plan, events, node=wanted.node, event=wanted.event)
            for change in wanted.changes:
                core_rounds.set_value(past.plan, point.run, change.path, decode_any(change.value))
            self._begin_fork(partition, past, wanted, point, at, later_ms)
            self._core.answer(client, header.request, StartOutcome(wanted.new_run_id, True))

        self._loader.run(partition, wanted.new_run_id, known, now_ms)

    def _begin_fork(
        self, partition: Partition, past: Past, wanted: ForkRun, point: core_rounds.Point, at: int, now_ms: int
    ) -> None:
        run, plan = past.run, past.plan
        due_ms = now_ms + plan.timeout_ms if RUN_DEADLINE in point.run.timers else 0
        given = expand(point.run.input, point.run.blobs)
        event = RunStarted(
            wanted.new_run_id, run.workflow, run.version, run.definition, given, now_ms, run.namespace,
            priority=run.priority, tags={**run.tags, **wanted.tags}, principal=run.principal, due_ms=due_ms,
            depth=run.depth, trace=self._core.traces.context_of(wanted.new_run_id),
        )  # fmt: skip
        entry = Entry(partition.number, decide.start(plan, event), plan)

        def begin(turn: Turn) -> None:
            turn.events.append(event)
            core_rounds.fork(turn, point, run.id, at)

        self._loader.store_definition(partition, self._loader.definitions[plan.hash])
        # Its start stays whatever happens: a defect leaves a run that is set aside, not one that only the log knows.
        partition.entries[wanted.new_run_id] = entry
        self._core.live_runs += 1
        self._core.open_runs += 1
        self._core.counters["runs_started"] += 1
        self._core.tallies.run_started(run)
        self._run(entry, now_ms, begin)

    def _state(self, client: bytes, header: Header, partition: Partition, wanted: StateQuery, now_ms: int) -> None:
        def apply(past: Past, later_ms: int) -> None:
            events, times = past.events()
            at = wanted.event or len(events)
            if not 1 <= at <= len(events):
                raise InvalidInput(f"the run has events 1 to {len(events)}, not {at}", "event")
            point = core_rounds.point_after(past.plan, events[:at])
            self._core.answer(
                client, header.request, run_past(past.plan, point.run, at, times[at - 1], recorded=wanted.recorded)
            )

        self._with_past(client, header, partition, wanted.run_id, apply, now_ms)

    def _run(self, entry: Entry, now_ms: int, work: Callable[[Turn], None]) -> None:
        if not self._turns.run(entry, now_ms, work):
            raise WfeError(f"a defect of wfe met run {entry.run.id}: see the server's log")


class _Read(NamedTuple):
    chunks: list[tuple[int, bytes]]
    spilled: bool


Then2 = Callable[[Definition, int], None]


def _applied(run: RunState, command_id: str) -> bool:
    return any(known == command_id for known, _ in run.commands)


def _history_of(store: PartitionStore, run_id: str) -> _Read:
    """On the reader thread: everything that the store holds of a run's history."""
    chunks: list[tuple[int, bytes]] = []
    after = 0
    while page := store.history(run_id, after, PAGE_CHUNKS):
        chunks += page
        first, data = page[-1]
        after = first + len(decode_events(data).events) - 1
        if after > ROUND_EVENTS_MAX:
            break
    ended = store.ended(run_id)
    return _Read(chunks, ended is not None and ended.spilled)
