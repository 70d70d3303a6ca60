"""Registered definitions: list, get, deprecate, tag, make current, delete, export, import."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from wfe.cli.output import command, counted, note, print_json, print_table
from wfe.cli.params import address_option, connected

if TYPE_CHECKING:
    from wfe.model.definition import Definition
    from wfe.wire.messages import DefinitionFound

FORMATS = ("yaml", "json")


@click.group("definitions", short_help="Registered workflows: list, get, deprecate, tag, delete, export.")
def definitions_command() -> None:
    """Registered workflows and their versions. WORKFLOW is a name, NAME@VERSION or NAME@TAG."""


def _workflow_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.argument("workflow", metavar="WORKFLOW[@VERSION]")(function)


def _format_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--format", "form", type=click.Choice(FORMATS), default="yaml", show_default=True)(function)


# ---- looking --------------------------------------------------------------------------------------------------------


@command("list", short_help="List workflows, or the versions of one.")
@click.argument("workflow", metavar="[WORKFLOW]", required=False)
@click.option("--versions", is_flag=True, help="All versions, not only the current ones.")
@address_option
def list_command(workflow: str | None, versions: bool, address: str | None, as_json: bool) -> None:
    """List the current version of each workflow, or, with a name, all versions of that one, newest first."""
    from wfe.client.views import definition_document, rfc3339

    with connected(address) as client:
        found = client.definitions()
        if workflow is not None:
            client.definition(workflow)  # refuses a name that is not registered, with a hint
    name = workflow.partition("@")[0] if workflow is not None else None
    shown = [each for each in found if (each.current or versions if name is None else each.workflow == name)]
    if as_json:
        print_json([definition_document(each) for each in shown])
        return
    rows = [
        (
            each.workflow,
            str(each.version),
            rfc3339(each.deployed_at) or "",
            ", ".join(each.tags),
            ", ".join(each.triggers),
            _state(each),
        )
        for each in shown
    ]
    print_table(("WORKFLOW", "VERSION", "DEPLOYED", "TAGS", "TRIGGERS", ""), rows, "no workflow is registered")


def _state(found: DefinitionFound) -> str:
    words = ["current"] if found.current else []
    if found.deprecated_at:
        words.append(f"deprecated: {found.note}" if found.note else "deprecated")
    return ", ".join(words)


@command("get", short_help="Print a definition.")
@_workflow_argument
@_format_option
@address_option
def get_command(workflow: str, form: str, address: str | None, as_json: bool) -> None:
    """Print a registered definition as YAML or JSON, without its version: deployed again it is the same graph."""
    with connected(address) as client:
        definition = client.definition(workflow)
    if as_json or form == "json":
        from wfe.authoring.yaml_writer import to_plain

        print_json(to_plain(definition))
    else:
        _print_yaml([definition])


@command("export", short_help="Print definitions with their versions.")
@click.argument("workflows", metavar="[WORKFLOW[@VERSION]]...", nargs=-1)
@_format_option
@click.option("-o", "--output", "file", type=click.Path(dir_okay=False, writable=True), help="Write to this file.")
@address_option
def export_command(workflows: tuple[str, ...], form: str, file: str | None, address: str | None, as_json: bool) -> None:
    """Print definitions with their version numbers, for `wfe definitions import`; without a name, all current ones."""
    import msgspec

    from wfe.authoring.yaml_writer import to_plain, write_many

    with connected(address) as client:
        names = workflows or [each.workflow for each in client.definitions() if each.current]
        found = [_numbered(client.definition(name), client.version_of(name)) for name in names]
    if as_json or form == "json":
        text = msgspec.json.format(msgspec.json.encode([to_plain(each) for each in found]), indent=2).decode() + "\n"
    else:
        text = write_many(found)
    if file is None:
        click.echo(text, nl=False)
        return
    with open(file, "w", encoding="utf-8") as out:
        out.write(text)
    note(f"{file}: {counted(len(found), 'definition')}")


def _numbered(definition: Definition, version: int) -> Definition:
    import msgspec

    return msgspec.structs.replace(definition, version=version)


def _print_yaml(definitions: list[Definition]) -> None:
    from wfe.authoring.yaml_writer import write_many

    click.echo(write_many(definitions), nl=False)


@command("import", short_help="Register the definitions of files.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@address_option
def import_command(files: tuple[str, ...], address: str | None, as_json: bool) -> None:
    """Register exported definitions (YAML or JSON), each under the version that it names, and make them current."""
    from wfe.authoring.apps import load_app
    from wfe.client.views import deployed_document

    definitions = load_app(list(files)).definitions()
    with connected(address) as client:
        deployed = client.deploy(*definitions)
    if as_json:
        print_json([deployed_document(each) for each in deployed])
        return
    rows = [(each.workflow, str(each.version), "new" if each.changed else "unchanged") for each in deployed]
    print_table(("WORKFLOW", "VERSION", ""), rows, "the files hold no workflow")


# ---- changing -------------------------------------------------------------------------------------------------------


@command("deprecate", short_help="Refuse new runs of a version.")
@_workflow_argument
@click.option("--note", "why", default="", metavar="TEXT", help="Why, and what to use instead: starts are told.")
@address_option
def deprecate_command(workflow: str, why: str, address: str | None, as_json: bool) -> None:
    """Refuse new runs of a version (without one: of all that there are); those that there are go on."""
    with connected(address) as client:
        changed = client.deprecate(workflow, note=why)
    _told(workflow, changed, "deprecated", as_json)


@command("undeprecate", short_help="Take new runs again.")
@_workflow_argument
@address_option
def undeprecate_command(workflow: str, address: str | None, as_json: bool) -> None:
    """Take new runs of a deprecated version (without one: of all) again."""
    with connected(address) as client:
        changed = client.undeprecate(workflow)
    _told(workflow, changed, "takes new runs", as_json)


@command("tag", short_help="Let a tag stand for a version.")
@_workflow_argument
@click.argument("tag")
@click.option("--remove", is_flag=True, help="Take the tag away.")
@address_option
def tag_command(workflow: str, tag: str, remove: bool, address: str | None, as_json: bool) -> None:
    """Let TAG stand for a version (without one: the current); NAME@TAG names it from then on."""
    with connected(address) as client:
        if remove:
            there = client.untag(workflow, tag)
            _told(workflow, [0] if there else [], f"the tag {tag} is gone", as_json)
            return
        version = client.tag(workflow, tag)
    _told(workflow, [version], f"tagged {tag}", as_json)


@command("use", short_help="Make a version the current one.")
@_workflow_argument
@address_option
def use_command(workflow: str, address: str | None, as_json: bool) -> None:
    """Make a version the current one, which starts by name alone use."""
    with connected(address) as client:
        version = client.version_of(workflow)
        changed = client.make_current(workflow)
    _told(workflow, [version] if changed else [], "current", as_json)


@command("delete", short_help="Delete a version that nothing refers to.")
@_workflow_argument
@address_option
def delete_command(workflow: str, address: str | None, as_json: bool) -> None:
    """Delete a version (without one: the workflow with all its versions), unless a run or a workflow refers to it."""
    with connected(address) as client:
        changed = client.delete_definition(workflow)
    _told(workflow, changed, "deleted", as_json)


def _told(workflow: str, versions: list[int], what: str, as_json: bool) -> None:
    name = workflow.partition("@")[0]
    if as_json:
        print_json(
            {"workflow": name, "versions": [version for version in versions if version], "changed": bool(versions)}
        )
    elif not versions:
        note(f"{workflow}: nothing to change")
    else:
        numbers = ", ".join(str(version) for version in versions if version)
        note(f"{name}{f' {numbers}' if numbers else ''}: {what}")


for _each in (
    *(list_command, get_command, export_command, import_command),
    *(deprecate_command, undeprecate_command, tag_command, use_command, delete_command),
):
    definitions_command.add_command(_each)
