"""What a run's tasks print and log: `wfe logs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from wfe.cli.output import command, note, print_json, print_json_line, printable
from wfe.cli.params import WholeNumber, address_option, connected, run_argument, the_run

if TYPE_CHECKING:
    from wfe.client.task_logs import LogItem


@command("logs", short_help="Show what a run's tasks print and log.")
@run_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@click.option("--node", default="", metavar="NODE", help="Only tasks of this node.")
@click.option("--attempt", type=WholeNumber(min=1), metavar="A", help="Only this attempt.")
@click.option("--tail", type=WholeNumber(min=0), metavar="N", help="Only the last N lines (of those that there are).")
@address_option
def logs_command(
    run_id: str,
    key: str | None,
    follow: bool,
    node: str,
    attempt: int | None,
    tail: int | None,
    address: str | None,
    as_json: bool,
) -> None:
    """Show what a run's tasks print and log, in the order in which it was said.

    Kept are the newest lines of each run, best effort: they are no part of its history.
    """
    from wfe.client.task_logs import log_document
    from wfe.client.watches import ENDED

    with connected(address) as client:
        run = the_run(client, run_id, key)
        if not follow:
            items = run.logs(node=node, attempt=attempt, tail=tail)
            if as_json:
                print_json([log_document(item) for item in items])
            else:
                _print(items)
            return
        if not run.logs(node=node, attempt=attempt, tail=1) and run.describe().status not in ENDED:
            note(f"nothing said yet; see `wfe why {run.id}`")
        for item in run.logs(follow=True, node=node, attempt=attempt, tail=tail):
            if as_json:
                print_json_line(log_document(item))
            else:
                _print([item])


def _print(items: list[LogItem]) -> None:
    from wfe.client.views import rfc3339

    for item in items:
        if item.dropped:
            click.echo(f"... {item.dropped} lines are gone")
        node = f"{item.node}#{item.activation}" if item.activation else item.node
        where = f"{node} (attempt {item.attempt})" if item.attempt > 1 else node
        level = "" if item.level == "info" else f"{item.level.upper()}: "
        click.echo(f"{rfc3339(item.time_ms)}  {where}  {level}{printable(item.text)}")
