"""Printing: one JSON document, or text and tables for people; errors as messages and exit codes.

Only results go to stdout. Colours and rich tables only on a terminal, and rich is imported only then.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, TextIO

import click

from wfe.errors import BackupError, Disconnected, RunCancelled, RunFailed, Unavailable, WfeError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_TIMEOUT = 4

_STATUS_STYLES = {
    "completed": "green",
    "serving": "green",
    "connected": "green",
    "failed": "red",
    "down": "red",
    "error": "red",
    "cancelled": "yellow",
    "paused": "yellow",
    "degraded": "yellow",
    "restarting": "yellow",
    "warning": "yellow",
    "running": "cyan",
    "waiting": "blue",
    "starting": "blue",
}


def command(name: str, **settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """A click command that has ``--json`` (parameter ``as_json``) and maps errors to exit codes."""

    def wrap(function: Callable[..., Any]) -> click.Command:
        @functools.wraps(function)
        def guarded(*args: Any, as_json: bool, **kwargs: Any) -> int:
            try:
                code = function(*args, as_json=as_json, **kwargs)
            except (click.ClickException, click.Abort, click.exceptions.Exit, KeyboardInterrupt):
                raise
            except BrokenPipeError:
                return _pipe_closed()
            except (WfeError, OSError) as error:
                return report(error, as_json)
            return code if isinstance(code, int) else 0

        with_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(guarded)
        made: Callable[[Callable[..., Any]], click.Command] = click.command(name, **settings)
        return made(with_json)

    return wrap


def _pipe_closed() -> int:
    """The reader of our output has gone (``| head``): nothing more to say, not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_FAILED


def exit_code(error: WfeError | OSError) -> int:
    """The pinned exit code of an error."""
    if isinstance(error, (BackupError, RunFailed, RunCancelled)):
        return EXIT_FAILED
    if isinstance(error, (Disconnected, Unavailable)):
        return EXIT_UNREACHABLE
    if isinstance(error, TimeoutError):
        return EXIT_TIMEOUT
    return EXIT_USAGE


def report(error: WfeError | OSError, as_json: bool) -> int:
    """Says what went wrong, on stderr, and with ``--json`` as the document, too; the exit code."""
    code = exit_code(error)
    if as_json:
        print_error_document(getattr(error, "code", "timeout" if code == EXIT_TIMEOUT else "os"), str(error), error)
    complain(str(error))
    return code


def print_error_document(code: str, message: str, error: object = None) -> None:
    """``{"error": {"code", "message", ...}}`` with the fields that the error has."""
    document: dict[str, Any] = {"code": code, "message": message}
    for name in ("path", "file", "line", "findings", "retry_after_s", "run_id", "record"):
        value = getattr(error, name, None)
        if value not in (None, ""):
            document[name] = value
    print_json({"error": document})


_COMMANDS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}


def printable(text: str, stream: TextIO | None = None) -> str:
    """As a terminal may have it: control characters are shown, not obeyed, for keys, errors and lines of tasks come
    from elsewhere. Whoever reads a pipe gets what there is. ``stream`` None: standard output."""
    return text.translate(_COMMANDS) if (stream or sys.stdout).isatty() else text


def complain(message: str) -> None:
    """One message on stderr."""
    message = printable(message, sys.stderr)
    click.secho(f"wfe: {message}", err=True, fg="red" if sys.stderr.isatty() else None)


def note(message: str) -> None:
    """Something worth knowing, on stderr: stdout holds results only."""
    click.echo(printable(message, sys.stderr), err=True)


def fail_usage(message: str) -> NoReturn:
    raise click.UsageError(message)


def print_json(document: Any) -> None:
    """The one document of ``--json``."""
    import msgspec

    text = msgspec.json.encode(document)
    click.echo(msgspec.json.format(text, indent=2) if sys.stdout.isatty() else text)


def print_json_line(document: Any) -> None:
    """One document of a stream (``-f``), at once."""
    import msgspec

    click.echo(msgspec.json.encode(document))
    sys.stdout.flush()


def print_value(value: Any) -> None:
    """A payload for people: JSON, over several lines on a terminal."""
    print_json(value)


def compact(value: Any, width: int = 80) -> str:
    """A payload on one line, cut where it gets long: on a terminal only, since who reads a pipe wants all of it."""
    import msgspec

    text = msgspec.json.encode(value).decode()
    return text if len(text) <= width or not sys.stdout.isatty() else text[: width - 1] + "…"


def counted(number: int, noun: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Names and values, one a line; empty values are left out."""
    shown = [(name, printable(value)) for name, value in fields if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{click.style(name.ljust(width), dim=True)}  {styled(value)}")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """A table: rich on a terminal, else columns padded with blanks (cut, grep and awk work on them)."""
    if not rows:
        note(empty)
        return
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell, style=_STATUS_STYLES.get(cell, "")) for cell in row))
        Console().print(table)
        return
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    for row in [columns, *rows]:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())


def styled(value: str) -> str:
    """A status word in its colour; click drops the colour when stdout is no terminal."""
    colour = _STATUS_STYLES.get(value)
    return click.style(value, fg=colour) if colour else value
