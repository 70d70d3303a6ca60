"""`wfe bench`: workloads against a server of its own, or against one that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wfe.cli.bench_engine import kind_of, measure, round_options, server_options, task_options
from wfe.cli.bench_plan import plan_command
from wfe.cli.output import command
from wfe.cli.params import Duration, Number, WholeNumber

REPLAY_SLOTS = 1_000


@click.group("bench", short_help="Measure an engine.")
def bench_command() -> None:
    """Measure an engine: one of its own in a temporary directory, or with --connect one that runs.

    A server to connect to must have been started with --app wfe.client.bench.app.
    """


@command("chain", short_help="W1: many chains of tasks at once.")
@click.option("--chains", type=WholeNumber(1), default=200, show_default=True, help="Runs in flight.")
@click.option("--length", type=WholeNumber(1), default=10, show_default=True, help="Tasks per run.")
@click.option("--runs", type=WholeNumber(1), default=10_000, show_default=True, help="Runs in all.")
@click.option("--rate", type=Number(0, min_open=True), help="Runs per second, however many are in flight.")
@click.option("--load", "load_percent", type=Number(0, 100, min_open=True), help="Percent of the maximum.")
@task_options
@round_options
@server_options
def chain_command(
    chains: int,
    length: int,
    runs: int,
    rate: float | None,
    load_percent: float | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Keep CHAINS runs of LENGTH tasks in flight until RUNS are done.

    With --rate, runs come at that rate instead; with --load, at that share of what was found to be the maximum.
    """
    from wfe.client.bench import paced, workloads

    kind = kind_of(given)
    if rate is None and load_percent is None:
        return measure(
            lambda client, options: workloads.chain(
                client, chains=chains, length=length, runs=runs, kind=kind, options=options
            ),
            as_json,
            **given,
        )
    if rate is not None and load_percent is not None:
        raise click.UsageError("--rate and --load both say how much comes: give one of them")
    if given["floor"] or given["rounds"]:
        raise click.UsageError("--floor and --rounds are for runs in flight, not for --rate and --load")
    return measure(
        lambda client, options: paced.chain(
            client, rate=rate, load_percent=load_percent, chains=chains, length=length, runs=runs, kind=kind,
            options=options,
        ),
        as_json,
        **given,
    )  # fmt: skip


@command("fanout", short_help="W2: one task, many at once, one task.")
@click.option("--width", type=WholeNumber(1), default=100, show_default=True, help="Tasks side by side.")
@click.option("--at-once", type=WholeNumber(1), default=20, show_default=True, help="Runs in flight.")
@click.option("--runs", type=WholeNumber(1), default=500, show_default=True, help="Runs in all.")
@task_options
@round_options
@server_options
def fanout_command(width: int, at_once: int, runs: int, as_json: bool, **given: Any) -> int:
    """Keep AT_ONCE runs of 1 -> WIDTH -> 1 tasks in flight until RUNS are done."""
    return _fanout("fanout", width, at_once, runs, as_json, given)


@command("latency", short_help="W3: one lone task at a time.")
@click.option("--runs", type=WholeNumber(1), default=1_000, show_default=True, help="Runs in all.")
@task_options
@round_options
@server_options
def latency_command(runs: int, as_json: bool, **given: Any) -> int:
    """Submit one run of one task at a time, and wait for its result."""
    from wfe.client.bench import workloads

    kind = kind_of(given)
    return measure(
        lambda client, options: workloads.latency(client, runs=runs, kind=kind, options=options), as_json, **given
    )


@command("fanin", short_help="W4: one task, ten thousand at once, one task.")
@click.option("--width", type=WholeNumber(1), default=10_000, show_default=True, help="Tasks side by side.")
@click.option("--at-once", type=WholeNumber(1), default=1, show_default=True, help="Runs in flight.")
@click.option("--runs", type=WholeNumber(1), default=20, show_default=True, help="Runs in all.")
@task_options
@round_options
@server_options
def fanin_command(width: int, at_once: int, runs: int, as_json: bool, **given: Any) -> int:
    """The same as fanout, with one run that is very wide."""
    return _fanout("fanin", width, at_once, runs, as_json, given)


def _fanout(workload: str, width: int, at_once: int, runs: int, as_json: bool, given: dict[str, Any]) -> int:
    from wfe.client.bench import workloads

    kind = kind_of(given)
    return measure(
        lambda client, options: workloads.fanout(
            client, width=width, at_once=at_once, runs=runs, kind=kind, options=options, workload=workload
        ),
        as_json,
        **given,
    )


@command("payload", short_help="W5: large values through tasks.")
@click.option("--bytes", "size_bytes", type=WholeNumber(1), default=1 << 20, show_default=True, help="Per value.")
@click.option("--length", type=WholeNumber(1), default=2, show_default=True, help="Tasks per run.")
@click.option("--at-once", type=WholeNumber(1), default=4, show_default=True, help="Runs in flight.")
@click.option("--runs", type=WholeNumber(1), default=200, show_default=True, help="Runs in all.")
@round_options
@server_options
def payload_command(size_bytes: int, length: int, at_once: int, runs: int, as_json: bool, **given: Any) -> int:
    """Chains whose tasks each take and give a value of so many bytes."""
    from wfe.client.bench import workloads

    return measure(
        lambda client, options: workloads.payload(
            client, size_bytes=size_bytes, length=length, at_once=at_once, runs=runs, options=options
        ),
        as_json,
        **given,
    )


@command("timers", short_help="W6: many timers due within a minute.")
@click.option("--runs", type=WholeNumber(1), default=100_000, show_default=True, help="Timers in all.")
@click.option(
    "--within", "within_s", type=Duration(), default="60s", show_default=True, help="All are due in this time."
)
@server_options
def timers_command(runs: int, within_s: float, as_json: bool, **server: Any) -> int:
    """Start RUNS runs that sleep until times spread over WITHIN, and see how late each one wakes."""
    from wfe.client.bench import waits

    return measure(
        lambda client, options: waits.timers(client, runs=runs, within_s=within_s, options=options), as_json, **server
    )


@command("signals", short_help="W7: runs that wait for signals.")
@click.option("--runs", type=WholeNumber(1), default=2_000, show_default=True, help="Runs in all.")
@click.option("--each", type=WholeNumber(1), default=10, show_default=True, help="Signals per run.")
@click.option("--at-once", type=WholeNumber(1), default=64, show_default=True, help="Runs in flight.")
@server_options
def signals_command(runs: int, each: int, at_once: int, as_json: bool, **server: Any) -> int:
    """Send each of RUNS runs EACH signals, one after the other; a signal counts as a task."""
    from wfe.client.bench import waits

    return measure(
        lambda client, options: waits.signals(client, runs=runs, each=each, at_once=at_once, options=options),
        as_json,
        **server,
    )


@command("replay", short_help="W8: replay a WfFormat 1.5 trace.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--time-scale", type=Number(0), default=0.01, show_default=True, help="Factor on run times.")
@server_options
def replay_command(file: Path, time_scale: float, as_json: bool, **server: Any) -> int:
    """Run a trace's graph, each task lasting its recorded time times the scale.

    The tasks only sleep, so that a worker has slots for all of them unless --slots says otherwise.
    """
    from wfe.client.bench import replay

    server["slots"] = server["slots"] or REPLAY_SLOTS
    trace = replay.read_trace(file)
    return measure(
        lambda client, _: replay.replay(client, trace, time_scale=time_scale, file=file.name), as_json, **server
    )


@command("soak", short_help="W9: a mixed load for some time.")
@click.option("--for", "seconds", type=Duration(), default="60s", show_default=True, help="How long.")
@click.option("--at-once", type=WholeNumber(1), default=100, show_default=True, help="Runs in flight.")
@server_options
def soak_command(seconds: float, at_once: int, as_json: bool, **server: Any) -> int:
    """Chains, maps, retries, naps, sub-workflows and signals, every result checked; memory and rate over time."""
    from wfe.client.bench import soak

    return measure(
        lambda client, options: soak.soak(client, seconds=seconds, at_once=at_once, options=options), as_json, **server
    )


@command("starts", short_help="How many runs a client can start.")
@click.option("--runs", type=WholeNumber(1), default=100_000, show_default=True, help="Runs in all.")
@click.option("--single", is_flag=True, help="One call per run, from many client tasks, instead of start_many.")
@click.option("--clients", type=WholeNumber(1), default=64, show_default=True, help="Client tasks, with --single.")
@click.option("--length", type=WholeNumber(0), default=0, show_default=True, help="Tasks per run.")
@server_options
def starts_command(runs: int, single: bool, clients: int, length: int, as_json: bool, **server: Any) -> int:
    """Start RUNS runs as fast as they become durable; a run counts as a task."""
    from wfe.client.bench import rates

    return measure(
        lambda client, options: rates.starts(
            client, runs=runs, single=single, clients=clients, length=length, options=options
        ),
        as_json,
        **server,
    )


for _each in (
    chain_command, fanout_command, latency_command, fanin_command, payload_command, timers_command, signals_command,
    replay_command, soak_command, starts_command, plan_command,
):  # fmt: skip
    bench_command.add_command(_each)
