"""Decisions of people: which runs wait for one, and making it."""

from __future__ import annotations

import getpass
from typing import Any

import click

from wfe.cli.output import command, compact, note, print_json, print_table
from wfe.cli.params import Given, JsonInput, WholeNumber, address_option, connected, run_argument, the_run


@command("approvals", short_help="List the decisions that runs wait for.")
@click.option("--to", metavar="WHO", help="Only those that this person is asked for.")
@click.option("--workflow", metavar="NAME", help="Only runs of this workflow.")
@click.option("--limit", type=WholeNumber(1, 10_000), default=100, show_default=True)
@address_option
def approvals_command(to: str | None, workflow: str | None, limit: int, address: str | None, as_json: bool) -> None:
    """List the decisions that runs wait for, oldest run first."""
    from wfe.client.approvals import approval_document

    with connected(address) as client:
        documents = [approval_document(found) for found in client.approvals(to=to, workflow=workflow, limit=limit)]
    if as_json:
        print_json(documents)
        return
    rows = [(each["run"], each["workflow"], each["name"], _who(each["to"]), each["due"] or "") for each in documents]
    print_table(("RUN", "WORKFLOW", "APPROVAL", "BY", "DUE"), rows, "no run waits for a decision")


@command("approve", short_help="Approve or reject what a run asks for.")
@run_argument
@click.argument("name")
@click.option("--reject", is_flag=True, help="Refuse instead.")
@click.option("--comment", metavar="TEXT", help="Why.")
@click.option("--by", metavar="WHO", help="Who decides [default: the user's login name].")
@click.option("--data", type=JsonInput("--data "), metavar="JSON", help="What the approval's form asks for.")
@click.option("--id", "event_id", metavar="EVENT", help="Decisions with the same id count once.")
@address_option
def approve_command(
    run_id: str,
    key: str | None,
    name: str,
    reject: bool,
    comment: str | None,
    by: str | None,
    data: Given | None,
    event_id: str | None,
    address: str | None,
    as_json: bool,
) -> None:
    """Approve what a run asks for under NAME, or reject it. A decision that comes early is kept."""
    from wfe.client.approvals import check_approval_name

    decision: dict[str, Any] = {"approved": not reject, "by": by or _login()}
    if comment is not None:
        decision["comment"] = comment
    if data is not None:
        decision["data"] = data.value
    with connected(address) as client:
        run = the_run(client, run_id, key)
        check_approval_name(client.definition(hash=client.view(run.id).definition), name)
        run.signal(name, decision, event_id=event_id)
    action = "reject" if reject else "approve"
    if as_json:
        print_json({"id": run.id, "action": action, "accepted": True})
    else:
        note(f"run {run.id}: {action} {name} accepted")


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return ""


def _who(to: Any) -> str:
    return "" if to is None else to if isinstance(to, str) else compact(to)
