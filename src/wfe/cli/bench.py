"""`wfe bench`: workloads against a server of its own, or against one that runs."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from wfe.cli.output import EXIT_FAILED, command, note, print_fields, print_json

if TYPE_CHECKING:
    from wfe.client.aclient import AsyncClient
    from wfe.client.bench.report import Report

F = TypeVar("F", bound=Callable[..., Any])

BENCH_APP = "wfe.client.bench.app"
REPLAY_SLOTS = 1_000


@click.group("bench", short_help="Measure an engine.")
def bench_command() -> None:
    """Measure an engine: one of its own in a temporary directory, or with --connect one that runs.

    A server to connect to must have been started with --app wfe.client.bench.app.
    """


def server_options(function: F) -> F:
    """Which engine is measured."""
    for option in reversed(
        (
            click.option("--connect", metavar="ADDRESS", help="Measure this server; the options below do not apply."),
            click.option("--shards", type=click.IntRange(1), default=1, show_default=True, help="Shard processes."),
            click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Worker processes."),
            click.option("--slots", type=click.IntRange(1), help="Tasks that one worker runs at once [default: 16]."),
            click.option("--durability", type=click.Choice(["sync", "os", "none"]), default="sync", show_default=True),
            click.option("--data", metavar="DIR", help="The data directory [default: a temporary one]."),
        )
    ):
        function = option(function)
    return function


@command("chain", short_help="Many chains of no-op tasks at once.")
@click.option("--chains", type=click.IntRange(1), default=200, show_default=True, help="Runs in flight.")
@click.option("--length", type=click.IntRange(1), default=10, show_default=True, help="Tasks per run.")
@click.option("--runs", type=click.IntRange(1), default=10_000, show_default=True, help="Runs in all.")
@server_options
def chain_command(chains: int, length: int, runs: int, as_json: bool, **server: Any) -> int:
    """Keep CHAINS runs of LENGTH no-op tasks in flight until RUNS are done."""
    from wfe.client.bench import workloads

    return _measure(
        lambda client: workloads.chain(client, chains=chains, length=length, runs=runs, progress=_progress()),
        as_json,
        **server,
    )


@command("fanout", short_help="One task, many at once, one task.")
@click.option("--width", type=click.IntRange(1), default=100, show_default=True, help="Tasks side by side.")
@click.option("--at-once", type=click.IntRange(1), default=20, show_default=True, help="Runs in flight.")
@click.option("--runs", type=click.IntRange(1), default=500, show_default=True, help="Runs in all.")
@server_options
def fanout_command(width: int, at_once: int, runs: int, as_json: bool, **server: Any) -> int:
    """Keep AT_ONCE runs of 1 -> WIDTH -> 1 tasks in flight until RUNS are done."""
    from wfe.client.bench import workloads

    return _measure(
        lambda client: workloads.fanout(client, width=width, at_once=at_once, runs=runs, progress=_progress()),
        as_json,
        **server,
    )


@command("latency", short_help="One lone task at a time.")
@click.option("--runs", type=click.IntRange(1), default=1_000, show_default=True, help="Runs in all.")
@server_options
def latency_command(runs: int, as_json: bool, **server: Any) -> int:
    """Submit one run of one task at a time, and wait for its result."""
    from wfe.client.bench import workloads

    return _measure(lambda client: workloads.latency(client, runs=runs, progress=_progress()), as_json, **server)


@command("replay", short_help="Replay a WfFormat 1.5 trace.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--time-scale", type=click.FloatRange(0), default=0.01, show_default=True, help="Factor on run times.")
@server_options
def replay_command(file: Path, time_scale: float, as_json: bool, **server: Any) -> int:
    """Run a trace's graph, each task lasting its recorded time times the scale.

    The tasks only sleep, so that a worker has slots for all of them unless --slots says otherwise.
    """
    from wfe.client.bench import replay

    server["slots"] = server["slots"] or REPLAY_SLOTS
    trace = replay.read_trace(file)
    return _measure(
        lambda client: replay.replay(client, trace, time_scale=time_scale, file=file.name), as_json, **server
    )


for _each in (chain_command, fanout_command, latency_command, replay_command):
    bench_command.add_command(_each)


def _measure(
    workload: Callable[[AsyncClient], Awaitable[Report]], as_json: bool, *, connect: str | None, **server: Any
) -> int:
    """Runs a workload and prints its report; exit code 1 when a run did not complete."""
    import asyncio

    from wfe import bootstrap
    from wfe.bootstrap.world import new_loop

    with _address(connect, **server) as (address, token), asyncio.Runner(loop_factory=new_loop) as runner:
        document, ok = runner.run(_run(bootstrap.aconnect(address, token), workload))
    if as_json:
        print_json(document)
    else:
        print_fields([(name.replace("_", " "), str(value)) for name, value in document.items()])
    return 0 if ok else EXIT_FAILED


async def _run(
    connecting: AsyncClient, workload: Callable[[AsyncClient], Awaitable[Report]]
) -> tuple[dict[str, Any], bool]:
    from wfe.client.bench.report import measured_status

    async with connecting as client:
        report = await workload(client)
        return report.document(await measured_status(client)), report.ok


@contextmanager
def _address(
    connect: str | None, *, shards: int, workers: int, slots: int | None, durability: Any, data: str | None
) -> Iterator[tuple[str, str | None]]:
    """The address and token of the server that is measured."""
    if connect is not None:
        yield connect, None
        return
    from wfe import bootstrap
    from wfe.config import DEFAULT_SLOTS, ServeOptions

    options = ServeOptions(
        shards=shards,
        workers=workers,
        slots=slots or DEFAULT_SLOTS,
        durability=durability,
        log_level="warning",
        replace=True,
    )
    with bootstrap.LocalServer([BENCH_APP], data=data, options=options) as server:
        yield server.address, server.token


def _progress() -> Callable[[int, int], None]:
    """A line that counts, on a terminal only."""

    def show(done: int, total: int) -> None:
        end = "\n" if done >= total else ""
        sys.stderr.write(f"\r{done:,} of {total:,} runs{end}")
        sys.stderr.flush()

    if sys.stderr.isatty():
        return show
    note("measuring ...")
    return lambda done, total: None
