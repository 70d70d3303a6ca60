"""`wfe verify`: reads a whole data directory and checks it, while no server runs. Changes nothing in it."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from wfe.errors import WfeError
from wfe.journal.schema import ENDED, OPEN
from wfe.journal.verify import Finding, LogScan, scan_log, verify_catalogue, verify_join, verify_store
from wfe.journal.verify_mail import Records, replay_records, stored_record, verify_mail
from wfe.journal.verify_store import Entity, message_of
from wfe.lmdb.datalock import DataLock, check_format
from wfe.lmdb.layout import open_catalogue, open_log, open_store, partitions_with_stores, shards_with_logs


class DataReport(Struct):
    """What `verify_data` saw. ``findings`` name records by their place below the directory; empty: all is well."""

    path: str
    format: int
    logs: int = 0
    partitions: int = 0
    log_records: int = 0
    log_events: int = 0
    open_runs: int = 0
    ended_runs: int = 0
    findings: list[Finding] = []

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.findings


def verify_data(path: Path | str) -> DataReport:
    """Checks every record of every log and store, and that nothing is missing between them.

    `DataInUse` while a server runs, `DataFormat` when a newer wfe made it, `DataError` when it is no data directory.
    """
    data = Path(path)
    with DataLock(data, create=False):
        return verify_tree(data, check_format(data))


def verify_tree(data: Path, data_format: int) -> DataReport:
    """The same for any directory with logs, stores and a catalogue that nobody writes, such as a backup."""
    report = DataReport(str(data), data_format)
    records: Records = {}
    scans = [_verify_log(data, shard, report) for shard in shards_with_logs(data)]
    held: dict[Entity, int] = {}
    readable = [p for p in partitions_with_stores(data) if _verify_store(data, p, held, records, report)]
    for scan in scans:
        report.findings.extend(verify_join(scan, held, readable))
    for shard in shards_with_logs(data):
        _replay_mail(data, shard, records)
    report.findings.extend(verify_mail(records))
    _verify_catalogue(data, report)
    return report


def _replay_mail(data: Path, shard: int, records: Records) -> None:
    """What is wrong with the log itself was found before: then mail cannot be judged any further."""
    try:
        log = open_log(data, shard, readonly=True)
        try:
            replay_records(log, records)
        finally:
            log.close()
    except WfeError:
        records.clear()


def _verify_log(data: Path, shard: int, report: DataReport) -> LogScan:
    report.logs += 1
    place = f"logs/{shard}"
    try:
        log = open_log(data, shard, readonly=True)
        try:
            scan = scan_log(log)
        finally:
            log.close()
    except WfeError as error:
        report.findings.append(Finding(place, message_of(error)))
        return LogScan()
    report.log_records += scan.records
    report.log_events += scan.events
    report.findings.extend(_below(place, scan.findings))
    return scan


def _verify_store(data: Path, partition: int, held: dict[Entity, int], records: Records, report: DataReport) -> bool:
    """False when the store cannot be read at all."""
    report.partitions += 1
    place = f"partitions/{partition:03d}"
    try:
        store = open_store(data, partition, readonly=True)
        try:
            found = verify_store(store, held)
            counts = (store.count(OPEN), store.count(ENDED))
            record = stored_record(store)
        finally:
            store.close()
    except WfeError as error:
        report.findings.append(Finding(place, message_of(error)))
        return False
    if record is not None:
        records[partition] = record
    report.open_runs += counts[0]
    report.ended_runs += counts[1]
    report.findings.extend(_below(place, found))
    return True


def _verify_catalogue(data: Path, report: DataReport) -> None:
    try:
        store = open_catalogue(data, readonly=True)
        try:
            found = verify_catalogue(store)
        finally:
            store.close()
    except WfeError as error:
        report.findings.append(Finding("catalogue", message_of(error)))
        return
    report.findings.extend(_below("catalogue", found))


def _below(place: str, findings: list[Finding]) -> list[Finding]:
    return [Finding(f"{place}:{finding.record}", finding.message) for finding in findings]
