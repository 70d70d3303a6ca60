"""Processes that stay: serve, dev, worker."""

from __future__ import annotations

from typing import Any

import click

from wfe.cli.output import command
from wfe.cli.params import Number, WholeNumber

_DURABILITY = click.Choice(["sync", "os", "none"])
_LEVELS = click.Choice(["debug", "info", "warning", "error"])


_LABEL = click.option(
    "--label", "labels", metavar="LABEL", multiple=True, help="For tasks that ask for it, e.g. gpu; repeatable."
)
_RESOURCE = click.option(
    "--resource",
    "resources",
    metavar="NAME=AMOUNT",
    multiple=True,
    help="For tasks that ask for some, e.g. gpu=1 or memory=8GB; repeatable.",
)


@command("serve", short_help="Run an engine: shards, workers, durable data.")
@click.option("--shards", type=WholeNumber(1), help="Shard processes [default: 1].")
@click.option("--workers", type=WholeNumber(0), help="Local worker processes [default: 0].")
@click.option("--slots", type=WholeNumber(1), help="Tasks that one worker runs at once [default: 16].")
@_LABEL
@_RESOURCE
@click.option("--data", metavar="DIR", help="The data directory [default: wfe-data].")
@click.option("--app", "apps", metavar="APP", multiple=True, help="Deploy it, and run its tasks; repeatable.")
@click.option("--listen", metavar="ADDRESS", help="Where clients and workers connect [default: tcp://127.0.0.1:7700].")
@click.option("--http", metavar="HOST:PORT", help="Where the HTTP gateway listens.")
@click.option("--partitions", type=WholeNumber(1, 1024), help="Counts when the data directory is made [default: 32].")
@click.option("--durability", type=_DURABILITY, help="sync survives power loss, os a crash [default: sync].")
@click.option(
    "--retention", "retention_ms", metavar="TIME", help="Keep ended runs for so long, e.g. 30d [default: for ever]."
)
@click.option(
    "--disk-budget",
    "disk_budget_bytes",
    metavar="SIZE",
    help="Refuse new runs when log and stores hold so much, e.g. 20GiB [default: whatever the disk has].",
)
@click.option(
    "--ready-max",
    type=WholeNumber(1),
    help="Refuse new runs when so many tasks wait for workers [default: 500,000 for each shard].",
)
@click.option(
    "--memory-max",
    "memory_max_bytes",
    metavar="SIZE",
    help="Refuse new runs when shards hold so much, e.g. 8GiB [default: 80 % of the machine's or container's].",
)
@click.option(
    "--task-logs",
    "task_logs_bytes",
    metavar="SIZE",
    help="Keep so much of what tasks print and log; 0B: nothing [default: 1GiB].",
)
@click.option("--otel", metavar="URL", help="Send traces to an OTLP collector, e.g. http://127.0.0.1:4318; off: none.")
@click.option("--otel-sample", type=Number(0, 1), help="The share of runs that is traced [default: 1].")
@click.option("--log-level", type=_LEVELS, help="[default: info]")
@click.option("--config", "file", metavar="FILE", help="A TOML file with these options; flags win.")
def serve_command(file: str | None, as_json: bool, **flags: Any) -> int:
    """Run an engine until SIGTERM or Ctrl-C. A second signal ends it at once."""
    from wfe import bootstrap
    from wfe.config import ALERTS, GatewayOptions, ServeOptions, load_options, read_table

    flags |= {name: list(flags[name]) for name in ("apps", "labels", "resources")}
    flags["log_format"] = "json" if as_json else None
    options = load_options(ServeOptions, flags, file=file)
    options.gateway = load_options(GatewayOptions, {"http": flags["http"]}, file=file)
    options.alerts = read_table(ALERTS, file=file)
    code: int = bootstrap.serve(options)
    return code


@command("worker", short_help="Run tasks of a server elsewhere.")
@click.option("--app", "apps", metavar="APP", multiple=True, required=True, help="The app with the tasks; repeatable.")
@click.option("--connect", metavar="ADDRESS", help="The server [default: WFE_ADDRESS, else tcp://127.0.0.1:7700].")
@click.option("--slots", type=WholeNumber(1), help="Tasks that it runs at once [default: 16].")
@_LABEL
@_RESOURCE
@click.option("--only", metavar="TASK", multiple=True, help="Run only this task (or durable function); repeatable.")
@click.option("--otel", metavar="URL", help="Send traces of tasks to an OTLP collector; off: none.")
@click.option("--log-level", type=_LEVELS, help="[default: info]")
@click.option("--config", "file", metavar="FILE", help="A TOML file with these options; flags win.")
def worker_command(file: str | None, as_json: bool, **flags: Any) -> int:
    """Run an app's tasks and durable functions for a server, until SIGTERM or Ctrl-C. Registers no definition."""
    from wfe import bootstrap
    from wfe.config import WorkerOptions, load_options

    flags |= {name: list(flags[name]) for name in ("apps", "labels", "resources", "only")}
    flags["log_format"] = "json" if as_json else None
    code: int = bootstrap.work(load_options(WorkerOptions, flags, file=file))
    return code


@command("dev", short_help="Run an app while you write it: engine and workers, restarted on every change.")
@click.argument("apps", metavar="APP...", nargs=-1, required=True)
@click.option("--shards", type=WholeNumber(1), default=1, show_default=True, help="Shard processes.")
@click.option("--workers", type=WholeNumber(0), default=1, show_default=True, help="Local worker processes.")
@click.option("--data", metavar="DIR", default="./.wfe", show_default=True, help="The data directory.")
@click.option("--listen", metavar="ADDRESS", help="Where clients connect [default: tcp://127.0.0.1:7700].")
@click.option(
    "--http", metavar="HOST:PORT", help="Where the HTTP gateway listens [default: 127.0.0.1:7780; off: none]."
)
@click.option("--otel", metavar="URL", help="Send traces to an OTLP collector, e.g. http://127.0.0.1:4318.")
@click.option("--log-level", type=_LEVELS, help="[default: info]")
def dev_command(apps: tuple[str, ...], as_json: bool, **flags: Any) -> int:
    """Run an app's engine and workers, and start them anew when its files change.

    A changed graph needs no new version here; runs that have started keep theirs.
    """
    from wfe import bootstrap
    from wfe.config import ServeOptions, load_options

    flags |= {"apps": list(apps), "replace": True, "log_format": "json" if as_json else None}
    options = load_options(ServeOptions, flags)
    options.http = bootstrap.development_http(options.http)
    code: int = bootstrap.develop(options)
    return code


@command("gateway", short_help="Serve HTTP for an engine: REST, events, webhooks, metrics, dashboard.")
@click.option("--connect", metavar="ADDRESS", help="The server [default: WFE_ADDRESS, else tcp://127.0.0.1:7700].")
@click.option("--http", metavar="HOST:PORT", help="Where it listens [default: 127.0.0.1:7780].")
@click.option("--log-level", type=_LEVELS, help="[default: info]")
@click.option("--config", "file", metavar="FILE", help="A TOML file with these options; flags win.")
def gateway_command(file: str | None, as_json: bool, **flags: Any) -> int:
    """Serve HTTP for a running engine, until SIGTERM or Ctrl-C. Any number of gateways may stand before one engine."""
    from wfe import bootstrap
    from wfe.config import GatewayOptions, load_options

    flags["log_format"] = "json" if as_json else None
    code: int = bootstrap.gateway(load_options(GatewayOptions, flags, file=file))
    return code
