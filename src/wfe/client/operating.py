"""What operators and gateways ask a server for: status, backups, moves of partitions, encoded starts. A part of
`AsyncClient`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable

from wfe.client.connection import Connection
from wfe.client.labels import key_of, priority_of, tags_of
from wfe.client.replies import decoder_of
from wfe.wire.backups import Backup, BackupReport
from wfe.wire.frames import Kind
from wfe.wire.messages import DefinitionFound, DefinitionQuery, ServerStatus, StartRun
from wfe.wire.rebalance import Rebalance, RebalanceReport

SERVING_POLL_S = 0.05
BACKUP_POLL_S = 0.05
REBALANCE_POLL_S = 0.02

_decode_status = decoder_of(ServerStatus)
_decode_found = decoder_of(DefinitionFound)
_decode_backup = decoder_of(BackupReport)
_decode_rebalance = decoder_of(RebalanceReport)


class Operating:
    """Mixed into the client, which has the connection."""

    def _open(self) -> Connection:
        raise NotImplementedError

    async def status(self) -> ServerStatus:
        """The server, its shards with their counters and latencies, its workers."""
        return _decode_status(await self._open().ask(Kind.STATUS))

    async def submit(self, workflow: str, version: int, run: StartRun) -> bool:
        """Starts one run whose input is encoded already (version 0: the current one); ``run.run_id`` is its id then.

        False: its key named a run before, which has that id. Refusals are raised, as `AsyncClient.start` does.
        """
        key_of(run.key), priority_of(run.priority), tags_of(run.tags)
        batch = await self._open().start(workflow, version, [run])
        if batch.errors:
            raise batch.errors[0]
        return batch.created[0]

    async def registered(self, workflow: str, version: int = 0) -> DefinitionFound:
        """A registered version (0: the current one) with its hash, and its definition in canonical JSON."""
        reply = await self._open().ask(Kind.DEFINITION, DefinitionQuery(workflow, version))
        return _decode_found(reply)

    async def wait_until_serving(self, timeout_s: float) -> ServerStatus:
        """The status as soon as every shard serves, or, once the time is over, as it is then."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            status = await self.status()
            if status.state == "serving" or asyncio.get_running_loop().time() >= deadline:
                return status
            await asyncio.sleep(SERVING_POLL_S)

    async def backup(self, directory: str, timeout_s: float | None = None) -> BackupReport:
        """Makes a backup in a directory of the server's host: an absolute path, empty or not there yet.

        Returns when it is whole. BackupError, DataError, DataFull: there is none; Unavailable: some shard does not
        serve. TimeoutError: it takes longer than ``timeout_s``, and goes on without being waited for.
        """
        wanted = Backup(secrets.token_hex(16), directory)
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    report = _decode_backup(await self._open().ask(Kind.BACKUP, wanted, patient=False))
                    if report.phase == "done":
                        return report
                    await asyncio.sleep(BACKUP_POLL_S)
        except TimeoutError:
            raise TimeoutError(
                f"the backup into {directory} is not done within {timeout_s or 0:g} s; it goes on"
            ) from None

    async def rebalance(
        self, moves: Iterable[tuple[int, int]] = (), *, dry_run: bool = False, timeout_s: float | None = None
    ) -> RebalanceReport:
        """Moves partitions between running shards: ``(partition, shard)`` each, or whatever evens out their load.

        Returns when all of them have moved, or could not (each says why); with ``dry_run`` what would be moved.
        RebalanceError: nothing is, for a backup or another rebalance is under way, or there is no such partition or
        shard; Unavailable: some shard does not serve. TimeoutError: it goes on without being waited for.
        """
        wanted = Rebalance(secrets.token_hex(16), [(partition, shard) for partition, shard in moves], dry_run)
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    report = _decode_rebalance(await self._open().ask(Kind.REBALANCE, wanted, patient=False))
                    if report.phase != "moving":
                        return report
                    await asyncio.sleep(REBALANCE_POLL_S)
        except TimeoutError:
            raise TimeoutError(f"partitions are not moved within {timeout_s or 0:g} s; it goes on") from None
