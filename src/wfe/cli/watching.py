"""Watching a server: top, events."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from wfe.cli.output import command, compact, counted, fail_usage, note, print_json, print_json_line, print_table
from wfe.cli.params import CONNECT_TIMEOUT_S, Duration, address_option, connected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wfe.client.feed import FeedItem
    from wfe.client.rates import Rates
    from wfe.core.expressions import Expression

ROWS_MAX = 15
_SHARDS = ("SHARD", "STATE", "OPEN", "READY", "RUNNING", "TASKS/S", "EVENTS/S", "COMMIT P99 MS", "MEMORY MIB")
_WORKFLOWS = ("WORKFLOW", "STARTED/S", "ENDED/S", "FAILED", "FAILED IN ALL", "MEAN S")
_TASKS = ("TASK", "OF", "ATTEMPTS/S", "FAILED", "FAILED IN ALL", "MEAN MS")


@command("top", short_help="Show what a server does right now, live.")
@click.option("--every", "every_s", type=Duration(), default="1s", show_default=True, help="How often it is renewed.")
@click.option("--once", is_flag=True, help="Look for that long, print it, stop.")
@address_option
def top_command(every_s: float, once: bool, address: str | None, as_json: bool) -> None:
    """Show shards, queues, workers, the busiest workflows and tasks, and failures; until Ctrl-C.

    Without a terminal, with --once and with --json one look is printed.
    """
    from wfe.client.rates import rates

    if every_s <= 0:
        fail_usage("--every must be longer than zero")
    with connected(address) as client:
        before = client.status()
        if once or as_json or not sys.stdout.isatty():
            time.sleep(every_s)
            found = rates(before, client.status())
            if as_json:
                print_json(found.document())
            else:
                _print(found)
            return
        from rich.live import Live

        with Live(_screen(rates(before, before)), screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(every_s)
                after = client.status()
                live.update(_screen(rates(before, after)), refresh=True)
                before = after


def _tables(found: Rates) -> list[tuple[Sequence[str], Sequence[Sequence[str]], str]]:
    shards = [
        (
            str(each.index),
            each.state,
            str(each.runs_open),
            str(each.tasks_ready),
            str(each.tasks_running),
            f"{each.tasks_per_s:.0f}",
            f"{each.events_per_s:.0f}",
            f"{each.commit_p99_ms:.2f}",
            f"{each.memory_mib:.0f}",
        )
        for each in found.shards
    ]
    workflows = [
        (
            each.workflow,
            f"{each.started_per_s:.1f}",
            f"{each.ended_per_s:.1f}",
            str(each.failed),
            str(each.failed_total),
            f"{each.mean_s:.3f}",
        )
        for each in found.workflows[:ROWS_MAX]
    ]
    tasks = [
        (
            each.task,
            each.workflow,
            f"{each.attempts_per_s:.1f}",
            str(each.failed),
            str(each.failed_total),
            f"{each.mean_ms:.2f}",
        )
        for each in found.tasks[:ROWS_MAX]
    ]
    return [(_SHARDS, shards, "no shards"), (_WORKFLOWS, workflows, "no runs yet"), (_TASKS, tasks, "no tasks yet")]


def _print(found: Rates) -> None:
    click.echo(f"{found.state}, {counted(found.workers, 'worker')}")
    for columns, rows, empty in _tables(found):
        click.echo()
        print_table(columns, rows, empty)


def _screen(found: Rates) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[Any] = [Text(f"wfe: {found.state}, {counted(found.workers, 'worker')}", style="bold")]
    for columns, rows, empty in _tables(found):
        if not rows:
            parts.append(Text(empty, style="dim"))
            continue
        table = Table(box=None, header_style="bold", pad_edge=False)
        for place, column in enumerate(columns):
            table.add_column(column, justify="left" if place < 2 else "right")
        for row in rows:
            table.add_row(*map(Text, row))
        parts += [Text(), table]
    return Group(*parts)


@command("events", short_help="Show the events of all runs as they happen.")
@click.option("--type", "types", multiple=True, metavar="NAME", help="Only events of this type; repeatable.")
@click.option("--workflow", metavar="NAME", help="Only runs of this workflow.")
@click.option("--filter", "condition", metavar="CEL", help="Only where this holds.")
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C, one line per event.")
@click.option("--for", "for_s", type=Duration(), default="5s", show_default=True, help="Without -f: how long to look.")
@address_option
def events_command(
    types: tuple[str, ...],
    workflow: str | None,
    condition: str | None,
    follow: bool,
    for_s: float,
    address: str | None,
    as_json: bool,
) -> None:
    """Show the events of all runs from now on.

    --filter is an expression as in workflows, over run, workflow, seq, time, type, node, activation, attempt and data:
    --filter 'type == "TaskFailed" && node == "charge"'. An event for which it cannot be computed is left out.
    """
    test = _compiled(condition)
    found: list[dict[str, Any]] = []

    def show(item: FeedItem) -> None:
        if item.missed:
            note("some events were missed: too many at once, or a shard started anew")
        document = _document(item)
        if document is None or not _holds(test, document):
            return
        if not as_json:
            click.echo(_line(document))
        elif follow:
            print_json_line(document)
        else:
            found.append(document)

    asyncio.run(_watch(address, types, workflow, None if follow else for_s, show))
    if as_json and not follow:
        print_json(found)


async def _watch(
    address: str | None, types: tuple[str, ...], workflow: str | None, for_s: float | None, show: Any
) -> None:
    from contextlib import aclosing, suppress

    from wfe import bootstrap

    async with bootstrap.aconnect(address, connect_timeout_s=CONNECT_TIMEOUT_S) as client:
        with suppress(TimeoutError):
            async with asyncio.timeout(for_s), aclosing(client.feed(types=types, workflow=workflow)) as items:
                async for item in items:
                    show(item)


def _document(item: FeedItem) -> dict[str, Any] | None:
    from wfe.client.views import event_document

    if item.event is None:
        return None
    return {"run": item.run_id, "workflow": item.workflow, **event_document(item.event)}


def _line(document: dict[str, Any]) -> str:
    where = document["node"] or ""
    if where and document["activation"]:
        where += f"#{document['activation']}"
    data = "" if document["data"] in (None, {}) else compact(document["data"])
    parts = (document["time"] or "", document["run"], document["workflow"], document["type"], where, data)
    return "  ".join(filter(None, parts))


def _compiled(condition: str | None) -> Expression | None:
    if condition is None:
        return None
    from wfe.core.expressions import compile_expression
    from wfe.errors import ExpressionError

    try:
        return compile_expression(condition)
    except ExpressionError as error:
        fail_usage(f"--filter: {error}")


def _holds(test: Expression | None, document: dict[str, Any]) -> bool:
    from wfe.errors import ExpressionError

    if test is None:
        return True
    try:
        return test.evaluate(document.get) is True
    except ExpressionError:  # it has no such field: not one of those that are looked for
        return False
