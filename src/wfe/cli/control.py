"""What people do to a run: cancel, pause, resume, signal."""

from __future__ import annotations

import shlex

import click

from wfe.cli.output import command, note, print_json
from wfe.cli.params import Given, address_option, connected, payload_option, run_argument, the_run


@command("cancel", short_help="Cancel a run.")
@run_argument
@click.option("--no-compensate", is_flag=True, help="Do not run its compensations.")
@address_option
def cancel_command(run_id: str, key: str | None, no_compensate: bool, address: str | None, as_json: bool) -> None:
    """Cancel a run: whatever it waits for is withdrawn, running tasks are told to stop."""
    with connected(address) as client:
        run = the_run(client, run_id, key)
        run.cancel(compensate=not no_compensate)
    _done(run.id, "cancel", as_json)


@command("pause", short_help="Pause a run: nothing more is dispatched.")
@run_argument
@address_option
def pause_command(run_id: str, key: str | None, address: str | None, as_json: bool) -> None:
    """Pause a run: nothing more is dispatched; results and signals are recorded and count at resume."""
    with connected(address) as client:
        run = the_run(client, run_id, key)
        run.pause()
    _done(run.id, "pause", as_json)


@command("resume", short_help="Resume a paused run.")
@run_argument
@address_option
def resume_command(run_id: str, key: str | None, address: str | None, as_json: bool) -> None:
    """Resume a paused run."""
    with connected(address) as client:
        run = the_run(client, run_id, key)
        run.resume()
    _done(run.id, "resume", as_json)


@command("signal", short_help="Send a signal to a run.")
@run_argument
@click.argument("name")
@click.argument("extra", nargs=-1, metavar="", type=click.UNPROCESSED)
@payload_option
@click.option("--id", "event_id", metavar="EVENT", help="Signals with the same id count once.")
@click.option("--correlation", default="", metavar="TEXT", help="Only a wait that correlates with TEXT takes it.")
@address_option
def signal_command(
    run_id: str,
    key: str | None,
    name: str,
    extra: tuple[str, ...],
    given: Given | None,
    event_id: str | None,
    correlation: str,
    address: str | None,
    as_json: bool,
) -> None:
    """Send a signal with -i as its payload; one that comes before the run waits for it is queued."""
    if extra:
        raise click.UsageError(f"the payload is given with -i: wfe signal RUN {name} -i {shlex.quote(extra[0])}")
    with connected(address) as client:
        run = the_run(client, run_id, key)
        payload = None if given is None else given.value
        run.signal(name, payload, event_id=event_id, correlation=correlation)
    _done(run.id, "signal", as_json)


def _done(run_id: str, action: str, as_json: bool) -> None:
    if as_json:
        print_json({"id": run_id, "action": action, "accepted": True})
    else:
        note(f"run {run_id}: {action} accepted")
