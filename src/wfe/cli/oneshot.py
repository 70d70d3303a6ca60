"""`wfe run`: one run in an engine of its own."""

from __future__ import annotations

import click

from wfe.cli.output import EXIT_FAILED, command, print_json, print_value
from wfe.cli.params import Duration, Given, input_args, input_option, missing_input_told
from wfe.cli.runs import complain_of_failure


@command("run", short_help="Run one workflow in an engine of its own, print the result, stop.")
@click.argument("app", metavar="APP[:NAME]")
@click.argument("more", metavar="[APP]...", nargs=-1)
@input_option
@click.option("--data", metavar="DIR", help="Keep the engine's data here [default: a temporary directory].")
@click.option("--timeout", "timeout_s", type=Duration(), help="Stop waiting after this long (exit code 4).")
def run_command(
    app: str, more: tuple[str, ...], given: Given | None, data: str | None, timeout_s: float | None, as_json: bool
) -> int:
    """Start an engine in a temporary or --data directory, run a workflow, print its output, stop.

    NAME is needed when there are several workflows. Further APPs bring the tasks of a YAML file.
    """
    from wfe import bootstrap
    from wfe.client.views import run_document
    from wfe.wire.payload import decode_any

    path, name = split_app(app)
    with missing_input_told(given):
        view = bootstrap.run_app([path, *more], name, *input_args(given), data=data, timeout_s=timeout_s)
    if as_json:
        print_json(run_document(view))
    elif view.status == "completed":
        print_value(decode_any(view.output))
    if view.status == "completed":
        return 0
    complain_of_failure(view)
    return EXIT_FAILED


def split_app(text: str) -> tuple[str, str | None]:
    """``file.py:name`` and ``package.module:name``; a drive letter is no app."""
    app, colon, name = text.rpartition(":")
    if not colon or len(app) < 2 or not name.replace("-", "_").replace("@", "_").isidentifier():
        return text, None
    return app, name
