"""`wfe replay`: does this code do what is recorded of these runs?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from wfe.cli.output import EXIT_FAILED, command, complain, print_json
from wfe.cli.params import address_option, connected

if TYPE_CHECKING:
    from wfe.bootstrap.replay import Replayed


@command("replay", short_help="Re-run recorded durable functions against an app's code, without effects.")
@click.argument("run_ids", metavar="RUN...", nargs=-1)
@click.option("--app", "apps", metavar="APP", multiple=True, required=True, help="The code to judge; repeatable.")
@click.option("--live", is_flag=True, help="All runs of the app's durable functions that have not ended.")
@address_option
def replay_command(
    run_ids: tuple[str, ...], apps: tuple[str, ...], live: bool, address: str | None, as_json: bool
) -> int:
    """Re-run RUNs of durable functions from their histories with the code of APP. No task is called.

    Exit code 1 if the code does not do what is recorded of some run (both sequences are printed), or if a run that is
    named could not be judged; with --live, if there are runs and none could be.
    """
    from wfe.authoring.apps import load_app
    from wfe.bootstrap.replay import replay, replay_live

    if bool(run_ids) == live:
        raise click.UsageError("name the runs to re-run, or all that are live with --live")
    app = load_app(list(apps))
    with connected(address) as client:
        found = list(replay_live(client, app) if live else replay(client, app, run_ids))
    if as_json:
        print_json([document(each) for each in found])
    else:
        show(found)
    outcomes = {each.outcome for each in found}
    unjudged = "skipped" in outcomes and (not live or outcomes == {"skipped"})
    return EXIT_FAILED if unjudged or "differs" in outcomes else 0


def document(replayed: Replayed) -> dict[str, Any]:
    """Its JSON form."""
    found: dict[str, Any] = msgspec.to_builtins(replayed)
    return found


def show(found: list[Replayed]) -> None:
    """For people: the runs that differ with what differs, then how many do not."""
    for each in found:
        if each.outcome == "differs":
            click.echo(f"run {each.run_id} ({each.workflow}, {each.status}): {each.reason}")
        elif each.outcome == "skipped":
            complain(f"run {each.run_id} ({each.workflow}) is not judged: {each.reason}")
    same = sum(each.outcome == "same" for each in found)
    if found and all(each.outcome == "skipped" for each in found):
        complain("nothing was judged: name runs of durable functions that the app of --app has")
    elif found:
        click.echo(f"{same} of {len(found)} runs are re-run as they are recorded")
    else:
        click.echo("there are no such runs")
