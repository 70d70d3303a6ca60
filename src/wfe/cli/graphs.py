"""Looking at definitions: pictures, the processed graph, what two versions differ in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from wfe.cli.output import EXIT_FAILED, command, print_json
from wfe.cli.params import WholeNumber, address_option, connected
from wfe.cli.sources import definitions_of, drawn, is_registered_name

if TYPE_CHECKING:
    from wfe.core.study import Differences
    from wfe.model.definition import Definition

FORMATS = ("svg", "dot", "mermaid", "yaml", "json")


@command("graph", short_help="Draw an app's workflows, a registered one, or that of a run.")
@click.argument("what", metavar="APP[:NAME]|NAME[@VERSION]|RUN")
@click.option("--format", "form", type=click.Choice(FORMATS), default="mermaid", show_default=True)
@click.option(
    "--runs", type=WholeNumber(0, 1000), default=20, show_default=True, help="json: read the times of so many runs."
)
@click.option(
    "--paths", type=WholeNumber(0, 10_000), default=10, show_default=True, help="json: list so many ways through it."
)
@address_option
def graph_command(what: str, form: str, runs: int, paths: int, address: str | None, as_json: bool) -> None:
    """Draw the workflows of an app, or one of them, a registered version, or that of a run, to standard output.

    --format json prints the processed graph: branch and convergence points, levels, paths, and, of what is
    registered, the critical path by the recorded times of a run or of the last ones of that version.
    """
    if form == "json":
        print_json(_processed(what, runs, paths, address))
        return
    from wfe.authoring.drawing import several

    definitions = definitions_of(what, address)
    drawings = [drawn(definition, form) for definition in definitions]
    if as_json:
        documents = [
            {"workflow": definition.workflow, "format": form, "text": text}
            for definition, text in zip(definitions, drawings, strict=True)
        ]
        print_json(documents[0] if len(documents) == 1 else documents)
        return
    text = several(drawings, form)
    click.echo(text, nl=not text.endswith("\n"))


def _processed(what: str, runs: int, paths: int, address: str | None) -> Any:
    from wfe.core.study import processed_graph
    from wfe.model.ids import is_run_id

    if is_run_id(what) or is_registered_name(what):
        with connected(address) as client:
            return client.graph(what, runs=runs, paths=paths)
    found = [processed_graph(definition, paths_max=paths) for definition in definitions_of(what, address)]
    return found[0] if len(found) == 1 else found


@command("diff", short_help="Say what two versions of a workflow differ in.")
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="[NEW]", required=False)
@click.option("--exit-code", "by_code", is_flag=True, help="End with 1 when there are differences.")
@address_option
def diff_command(old: str, new: str | None, by_code: bool, address: str | None, as_json: bool) -> int:
    """Say what changed from OLD to NEW: nodes, their fields, edges, inputs, policies.

    Each is APP[:NAME], NAME[@VERSION] or a run's id. With one APP alone: what a deploy of it would change.
    """
    after = definitions_of(old if new is None else new, address)
    before = _registered(after, address) if new is None else definitions_of(old, address)
    found = _compared(before, after)
    if as_json:
        print_json(found)
    else:
        for each in found:
            click.echo(f"{each.workflow}: the same" if each.same else f"{each.workflow}:")
            for difference in each.differences:
                click.echo(f"  {difference}")
    return EXIT_FAILED if by_code and not all(each.same for each in found) else 0


def _registered(definitions: list[Definition], address: str | None) -> list[Definition]:
    """The current versions of these workflows, of those that are registered."""
    with connected(address) as client:
        known = {each.workflow for each in client.definitions() if each.current}
        return [client.definition(each.workflow) for each in definitions if each.workflow in known]


def _compared(before: list[Definition], after: list[Definition]) -> list[Differences]:
    """Workflows of one name are compared; a single one on both sides is, whatever its name."""
    from wfe.core.study import Difference, Differences, differences

    if len(before) == len(after) == 1:
        return [differences(before[0], after[0])]
    old, new = ({each.workflow: each for each in side} for side in (before, after))
    found = []
    for name in [*old, *(name for name in new if name not in old)]:
        if name in old and name in new:
            found.append(differences(old[name], new[name]))
        else:
            change = Difference("workflow", "added" if name in new else "removed", name)
            found.append(Differences(name, False, [change]))
    return found
