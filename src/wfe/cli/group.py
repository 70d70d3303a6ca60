"""The top group: which command lives in which module, and what happens to errors that no command handled."""

from __future__ import annotations

import sys
from importlib import import_module

import click

COMMANDS: dict[str, tuple[str, str]] = {
    "dev": ("servers", "Run an app while you write it: engine and workers, restarted on every change."),
    "serve": ("servers", "Run an engine: shards, workers, durable data."),
    "worker": ("servers", "Run tasks of a server elsewhere."),
    "gateway": ("servers", "Serve HTTP for an engine: REST, events, webhooks, metrics, dashboard."),
    "run": ("oneshot", "Run one workflow in an engine of its own, print the result, stop."),
    "deploy": ("definitions", "Register an app's workflows and make them current."),
    "validate": ("definitions", "Check an app's workflows without a server."),
    "graph": ("graphs", "Draw an app's workflows, a registered one, or that of a run."),
    "diff": ("graphs", "Say what two versions of a workflow differ in."),
    "schema": ("definitions", "Print the JSON Schema of the YAML form."),
    "definitions": ("catalogue", "Registered workflows: list, get, deprecate, tag, delete, export."),
    "start": ("runs", "Start a run."),
    "get": ("runs", "Show a run."),
    "list": ("runs", "List runs, newest first."),
    "history": ("runs", "Show the events of a run."),
    "logs": ("logs", "Show what a run's tasks print and log."),
    "why": ("why", "Say why a run does not go on."),
    "signal": ("control", "Send a signal to a run."),
    "approvals": ("approvals", "List the decisions that runs wait for."),
    "approve": ("approvals", "Approve or reject what a run asks for."),
    "cancel": ("control", "Cancel a run."),
    "pause": ("control", "Pause a run: nothing more is dispatched."),
    "resume": ("control", "Resume a paused run."),
    "retry": ("rounds", "Let a failed run go on from what failed."),
    "skip": ("rounds", "End an open node of a run with a value."),
    "fork": ("rounds", "Start a new run from a point of another one."),
    "replay": ("replay", "Re-run recorded durable functions against an app's code, without effects."),
    "status": ("operations", "Show the server, its shards and workers."),
    "top": ("watching", "Show what a server does right now, live."),
    "events": ("watching", "Show the events of all runs as they happen."),
    "alerts": ("alerts", "Show alerts and their rules, or send a test message."),
    "backup": ("backups", "Copy all data of a running server into a directory."),
    "rebalance": ("rebalance", "Move partitions between running shards."),
    "restore": ("backups", "Make a data directory from a backup."),
    "verify": ("operations", "Check a data directory, record by record."),
    "completion": ("operations", "Print the completion script for a shell."),
    "sim": ("simulate", "Simulate a whole cluster with faults, from one seed."),
    "bench": ("bench", "Measure an engine."),
}
"""Name -> (module, short help). In the order of the help page; a test compares the help with the commands' own."""


class LazyGroup(click.Group):
    """Imports a command's module when the command is called; its help page needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"wfe.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(name, COMMANDS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"there is no command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.version_option(package_name="wfe", prog_name="wfe")
def wfe() -> None:
    """wfe, a durable workflow engine.

    WFE_ADDRESS names the server (default tcp://127.0.0.1:7700); a command with --json prints one JSON document.
    """


def run_command_line(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits. Usage errors honour ``--json`` as all others do."""
    arguments = sys.argv[1:] if arguments is None else arguments
    from wfe.cli.output import EXIT_USAGE, print_error_document

    try:
        code = wfe.main(arguments, prog_name="wfe", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except click.ClickException as error:
        error = _with_json_in_its_place(error)
        if "--json" in arguments:
            print_error_document("usage", error.format_message())
        error.show()
        sys.exit(EXIT_USAGE)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _with_json_in_its_place(error: click.ClickException) -> click.ClickException:
    """``wfe --json get RUN``: the option is there, but belongs to the commands."""
    if not isinstance(error, click.NoSuchOption) or error.option_name != "--json" or error.ctx is None:
        return error
    if not isinstance(error.ctx.command, click.Group):
        return error
    return click.UsageError(f"--json comes after the command: {error.ctx.command_path} ... --json", error.ctx)
