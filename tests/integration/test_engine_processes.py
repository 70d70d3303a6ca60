"""A real engine: coordinator, shards and workers as processes; what dies is replaced, and nobody stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from wfe.bootstrap.clients import connect
from wfe.bootstrap.oneshot import LocalServer
from wfe.bootstrap.server import command
from wfe.client.sync import Client
from wfe.config import ServeOptions, find_token
from wfe.coordinator.children import spawn
from wfe.errors import ConfigError, Unauthorized
from wfe.limits import FRAME_BYTES_MAX
from wfe.transport.sockets import Dealer
from wfe.wire.frames import Kind, decode_header, header
from wfe.wire.messages import ErrorReply, Hello, ServerStatus

APP = """
import time
import wfe

@wfe.task
def add(a: int, b: int) -> int:
    return a + b

@wfe.task
def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds

@wfe.workflow
def calc(wf: wfe.Graph, a: int) -> int:
    return add(add(a, 1), 1)

@wfe.workflow
def slow(wf: wfe.Graph, seconds: float) -> float:
    return nap(seconds)

@wfe.workflow
def waits(wf: wfe.Graph, a: int) -> int:
    b = wf.wait_signal("go", int)
    return add(a, b)
"""


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("WFE_TOKEN", raising=False)


@pytest.fixture
def app(tmp_path: Path) -> str:
    path = tmp_path / "engine_app.py"
    path.write_text(APP)
    return str(path)


def options(**changes: Any) -> ServeOptions:
    return ServeOptions(**{"shards": 2, "workers": 1, "durability": "os", "log_level": "error"} | changes)


@pytest.fixture
def server(tmp_path: Path, app: str) -> Iterator[LocalServer]:
    with LocalServer([app], data=tmp_path / "data", options=options()) as running:
        yield running


@pytest.fixture
def client(server: LocalServer) -> Iterator[Client]:
    with server.connect() as connected:
        yield connected


def until(condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s:g} s"
        time.sleep(0.02)


def children(status: ServerStatus) -> list[int]:
    return [shard.pid for shard in status.shards] + [worker.pid for worker in status.workers]


def gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


# ---- starting and stopping ----


def test_a_run_goes_through_and_the_server_says_where_it_is(server: LocalServer, client: Client) -> None:
    assert client.start("calc", 40).result(timeout_s=20) == 42
    where = json.loads((server.data / "server.json").read_text())
    assert where == {"address": server.address, "pid": server.pid}
    assert (server.data / "token").stat().st_mode & 0o777 == 0o600


def test_a_peer_of_the_same_user_finds_the_token_and_a_wrong_one_is_refused(server: LocalServer) -> None:
    assert find_token(server.address) == server.token
    with connect(server.address) as found:
        assert found.status().address == server.address
    with pytest.raises(Unauthorized), connect(server.address, "wrong") as refused:
        refused.status()


def test_a_stopped_server_leaves_no_process_no_token_and_no_address(tmp_path: Path, app: str) -> None:
    with LocalServer([app], data=tmp_path / "data", options=options()) as server:
        with server.connect() as client:
            pids = children(client.status())
        address = server.address
    assert gone([*pids, server.pid])
    assert not (server.data / "server.json").exists()
    assert find_token(address) == ""


def run_to_its_end(serve: ServeOptions) -> tuple[int, str]:
    process = spawn(command("serve"), serve, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    out = process.stdout.read().decode()
    code = process.wait()
    process.stdin.close()
    return code, out


def test_a_data_directory_in_use_is_refused_by_name(server: LocalServer, capfd: pytest.CaptureFixture[str]) -> None:
    code, out = run_to_its_end(options(data=str(server.data), listen="tcp://127.0.0.1:0"))
    assert (code, out) == (2, "")
    assert f"another server uses {server.data}" in capfd.readouterr().err


def test_a_port_in_use_is_refused_by_name(
    server: LocalServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, _ = run_to_its_end(options(data=str(tmp_path / "other"), listen=server.address))
    assert code == 2
    assert f"{server.address} is in use" in capfd.readouterr().err
    assert not (tmp_path / "other").exists()


def test_an_app_that_cannot_be_imported_stops_the_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken_app.py"
    broken.write_text("import wfe\nraise RuntimeError('on import')\n")
    code, out = run_to_its_end(options(data=str(tmp_path / "data"), apps=[str(broken)], listen="tcp://127.0.0.1:0"))
    assert (code, out) == (2, "")
    assert "on import" in capfd.readouterr().err


def test_an_address_beyond_this_host_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, _ = run_to_its_end(options(data=str(tmp_path / "data"), listen="tcp://0.0.0.0:0"))
    assert code == 2
    assert "CURVE" in capfd.readouterr().err


def test_a_second_signal_ends_a_server_at_once(tmp_path: Path, app: str) -> None:
    with LocalServer([app], data=tmp_path / "data", options=options()) as server, server.connect() as client:
        pids = children(client.status())
        run = client.start("slow", 60.0)
        until(lambda: run.status() == "running", "the task's start")
        os.kill(server.pid, signal.SIGTERM)
        until(lambda: client.status().state == "draining", "the drain")
        os.kill(server.pid, signal.SIGTERM)
        until(lambda: gone(pids), "the end of all children", 5)


# ---- crashes ----


@pytest.mark.parametrize("kind", ["shard", "worker"])
def test_a_killed_child_is_replaced_and_the_runs_it_held_go_on(server: LocalServer, client: Client, kind: str) -> None:
    before = client.status()
    waiting = client.start_many("waits", list(range(50)))
    slow = client.start("slow", 1.0)
    victims = children(before)[:2] if kind == "shard" else children(before)[2:]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    until(lambda: gone(victims), "the end of the killed")
    until(lambda: client.status().state == "serving", "serving again")
    for i, run in enumerate(waiting):
        run.signal("go", 1, event_id=f"e{i}")
    assert [run.result(timeout_s=30) for run in waiting] == [i + 1 for i in range(50)]
    assert slow.result(timeout_s=30) == 1.0
    after = client.status()
    assert not set(victims) & set(children(after))
    if kind == "shard":
        assert all(new.epoch > old.epoch for new, old in zip(after.shards, before.shards, strict=True))


def test_no_child_outlives_a_killed_coordinator_and_the_next_server_has_every_run(tmp_path: Path, app: str) -> None:
    with LocalServer([app], data=tmp_path / "data", options=options()) as server, server.connect() as client:
        pids = children(client.status())
        runs = [run.id for run in client.start_many("waits", list(range(20)))]
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: gone(pids), "the end of all children", 5)
    with LocalServer([app], data=tmp_path / "data", options=options()) as server, server.connect() as client:
        for run_id in runs:
            client.get(run_id).signal("go", 1)
        assert [client.get(run_id).result(timeout_s=20) for run_id in runs] == [i + 1 for i in range(20)]


def test_a_server_ends_with_its_starter(tmp_path: Path, app: str) -> None:
    serve = options(data=str(tmp_path / "data"), apps=[app], listen="tcp://127.0.0.1:0")
    process = spawn(command("serve"), serve, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline().startswith(b"wfe: serving on tcp://127.0.0.1:")
    pids = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    assert len(pids) >= 3
    process.stdin.close()
    process.wait(10)
    until(lambda: gone(pids), "the end of all children", 5)


# ---- another number of shards ----


def test_partitions_move_with_the_number_of_shards_and_nothing_is_lost(tmp_path: Path, app: str) -> None:
    ids: list[str] = []
    for shards in (2, 3, 1):
        with (
            LocalServer([app], data=tmp_path / "data", options=options(shards=shards)) as server,
            server.connect() as client,
        ):
            assert [len(shard.partitions) for shard in client.status().shards] == {
                2: [16, 16],
                3: [11, 11, 10],
                1: [32],
            }[shards]
            assert [client.get(run_id).status() for run_id in ids] == ["waiting"] * len(ids)
            ids += [run.id for run in client.start_many("waits", [10, 20, 30, 40])]
            done = client.start("calc", 1)
            assert done.result(timeout_s=20) == 3
    with LocalServer([app], data=tmp_path / "data", options=options()) as server, server.connect() as client:
        for run_id in ids:
            client.get(run_id).signal("go", 1)
        assert [client.get(run_id).result(timeout_s=20) for run_id in ids] == [11, 21, 31, 41] * 3


def test_more_shards_than_partitions_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, _ = run_to_its_end(options(data=str(tmp_path / "data"), shards=3, partitions=2, listen="tcp://127.0.0.1:0"))
    assert code == 2
    assert "partitions" in capfd.readouterr().err


# ---- bad frames ----


def ask(dealer: Dealer, parts: list[bytes]) -> tuple[int, bytes]:
    assert dealer.wait_connected(5_000)
    assert dealer.send(b"", parts)
    assert dealer.poll(10_000), "no answer"
    [(_, answer)] = dealer.recv_many()
    return decode_header(answer[0]).kind, answer[1]


@pytest.mark.parametrize("parts", [[b"x"], [b"", b""], [b"\xc1\xc1", b"x"], [b"a", b"b", b"c"], [b"x"] * 50])
def test_a_malformed_frame_gets_a_typed_error_over_the_wire(
    server: LocalServer, client: Client, parts: list[bytes]
) -> None:
    dealer = Dealer(server.address)
    kind, body = ask(dealer, parts)
    assert kind == Kind.ERROR
    assert msgspec.msgpack.decode(body, type=ErrorReply).code == "protocol"
    kind, _ = ask(dealer, [header(Kind.HELLO), msgspec.msgpack.encode(Hello(server.token))])
    assert kind == Kind.WELCOME
    dealer.close(0)


def test_a_malformed_body_for_a_shard_gets_a_typed_error_over_the_wire(server: LocalServer, client: Client) -> None:
    dealer = Dealer(server.address)
    ask(dealer, [header(Kind.HELLO), msgspec.msgpack.encode(Hello(server.token))])
    for kind in (Kind.START, Kind.GET, Kind.AWAIT, Kind.FIND, Kind.HISTORY, Kind.LIST, Kind.SIGNAL, Kind.CONTROL):
        answered, body = ask(dealer, [header(kind, 0, 1), b"\xc1"])
        assert answered == Kind.ERROR
        assert msgspec.msgpack.decode(body, type=ErrorReply).code in ("protocol", "unknown_workflow")
    dealer.close(0)
    assert client.start("calc", 1).result(timeout_s=20) == 3


def test_an_oversized_frame_costs_only_its_sender(server: LocalServer, client: Client) -> None:
    dealer = Dealer(server.address)
    assert dealer.wait_connected(5_000)
    dealer.send(b"", [header(Kind.GET, 0), b"x" * (FRAME_BYTES_MAX + 1)])
    assert client.start("calc", 1).result(timeout_s=20) == 3
    dealer.close(0)


def test_a_server_that_cannot_start_says_so_to_whoever_started_it(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(ConfigError), LocalServer(data=tmp_path / "data", options=options()):
        pass
