"""Definitions: deploy, validate, schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from wfe.cli.output import EXIT_FAILED, command, complain, counted, note, print_json, print_table, styled
from wfe.cli.params import address_option, apps_argument, connected

if TYPE_CHECKING:
    from wfe.authoring.apps import App
    from wfe.authoring.yaml_reader import PlacedFinding
    from wfe.model.definition import Definition
    from wfe.wire.messages import Deployed


@command("deploy", short_help="Register an app's workflows and make them current.")
@apps_argument
@click.option("--check", is_flag=True, help="Change nothing: say what it would do and break.")
@address_option
def deploy_command(apps: tuple[str, ...], check: bool, address: str | None, as_json: bool) -> int:
    """Register the workflows of APP (file.py, file.yaml or package.module) and make them current.

    Runs keep the version that they began with. --check says of each live run of an older version whether the new one
    could carry it, and if not, why not; exit code 1 if there are any that it could not. Live runs of durable functions
    are re-run from their record with the new code, without effects (`wfe replay`).
    """
    from wfe.authoring.apps import load_app
    from wfe.client.views import deployed_document

    app = load_app(list(apps))
    definitions = app.definitions()
    if check:
        return _check(app, definitions, address, as_json)
    with connected(address) as client:
        deployed = client.deploy(*definitions)
    if as_json:
        print_json([deployed_document(each) for each in deployed])
    else:
        _print_deployed(deployed, "changed", "new")
    return 0


def _check(app: App, definitions: list[Definition], address: str | None, as_json: bool) -> int:
    from wfe.bootstrap.replay import replay_live
    from wfe.cli.replay import document, show
    from wfe.client.checks import check_document

    with connected(address) as client:
        found = client.check(*definitions)
        reruns = list(replay_live(client, app))
    differs = any(each.outcome == "differs" for each in reruns)
    code = 0 if all(each.ok for each in found) and not differs else EXIT_FAILED
    if as_json:
        documents = [check_document(each) for each in found]
        for each, shown in zip(found, documents, strict=True):
            shown["reruns"] = [document(one) for one in reruns if one.workflow == each.deployed.workflow]
        print_json(documents)
        return code
    if reruns:
        show(reruns)
    _print_deployed([each.deployed for each in found], "would change", "would be new")
    for each in found:
        name, version = each.deployed.workflow, each.deployed.version
        for run in each.runs:
            key = f", key {run.key}" if run.key else ""
            click.echo(
                f"run {run.run_id} ({name}@{run.version}, {run.status}{key}) could not go on as {name}@{version}:"
            )
            for obstacle in run.obstacles:
                click.echo(f"  {obstacle.node + ': ' if obstacle.node else ''}{obstacle.reason}")
        if each.runs or each.carried:
            more = "or more " if each.more else ""
            broken = counted(len(each.runs), f"{more}live run")
            click.echo(f"{name}: {broken} could not be carried, {each.carried} could")
        if each.incomplete:
            complain(f"{name}: partitions that could not be asked: {', '.join(map(str, each.incomplete))}")
    return code


def _print_deployed(deployed: list[Deployed], changed: str, new: str) -> None:
    rows = [
        (each.workflow, str(each.version), each.hash, new if each.new else changed if each.changed else "unchanged")
        for each in deployed
    ]
    print_table(("WORKFLOW", "VERSION", "HASH", ""), rows, "the app has no workflows")


@command("validate", short_help="Check an app's workflows without a server.")
@apps_argument
def validate_command(apps: tuple[str, ...], as_json: bool) -> int:
    """Load the workflows of APP and say all that is wrong with them at once, with file and line, and what to do.

    The exit code is 1 if there are errors; warnings alone are fine. Give a YAML file together with the app that has its
    tasks: without one their names and arguments are not checked.
    """
    findings = _findings(list(apps))
    ok = all(finding["severity"] != "error" for finding in findings)
    if as_json:
        print_json({"ok": ok, "findings": findings})
        return 0 if ok else EXIT_FAILED
    for finding in findings:
        place = f"{finding['workflow']}: " if finding["workflow"] else ""
        click.echo(f"{styled(finding['severity'])}: {place}{finding['message']}")
    if ok:
        click.echo("ok")
    return 0 if ok else EXIT_FAILED


def _findings(apps: list[str]) -> list[dict[str, Any]]:
    """What is to be said about the app's workflows, and what kept it from being read at all, in one form."""
    from wfe.authoring.app_findings import findings_of, tasks_are_unknown
    from wfe.authoring.apps import load_app
    from wfe.authoring.yaml_reader import PlacedFinding
    from wfe.errors import AppError, DefinitionError, GraphError

    found: list[PlacedFinding] = []
    try:
        app = load_app(apps)
        found = findings_of(app)
        if tasks_are_unknown(app):
            note(
                f"tasks are not known, so not checked: name the app that has them, too (wfe validate {apps[0]} app.py)"
            )
        if all(finding.severity != "error" for finding in found):
            app.definitions()  # what only shows when all are together: two of one name
    except DefinitionError as error:
        found += [PlacedFinding("", 0, 0, message) for message in error.findings]
    except GraphError as error:
        found.append(PlacedFinding(error.file or "", error.line or 0, 0, error.message))
    except AppError as error:
        found.append(PlacedFinding(error.file or "", error.line or 0, 0, error.message))
    return [finding_document(finding) for finding in found]


def finding_document(finding: PlacedFinding) -> dict[str, Any]:
    """The JSON form. ``message`` has the place in front and the way out behind, ``problem`` has neither."""
    return {
        "workflow": finding.workflow,
        "node": finding.node,
        "where": finding.where or None,
        "message": str(finding),
        "problem": finding.message,
        "suggestion": finding.suggestion,
        "severity": finding.severity,
        "file": finding.file or None,
        "line": finding.line or None,
        "column": finding.column or None,
    }


@command("schema", short_help="Print the JSON Schema of the YAML form.")
def schema_command(as_json: bool) -> None:
    """Print the JSON Schema of workflow files, for editors."""
    from wfe.authoring.json_schema import definition_schema

    print_json(definition_schema())
