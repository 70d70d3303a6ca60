"""Backups: backup, restore."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import click

from wfe.cli.output import command, print_fields, print_json
from wfe.cli.params import Duration, address_option, connected

TIMEOUT_S = 6 * 3600.0


@command("backup", short_help="Copy all data of a running server into a directory.")
@click.argument("directory", metavar="DIR")
@click.option("--timeout", "timeout_s", type=Duration(), help="Wait at most this long [default: 6h].")
@address_option
def backup_command(directory: str, timeout_s: float | None, address: str | None, as_json: bool) -> None:
    """Copy all data of a running server into DIR, as of one moment, while it goes on serving.

    DIR is a directory of the server's host, empty or not there yet. It is a backup once it holds backup.json.
    """
    path = os.path.abspath(directory)
    with connected(address) as client:
        report = client.backup(path, TIMEOUT_S if timeout_s is None else timeout_s)
    if as_json:
        print_json(
            {
                "directory": report.directory,
                "files": report.files,
                "size_bytes": report.size_bytes,
                "held_ms": report.held_ms,
                "took_ms": report.took_ms,
            }
        )
        return
    print_fields(
        [
            ("backup", report.directory),
            ("files", str(report.files)),
            ("bytes", str(report.size_bytes)),
            ("mail held", f"{report.held_ms} ms"),
            ("took", f"{report.took_ms} ms"),
        ]
    )


@command("restore", short_help="Make a data directory from a backup.")
@click.argument("directory", metavar="DIR")
@click.option("--data", metavar="NEW", default="wfe-data", show_default=True, help="Empty, or not there yet.")
def restore_command(directory: str, data: str, as_json: bool) -> None:
    """Make the data directory NEW from the backup in DIR, for `wfe serve --data NEW`.

    Everything is checked before anything is written. Workers and leases of the old server are fenced.
    """
    from wfe.client.views import rfc3339
    from wfe.lmdb.restore import restore

    done = restore(Path(os.path.abspath(directory)), Path(os.path.abspath(data)), secrets.token_hex(8))
    if as_json:
        fields = {name: getattr(done, name) for name in done.__struct_fields__}
        print_json({**fields, "created_at": rfc3339(done.created_at)})
        return
    print_fields(
        [
            ("data", done.data),
            ("backup", f"{done.backup}, made {rfc3339(done.created_at)}"),
            ("files", str(done.files)),
            ("bytes", str(done.size_bytes)),
            ("open runs", str(done.open_runs)),
            ("ended runs", str(done.ended_runs)),
        ]
    )
