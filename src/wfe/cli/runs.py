"""Runs: start, get, list, history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from wfe.cli.output import (
    EXIT_FAILED,
    EXIT_TIMEOUT,
    command,
    compact,
    complain,
    note,
    print_fields,
    print_json,
    print_json_line,
    print_table,
    print_value,
)
from wfe.cli.params import (
    Duration,
    Given,
    Tag,
    WholeNumber,
    address_option,
    connected,
    input_args,
    input_option,
    missing_input_told,
    run_argument,
    the_run,
)
from wfe.cli.waits import condensed

if TYPE_CHECKING:
    from wfe.client.sync import Client
    from wfe.client.sync_runs import Run
    from wfe.client.views import HistoryItem
    from wfe.wire.messages import RunView

STATUSES = ("pending", "running", "waiting", "paused", "completed", "failed", "cancelled")


@command("start", short_help="Start a run.")
@click.argument("workflow")
@input_option
@click.option("--key", help="(workflow, key) names one run: starting it twice starts it once.")
@click.option("--priority", type=WholeNumber(), default=0, help="Larger goes first.")
@click.option("--tag", "tags", type=Tag(), multiple=True, help="A searchable tag; repeatable.")
@click.option("--wait", is_flag=True, help="Wait for the end and print the output.")
@click.option(
    "--timeout", "timeout_s", type=Duration(), help="With --wait: stop waiting after this long (exit code 4)."
)
@address_option
def start_command(
    workflow: str,
    given: Given | None,
    key: str | None,
    priority: int,
    tags: tuple[tuple[str, str], ...],
    wait: bool,
    timeout_s: float | None,
    address: str | None,
    as_json: bool,
) -> int:
    """Start a run of WORKFLOW (name, or name@version; without a version the current one) and print its id.

    With --wait print its output, once it has ended. The run is below the span that the variable TRACEPARENT names.
    """
    from wfe.otel import inherit

    inherit()
    with connected(address) as client:
        with missing_input_told(given):
            run = client.start(workflow, *input_args(given), key=key, priority=priority, tags=dict(tags))
        if wait:
            note(f"run {run.id}")
            return wait_and_print(client, run, timeout_s, as_json)
        if as_json:
            print_json(_document(client.view(run.id)))
        else:
            click.echo(run.id)
    return 0


def wait_and_print(client: Client, run: Run[Any], timeout_s: float | None, as_json: bool) -> int:
    """Waits for a run's end and prints its output, or with ``--json`` its whole form; the exit code."""
    code = 0
    try:
        outcome = run.outcome(timeout_s)
    except TimeoutError as error:
        complain(str(error))
        code = EXIT_TIMEOUT
    else:
        code = 0 if outcome.status == "completed" else EXIT_FAILED
    if as_json:
        print_json(_document(client.view(run.id)))
    elif code == 0:
        print_value(run.result())
    elif code == EXIT_FAILED:
        complain_of_failure(client.view(run.id))
    return code


def complain_of_failure(view: RunView) -> None:
    """Why a run did not complete, for people."""
    if view.error is None:
        complain(f"run {view.id} is {view.status}")
        return
    where = f" at node {view.error.node!r}" if view.error.node else ""
    tries = f" after {view.error.attempts} attempts" if view.error.attempts > 1 else ""
    complain(f"run {view.id} {view.status}{where}{tries}: {view.error.type}: {view.error.message}")
    if view.error.traceback:
        note(view.error.traceback.rstrip())


@command("get", short_help="Show a run.")
@run_argument
@address_option
def get_command(run_id: str, key: str | None, address: str | None, as_json: bool) -> None:
    """Show a run: status, input, output or error, and what it waits for."""
    with connected(address) as client:
        document = _document(client.view(the_run(client, run_id, key).id))
    if as_json:
        print_json(document)
    else:
        print_run(document)


def print_run(document: dict[str, Any]) -> None:
    """A run for people."""
    error = document["error"]
    fields = [
        ("id", document["id"]),
        ("workflow", f"{document['workflow']}@{document['version']}"),
        ("status", document["status"]),
        ("key", document["key"] or ""),
        ("parent", document["parent"] or ""),
        ("tags", " ".join(f"{name}={value}" for name, value in document["tags"].items())),
        ("started", document["started_at"] or ""),
        ("ended", document["ended_at"] or ""),
        ("input", compact(document["input"], 2_000)),
        ("output", compact(document["output"], 2_000) if document["status"] == "completed" else ""),
    ]
    if error is not None:
        tries = "1 attempt" if error["attempts"] == 1 else f"{error['attempts']} attempts"
        where = f" (node {error['node']}, {tries})" if error["node"] else ""
        fields.append(("error", f"{error['type']}: {error['message']}{where}"))
    waits = [(f"{_waits_for(wait)}{_due(wait)}", wait) for wait in document["waiting_for"]]
    fields.extend(("waits for", text) for text, _ in condensed(waits))
    print_fields(fields)


def _due(wait: dict[str, Any]) -> str:
    return f", due {wait['due']}" if wait["due"] else ""


def _waits_for(waiting: dict[str, Any]) -> str:
    kind, node, detail = waiting["kind"], waiting["node"], waiting["detail"]
    what = {"worker": "a worker for task", "run": "the end of run", "items": "items by signal"}.get(kind, kind)
    return " ".join(filter(None, [what, detail])) + (f" (node {node})" if node else "")


@command("list", short_help="List runs, newest first.")
@click.option("--status", type=click.Choice(STATUSES), help="Only runs in this state.")
@click.option("--workflow", help="Only runs of this workflow.")
@click.option("--key", help="Only the run with this key.")
@click.option("--tag", "tags", type=Tag(), multiple=True, help="Only runs with this tag; repeatable.")
@click.option("--limit", type=WholeNumber(1, 10_000), default=100, show_default=True, help="At most so many.")
@address_option
def list_command(
    status: str | None,
    workflow: str | None,
    key: str | None,
    tags: tuple[tuple[str, str], ...],
    limit: int,
    address: str | None,
    as_json: bool,
) -> None:
    """List runs, newest first."""
    with connected(address) as client:
        runs = client.list(status=status, workflow=workflow, key=key, tags=dict(tags), limit=limit)
    views = [run.info.view for run in runs if run.info is not None and run.info.view is not None]
    documents = [_document(view) for view in views]
    if runs.incomplete:
        complain(f"incomplete: partitions {_ranges(runs.incomplete)} could not be asked")
    if as_json:
        print_json(documents)
        return
    rows = [
        (
            each["id"],
            f"{each['workflow']}@{each['version']}",
            each["status"],
            each["key"] or "",
            each["started_at"] or "",
        )
        for each in documents
    ]
    print_table(("RUN", "WORKFLOW", "STATUS", "KEY", "STARTED"), rows, "no runs")
    if runs.more:
        note(f"there are more: --limit {limit * 10}")


@command("history", short_help="Show the events of a run.")
@run_argument
@click.option("--at", type=WholeNumber(min=1), metavar="N", help="The run's whole state as of event N.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended, one line per event.")
@address_option
def history_command(
    run_id: str, key: str | None, at: int | None, follow: bool, address: str | None, as_json: bool
) -> None:
    """Show the events of a run, in order; with --at the run's whole state as of one of them."""
    from wfe.client.views import event_document

    with connected(address) as client:
        run = the_run(client, run_id, key)
        if at is not None:
            _show_past(run, at, as_json)
            return
        if follow:
            for item in run.history(follow=True):
                if as_json:
                    print_json_line(event_document(item))
                else:
                    click.echo("  ".join(_event_row(item)).rstrip())
            return
        items = run.history()
    if as_json:
        print_json([event_document(item) for item in items])
    else:
        print_table(("SEQ", "TIME", "EVENT", "NODE", "DATA"), [_event_row(item) for item in items], "no events")


def _show_past(run: Run[Any], at: int, as_json: bool) -> None:
    from wfe.client.views import past_document

    past = past_document(run.past(at))
    if as_json:
        print_json(past)
        return
    click.echo(f"run {past['id']} as of event {past['event']} ({past['time']}): {past['status']}")
    rows = [
        (
            f"{node['node'] or 'the run'}{'#' + str(node['activation']) if node['activation'] else ''}",
            node["state"],
            node["due"] or "",
            node["detail"] if node["state"] != "done" else compact(node["value"]),
        )
        for node in past["nodes"]
    ]
    print_table(("NODE", "STATE", "DUE", "DETAIL OR VALUE"), rows, "nothing is open, and no value is kept")


_TURNS = frozenset(("TurnTaken", "TurnRefused", "RoundContinued"))
"""Of a durable function: each of its turns has an attempt number of its own."""


def _event_row(item: HistoryItem) -> tuple[str, ...]:
    from wfe.client.views import rfc3339

    node = item.node
    if node and item.activation:
        node += f"#{item.activation}"
    if node and item.attempt > 1:
        node += f" ({'turn' if item.type in _TURNS else 'attempt'} {item.attempt})"
    data = "" if item.data in (None, {}) else compact(item.data)
    return str(item.seq), rfc3339(item.time_ms) or "", item.type, node, data


def _document(view: RunView) -> dict[str, Any]:
    from wfe.client.views import run_document

    return run_document(view)


def _ranges(numbers: list[int]) -> str:
    """[1, 2, 3, 7] as ``1-3, 7``."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)
