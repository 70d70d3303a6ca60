"""Backups: one barrier across all shards, then copies; the catalogue and the manifest come last.

A state machine: a client's request, frames of shards, ends of shards, news of the archive and time come in. Phases:
*opening* the directory, *quiescing* (shards hold back mail), *cutting* (snapshots begin), *copying*, *closing* (the
catalogue, then the manifest). Mail goes on when the last shard has begun its snapshots, or when the backup is given up.

Invariants: one backup at a time; a shard that restarts, or an overrun of `BACKUP_BARRIER_MS` before all snapshots have
begun, ends it (time is looked at before any frame of a shard, so no letter of a shard that lost patience can pass while
another shard is still to be cut); whatever goes wrong, all shards are released and the client gets a typed error.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import Protocol

import msgspec

from wfe.coordinator.topology import Shard, Topology
from wfe.errors import BY_CODE, BackupError, DataError, ProtocolError, Unavailable, WfeError
from wfe.journal.backup import BACKUP_FORMAT, Archive, Manifest, ShardPart
from wfe.limits import BACKUP_BARRIER_MS, BACKUP_COPY_MS, BACKUP_OUTCOMES_MAX, BACKUP_RESEND_MS
from wfe.observe import get_logger
from wfe.wire.backups import Backup, BackupReport, Barrier, CopiedFile, CutDone, Release
from wfe.wire.frames import Kind, header
from wfe.wire.messages import ErrorReply

ID_CHARS_MAX = 64
NEVER = 1 << 62
_encode = msgspec.msgpack.Encoder().encode
_decode_barrier = msgspec.msgpack.Decoder(Barrier).decode
_decode_done = msgspec.msgpack.Decoder(CutDone).decode
_log = get_logger("coordinator")


class Server(Protocol):
    """What a manifest says of the server (`journal.catalogue.Catalogue` knows most of it)."""

    server_id: str
    partitions: int

    @property
    def epoch(self) -> int: ...


class _Part:
    """One shard's progress. ``state``: asked, quiet, begun, done."""

    __slots__ = ("epoch", "files", "identity", "shard", "state")

    def __init__(self, shard: Shard) -> None:
        self.shard, self.identity, self.epoch = shard, shard.identity, shard.epoch
        self.state = "asked"
        self.files: list[CopiedFile] = []


class _Run:
    """The backup under way."""

    def __init__(self, number: int, wanted: Backup, parts: list[_Part], now_ms: int) -> None:
        self.number, self.id, self.directory = number, wanted.id, wanted.directory
        self.parts = {part.shard.index: part for part in parts}
        self.phase = "opening"
        self.begun_ms = now_ms
        self.held_from_ms = self.held_until_ms = 0
        self.resend_ms = 0

    def all_are(self, *states: str) -> bool:
        return all(part.state in states for part in self.parts.values())

    def report(self, now_ms: int) -> BackupReport:
        files = [file for part in self.parts.values() for file in part.files]
        return BackupReport(
            self.id,
            self.directory,
            self.phase,
            len(files),
            sum(file.size_bytes for file in files),
            max((self.held_until_ms or now_ms) - self.held_from_ms, 0) if self.held_from_ms else 0,
            now_ms - self.begun_ms,
        )


class Backups:
    """``archive`` None: this server makes no backups. ``wall_ms`` dates the manifest. ``moving``: whether partitions
    are on their way between shards, so that no copy would have them.
    """

    def __init__(
        self,
        *,
        topology: Topology,
        send: Callable[[bytes, list[bytes]], bool],
        server: Server,
        wall_ms: Callable[[], int],
        software: str,
        archive: Archive | None,
        moving: Callable[[], bool],
    ) -> None:
        self._topology, self._send, self._server = topology, send, server
        self._wall_ms, self._software, self._archive = wall_ms, software, archive
        self._moving = moving
        self._run: _Run | None = None
        self._numbers = 0
        self._outcomes: dict[str, BackupReport | WfeError] = {}
        self.stopping = False
        self.due_ms = NEVER
        """When `look` has something to give up; the actor asks before it takes any frame of a shard."""

    @property
    def active(self) -> bool:
        """Whether a backup is being made."""
        return self._run is not None

    # ---- clients ----------------------------------------------------------------------------------------------------

    def request(self, wanted: Backup, now_ms: int) -> BackupReport:
        """Begins a backup, or says how the one with this id goes. Its error is raised, however often it is asked."""
        if not 1 <= len(wanted.id) <= ID_CHARS_MAX:
            raise ProtocolError(f"a backup's id has 1 to {ID_CHARS_MAX} characters")
        if (outcome := self._outcomes.get(wanted.id)) is not None:
            if isinstance(outcome, WfeError):
                raise type(outcome)(str(outcome))
            return outcome
        if self._run is not None:
            if self._run.id == wanted.id:
                return self._run.report(now_ms)
            raise BackupError(f"a backup into {self._run.directory} is being made; try again when it is done")
        return self._begin(wanted, now_ms).report(now_ms)

    def _begin(self, wanted: Backup, now_ms: int) -> _Run:
        if self._archive is None:
            raise BackupError("this server makes no backups")
        if self.stopping:
            raise Unavailable("the server is shutting down")
        if self._moving():
            raise BackupError("partitions are being moved; try again when that is done")
        if not PurePath(wanted.directory).is_absolute():
            raise DataError(f"{wanted.directory!r} is no absolute path; the directory is one of the server's host")
        for shard in self._topology.shards:
            if not shard.serving:
                state = "is down" if shard.state == "down" else "starts"
                raise Unavailable(f"shard {shard.index} {state}: a backup needs all shards; see `wfe status`")
        self._numbers += 1
        parts = [_Part(shard) for shard in self._topology.shards]
        run = self._run = _Run(self._numbers, wanted, parts, now_ms)
        self.due_ms = now_ms + BACKUP_BARRIER_MS
        _log.info("a backup begins", directory=wanted.directory, backup=self._numbers)
        self._archive.open(self._numbers, wanted.directory)
        return run

    # ---- the archive ------------------------------------------------------------------------------------------------

    def on_archived(self, number: int, manifest: Manifest | None, error: WfeError | None, now_ms: int) -> None:
        """The directory is open, or (with the manifest) the backup is whole; or it is not."""
        run = self._run
        if run is None or run.number != number:
            return
        if error is not None:
            self._give_up(error)
        elif run.phase == "opening":
            run.phase = "quiescing"
            run.held_from_ms = now_ms
            self.due_ms = now_ms + BACKUP_BARRIER_MS
            self._tell(run, now_ms)
        elif manifest is not None:
            run.phase = "done"
            report = run.report(now_ms)
            report.files, report.size_bytes = len(manifest.files), manifest.size_bytes
            _log.info("a backup is done", directory=run.directory, bytes=report.size_bytes, held_ms=report.held_ms)
            self._end(report)

    # ---- shards -----------------------------------------------------------------------------------------------------

    def on_shard(self, shard: Shard, kind: int, body: bytes, now_ms: int) -> None:
        """QUIET, CUT_BEGUN or CUT_DONE. Each may come late or again."""
        done = _decode_done(body) if kind == Kind.CUT_DONE else None
        number = done.number if done is not None else _decode_barrier(body).number
        run = self._run
        part = run.parts.get(shard.index) if run is not None and run.number == number else None
        if run is None or part is None or part.identity != shard.identity:
            self._release(shard.identity, number, abandon=True)
        elif done is not None and done.error is not None:
            self._give_up(_error_of(done.error, shard.index))
        elif kind == Kind.QUIET:
            if part.state == "asked":
                part.state = "quiet"
                self._go_on(run, now_ms)
        elif done is not None and part.state in ("quiet", "begun"):
            part.state, part.files = "done", done.files
            self._go_on(run, now_ms)
        elif kind == Kind.CUT_BEGUN and part.state == "quiet":
            part.state = "begun"
            self._go_on(run, now_ms)
        elif run.phase in ("copying", "closing"):
            self._release(shard.identity, number, abandon=False)

    def on_shard_gone(self, index: int) -> None:
        """A shard's process has ended, so the barrier is broken, or its copies are not whole."""
        if self._run is not None and self._run.parts[index].state != "done":
            self._give_up(BackupError(f"shard {index} ended while the backup was made; try again"))
        elif self._run is not None and self._run.phase in ("opening", "quiescing", "cutting"):
            self._give_up(BackupError(f"shard {index} ended before all shards were cut; try again"))

    def _go_on(self, run: _Run, now_ms: int) -> None:
        if run.phase == "quiescing" and run.all_are("quiet"):
            run.phase = "cutting"
            self._tell(run, now_ms)
        if run.phase == "cutting" and run.all_are("begun", "done"):
            run.phase = "copying"
            run.held_until_ms = now_ms
            self.due_ms = now_ms + BACKUP_COPY_MS
            for part in run.parts.values():
                self._release(part.identity, run.number, abandon=False)
        if run.phase == "copying" and run.all_are("done"):
            run.phase = "closing"
            assert self._archive is not None
            self._archive.finish(run.number, run.directory, self._manifest(run))

    def _manifest(self, run: _Run) -> Manifest:
        parts = [run.parts[index] for index in sorted(run.parts)]
        return Manifest(
            BACKUP_FORMAT,
            self._software,
            self._server.server_id,
            self._wall_ms(),
            self._server.partitions,
            self._server.epoch,
            [ShardPart(part.shard.index, part.epoch, part.shard.partitions) for part in parts],
            [file for part in parts for file in part.files],
        )

    # ---- time and the end -------------------------------------------------------------------------------------------

    def look(self, now_ms: int) -> None:
        """Gives up what takes too long."""
        run = self._run
        if run is None or now_ms < self.due_ms:
            return
        waited = {"quiescing": ("asked",), "cutting": ("quiet",), "copying": ("begun",)}.get(run.phase, ())
        late = ", ".join(str(index) for index, part in sorted(run.parts.items()) if part.state in waited)
        limit_ms = BACKUP_COPY_MS if run.phase in ("copying", "closing") else BACKUP_BARRIER_MS
        who = f"shards {late} did" if late else f"the directory {run.directory} did"
        self._give_up(
            BackupError(
                f"{who} not get through {run.phase} within {limit_ms // 1000} s: overloaded, or a slow disk; try again"
            )
        )

    def on_tick(self, now_ms: int) -> None:
        """Gives up what takes too long, and repeats what was not answered."""
        self.look(now_ms)
        if self._run is not None and now_ms >= self._run.resend_ms:
            self._tell(self._run, now_ms)

    def stop(self) -> None:
        """The server shuts down."""
        self.stopping = True
        if self._run is not None:
            self._give_up(BackupError("the server shuts down; what was copied is no backup"))

    def close(self) -> None:
        """Waits for the archive."""
        if self._archive is not None:
            self._archive.close()

    def _tell(self, run: _Run, now_ms: int) -> None:
        """Asks every shard for its next step (again)."""
        run.resend_ms = now_ms + BACKUP_RESEND_MS
        step = {"quiescing": Kind.QUIESCE, "cutting": Kind.CUT, "copying": Kind.CUT}.get(run.phase)
        if step is None:
            return
        barrier = Barrier(run.number, run.directory if step is Kind.CUT else "")
        for part in run.parts.values():
            if part.state in (("asked",) if step is Kind.QUIESCE else ("quiet", "begun")):
                self._send(part.identity, [header(step), _encode(barrier)])

    def _release(self, identity: bytes, number: int, *, abandon: bool) -> None:
        self._send(identity, [header(Kind.RELEASE), _encode(Release(number, abandon))])

    def _give_up(self, error: WfeError) -> None:
        run = self._run
        assert run is not None
        if run.phase != "opening":
            for part in run.parts.values():
                self._release(part.identity, run.number, abandon=True)
        _log.warning("a backup was given up", directory=run.directory, phase=run.phase, reason=str(error))
        self._end(error)

    def _end(self, outcome: BackupReport | WfeError) -> None:
        assert self._run is not None
        self._outcomes[self._run.id] = outcome
        while len(self._outcomes) > BACKUP_OUTCOMES_MAX:
            del self._outcomes[next(iter(self._outcomes))]
        self._run, self.due_ms = None, NEVER


def _error_of(reply: ErrorReply, shard: int) -> WfeError:
    """A shard's error under its own type, with the shard's number."""
    kind = BY_CODE.get(reply.code, BackupError)
    message = f"shard {shard}: {reply.message}"
    return kind(message) if issubclass(kind, (DataError, BackupError)) else BackupError(message)
