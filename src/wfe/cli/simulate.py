"""``wfe sim``: the whole cluster in one process on a simulated clock, network and disk."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import click

from wfe.cli.output import EXIT_FAILED, command, note, print_json
from wfe.cli.params import WholeNumber


@command("sim", short_help="Simulate a whole cluster with faults, from one seed.")
@click.option("--seed", type=WholeNumber(min=0), required=True, help="What decides everything that happens.")
@click.option("--steps", type=WholeNumber(min=1), default=10_000, show_default=True, help="Steps with faults.")
@click.option("--seeds", type=WholeNumber(min=1), default=1, show_default=True, help="So many seeds in a row.")
@click.option("--jobs", type=WholeNumber(min=1), default=1, show_default=True, help="Processes for several seeds.")
def sim_command(seed: int, steps: int, seeds: int, jobs: int, as_json: bool) -> int:
    """Simulate coordinator, shards, workers and clients with faults, and check every promise.

    The same seed gives the same trace. After so many steps the faults cease, and every run must end.
    Exit code 1 when something is wrong: then the seed, the commit and a command that shows it again are printed.
    """
    from wfe.sim.campaign import campaign
    from wfe.sim.simulation import Outcome, shorten, simulate

    begun_s = time.perf_counter()
    failed: Outcome | None = None
    outcome: Outcome | None = None
    taken = 0
    for outcome in campaign(range(seed, seed + seeds), steps, jobs):
        taken += steps + outcome.liveness_steps
        if not outcome.ok:
            failed = outcome
            break
    assert outcome is not None
    elapsed_s = time.perf_counter() - begun_s
    note(f"{taken} steps in {elapsed_s:.1f} s: {taken / elapsed_s:.0f} steps/s")
    if failed is None:
        if as_json:
            print_json(outcome)
        else:
            click.echo(f"ok: {seeds} seed(s) from {seed}, {outcome.trace_hash}")
        return 0
    shortest = shorten(failed)
    failed = simulate(failed.seed, shortest, keep_trace=True)
    failed.shortest = shortest
    again = f"wfe sim --seed {failed.seed} --steps {shortest}"
    for line in failed.last_steps:
        note(f"  {line}")
    note(f"seed {failed.seed} of commit {_commit()} shows: {failed.failure}")
    note(f"to see it again: {again}")
    if as_json:
        failed.last_steps = []
        print_json(failed)
    return EXIT_FAILED


def _commit() -> str:
    """The commit of the source tree that this module lies in; "unknown" when it is none."""
    here = Path(__file__).resolve().parent
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=here,
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or "unknown"
