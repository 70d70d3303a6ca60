"""What people type: JSON inputs, durations, apps, tags; and the options that several commands share."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from wfe.client.sync import Client
    from wfe.client.sync_runs import Run

F = TypeVar("F", bound=Callable[..., Any])

CONNECT_TIMEOUT_S = 5.0


class Given:
    """A value that was given, so that JSON's null can be told from no input at all."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class JsonInput(click.ParamType):  # type: ignore[type-arg]
    """A JSON text, ``@file`` with one, or ``-`` for standard input. Becomes a `Given`. ``option``: it is given with."""

    name = "json"

    def __init__(self, option: str = "-i ") -> None:
        self._option = option

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, Given):
            return value
        import msgspec

        from wfe.model.malformed import MALFORMED

        text, source = self._read(value)
        try:
            return Given(msgspec.json.decode(text.removeprefix(codecs.BOM_UTF8)))  # as some editors and shells write it
        except MALFORMED as error:
            hint = "" if value[:1] in "@-" else f" (text needs quotes of its own: {self._option}'\"hello\"')"
            self.fail(f"{source} is not JSON: {error}{hint}", param, ctx)

    def _read(self, value: str) -> tuple[bytes, str]:
        if value == "-":
            return sys.stdin.buffer.read(), "standard input"
        if value.startswith("@"):
            try:
                return Path(value[1:]).read_bytes(), value[1:]
            except OSError as error:
                self.fail(f"{value[1:]}: {error.strerror or error}")
        return value.encode(errors="surrogateescape"), repr(value)


class Duration(click.ParamType):  # type: ignore[type-arg]
    """``"100ms" "30s" "5m" "2h" "7d"``; becomes seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, float):
            return value
        from wfe.model.durations import parse_duration

        try:
            return parse_duration(value) / 1000
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Tag(click.ParamType):  # type: ignore[type-arg]
    """``name=value``; becomes a pair."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not equals or not name:
            self.fail(f"{value!r} is no tag: write name=value", param, ctx)
        return name, text


class Change(click.ParamType):  # type: ignore[type-arg]
    """``path=JSON``; becomes a pair of the path and the value."""

    name = "path=json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        path, equals, text = value.partition("=")
        if not equals or not path:
            self.fail(f"{value!r} changes nothing: write PATH=JSON, as in input.amount=5", param, ctx)
        return path, JsonInput(f"--set {path}=").convert(text, param, ctx).value


class WholeNumber(click.IntRange):
    """A range whose mistakes are told in plain words."""

    name = "whole number"

    def get_metavar(self, *_: Any, **__: Any) -> str:
        return "N"  # else it would be the name in capitals


class Number(click.FloatRange):
    """The same for a number with a fraction."""

    name = "number"


def input_option(function: F) -> F:
    """``-i``: parameter ``given``, None when there is none."""
    return _given_option("input", function)


def payload_option(function: F) -> F:
    """The same for a signal."""
    return _given_option("payload", function)


def _given_option(what: str, function: F) -> F:
    text = f"The {what}: a JSON text, @file, or - for standard input."
    return click.option("-i", "--input", "given", type=JsonInput(), metavar="JSON", help=text)(function)


def run_argument(function: F) -> F:
    """A run by its id, or by workflow and key: parameters ``run_id`` and ``key``, for `the_run`."""
    text = "RUN is a workflow's name: its run with this key."
    return click.argument("run_id", metavar="RUN")(click.option("--key", help=text)(function))


def the_run(client: Client, run_id: str, key: str | None) -> Run[Any]:
    """The run that `run_argument` names."""
    return client.handle(run_id) if key is None else client.find(run_id, key)


def address_option(function: F) -> F:
    text = "The server [default: WFE_ADDRESS, else tcp://127.0.0.1:7700]."
    return click.option("--address", metavar="ADDRESS", help=text)(function)


def apps_argument(function: F) -> F:
    return click.argument("apps", metavar="APP...", nargs=-1, required=True)(function)


def connected(address: str | None, connect_timeout_s: float = CONNECT_TIMEOUT_S) -> Client:
    """A client of the server that the command line or the environment names."""
    from wfe import bootstrap

    client: Client = bootstrap.connect(address, connect_timeout_s=connect_timeout_s)
    return client


def input_args(given: Given | None) -> tuple[Any, ...]:
    """The positional arguments of a start by name: the input as it is, or none."""
    return () if given is None else (given.value,)


@contextmanager
def missing_input_told(given: Given | None) -> Iterator[None]:
    """Where an input is refused that nobody gave, the way to give one is said, too."""
    from wfe.cli.output import note
    from wfe.errors import InvalidInput

    try:
        yield
    except InvalidInput as error:
        if given is None and error.path.startswith("$"):  # else it is about the key, a tag, the workflow's name, ...
            note("no input was given: -i JSON gives one")
        raise
