"""Slips of people at the command line: a run by its key, ``--json`` where it does not belong, no input."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from support.fake_front import FakeFront, decode
from wfe import bootstrap
from wfe.cli.group import run_command_line, wfe
from wfe.client import connect_with
from wfe.wire.frames import Header, Kind
from wfe.wire.messages import ErrorReply


class RoundsFront(FakeFront):
    """One that takes whatever begins a new round."""

    def on_retry(self, head: Header, body: bytes) -> list[list[bytes]]:
        return [self.reply(head)]

    on_skip = on_fork = on_retry


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> FakeFront:
    front = RoundsFront()

    def connect(address: str | None = None, token: str | None = None, *, connect_timeout_s: float = 10) -> Any:
        return connect_with(front.link, "tcp://fake", "secret", connect_timeout_s=min(connect_timeout_s, 0.2))

    monkeypatch.setitem(vars(bootstrap), "connect", connect)
    return front


def call(*arguments: str) -> Result:
    return CliRunner().invoke(wfe, arguments, standalone_mode=False)


def document(*arguments: str) -> Any:
    return json.loads(call(*arguments, "--json").stdout)


def test_retry_skip_and_fork_take_a_run_by_its_key_too(front: FakeFront) -> None:
    run_id = call("start", "hello", "--key", "k").stdout.strip()
    named = ("hello", "--key", "k")
    assert document("retry", *named) == {"id": run_id, "action": "retry", "accepted": True}
    assert document("skip", "hello", "a", "--key", "k")["id"] == run_id
    assert document("fork", *named, "--from", "a")["origin"] == run_id
    bodies = [decode(body, Any) for kind, _, body in front.seen if kind in (Kind.RETRY, Kind.SKIP, Kind.FORK)]
    assert [run_id in body for body in bodies] == [True] * 3
    assert document("retry", "hello", "--key", "another")["error"]["code"] == "unknown_run"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--json", "get", "R"], "--json comes after the command: wfe ... --json"),
        (["definitions", "--json", "list"], "--json comes after the command: wfe definitions ... --json"),
    ],
)
def test_json_before_the_command_is_told_where_it_goes(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        run_command_line(arguments)
    shown = capsys.readouterr()
    assert end.value.code == 2
    assert told in shown.err
    assert json.loads(shown.out) == {"error": {"code": "usage", "message": told}}


def test_a_start_that_lacks_its_input_is_told_how_to_give_one(front: FakeFront) -> None:
    refused = ErrorReply("invalid_input", 'null is not of type "integer"')
    front.errors[Kind.START] = [refused, refused]
    assert "no input was given: -i JSON gives one" in call("start", "hello").stderr
    given = call("start", "hello", "-i", "null").stderr
    assert "is not of type" in given
    assert "no input was given" not in given


@pytest.mark.parametrize(
    "slip", [("hello", "--key", "k" * 2_000), ("hello@x",), ("hello", "--tag", "a=" + "b" * 5_000)]
)
def test_a_start_that_is_refused_for_something_else_is_not_told_to_give_an_input(
    front: FakeFront, slip: tuple[str, ...]
) -> None:
    said = call("start", *slip).stderr
    assert said
    assert "no input was given" not in said


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (("skip", "R", "a", "--output", "{bad"), "--output '\"hello\"'"),
        (("fork", "R", "--from", "a", "--set", "input.x=hello"), "--set input.x='\"hello\"'"),
        (("start", "hello", "-i", "hello"), "-i '\"hello\"'"),
        (("history", "R", "--at", "x"), "not a valid whole number"),
        (("signal", "R", "go", '"hi"'), "wfe signal RUN go -i '\"hi\"'"),
    ],
)
def test_a_mistyped_value_is_answered_with_the_option_that_takes_it(
    line: tuple[str, ...], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        run_command_line(list(line))
    assert end.value.code == 2
    assert hint in " ".join(capsys.readouterr().err.split())
