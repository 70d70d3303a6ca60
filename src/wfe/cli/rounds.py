"""Going on differently: retry, skip, fork."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from wfe.cli.output import command, note, print_json
from wfe.cli.params import Change, Given, JsonInput, WholeNumber, address_option, connected, run_argument, the_run

if TYPE_CHECKING:
    from wfe.client.sync_runs import Run


@command("retry", short_help="Let a failed run go on from what failed.")
@run_argument
@address_option
def retry_command(run_id: str, key: str | None, address: str | None, as_json: bool) -> None:
    """Let a failed run go on from what failed, in a new round: what has ended before stays as it is."""
    with connected(address) as client:
        run = the_run(client, run_id, key)
        run.retry()
    _told(run.id, "retry", as_json)


@command("skip", short_help="End an open node of a run with a value.")
@run_argument
@click.argument("node")
@click.option(
    "--output", type=JsonInput("--output "), metavar="JSON", help="The node's value: a JSON text, @file or - [null]."
)
@click.option("--activation", type=WholeNumber(min=0), metavar="N", help="Which one, if it is open several times.")
@address_option
def skip_command(
    run_id: str,
    key: str | None,
    node: str,
    output: Given | None,
    activation: int | None,
    address: str | None,
    as_json: bool,
) -> None:
    """End a node that is open now with a value; what it does is withdrawn. A failed run is retried first."""
    value = None if output is None else output.value
    with connected(address) as client:
        run = the_run(client, run_id, key)
        run.skip(node, value, activation=activation)
    _told(run.id, "skip", as_json)


@command("fork", short_help="Start a new run from a point of another one.")
@run_argument
@click.option("--from", "origin", required=True, metavar="NODE|EVENT", help="A node's id, or an event's number.")
@click.option("--set", "changes", multiple=True, type=Change(), help="Change a value first: input.x=1, charge.id=2.")
@address_option
def fork_command(
    run_id: str,
    key: str | None,
    origin: str,
    changes: tuple[tuple[str, Any], ...],
    address: str | None,
    as_json: bool,
) -> None:
    """Start a new run from right before a node first opened, or from an event; the old run stays as it is."""
    event = int(origin) if origin.isascii() and origin.isdecimal() else None
    node = origin if event is None else None
    with connected(address) as client:
        run = the_run(client, run_id, key)
        fork: Run[Any] = run.fork(node=node, event=event, changes=dict(changes))
    if as_json:
        print_json({"id": fork.id, "origin": run.id, "from": origin})
    else:
        click.echo(fork.id)


def _told(run_id: str, action: str, as_json: bool) -> None:
    if as_json:
        print_json({"id": run_id, "action": action, "accepted": True})
    else:
        note(f"run {run_id}: {action} accepted")
