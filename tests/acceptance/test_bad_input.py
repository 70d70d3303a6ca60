"""Bad input gets a clear error, with the right exit code, and costs nobody else anything: against real servers.

After every refusal another run of the same server goes through (`still_works`).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import wfe
from conftest import WFE, Server
from wfe.errors import BY_CODE
from wfe.limits import FRAME_BYTES_MAX, PAYLOAD_BYTES_MAX
from wfe.transport.sockets import Dealer
from wfe.wire.frames import PROTOCOL, Header, Kind, decode_header, encode_header, header
from wfe.wire.messages import ErrorReply, Hello

APP = Path(__file__).parent / "bad_input_tasks.py"


@pytest.fixture(scope="module")
def app() -> Path:
    return APP


@pytest.fixture
def still_works(client: Any) -> Iterator[None]:
    """Whatever the test did, the server goes on for everybody else."""
    yield
    assert client.start("echo", "after").result(timeout_s=30) == "after"
    assert [shard.restarts for shard in client.status().shards] == [0, 0]


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Any]:
    with wfe.connect(server.address, (server.data / "token").read_text().strip()) as connected:
        yield connected


def refused(server: Server, *arguments: str, code: str, says: tuple[str, ...], exit_code: int = 2) -> dict[str, Any]:
    """The error of a command: its code, and what its message must say."""
    error: dict[str, Any] = server.json(*arguments, code=exit_code)["error"]
    assert error["code"] == code, error
    missing = [text for text in says if text not in error["message"]]
    assert not missing, (missing, error["message"])
    return error


# ---- names and input ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("still_works")
class TestNamesAndInput:
    def test_an_unknown_workflow_is_named(self, server: Server) -> None:
        refused(server, "start", "nobody", code="unknown_workflow", says=("nobody",))
        plain = server.wfe("start", "nobody")
        assert (plain.returncode, plain.stdout) == (2, "")
        assert "nobody" in plain.stderr
        assert "Traceback" not in plain.stderr

    def test_an_unknown_version_is_named(self, server: Server) -> None:
        refused(server, "start", "echo@9", "-i", '"x"', code="unknown_workflow", says=("echo", "9"))

    @pytest.mark.parametrize(
        "arguments", [("get",), ("history",), ("cancel",), ("pause",), ("resume",), ("signal", "go")]
    )
    def test_an_unknown_run_is_named(self, server: Server, arguments: tuple[str, ...]) -> None:
        run_id = "0" * 26
        command, *rest = arguments
        refused(server, command, run_id, *rest, code="unknown_run", says=(run_id,))

    def test_what_is_no_run_id_at_all_is_told_apart(self, server: Server) -> None:
        refused(server, "get", "order-42", code="unknown_run", says=("order-42",))

    @pytest.mark.parametrize(
        ("value", "path"),
        [
            ({"id": "a", "items": [{"name": "x", "price": 1.0}, {"name": "y", "price": "much"}]}, "$.items[1].price"),
            ({"id": "a", "items": [{"name": "x"}]}, "$.items[0]"),
            ({"id": 5, "items": []}, "$.id"),
            ({"items": []}, "$"),
            ([1, 2], "$"),
        ],
    )
    def test_input_that_does_not_fit_names_the_place(self, server: Server, value: object, path: str) -> None:
        refused(server, "start", "checkout", "-i", json.dumps(value), code="invalid_input", says=(path,))

    def test_input_that_is_no_json_is_the_callers_mistake(self, server: Server) -> None:
        done = server.wfe("start", "echo", "-i", "{nonsense")
        assert (done.returncode, done.stdout) == (2, "")
        assert "JSON" in done.stderr

    def test_a_key_that_names_a_run_with_another_input_is_a_conflict(self, server: Server) -> None:
        first = server.json("start", "echo", "-i", '"one"', "--key", "taken")
        assert server.json("start", "echo", "-i", '"one"', "--key", "taken")["id"] == first["id"]
        refused(server, "start", "echo", "-i", '"two"', "--key", "taken", code="key_conflict", says=("taken",))

    def test_one_bad_start_of_many_costs_the_others_nothing(self, client: Any) -> None:
        with pytest.raises(wfe.InvalidInput):
            client.start_many("echo", ["a", 5, "c"])
        assert [run.result(timeout_s=20) for run in client.start_many("echo", ["a", "b"])] == ["a", "b"]


# ---- sizes ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("still_works")
class TestSizes:
    def test_a_payload_of_the_limit_passes_and_one_above_is_refused(self, server: Server, client: Any) -> None:
        fits = "x" * (PAYLOAD_BYTES_MAX - 8)
        assert client.start("echo", fits).result(timeout_s=60) == fits
        with pytest.raises(wfe.PayloadTooLarge, match="8"):
            client.start("echo", "x" * PAYLOAD_BYTES_MAX)
        done = server.wfe("start", "echo", "-i", "-", "--json", stdin=json.dumps("x" * PAYLOAD_BYTES_MAX))
        assert done.returncode == 2
        error = json.loads(done.stdout)["error"]
        assert error["code"] == "payload_too_large"
        assert "path or a URL" in error["message"]

    def test_a_signal_above_the_limit_is_refused(self, client: Any) -> None:
        run = client.start("echo", "x")
        with pytest.raises(wfe.PayloadTooLarge):
            run.signal("go", "x" * (PAYLOAD_BYTES_MAX + 1))

    @pytest.mark.parametrize("workflow", ["huge", "huge_async", "huge_process"])
    def test_a_result_above_the_limit_fails_its_run_and_says_so(self, server: Server, workflow: str) -> None:
        error = server.json("start", workflow, "-i", str(PAYLOAD_BYTES_MAX), "--wait", code=1)["error"]
        assert error["type"] == "PayloadTooLarge", error
        assert error["node"].startswith("grown")
        assert "path or a URL" in error["message"], error

    def test_an_output_above_the_limit_that_small_results_add_up_to_fails_its_run(self, server: Server) -> None:
        form = server.json("start", "twice", "-i", str(PAYLOAD_BYTES_MAX - 100), "--wait", code=1)
        assert form["error"]["node"] == "output"
        assert str(PAYLOAD_BYTES_MAX) in form["error"]["message"], form["error"]

    @pytest.mark.parametrize("n", [0, 1])
    def test_a_result_that_cannot_be_encoded_fails_its_run_and_names_the_type(self, server: Server, n: int) -> None:
        error = server.json("start", "strange", "-i", str(n), "--wait", code=1)["error"]
        assert error["node"] == "unencodable"
        assert ("object" if n else "function") in error["message"], error
        assert "encode" in error["message"] or "JSON" in error["message"], error


# ---- frames ---------------------------------------------------------------------------------------------------------


def answer(dealer: Dealer, parts: list[bytes]) -> tuple[int, bytes]:
    assert dealer.wait_connected(5_000)
    assert dealer.send(b"", parts)
    assert dealer.poll(10_000), "no answer"
    [(_, reply)] = dealer.recv_many()
    return decode_header(reply[0]).kind, reply[1]


def error_of(dealer: Dealer, parts: list[bytes]) -> ErrorReply:
    kind, body = answer(dealer, parts)
    assert kind == Kind.ERROR
    return msgspec.msgpack.decode(body, type=ErrorReply)


@pytest.fixture
def dealer(server: Server) -> Iterator[Dealer]:
    made = Dealer(server.address)
    yield made
    made.close(0)


@pytest.mark.usefixtures("still_works")
class TestFrames:
    @pytest.mark.parametrize(
        "parts", [[b"x"], [b"", b""], [b"\xc1", b""], [b"a", b"b", b"c"], [b"x"] * 100, [b"\x91" * 10_000, b""]]
    )
    def test_a_malformed_frame_is_answered(self, dealer: Dealer, parts: list[bytes]) -> None:
        assert error_of(dealer, parts).code == "protocol"

    def test_another_protocol_version_is_told_what_the_server_speaks(self, dealer: Dealer) -> None:
        error = error_of(dealer, [encode_header(Header(PROTOCOL + 1, int(Kind.HELLO))), b"\xc0"])
        assert error.code == "protocol"
        assert str(PROTOCOL) in error.message
        assert str(PROTOCOL + 1) in error.message

    def test_a_wrong_token_is_refused_and_the_message_says_what_to_set(self, server: Server, dealer: Dealer) -> None:
        error = error_of(dealer, [header(Kind.HELLO), msgspec.msgpack.encode(Hello("wrong"))])
        assert (error.code, "WFE_TOKEN" in error.message) == ("unauthorized", True)
        assert error_of(dealer, [header(Kind.STATUS), b"\xc0"]).code == "unauthorized"
        done = subprocess.run(
            [*WFE, "status", "--json"],
            env=server.environment | {"WFE_TOKEN": "wrong"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert json.loads(done.stdout)["error"]["code"] == "unauthorized"

    def test_an_oversized_frame_costs_only_its_sender(self, server: Server, dealer: Dealer) -> None:
        assert dealer.wait_connected(5_000)
        dealer.send(b"", [header(Kind.GET, 0), b"x" * (FRAME_BYTES_MAX + 1)])

    def test_bytes_that_are_no_zeromq_cost_only_their_sender(self, server: Server) -> None:
        host, port = server.address.removeprefix("tcp://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + os.urandom(10_000))

    def test_deeply_nested_bodies_are_refused(self, server: Server, dealer: Dealer) -> None:
        token = (server.data / "token").read_text().strip()
        kind, _ = answer(dealer, [header(Kind.HELLO), msgspec.msgpack.encode(Hello(token))])
        assert kind == Kind.WELCOME
        for kind in (Kind.DEPLOY, Kind.DEFINITION, Kind.STATUS, Kind.GET, Kind.LIST, Kind.SIGNAL, Kind.CONTROL):
            code, body = answer(dealer, [header(kind, 0, 1), b"\x91" * 100_000 + b"\xc0"])
            if code == Kind.ERROR:
                assert msgspec.msgpack.decode(body, type=ErrorReply).code in BY_CODE


# ---- definitions ----------------------------------------------------------------------------------------------------

YAML_MISTAKES = {
    "a duplicate key": ("workflow: w\nnodes: []\nnodes: []\n", ("nodes", ":3:")),
    "an alias": ("workflow: w\nnodes: [&a {sleep: 1s}, *a]\n", ("anchors (&a)", ":2:")),
    "a wrong type": ("workflow: w\nnodes: {sleep: 1s}\n", ("nodes", ":2:")),
    "an unknown kind": ("workflow: w\nnodes:\n  - {tusk: charge}\n", ("did you mean 'task'", ":3:")),
    "an unknown name": ("workflow: w\nnodes: []\noutput: ${nobody}\n", ("nobody",)),
    "a duration without a unit": ("workflow: w\nnodes:\n  - {sleep: 5}\n", ("5", ":3:")),
    "no YAML": ("workflow: [w\n", (":2:",)),
    "binary": ("\x00\x01", ("",)),
}


@pytest.mark.usefixtures("still_works")
class TestDefinitions:
    @pytest.mark.parametrize("mistake", list(YAML_MISTAKES))
    def test_a_mistake_in_yaml_is_shown_with_its_place(self, server: Server, tmp_path: Path, mistake: str) -> None:
        text, says = YAML_MISTAKES[mistake]
        file = tmp_path / "flow.yaml"
        file.write_text(text)
        for command in ("validate", "deploy"):
            done = server.wfe(command, str(file))
            assert done.returncode == (1 if command == "validate" else 2), (command, done.stderr)
            told = done.stdout + done.stderr  # findings are what validate is asked for, so they are on stdout
            assert "Traceback" not in told
            assert "flow.yaml" in told
            assert not [text for text in says if text not in told], told

    def test_a_task_that_is_nowhere_in_the_app_is_named(self, server: Server, tmp_path: Path) -> None:
        file = tmp_path / "flow.yaml"
        file.write_text("workflow: lost\nnodes:\n  - {task: nowhere}\n")
        server.json("deploy", str(file))
        run_id = server.json("start", "lost")["id"]
        form = server.json("get", run_id)
        assert form["status"] in ("pending", "running")
        assert [(each["kind"], each["detail"]) for each in form["waiting_for"]] == [("worker", "nowhere")]
        server.json("cancel", run_id)

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("import wfe\nraise RuntimeError('on import')\n", ("on import", "broken_app.py", "line 2")),
            ("import nothing_of_that_name\n", ("nothing_of_that_name",)),
            ("def f(:\n", ("broken_app.py", "line 1")),
            ("x = 1\n", ("offers nothing",)),
        ],
    )
    def test_a_module_that_cannot_be_imported_is_refused(
        self, server: Server, tmp_path: Path, text: str, says: tuple[str, ...]
    ) -> None:
        file = tmp_path / "broken_app.py"
        file.write_text(text)
        for command in (("deploy", str(file)), ("run", str(file)), ("worker", "--app", str(file))):
            done = server.wfe(*command)
            assert done.returncode == 2, (command, done.stdout, done.stderr)
            assert not [part for part in says if part not in done.stderr], (command, done.stderr)
