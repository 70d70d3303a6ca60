"""Operating: status, verify, completion."""

from __future__ import annotations

import time
from typing import Any

import click

from wfe.cli.output import EXIT_FAILED, command, complain, print_fields, print_json, print_table, styled
from wfe.cli.params import CONNECT_TIMEOUT_S, Duration, address_option, connected

UNEVEN_PERCENT = 150
"""From here on status says that the load could be spread better."""
SHOWN_GAUGES = ("runs_open", "tasks_ready", "tasks_running")
"""What people see of a shard's gauges; ``--json`` has them all."""


@command("status", short_help="Show the server, its shards and workers.")
@click.option("--wait", "wait_s", type=Duration(), help="Wait up to this long until all of it serves.")
@address_option
def status_command(wait_s: float | None, address: str | None, as_json: bool) -> int:
    """Show the server, its shards with their counters and latencies, and its workers.

    With --wait the exit code is 0 once it serves, 3 if it cannot be reached, 1 if it does not serve in time.
    """
    from wfe.client.views import status_document

    until = time.monotonic() + (wait_s or 0)
    with connected(address, CONNECT_TIMEOUT_S if wait_s is None else wait_s) as client:
        status = client.status() if wait_s is None else client.wait_until_serving(until - time.monotonic())
    document = status_document(status)
    if as_json:
        print_json(document)
    else:
        _print_status(document)
    if wait_s is not None and status.state != "serving":
        complain(f"the server is {status.state}")
        return EXIT_FAILED
    return 0


def _print_status(document: dict[str, Any]) -> None:
    print_fields(
        [
            ("server", document["address"] or document["server"]),
            *([("http", document["http"])] if document["http"] else []),
            ("state", document["state"]),
            ("version", document["version"]),
            ("data", f"{document['data']} (durability {document['durability']})"),
            ("started", document["started_at"] or ""),
            ("workflows", str(document["workflows"])),
            ("partitions", str(document["partitions"])),
        ]
    )
    click.echo()
    rows = [
        (
            str(shard["index"]),
            shard["state"],
            str(shard["pid"] or ""),
            str(len(shard["partitions"])),
            str(shard["restarts"]),
            *(str(shard["gauges"].get(gauge, "")) for gauge in SHOWN_GAUGES),
            _ms(shard["latencies"].get("commit")),
        )
        for shard in document["shards"]
    ]
    columns = ("SHARD", "STATE", "PID", "PARTITIONS", "RESTARTS", "OPEN", "READY", "RUNNING", "COMMIT P50/P99 MS")
    print_table(columns, rows, "no shards")
    if document["moving"]:
        click.echo(f"partitions on their way between shards: {', '.join(map(str, document['moving']))}")
    if document["busiest_percent"] >= UNEVEN_PERCENT:
        times = document["busiest_percent"] / 100
        click.echo(f"one shard has {times:.1f} times its share of the load: see `wfe rebalance --dry-run`")
    click.echo()
    workers = [
        (
            each["id"],
            each["state"],
            "local" if each["local"] else "remote",
            str(each["pid"] or ""),
            str(each["restarts"]),
        )
        for each in document["workers"]
    ]
    print_table(("WORKER", "STATE", "WHERE", "PID", "RESTARTS"), workers, "no workers")


def _ms(latency: dict[str, int] | None) -> str:
    return f"{latency['p50_us'] / 1000:.2f} / {latency['p99_us'] / 1000:.2f}" if latency else ""


@command("verify", short_help="Check a data directory, record by record.")
@click.argument("data", metavar="DATA")
def verify_command(data: str, as_json: bool) -> int:
    """Check every record of a data directory while no server uses it; exit code 1 if anything is wrong."""
    from wfe.lmdb.verify import verify_data

    report = verify_data(data)
    if as_json:
        print_json({"ok": report.ok, **{name: getattr(report, name) for name in report.__struct_fields__}})
        return 0 if report.ok else EXIT_FAILED
    counts = [name for name in report.__struct_fields__ if name != "findings"]
    print_fields([(name.replace("_", " "), str(getattr(report, name))) for name in counts])
    for finding in report.findings:
        click.echo(f"{styled('error')}: {finding.record}: {finding.message}")
    if report.ok:
        click.echo("ok")
    return 0 if report.ok else EXIT_FAILED


@command("completion", short_help="Print the completion script for a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str, as_json: bool) -> None:
    """Print the completion script for a shell: source it, for example ``source <(wfe completion bash)``."""
    from click.shell_completion import get_completion_class

    from wfe.cli.group import wfe

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(wfe, {}, "wfe", "_WFE_COMPLETE").source()
    if as_json:
        print_json({"shell": shell, "script": script})
    else:
        click.echo(script)
