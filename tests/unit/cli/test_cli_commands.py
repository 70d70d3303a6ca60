"""Commands over a faked server: what they send, what they print, and how they exit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from support.fake_front import FakeFront, decode
from wfe import bootstrap
from wfe.cli.group import COMMANDS, run_command_line, wfe
from wfe.cli.output import compact
from wfe.client import connect_with
from wfe.model.policy import ErrorInfo
from wfe.wire.frames import Kind
from wfe.wire.messages import HistoryEvent, RunView, StartRun
from wfe.wire.payload import encode_value

RUN_FIELDS = {
    "id": str,
    "workflow": str,
    "version": int,
    "status": str,
    "waiting_for": list,
    "started_at": str,
}


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> FakeFront:
    front = FakeFront()

    def connect(address: str | None = None, token: str | None = None, *, connect_timeout_s: float = 10) -> Any:
        assert address is None
        return connect_with(front.link, "tcp://fake", "secret", connect_timeout_s=min(connect_timeout_s, 0.2))

    monkeypatch.setitem(vars(bootstrap), "connect", connect)
    return front


def call(*arguments: str, stdin: bytes | None = None) -> Result:
    """Runs a command line as the console script does."""
    return CliRunner().invoke(_as_script, arguments, input=stdin)


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def _as_script(arguments: tuple[str, ...]) -> None:
    run_command_line(list(arguments))


def document(result: Result) -> Any:
    """The one JSON document on stdout."""
    return json.loads(result.stdout)


def inputs(front: FakeFront) -> list[Any]:
    bodies = [body for kind, _, body in front.seen if kind is Kind.START]
    return [decode(bytes(run.input), Any) for body in bodies for run in decode(body, list[StartRun])]


# ---- start ----


def test_start_prints_the_run_id_and_nothing_else(front: FakeFront) -> None:
    result = call("start", "hello", "-i", '{"a": 1}')
    assert result.exit_code == 0
    assert result.stdout.strip() in front.views
    assert inputs(front) == [{"a": 1}]


def test_start_with_json_prints_the_runs_form(front: FakeFront) -> None:
    form = document(call("start", "hello", "-i", "1", "--json"))
    for name, kind in RUN_FIELDS.items():
        assert isinstance(form[name], kind), name
    assert {"key", "input", "output", "error", "ended_at"} <= set(form)


def test_start_and_wait_prints_the_output(front: FakeFront) -> None:
    result = call("start", "hello", "-i", '"x"', "--wait")
    assert (result.exit_code, result.stdout) == (0, '"x"\n')
    assert document(call("start", "hello", "-i", "7", "--wait", "--json"))["output"] == 7


def test_a_failed_run_exits_with_1_and_its_error_on_stderr(front: FakeFront) -> None:
    front.run = lambda name, value: ("failed", None, ErrorInfo("CardDeclined", "no funds", "charge", 3))
    result = call("start", "hello", "--wait")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "CardDeclined: no funds" in result.stderr
    result = call("start", "hello", "--wait", "--json")
    assert result.exit_code == 1
    assert document(result)["error"] == {"type": "CardDeclined", "message": "no funds", "node": "charge", "attempts": 3}


def test_a_timeout_exits_with_4_and_the_run_goes_on(front: FakeFront) -> None:
    front.run = lambda name, value: None
    result = call("start", "hello", "--wait", "--timeout", "20ms", "--json")
    assert result.exit_code == 4
    assert document(result)["status"] == "running"


def test_start_passes_its_options_on(front: FakeFront) -> None:
    call("start", "hello@2", "--key", "k", "--priority", "5", "--tag", "a=b", "--tag", "c=d=e")
    [(_, head, body)] = [seen for seen in front.seen if seen[0] is Kind.START]
    run = decode(body, list[StartRun])[0]
    assert (head.workflow, head.version) == ("hello", 2)
    assert (run.key, run.priority, run.tags) == ("k", 5, {"a": "b", "c": "d=e"})
    assert bytes(run.input) == b"\xc0"


def test_an_input_comes_from_a_file_or_from_stdin(front: FakeFront, tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text("[1, 2]")
    call("start", "hello", "-i", f"@{file}")
    call("start", "hello", "-i", "-", stdin=b"null")
    file.write_text("[3]", encoding="utf-8-sig")
    call("start", "hello", "-i", f"@{file}")
    assert inputs(front) == [[1, 2], None, [3]]


@pytest.mark.parametrize(
    "arguments",
    [
        ("start",),
        ("start", "hello", "-i", "{"),
        ("start", "hello", "-i", "@/no/such/file"),
        ("start", "hello", "--timeout", "30"),
        ("start", "hello", "--tag", "nothing"),
        ("list", "--status", "sleeping"),
        ("nonsense",),
        ("get",),
        ("get", "no-run-id"),
        ("start", "nobody"),
        ("start", "hello@new"),
    ],
)
def test_usage_and_refusals_exit_with_2(front: FakeFront, arguments: tuple[str, ...]) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr
    result = call(*arguments, "--json")
    assert result.exit_code == 2
    assert document(result)["error"]["message"]


def test_a_command_that_is_nearly_right_gets_a_suggestion(front: FakeFront) -> None:
    assert "'status'" in call("statsu").stderr


def test_no_server_exits_with_3(front: FakeFront) -> None:
    front.deaf = True
    result = call("list", "--json")
    assert result.exit_code == 3
    assert document(result)["error"]["code"] == "disconnected"
    assert call("list").exit_code == 3


def test_refusals_keep_their_code_in_json(front: FakeFront) -> None:
    assert document(call("start", "nobody", "--json"))["error"]["code"] == "unknown_workflow"


# ---- reading ----


def test_get_shows_a_run(front: FakeFront) -> None:
    run_id = call("start", "hello", "-i", '"x"', "--key", "k").stdout.strip()
    form = document(call("get", run_id, "--json"))
    assert (form["id"], form["status"], form["key"], form["output"]) == (run_id, "completed", "k", "x")
    assert form["started_at"].endswith("Z")
    text = call("get", run_id).stdout
    assert run_id in text
    assert "completed" in text


def test_a_list_is_an_array_newest_first(front: FakeFront) -> None:
    ids = []
    for number in range(3):
        ids.append(call("start", "hello", "-i", str(number)).stdout.strip())
        front.time_ms += 60_000  # a client adds to the server's time what has passed since its welcome
    assert [each["id"] for each in document(call("list", "--json"))] == ids[::-1]
    assert len(document(call("list", "--limit", "2", "--json"))) == 2
    assert document(call("list", "--status", "failed", "--json")) == []
    assert call("list", "--status", "failed").stdout == ""
    assert len(call("list").stdout.splitlines()) == 4


def history_of(front: FakeFront, count: int) -> str:
    run_id = call("start", "hello").stdout.strip()
    front.events[run_id] = [
        HistoryEvent(seq, 1_700_000_000_000, "TaskDone", "charge", 2, 2, encode_value({"value": seq}))
        for seq in range(1, count + 1)
    ]
    return run_id


def test_history_is_an_array_of_events(front: FakeFront) -> None:
    run_id = history_of(front, 3)
    events = document(call("history", run_id, "--json"))
    assert [event["seq"] for event in events] == [1, 2, 3]
    assert events[0]["data"] == {"value": 1}
    assert "charge#2 (attempt 2)" in call("history", run_id).stdout


def test_a_history_calls_turns_of_a_function_turns(front: FakeFront) -> None:
    run_id = history_of(front, 1)
    front.events[run_id].append(HistoryEvent(2, 1_700_000_000_000, "TurnTaken", "agent", 0, 3, encode_value({})))
    assert "agent (turn 3)" in call("history", run_id).stdout


def test_values_are_cut_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"text": "x" * 500}
    assert compact(value) == '{"text":"' + "x" * 500 + '"}'
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert compact(value) == '{"text":"' + "x" * 70 + "…"
    assert compact(value, 2_000).endswith('x"}')


def test_a_followed_history_is_one_line_per_event(front: FakeFront) -> None:
    lines = call("history", history_of(front, 3), "-f", "--json").stdout.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3]


# ---- control ----


def test_control_commands_reach_the_run(front: FakeFront) -> None:
    front.run = lambda name, value: None
    run_id = call("start", "hello").stdout.strip()
    assert call("pause", run_id).exit_code == 0
    assert call("resume", run_id).exit_code == 0
    assert document(call("cancel", run_id, "--no-compensate", "--json"))["id"] == run_id
    assert [(control.action, control.compensate) for control in front.controls] == [
        ("pause", True),
        ("resume", True),
        ("cancel", False),
    ]


def test_a_signal_carries_its_payload_and_id(front: FakeFront) -> None:
    front.run = lambda name, value: None
    run_id = call("start", "hello").stdout.strip()
    assert call("signal", run_id, "manager", "-i", '{"approved": true}', "--id", "e-1").exit_code == 0
    [signal] = front.signals
    assert (signal.name, signal.event_id, decode(bytes(signal.payload), Any)) == ("manager", "e-1", {"approved": True})


def test_a_run_is_named_by_workflow_and_key_too(front: FakeFront) -> None:
    front.run = lambda name, value: None
    run_id = call("start", "hello", "--key", "k").stdout.strip()
    named = ("hello", "--key", "k")
    assert document(call("get", *named, "--json"))["id"] == run_id
    assert document(call("signal", "hello", "go", "--key", "k", "--json"))["id"] == run_id
    for command in ("pause", "resume", "cancel"):
        assert document(call(command, *named, "--json"))["id"] == run_id
    assert [control.run_id for control in front.controls] == [run_id] * 3
    assert [signal.run_id for signal in front.signals] == [run_id]
    assert call("history", *named, "--json").exit_code == 0
    assert call("get", "hello", "--key", "another").exit_code == 2


# ---- definitions ----

YAML = """
workflow: greet
params: {name: string}
nodes:
  - {set: "${name}", id: text}
output: "${text}"
"""


@pytest.fixture
def app(tmp_path: Path) -> str:
    file = tmp_path / "app.yaml"
    file.write_text(YAML)
    return str(file)


def test_deploy_prints_what_became_of_each_definition(front: FakeFront, app: str) -> None:
    assert document(call("deploy", app, "--json")) == [
        {"workflow": "greet", "version": 1, "hash": "0" * 32, "changed": True, "new": False}
    ]
    assert "greet" in call("deploy", app, "--check").stdout


def test_validate_says_ok(app: str) -> None:
    assert document(call("validate", app, "--json")) == {"ok": True, "findings": []}
    assert call("validate", app).stdout == "ok\n"


def test_validate_exits_with_1_when_something_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(YAML.replace("${text}", "${txt}"))
    result = call("validate", str(file), "--json")
    assert result.exit_code == 1
    assert document(result)["ok"] is False
    assert "txt" in document(result)["findings"][0]["message"]
    file.write_text("workflow: [")
    assert call("validate", str(file)).exit_code == 1
    assert call("validate", str(tmp_path / "missing.yaml")).exit_code == 1


# ---- the server ----


def test_status_prints_the_servers_state(front: FakeFront) -> None:
    assert document(call("status", "--json"))["state"] == "serving"
    assert "serving" in call("status").stdout
    assert call("status", "--wait", "5s").exit_code == 0


def test_status_that_waits_for_nobody_exits_with_3(front: FakeFront) -> None:
    front.deaf = True
    assert call("status", "--wait", "100ms").exit_code == 3


# ---- run ----


def ended(status: str = "completed", error: ErrorInfo | None = None) -> RunView:
    return RunView("0" * 26, "greet", 1, status, output=encode_value({"ok": 1}), error=error)


def test_run_prints_the_output_of_a_run_in_its_own_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def run_app(apps: Any, name: Any, *values: Any, **options: Any) -> RunView:
        calls.append((apps, name, values, options))
        return ended()

    monkeypatch.setitem(vars(bootstrap), "run_app", run_app)
    assert call("run", "app.py:greet", "-i", "5").stdout == '{"ok":1}\n'
    assert document(call("run", "package.module", "--json"))["status"] == "completed"
    assert calls[0][:3] == (["app.py"], "greet", (5,))
    assert calls[1][:3] == (["package.module"], None, ())


def test_run_exits_with_1_when_the_run_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        vars(bootstrap), "run_app", lambda *args, **options: ended("failed", ErrorInfo("Boom", "no", "a", 1))
    )
    result = call("run", "app.py")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Boom: no" in result.stderr


# ---- the whole ----


def test_every_command_has_json_help_and_the_short_help_of_the_group() -> None:
    context = click.Context(wfe)
    for name, (_, short_help) in COMMANDS.items():
        command = wfe.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.short_help == short_help
        leaves = list(command.commands.values()) if isinstance(command, click.Group) else [command]
        for leaf in leaves:
            assert "as_json" in {param.name for param in leaf.params}, leaf.name
            assert leaf.help


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str) -> None:
    assert "_WFE_COMPLETE" in call("completion", shell).stdout


def test_completion_knows_commands_and_their_options(monkeypatch: pytest.MonkeyPatch) -> None:
    from click.shell_completion import BashComplete

    complete = BashComplete(wfe, {}, "wfe", "_WFE_COMPLETE")
    assert {"status", "start"} <= {item.value for item in complete.get_completions([], "sta")}
    assert "--wait" in {item.value for item in complete.get_completions(["start"], "--")}


def test_the_payload_of_a_signal_is_not_called_its_input() -> None:
    text = call("signal", "--help").stdout
    assert "The payload:" in text
    assert "The input:" not in text
    assert "[RUN]" not in text.splitlines()[0]
