"""The coordinator's catalogue over a `Store`: definitions, workflow names and versions, owners of partitions, epochs.

Each change is one commit. Names, versions and owners are also in memory, so only `definition` reads the store.

Invariants: a definition is never changed; a version, once given to a graph, keeps it (unless development mode replaces
it), even when it is deleted: number and hash stay; a tag names a version that is there; epochs only grow; the number of
partitions and the server's id are fixed when the catalogue is made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.msgpack import Decoder, Encoder
from msgspec.structs import replace as changed_row

from wfe.errors import DataError, DataFormat, DataFull, VersionConflict, WfeError
from wfe.journal import schema
from wfe.journal.schema import seal
from wfe.journal.tables import Tables
from wfe.limits import PARTITIONS_DEFAULT, PARTITIONS_MAX
from wfe.ports import Op, Snapshot, Store

SERVER_KEY: Final = b"server"
EPOCH_KEY: Final = b"epoch"
SHARDS_KEY: Final = b"shards"


class ServerRow(Struct, array_like=True):
    """What is fixed when a data directory is made."""

    format: int
    partitions: int
    server_id: str


class VersionRow(Struct, array_like=True):
    """One version of a workflow. Times in ms since 1970; 0: never.

    ``deprecated_at``: it takes no new runs (``note`` says why). ``deleted_at``: its definition is gone.
    """

    hash: str
    deployed_at: int
    deprecated_at: int = 0
    note: str = ""
    deleted_at: int = 0


class WorkflowRow(Struct, array_like=True):
    """A workflow's versions; starts without one use ``current`` (0: all are deleted). ``tags``: tag -> version.

    ``deployed``: the graph (its hash) that the newest deploy brought, current or not.
    """

    name: str
    current: int
    versions: dict[int, VersionRow]
    tags: dict[str, int] = {}
    deployed: str = ""

    @property
    def kept(self) -> dict[int, VersionRow]:
        """The versions that are not deleted."""
        return {number: row for number, row in self.versions.items() if not row.deleted_at}


class OwnerRow(Struct, array_like=True):
    """The shard that owns a partition, and the partition's epoch, which grows when the owner changes."""

    shard: int
    epoch: int


class Listed(Struct):
    """One version of a workflow, as lists show it."""

    name: str
    version: int
    hash: str
    deployed_at: int
    current: bool
    deprecated_at: int = 0
    note: str = ""
    tags: list[str] = []


Listing: TypeAlias = list[Listed]

_encode = Encoder().encode
_server = Decoder(ServerRow)
_workflow = Decoder(WorkflowRow)
_owner = Decoder(OwnerRow)
_number = Decoder(int)


class Catalogue:
    """Opens a catalogue, or makes a new one with ``partitions`` partitions and the given id."""

    def __init__(self, store: Store, *, partitions: int = PARTITIONS_DEFAULT, server_id: str = "") -> None:
        """An existing catalogue keeps its own ``partitions`` and ``server_id``. `DataFormat`: a newer wfe made it."""
        self._tables = Tables(store)
        server = self._tables.row(_server, schema.CATALOGUE_META, SERVER_KEY)
        if server is None:
            if not 1 <= partitions <= PARTITIONS_MAX:
                raise ValueError(f"partitions must be 1 to {PARTITIONS_MAX}, not {partitions}")
            server = ServerRow(schema.FORMAT_VERSION, partitions, server_id)
            self._commit([(schema.CATALOGUE_META, SERVER_KEY, _encode(server))])
        if server.format > schema.FORMAT_VERSION:
            raise DataFormat(
                f"the catalogue has format {server.format}, this version of wfe reads up to {schema.FORMAT_VERSION}; "
                "upgrade wfe"
            )
        self.partitions = server.partitions
        self.server_id = server.server_id
        self._epoch = self._tables.row(_number, schema.CATALOGUE_META, EPOCH_KEY) or 0
        self.shards = self._tables.row(_number, schema.CATALOGUE_META, SHARDS_KEY) or 0
        """Among how many shards the partitions were dealt out last; 0: that is not known."""
        self._workflows: dict[str, WorkflowRow] = {}
        for _, row in self._tables.rows(_workflow, schema.CATALOGUE_WORKFLOWS):
            self._workflows[row.name] = row
        self._owners = {
            int.from_bytes(key, "big"): row for key, row in self._tables.rows(_owner, schema.CATALOGUE_OWNERS)
        }

    # ---- definitions ------------------------------------------------------------------------------------------------

    def plan(
        self, definition_hash: str, name: str, explicit_version: int | None, replace: bool = False
    ) -> tuple[int, bool]:
        """What `register` would answer, without changing anything (``deploy --check``)."""
        row = self._workflows.get(name)
        versions = row.versions if row else {}
        if explicit_version is not None:
            known = versions.get(explicit_version)
            if known is None or known.hash == definition_hash:
                return explicit_version, known is None or bool(known.deleted_at)
            if not replace:
                raise VersionConflict(
                    f"version {explicit_version} of workflow {name!r} is registered with another graph; raise the "
                    "version, or leave it out and the server counts up"
                )
            return explicit_version, True
        same = [version for version, known in row.kept.items() if known.hash == definition_hash] if row else []
        if row and row.current in same:
            return row.current, False
        return (max(same), False) if same else (max(versions, default=0) + 1, True)

    def register(
        self,
        definition_hash: str,
        canonical: bytes,
        name: str,
        explicit_version: int | None,
        now_ms: int,
        replace: bool = False,
        again: bool = False,
    ) -> tuple[int, bool]:
        """Makes the definition a version of workflow ``name``, the current one; returns ``(version, changed)``.

        The same graph again is unchanged (and becomes current; ``again``: unless the newest deploy brought it already,
        for somebody may have made another one current since). Without an explicit version another graph gets the
        highest version plus one; an explicit version that has another graph is `VersionConflict`, unless ``replace``
        (development mode) lets it take the version over. Runs keep the definition they started with either way.
        """
        version, changed = self.plan(definition_hash, name, explicit_version, replace)
        row = self._workflows.get(name)
        if row and not changed and row.deployed == definition_hash and (again or row.current == version):
            return version, False
        versions = dict(row.versions) if row else {}
        changes: list[tuple[int, bytes, bytes | None]] = []
        if changed:
            versions[version] = VersionRow(definition_hash, now_ms)
            changes.append((schema.CATALOGUE_DEFINITIONS, definition_hash.encode(), canonical))
        self._put(WorkflowRow(name, version, versions, row.tags if row else {}, definition_hash), changes)
        return version, changed

    def versions(self, name: str) -> dict[int, VersionRow]:
        """The versions of a workflow that are not deleted, by number; none: there is no such workflow (any more)."""
        row = self._workflows.get(name)
        return dict(sorted(row.kept.items())) if row else {}

    def is_deprecated(self, name: str, version: int) -> bool:
        """Whether a version that is there takes no new runs."""
        return bool(self._workflows[name].versions[version].deprecated_at)

    def is_deleted(self, name: str, version: int) -> bool:
        """Whether there was such a version (0: such a workflow), and it is gone."""
        row = self._workflows.get(name)
        if row is None:
            return False
        return version in row.versions and version not in row.kept if version else not row.kept

    def deprecate(self, name: str, versions: Collection[int], since_ms: int, note: str = "") -> list[int]:
        """New runs of these versions are refused since then (0: they are taken again); gives those that changed."""
        row = self._workflows[name]
        touched = [
            number
            for number in sorted(versions)
            if bool(row.versions[number].deprecated_at) != bool(since_ms) or row.versions[number].note != note
        ]
        fresh = {
            number: changed_row(known, deprecated_at=known.deprecated_at or since_ms if since_ms else 0, note=note)
            if number in touched
            else known
            for number, known in row.versions.items()
        }
        if touched:
            self._put(changed_row(row, versions=fresh))
        return touched

    def tag(self, name: str, tag: str, version: int) -> bool:
        """Lets the tag stand for this version, and for no other one any more (0: for none); whether that is news."""
        row = self._workflows[name]
        if row.tags.get(tag, 0) == version:
            return False
        tags = {known: number for known, number in row.tags.items() if known != tag}
        self._put(changed_row(row, tags={**tags, tag: version} if version else tags))
        return True

    def tags(self, name: str) -> dict[str, int]:
        """tag -> version."""
        row = self._workflows.get(name)
        return dict(row.tags) if row else {}

    def use(self, name: str, version: int) -> bool:
        """Makes a version the current one; whether it was not."""
        row = self._workflows[name]
        if row.current == version:
            return False
        self._put(changed_row(row, current=version))
        return True

    def delete(self, name: str, versions: Collection[int], now_ms: int) -> None:
        """Forgets versions for good, in one commit. The current one may only go together with all others."""
        row = self._workflows[name]
        gone = [number for number in versions if number in row.kept]
        left = {row.versions[number].hash for number in row.kept if number not in gone}
        if row.current in gone and left:
            raise ValueError(f"version {row.current} of {name} is the current one")
        fresh = {
            number: changed_row(known, deleted_at=now_ms, note="") if number in gone else known
            for number, known in row.versions.items()
        }
        changes: list[tuple[int, bytes, bytes | None]] = [
            (schema.CATALOGUE_DEFINITIONS, digest.encode(), None)
            for digest in sorted({row.versions[number].hash for number in gone} - left)
        ]
        tags = {tag: number for tag, number in row.tags.items() if number not in gone}
        self._put(WorkflowRow(name, row.current if left else 0, fresh, tags, row.deployed if left else ""), changes)

    def _put(self, row: WorkflowRow, changes: Sequence[tuple[int, bytes, bytes | None]] = ()) -> None:
        self._commit([*changes, (schema.CATALOGUE_WORKFLOWS, _name_key(row.name), _encode(row))])
        self._workflows[row.name] = row

    def resolve(self, name: str, version: int = 0) -> tuple[str, int] | None:
        """``(hash, version)`` of a workflow's version (0: the current one); None when there is none."""
        row = self._workflows.get(name)
        if row is None:
            return None
        wanted = version or row.current
        found = row.versions.get(wanted)
        return (found.hash, wanted) if found and not found.deleted_at else None

    def definition(self, definition_hash: str) -> bytes | None:
        """A definition's canonical JSON."""
        return self._tables.payload(schema.CATALOGUE_DEFINITIONS, definition_hash.encode())

    def list(self) -> Listing:
        """Every version of every workflow, by name, newest version first."""
        return [
            Listed(
                name,
                version,
                known.hash,
                known.deployed_at,
                version == row.current,
                known.deprecated_at,
                known.note,
                sorted(tag for tag, number in row.tags.items() if number == version),
            )
            for name, row in sorted(self._workflows.items())
            for version, known in sorted(row.kept.items(), reverse=True)
        ]

    # ---- partitions and epochs --------------------------------------------------------------------------------------

    def assign(self, owners: Mapping[int, int], shards: int = 0) -> None:
        """Gives partitions to shards, in one commit; the epoch of each partition whose owner changes goes up by one.

        ``shards``: they are dealt out anew, among so many.
        """
        fresh = {}
        for partition, shard in owners.items():
            if not 0 <= partition < self.partitions:
                raise ValueError(f"there is no partition {partition}; this directory has {self.partitions}")
            old = self._owners.get(partition)
            if old is None or old.shard != shard:
                fresh[partition] = OwnerRow(shard, old.epoch + 1 if old else 1)
        changes: list[tuple[int, bytes, bytes | None]] = [
            (schema.CATALOGUE_OWNERS, _owner_key(p), _encode(row)) for p, row in fresh.items()
        ]
        if shards and shards != self.shards:
            changes.append((schema.CATALOGUE_META, SHARDS_KEY, _encode(shards)))
        if changes:
            self._commit(changes)
            self._owners.update(fresh)
            self.shards = shards or self.shards

    def owners(self) -> dict[int, int]:
        """partition -> the shard that owns it; empty in a new catalogue."""
        return {partition: row.shard for partition, row in sorted(self._owners.items())}

    def partition_epoch(self, partition: int) -> int:
        """How often the partition has changed its owner, the first time included; 0: never assigned."""
        row = self._owners.get(partition)
        return row.epoch if row else 0

    def next_epoch(self) -> int:
        """A number that was never given out before, durably: the epoch of a shard that starts."""
        epoch = self._epoch + 1
        self._commit([(schema.CATALOGUE_META, EPOCH_KEY, _encode(epoch))])
        self._epoch = epoch
        return epoch

    @property
    def epoch(self) -> int:
        """The last epoch that was given out; 0: none."""
        return self._epoch

    def adopt(self, server_id: str, epoch: int) -> None:
        """Makes a restored catalogue that of another server, whose epochs go on from a higher one, in one commit."""
        if epoch <= self._epoch:
            raise ValueError(f"epoch {epoch} is not above {self._epoch}")
        server = ServerRow(schema.FORMAT_VERSION, self.partitions, server_id)
        self._commit(
            [
                (schema.CATALOGUE_META, SERVER_KEY, _encode(server)),
                (schema.CATALOGUE_META, EPOCH_KEY, _encode(epoch)),
            ]
        )
        self.server_id, self._epoch = server_id, epoch

    def snapshot(self) -> Snapshot:
        """All of it that is durable now."""
        return self._tables.store.snapshot()

    def close(self) -> None:
        self._tables.store.close()

    def _commit(self, changes: Sequence[tuple[int, bytes, bytes | None]]) -> None:
        """`DataFull`: nothing has changed. Another `DataError`: perhaps it has; only a new start knows."""
        ops = [Op(table, key, None if value is None else seal(table, key, value)) for table, key, value in changes]
        store = self._tables.store
        try:
            store.commit(ops)
        except DataFull as full:
            # The disk may have been full for what follows the change itself. Who took that for "not done" would give
            # a partition to one shard, and the next start to another.
            try:
                done = all(store.get(op.table, op.key) == op.value for op in ops)
                if done:
                    store.commit(ops)  # it can be seen, but nobody has said that it is durable
            except WfeError as error:
                raise DataError(f"{full}; it is not known whether the change was made: restart the server") from error
            if not done:
                raise


def _name_key(name: str) -> bytes:
    """A name as a store key (LMDB's keys end at 511 bytes; names are bounded in characters, not bytes)."""
    raw = name.encode()
    return raw if len(raw) <= 400 else blake2b(raw, digest_size=32).digest()


def _owner_key(partition: int) -> bytes:
    return partition.to_bytes(2, "big")
