"""`wfe bench plan`: what a load needs, from a short calibration on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from wfe.cli.bench_engine import BENCH_APP, new_progress
from wfe.cli.output import command, note, print_fields, print_json
from wfe.cli.params import Duration, Number, WholeNumber

if TYPE_CHECKING:
    from wfe.client.bench.plan import Calibration, Wanted


@command("plan", short_help="Processes, memory and disk for a load.")
@click.option("--rate", type=Number(0, min_open=True), required=True, help="Runs per second.")
@click.option("--steps", type=WholeNumber(1, 1_000), default=10, show_default=True, help="Tasks per run.")
@click.option("--payload", "payload_bytes", type=WholeNumber(0), default=0, help="Bytes of each task's value.")
@click.option("--task-ms", type=Number(0), default=0.0, show_default=True, help="How long a task takes.")
@click.option("--cpu-bound", is_flag=True, help="Tasks keep a core busy; otherwise they wait for something.")
@click.option("--retention", type=Duration(), default="7d", show_default=True, help="Ended runs are kept so long.")
@click.option("--step", "step_s", type=Duration(), default="1s", show_default=True, help="For each point measured.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a report with plots there.")
@click.option("--data", metavar="DIR", help="Calibrate on this disk [default: a temporary directory].")
def plan_command(
    rate: float,
    steps: int,
    payload_bytes: int,
    task_ms: float,
    cpu_bound: bool,
    retention: float,
    step_s: float,
    html: Path | None,
    data: str | None,
    as_json: bool,
) -> int:
    """Measure this machine for a few seconds, and say what RATE runs per second of STEPS tasks need.

    The answer holds for machines such as this one: shards, workers, cores, memory, disk, latency, what breaks first.
    """
    import time

    from wfe.client.bench import plan_page
    from wfe.client.bench.plan import Wanted, document, make_plan
    from wfe.client.bench.plots import number

    if html is not None:
        _check_writable(html)
    wanted = Wanted(
        rate=rate,
        steps=steps,
        payload_bytes=payload_bytes,
        task_ms=task_ms,
        cpu_bound=cpu_bound,
        retention_days=retention / 86_400,
    )
    found = _calibrated(wanted, data, step_s)
    made = make_plan(wanted, found)
    if html is not None:
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        html.write_text(plan_page.page(wanted, found, made, when), encoding="utf-8")
        note(f"written to {html}")
    if as_json:
        print_json(document(wanted, found, made))
        return 0
    first = made.limits[0]
    fits = "yes" if made.fits else f"no: it lacks {', '.join(made.short_of)}"
    breaks = f"{first.what}, at {number(first.breaks_at_runs_per_s)} runs/s"
    print_fields([*plan_page.needs(wanted, made), ("this machine does", fits), ("breaks first", breaks)])
    return 0


def _check_writable(file: Path) -> None:
    """Said now rather than after the measurement."""
    import os

    from wfe.errors import ConfigError

    if not file.parent.is_dir():
        raise ConfigError(f"--html: there is no directory {file.parent}")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise ConfigError(f"--html: {file} cannot be written by this user")


def _calibrated(wanted: Wanted, data: str | None, step_s: float) -> Calibration:
    """A server in a temporary directory, measured and stopped."""
    import asyncio
    import tempfile

    from wfe import bootstrap
    from wfe.bootstrap.world import new_loop
    from wfe.client.bench.calibrate import calibrate
    from wfe.config import ServeOptions

    options = ServeOptions(shards=1, workers=1, durability="sync", log_level="warning", replace=True)
    with (
        tempfile.TemporaryDirectory(prefix="wfe-plan-", dir=data) as directory,
        bootstrap.LocalServer([BENCH_APP], data=directory, options=options) as server,
        asyncio.Runner(loop_factory=new_loop) as runner,
    ):

        async def run() -> Calibration:
            async with bootstrap.aconnect(server.address, server.token) as client:
                return await calibrate(client, server.data, wanted, step_s=step_s, progress=new_progress("steps"))

        return runner.run(run())
