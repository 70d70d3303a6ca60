"""Loading: runs that are not in memory and definitions that are not compiled. The command waits, others pass.

Reads of the stores happen on a reader thread; definitions come from the coordinator. Each want is asked for once,
and every command that waits for it goes on in the order in which it came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from wfe.core.canonical import decode as decode_definition
from wfe.core.compile import compile_plan
from wfe.core.plan import Plan
from wfe.core.schemas import SchemaValidator, compile_schema, input_schema
from wfe.errors import DataCorrupt, DefinitionError
from wfe.journal.store import PartitionStore
from wfe.limits import REQUEST_RESEND_MS
from wfe.model.event import DefinitionStored
from wfe.observe import get_logger
from wfe.partition.entry import Entry, decode_state, rebuild
from wfe.partition.partition import Partition
from wfe.shard.core import Found, ShardCore, encode
from wfe.wire.frames import Kind, header
from wfe.wire.messages import Resolve, Resolved

_log = get_logger("shard")
Then = Callable[[Any, int], None]
"""``then(found, now_ms)``."""


class RunWanted(NamedTuple):
    partition: int
    run_id: str


class KeyWanted(NamedTuple):
    partition: int
    namespace: str
    workflow: str
    key: str


class Read(NamedTuple):
    """Any other read of a store; numbered so that equal ones stay apart."""

    number: int


class NameWanted(NamedTuple):
    """A definition by hash, or by name and version (0: current)."""

    workflow: str
    version: int
    hash: str


@dataclass(slots=True)
class Compiled:
    """A definition ready for use. ``version``: the one it was asked for by. ``validator``: of the run's input."""

    plan: Plan
    body: bytes
    version: int
    validator: SchemaValidator
    has_defaults: bool


Definition = Compiled | DefinitionError | None
"""What is asked for by name or hash; the error of one that does not compile; None: the server has none of that name."""


class _StoredRun(NamedTuple):
    ended: bool
    snapshot: bytes
    definition: str
    body: bytes | None
    blobs: dict[bytes, bytes]


class Loader:
    """Asks for what is missing and lets commands go on when it is there."""

    def __init__(self, core: ShardCore, installed: Callable[[Entry, int], None]) -> None:
        self._core = core
        self._installed = installed
        self._waiting: dict[Any, list[Then]] = {}
        self._begins: dict[Any, set[str]] = {}
        """What is looked up for starts -> hashes of the definitions that they would begin."""
        self._asked_ms: dict[NameWanted, int] = {}
        self._names: dict[tuple[str, int], str] = {}
        self.definitions: dict[str, Compiled] = {}
        self.pins: Counter[tuple[int, str]] = Counter()
        """Runs (partition, id) whose rows somebody is about to go on from: they stay."""
        self.leaving: frozenset[tuple[int, str]] = frozenset()
        """Runs whose rows are being removed from their store."""
        self._numbers = 0

    # ---- stores -----------------------------------------------------------------------------------------------------

    def run(self, partition: Partition, run_id: str, then: Then, now_ms: int, begins: str = "") -> None:
        """Go on with the run: at once when it is in memory, else when it was looked up (None: there is none).
        ``begins``: the hash of the definition of which a run begins if there is none.
        """
        entry = partition.entries.get(run_id)
        wanted = RunWanted(partition.number, run_id)
        if entry is not None and wanted not in self._waiting:
            then(entry, now_ms)
            return
        store = self._core.disk.stores[partition.number]
        known = frozenset(self.definitions)
        self._read(wanted, then, lambda: _read_run(store, run_id, known), begins)

    def is_wanted(self, partition: int, run_id: str) -> bool:
        """Whether commands wait for this run to be looked up, or are about to go on from what was found."""
        return RunWanted(partition, run_id) in self._waiting or (partition, run_id) in self.pins

    def unpin(self, run: tuple[int, str]) -> None:
        """One of those who pinned a run needs it no longer."""
        self.pins[run] -= 1
        if not self.pins[run]:
            del self.pins[run]

    def key(
        self,
        partition: Partition,
        namespace: str,
        workflow: str,
        key: str,
        then: Then,
        now_ms: int,
        begins: str = "",
    ) -> None:
        """Go on with ``(run id, input digest)`` that the key names, or None. ``begins``: see `run`."""
        name = (namespace, workflow, key)
        wanted = KeyWanted(partition.number, *name)
        if name in partition.keys and wanted not in self._waiting:
            then(partition.keys[name], now_ms)
            return
        store = self._core.disk.stores[partition.number]
        self._read(wanted, then, lambda: store.key(namespace, workflow, key), begins)

    def read(self, work: Callable[[], object], then: Then, partition: Partition | None = None) -> None:
        """Any other read of the stores, off the loop. Nobody goes on for a ``partition`` that has left meanwhile."""
        self._numbers += 1
        self._read(Read(self._numbers), then if partition is None else _while_here(partition, then), work)

    def forget(self, number: int) -> None:
        """A partition leaves: whoever waits for something of it asks its next owner."""
        for wanted in [w for w in self._waiting if isinstance(w, (RunWanted, KeyWanted)) and w.partition == number]:
            del self._waiting[wanted]
            self._begins.pop(wanted, None)
        for run in [run for run in self.pins if run[0] == number]:
            del self.pins[run]

    def _read(self, wanted: Any, then: Then, work: Callable[[], object], begins: str = "") -> None:
        if begins:
            self._begins.setdefault(wanted, set()).add(begins)
        waiting = self._waiting.get(wanted)
        if waiting is not None:
            waiting.append(then)
            return
        self._waiting[wanted] = [then]
        self._core.disk.reader.submit(work, wanted)

    def on_read(self, wanted: Any, result: Any, error: Exception | None, now_ms: int) -> None:
        """A read has ended. An error of the store stops the shard: it can't tell what it does not hold."""
        if error is not None:
            raise error
        if wanted not in self._waiting:
            return  # its partition has left
        if isinstance(wanted, RunWanted):
            result = self._install(wanted, result, now_ms)
        elif isinstance(wanted, KeyWanted):
            # A start that was decided meanwhile is newer than what the store said.
            name = (wanted.namespace, wanted.workflow, wanted.key)
            result = self._core.partitions[wanted.partition].keys.get(name, result)
        # Commands that ask again while these go on must queue behind them, so the list stays until it is empty.
        waiting = self._waiting[wanted]
        while waiting:
            then = waiting.pop(0)
            # What an earlier one of them has just created is newer than what was read.
            if isinstance(wanted, KeyWanted):
                name = (wanted.namespace, wanted.workflow, wanted.key)
                result = self._core.partitions[wanted.partition].keys.get(name, result)
            elif isinstance(wanted, RunWanted):
                result = self._core.partitions[wanted.partition].entries.get(wanted.run_id, result)
            then(result, now_ms)
        del self._waiting[wanted]
        self._begins.pop(wanted, None)

    def _install(self, wanted: RunWanted, stored: _StoredRun | None, now_ms: int) -> Found:
        partition = self._core.partitions[wanted.partition]
        entry = partition.entries.get(wanted.run_id)
        if entry is not None or stored is None:
            return entry
        if stored.ended:
            return decode_state(stored.snapshot, stored.blobs)
        if stored.definition not in self.definitions:
            if stored.body is None:
                raise DataCorrupt("the definition of a run is not in its store", f"definitions/{stored.definition}")
            self.compile(stored.definition, stored.body)
        plan = self.definitions[stored.definition].plan
        run = rebuild(plan, stored.snapshot, [], [], stored.blobs)
        run.workflow, run.definition = plan.definition.workflow, plan.hash  # one text for all runs of a definition
        entry = Entry(partition.number, run, plan, stored=True)
        partition.entries[wanted.run_id] = entry
        self._core.live_runs += 1
        self._installed(entry, now_ms)
        return entry

    # ---- definitions ------------------------------------------------------------------------------------------------

    def definition(self, wanted: NameWanted, then: Then, now_ms: int, partition: Partition | None = None) -> None:
        """Go on with the `Definition`. Nobody goes on for a ``partition`` that has left meanwhile."""
        if partition is not None:
            then = _while_here(partition, then)
        # A name without a version means the current one, which may have changed since: always ask.
        digest = wanted.hash or (self._names.get((wanted.workflow, wanted.version), "") if wanted.version else "")
        if digest in self.definitions:
            known = self.definitions[digest]
            then(replace(known, version=wanted.version) if wanted.version else known, now_ms)
            return
        waiting = self._waiting.get(wanted)
        if waiting is not None:
            waiting.append(then)
            return
        self._waiting[wanted] = [then]
        self._ask(wanted, now_ms)

    def _ask(self, wanted: NameWanted, now_ms: int) -> None:
        self._asked_ms[wanted] = now_ms
        question = Resolve(wanted.workflow, wanted.version, wanted.hash)
        self._core.to_back.append([header(Kind.RESOLVE), encode(question)])

    def on_resolved(self, answer: Resolved, now_ms: int) -> None:
        """The coordinator's answer."""
        wanted = NameWanted(answer.workflow, answer.version, answer.hash)
        if wanted not in self._waiting:
            return
        found = self._answered(answer) if answer.found_hash else None
        if isinstance(found, Compiled) and wanted.workflow:
            self._names[wanted.workflow, answer.found_version] = answer.found_hash
        self._asked_ms.pop(wanted, None)
        for then in self._waiting.pop(wanted):
            then(found, now_ms)

    def _answered(self, answer: Resolved) -> Compiled | DefinitionError:
        try:
            if answer.found_hash not in self.definitions:
                self.compile(answer.found_hash, answer.definition, answer.found_version)
        except Exception as error:  # noqa: BLE001  another wfe may have validated it: its runs alone must wait
            self._core.counters["definitions_refused"] += 1
            _log.exception("a definition does not compile", definition=answer.found_hash)
            return DefinitionError([f"definition {answer.found_hash} does not compile: {error}"])
        return replace(self.definitions[answer.found_hash], version=answer.found_version)

    def awaits(self, digest: str) -> bool:
        """Whether starts wait for this definition, or for something else before a run of it begins."""
        if any(digest in begun for begun in self._begins.values()):
            return True
        return any(isinstance(wanted, NameWanted) and wanted.hash == digest for wanted in self._waiting)

    def compile(self, digest: str, body: bytes, version: int = 0) -> Compiled:
        """Compile a definition and keep it."""
        definition = decode_definition(body)
        validator = compile_schema(input_schema(definition), definition.types)
        defaults = not definition.params or any("default" in schema for schema in definition.params.values())
        found = Compiled(compile_plan(definition, digest), body, version, validator, defaults)
        self.definitions[digest] = found
        return found

    def store_definition(self, partition: Partition, compiled: Compiled) -> None:
        """A partition keeps what its runs need, no later than the first run's commit, so that replay needs nobody."""
        plan = compiled.plan
        if plan.hash not in partition.stored_definitions:
            partition.emit(DefinitionStored(plan.hash, plan.definition.workflow, compiled.body))

    def on_tick(self, now_ms: int) -> None:
        """Ask again for definitions that were not answered (the coordinator may have restarted)."""
        for wanted, asked_ms in list(self._asked_ms.items()):
            if now_ms - asked_ms >= REQUEST_RESEND_MS:
                self._ask(wanted, now_ms)

    @property
    def waiting(self) -> int:
        """Wants that are not answered yet."""
        return len(self._waiting)


def _while_here(partition: Partition, then: Then) -> Then:
    def go_on(found: Any, now_ms: int) -> None:
        if not partition.gone:
            then(found, now_ms)

    return go_on


def _read_run(store: PartitionStore, run_id: str, known: frozenset[str]) -> _StoredRun | None:
    """On the reader thread: an open or ended run with its definition, unless that is known."""
    open_row = store.open_run(run_id)
    if open_row is not None:
        found = store.snapshot(run_id)
        if found is not None:
            body = None if open_row.definition in known else store.definition(open_row.definition)
            return _StoredRun(False, found[1], open_row.definition, body, store.blobs(run_id))
    ended = store.ended(run_id)
    if ended is None:
        return None
    return _StoredRun(True, ended.snapshot, ended.definition, None, store.blobs(run_id))
