"""Live runs of a partition against a definition that is not theirs: could it carry them? See `core.study.carry`.

Nothing is changed, and no run is brought into memory: those that are not there are read off the loop. A page is bounded
by work, so that a large definition and many runs do not hold up what else the shard does.
"""

from __future__ import annotations

from collections.abc import Collection
from heapq import nsmallest
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from wfe.core.canonical import decode, definition_hash
from wfe.core.compile import compile_plan
from wfe.core.plan import Plan
from wfe.errors import DataCorrupt, DefinitionError
from wfe.journal.schema import OpenRow
from wfe.journal.store import PartitionStore
from wfe.limits import LIST_LIMIT_MAX
from wfe.model.malformed import MALFORMED
from wfe.model.state import ENDED, RunState
from wfe.observe import get_logger
from wfe.partition.entry import decode_state
from wfe.partition.partition import Partition
from wfe.partition.views import shown_status
from wfe.shard.core import ShardCore
from wfe.shard.loading import Loader
from wfe.wire.definitions import CarryPage, CarryQuery, CarryVerdict, Obstacle
from wfe.wire.frames import Header, Kind

if TYPE_CHECKING:
    from wfe.core.study.carry import Carrier

_log = get_logger("shard")
NODES_PER_PAGE = 20_000
CARRIERS_MAX = 8


class _Stored(NamedTuple):
    """An open run as its store has it; ``body``: its definition, unless that is compiled."""

    row: OpenRow
    snapshot: bytes
    blobs: dict[bytes, bytes]
    body: bytes | None


class Carrying:
    """Handlers by kind, see `Requests`."""

    def __init__(self, core: ShardCore, loader: Loader) -> None:
        self._core, self._loader = core, loader
        self._carriers: dict[str, Carrier] = {}

    def kinds(self) -> dict[int, tuple[Any, Any]]:
        """For the table of `Requests`."""
        return {Kind.CARRY: (msgspec.msgpack.Decoder(CarryQuery).decode, self._carry)}

    def _carry(self, client: bytes, header: Header, partition: Partition, query: CarryQuery, now_ms: int) -> None:
        carrier = self._carrier(query)
        limit = max(1, min(query.limit, LIST_LIMIT_MAX, NODES_PER_PAGE // carrier.plan.stride))
        store = self._core.disk.stores[partition.number]
        # As in `Requests._list`: memory first, and memory wins.
        hidden = frozenset(partition.entries)
        known = frozenset(self._loader.definitions)
        asked = (i for i, entry in partition.entries.items() if i > query.after and _concerns(query, entry.run))
        held = nsmallest(limit + 1, asked)
        last = held[-1] if len(held) > limit else ""

        def merge(stored: list[_Stored], later_ms: int) -> None:
            apart = {each.row.run_id: each for each in stored}
            ids = [run_id for run_id in sorted([*held, *apart]) if not last or run_id <= last]
            verdicts: list[CarryVerdict] = []
            for place, run_id in enumerate(ids):
                if len(verdicts) == limit:
                    self._core.answer(client, header.request, CarryPage(verdicts, True, ids[place - 1]))
                    return
                found = apart.get(run_id)
                verdict = (
                    self._of_memory(carrier, partition, query, run_id) if found is None else self._of(carrier, found)
                )
                if verdict is not None:
                    verdicts.append(verdict)
            self._core.answer(client, header.request, CarryPage(verdicts, bool(last), last))

        # One more than fits: so a page that is not full is the last one.
        self._loader.read(lambda: _read(store, query, hidden, known, limit + 1), merge, partition)

    def _carrier(self, query: CarryQuery) -> Carrier:
        """The definition that is asked about, compiled. DefinitionError."""
        found = self._carriers.get(query.hash)
        if found is None:
            # Here, for a shard that starts is waited for: these take an eighth of its start, and are rarely asked for.
            from wfe.core.study.carry import Carrier
            from wfe.core.validate import validate

            try:
                definition = decode(query.definition)
            except MALFORMED as error:
                raise DefinitionError([f"the definition does not decode: {error}"]) from error
            wrong = [f"{definition.workflow}: {each}" for each in validate(definition) if each.severity == "error"]
            if wrong:
                raise DefinitionError(wrong)
            if definition_hash(definition) != query.hash:
                raise DefinitionError([f"{definition.workflow}: its hash is not {query.hash}"])
            try:
                found = Carrier(compile_plan(definition, query.hash))
            except Exception as error:  # another wfe may have validated it: only the question fails
                _log.exception("a definition does not compile", definition=query.hash)
                raise DefinitionError([f"{definition.workflow}: does not compile: {error}"]) from error
            self._carriers[query.hash] = found
            while len(self._carriers) > CARRIERS_MAX:
                del self._carriers[next(iter(self._carriers))]
        return found

    def _of_memory(self, carrier: Carrier, partition: Partition, query: CarryQuery, run_id: str) -> CarryVerdict | None:
        entry = partition.entries.get(run_id)
        if entry is None or not _concerns(query, entry.run):
            return None
        return _verdict(carrier, entry.run, entry.plan, shown_status(entry.run, entry.leases))

    def _of(self, carrier: Carrier, stored: _Stored) -> CarryVerdict:
        digest = stored.row.definition
        if digest not in self._loader.definitions:
            if stored.body is None:
                raise DataCorrupt("the definition of a run is not in its store", f"definitions/{digest}")
            try:
                self._loader.compile(digest, stored.body)
            except DataCorrupt:
                raise
            except Exception as error:  # noqa: BLE001  as in `_verdict`: a question must not stop the shard
                _log.exception("the definition of a run does not compile", definition=digest)
                reason = f"its own definition does not compile here ({type(error).__name__}): see the log"
                row = stored.row
                return CarryVerdict(row.run_id, row.version, row.status, row.key, [Obstacle("", reason)])
        run = decode_state(stored.snapshot, stored.blobs)
        return _verdict(carrier, run, self._loader.definitions[digest].plan, stored.row.status)


def _concerns(query: CarryQuery, run: RunState) -> bool:
    """Whether a run is a live one of the workflow's other versions."""
    return run.workflow == query.workflow and run.definition != query.hash and run.status not in ENDED


def _verdict(carrier: Carrier, run: RunState, plan: Plan, status: str) -> CarryVerdict:
    try:
        obstacles = [Obstacle(node, reason) for node, reason in carrier.reasons(run, plan)]
    except Exception as error:  # noqa: BLE001  a defect in a question must cost nobody more than its answer
        _log.exception("a run could not be judged", run=run.id)
        obstacles = [Obstacle("", f"a defect of wfe met the look at this run ({type(error).__name__}): see the log")]
    return CarryVerdict(run.id, run.version, status, run.key, obstacles)


def _read(
    store: PartitionStore, query: CarryQuery, hidden: Collection[str], known: Collection[str], limit: int
) -> list[_Stored]:
    """On the reader thread: the oldest open runs of the workflow's other versions that are not in memory."""
    found: list[_Stored] = []
    for row in store.open_runs(query.after):
        if row.run_id in hidden or row.workflow != query.workflow:
            continue
        if row.definition == query.hash:
            continue
        snapshot = store.snapshot(row.run_id)
        if snapshot is None:
            continue  # it ended meanwhile
        body = None if row.definition in known else store.definition(row.definition)
        found.append(_Stored(row, snapshot[1], store.blobs(row.run_id), body))
        if len(found) == limit:
            break
    return found
