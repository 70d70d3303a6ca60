"""A shard's part in a backup: hold back mail, have its log and stores cut at one moment, go on; copying follows.

A cut is consistent with those of other shards when, for every pair of partitions, what the receiver has taken lies
between what the sender has settled and what it has sent. So letters to other shards stay in their outboxes from QUIESCE
on; once all earlier ones are settled, durably, the shard is quiet; when all shards are quiet none of these numbers can
move, and the snapshots may begin at different moments. Mail within a shard needs none of this: its log is cut as one.

Invariants: no checkpoint is in flight while the snapshots begin; mail stands still for at most `BACKUP_HOLD_MS`,
whatever frames are lost; frames of an earlier backup change nothing; no error of a copy ever stops the shard.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from wfe.errors import BackupError, WfeError
from wfe.journal.backup import Copier
from wfe.limits import BACKUP_HOLD_MS
from wfe.observe import get_logger
from wfe.shard.checkpoints import Checkpoints
from wfe.shard.core import ShardCore, encode, error_reply
from wfe.shard.sending import Sending
from wfe.wire.backups import Barrier, CopiedFile, CutDone, Release
from wfe.wire.frames import Kind, header

_log = get_logger("shard")
_decode_barrier = msgspec.msgpack.Decoder(Barrier).decode
_decode_release = msgspec.msgpack.Decoder(Release).decode


class Phase(StrEnum):
    """``quiescing``: letters are out; ``quiet``: none; ``waiting``: for checkpoint steps; ``beginning``: snapshots."""

    IDLE = "idle"
    QUIESCING = "quiescing"
    QUIET = "quiet"
    WAITING = "waiting"
    BEGINNING = "beginning"
    COPYING = "copying"
    DONE = "done"


class BackupPart:
    """``number``: the last backup that this shard heard of; ``phase``: how far it is with that."""

    def __init__(self, core: ShardCore, sending: Sending, checkpoints: Checkpoints, copier: Copier | None) -> None:
        self._core, self._sending, self._checkpoints, self._copier = core, sending, checkpoints, copier
        self.number = 0
        self.phase = Phase.IDLE
        self._directory = ""
        self._hold_until_ms = 0
        self._result: CutDone | None = None

    # ---- frames of the coordinator ----------------------------------------------------------------------------------

    def on_frame(self, kind: int, body: bytes, now_ms: int) -> None:
        """QUIESCE, CUT or RELEASE. Each may come late, or again: then the present state is said again."""
        if kind == Kind.RELEASE:
            release = _decode_release(body)
            if release.number >= self.number:
                self._release(release)
            return
        barrier = _decode_barrier(body)
        if kind == Kind.QUIESCE and barrier.number > self.number:
            self._quiesce(barrier.number, now_ms)
        elif barrier.number != self.number:
            return
        elif kind == Kind.CUT and self.phase is Phase.QUIET:
            self._directory = barrier.directory
            self.phase = Phase.WAITING
            self._checkpoints.held = True
        else:
            self._say()

    def _quiesce(self, number: int, now_ms: int) -> None:
        self._stop_copying()
        self.number, self._result = number, None
        if self._core.draining or self._copier is None:
            reason = "the shard is shutting down" if self._core.draining else "this shard has nothing to copy with"
            self._finish(CutDone(number, error=error_reply(BackupError(reason))))
            return
        self.phase = Phase.QUIESCING
        self._hold_until_ms = now_ms + BACKUP_HOLD_MS
        self._sending.hold()

    def _release(self, release: Release) -> None:
        begun = release.number == self.number and self.phase in (Phase.COPYING, Phase.DONE)
        self.number = release.number
        self._sending.release()
        if release.abandon or not begun:
            self._stop_copying()
            self.phase = Phase.IDLE

    # ---- the shard's turns ------------------------------------------------------------------------------------------

    def after_commit(self, now_ms: int) -> None:
        """Everything that was decided is durable: go on with what waited for that."""
        if self.phase is Phase.IDLE and not self._sending.holding:
            return
        if self._sending.holding and (now_ms >= self._hold_until_ms or self._core.draining):
            self._lose_patience()
        if self.phase is Phase.QUIESCING and self._sending.settled:
            self.phase = Phase.QUIET
            self._say()
        elif self.phase is Phase.WAITING and not self._checkpoints.in_flight:
            assert self._copier is not None
            self.phase = Phase.BEGINNING
            self._copier.submit(self.number, self._directory)

    def on_copied(self, number: int, files: list[CopiedFile] | None, error: Exception | None) -> None:
        """The copying thread has news. What it says of a backup that was given up is late."""
        if number != self.number or self.phase not in (Phase.BEGINNING, Phase.COPYING):
            return
        self._checkpoints.held = False
        if error is not None:
            _log.warning("a backup's copy failed", backup=number, error=str(error))
            known = error if isinstance(error, WfeError) else BackupError(f"copying failed: {error}")
            self._finish(CutDone(number, error=error_reply(known)))
        elif files is None:
            self.phase = Phase.COPYING
            self._say()
        else:
            self._finish(CutDone(number, files))

    def _lose_patience(self) -> None:
        """The coordinator has given up long ago (its limit is shorter), or this shard is to leave."""
        self._sending.release()
        if self.phase not in (Phase.COPYING, Phase.DONE) or self._core.draining:
            self._stop_copying()
            reason = "the shard is shutting down" if self._core.draining else "the shards were not quiet in time"
            self._finish(CutDone(self.number, error=error_reply(BackupError(reason))))

    def _stop_copying(self) -> None:
        self._checkpoints.held = False
        if self._copier is not None:
            self._copier.cancel()

    def _finish(self, result: CutDone) -> None:
        self._result = result
        self.phase = Phase.DONE
        self._say()

    def _say(self) -> None:
        """The present state, if the coordinator waits for it. Leaves with the turn's other frames."""
        barrier = Barrier(self.number)
        if self.phase is Phase.QUIET:
            self._send(Kind.QUIET, barrier)
        elif self.phase is Phase.COPYING:
            self._send(Kind.CUT_BEGUN, barrier)
        elif self.phase is Phase.DONE:
            self._send(Kind.CUT_DONE, self._result)

    def _send(self, kind: Kind, body: object) -> None:
        self._core.to_back.append([header(kind), encode(body)])
