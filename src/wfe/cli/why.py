"""Why a run does not go on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from wfe.cli.output import command, print_json, printable, styled
from wfe.cli.params import address_option, connected, run_argument, the_run
from wfe.cli.waits import condensed


@command("why", short_help="Say why a run does not go on.")
@run_argument
@address_option
def why_command(run_id: str, key: str | None, address: str | None, as_json: bool) -> None:
    """Say what exactly a run waits for: a worker that nobody started, slots that others hold, a lock and who has it,
    a timer, a signal, a person, another run; and what would help."""
    from wfe.client.why import why_document

    with connected(address) as client:
        document = why_document(client.why(the_run(client, run_id, key).id))
    if as_json:
        print_json(document)
        return
    click.echo(f"run {document['id']} ({document['workflow']}@{document['version']}) is {styled(document['status'])}")
    for line in lines(document, "  "):
        click.echo(printable(line))


def lines(document: dict[str, Any], indent: str) -> Iterator[str]:
    """What the run waits for, and below it what its children do."""
    if not document["waiting_for"]:
        yield f"{indent}{document['summary']}"
    for text, wait in condensed([(each["text"], each) for each in document["waiting_for"]]):
        yield f"{indent}- {text}"
        if wait is not None and wait["child"] is not None:
            yield from lines(wait["child"], indent + "    ")
