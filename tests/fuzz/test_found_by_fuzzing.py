"""Inputs that once broke something, one test each. The targets check what must hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zlib import crc32

import click
import msgspec
import pytest
from actor_targets import FLOW, RUN_ID, SHARD_CLIENT, frame
from msgspec import Raw
from mutations import join_parts, split_parts
from targets import TARGETS
from text_targets import TRACES

from support import worker_engine
from support.client_world import World, a_run
from support.fake_front import FakeFront
from support.shards import Host
from wfe.cli.params import JsonInput
from wfe.client import aconnect_with
from wfe.client.bench.replay import read_trace
from wfe.config import ServeOptions, load_options
from wfe.core import decide
from wfe.errors import ConfigError, DataCorrupt, InvalidInput, ProtocolError
from wfe.journal import schema
from wfe.model.definition import Definition, Set
from wfe.model.policy import ErrorInfo
from wfe.partition.entry import decode_events, decode_state
from wfe.partition.mailbox import decode_record, decode_record_events
from wfe.wire import messages as m
from wfe.wire.frames import Kind, decode_header, header

encode = msgspec.msgpack.encode
NO_UTF8 = b"\xa4\xff\xfe\xfd\xfc"
"""msgpack: a text of four bytes that are none. msgspec raises UnicodeDecodeError, which is none of its own errors."""


def test_a_header_whose_text_is_no_utf8_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        decode_header(b"\x98\x01\x01\xff\x00" + NO_UTF8 + b"\x00\xa0\xa0")


@pytest.mark.parametrize("target", ["coordinator-front", "coordinator-back", "shard-client", "shard-worker", "worker"])
@pytest.mark.parametrize("kind", list(Kind))
def test_no_body_with_text_that_is_no_utf8_costs_more_than_its_frame(target: str, kind: Kind) -> None:
    for body in (b"\x91" + NO_UTF8, b"\x94" + NO_UTF8 * 4, b"\x91\x94" + NO_UTF8 * 4):
        TARGETS[target].run(join_parts([header(kind, 0), body]))


def test_a_malformed_answer_leaves_a_start_open_until_it_is_answered() -> None:
    world = World()
    world.front.deaf = True
    batch = world.start(a_run())
    number = world.front.seen[-1][1].request
    for body in (b"\x91" + NO_UTF8, b"\x05", encode([m.StartOutcome("no id of a run")])):
        world.session.on_frame([header(Kind.REPLY, 0, number), body], world.now_ms)
        assert batch.open == 1
    world.front.deaf = False
    world.run(60_000)
    assert (batch.open, batch.errors) == (0, {})


@pytest.mark.parametrize("partitions", [0, -1, 1025, 2**62])
def test_a_welcome_without_partitions_is_no_welcome(partitions: int) -> None:
    world = World()
    world.session.on_frame([header(Kind.WELCOME), encode(m.Welcome("other", partitions, 0))], world.now_ms)
    batch = world.start(a_run(), a_run(key="k"))
    assert batch.open == 0


@pytest.mark.parametrize("after", [-1, -(2**63), 2**63, 2**64 - 1])
def test_history_from_an_impossible_event_on_is_refused(after: int) -> None:
    host = Host(FLOW)
    started = host.start("flow", {"n": 1, "items": []}, run_id=RUN_ID)
    host.checkpoint()
    found = host.ask(Kind.HISTORY, 0, m.HistoryQuery(started.run_id, after), m.HistoryPage)
    assert isinstance(found, m.ErrorReply)
    assert found.code == "invalid_input"


@pytest.mark.parametrize("payload", [NO_UTF8, b"\x91" + NO_UTF8])
def test_a_malformed_signal_is_refused_and_a_malformed_result_is_the_runs_fault(payload: bytes) -> None:
    host = Host(FLOW, tasks={"double": lambda n: 2 * n})
    host.hello()
    host.start("flow", {"n": 1, "items": []}, run_id=RUN_ID)
    host.turn()
    refused = host.ask(Kind.SIGNAL, 0, m.SignalRun(RUN_ID, "go", Raw(payload), "e"))
    assert isinstance(refused, m.ErrorReply)
    assert refused.code == "invalid_input"
    (spec,) = host.dispatched()
    host.results([m.TaskResult(RUN_ID, spec.node, spec.activation, spec.attempt, 0, Raw(payload))])
    host.settle()
    assert host.shard.core.counters["runs_quarantined"] == 0
    assert isinstance(host.outcomes[RUN_ID].error, ErrorInfo)


@pytest.mark.parametrize("decode", [decode_state, decode_record, decode_events, decode_record_events])
@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91" + NO_UTF8, b"\x91" * 100_000])
def test_what_a_store_holds_is_corrupt_when_it_does_not_decode(decode: object, data: bytes) -> None:
    with pytest.raises(DataCorrupt):
        decode(data)  # type: ignore[operator]


def test_an_input_that_is_no_utf8_is_no_json() -> None:
    with pytest.raises(click.UsageError):
        JsonInput().convert('"\udcff"', None, None)


def test_frames_are_split_as_they_were_joined() -> None:
    for seed in SHARD_CLIENT:
        assert join_parts(split_parts(seed)) == seed
    assert split_parts(frame(Kind.PING)) == [header(Kind.PING), b"\xc0"]


def test_credit_that_nobody_can_lend_is_refused() -> None:
    host = Host(FLOW)
    host.hello(credit=10)
    for credit in (m.Credit(2**64 - 1, 1), m.Credit(1, 2**64 - 1), m.Credit(-1, 0), m.Credit(0, -(2**63))):
        host.worker_frame(Kind.CREDIT, credit)
    host.workers.clear()
    host.worker_frame(Kind.RECALL, None)
    assert msgspec.msgpack.decode(host.workers[-1][1][1], type=m.Credit).tasks == 10


@pytest.mark.parametrize(
    "text", [f"shards = {'9' * 5_000}", "shards = " + "[" * 5_000, "shards = " + "{a=" * 5_000, "\udcff"]
)
def test_a_configuration_that_toml_cannot_hold_is_a_configuration_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "wfe.toml"
    file.write_bytes(f"[serve]\n{text}".encode(errors="surrogateescape"))
    with pytest.raises(ConfigError):
        load_options(ServeOptions, file=file, environ={})


@pytest.mark.parametrize("seconds", ["-1", "1e300"])
def test_a_trace_whose_task_ran_for_an_impossible_time_is_refused(tmp_path: Path, seconds: str) -> None:
    file = tmp_path / "trace.json"
    file.write_bytes(TRACES[0].replace(b"1.5}", f"{seconds}}}".encode()))
    with pytest.raises(InvalidInput, match="ran for"):
        read_trace(file)


def test_a_stored_value_that_ends_after_its_checksum_is_corrupt() -> None:
    value = crc32(b"", crc32(b"", crc32(b"key", schema.META))).to_bytes(4, "little")
    with pytest.raises(DataCorrupt):
        schema.unseal(schema.META, b"key", value)


def test_a_configuration_file_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "wfe.toml"
    file.write_text("a." * 20_000 + "a = 1")
    with pytest.raises(ConfigError, match="bytes"):
        load_options(ServeOptions, file=file, environ={})


async def test_an_answer_that_does_not_decode_is_a_protocol_error_for_who_asked() -> None:
    front = FakeFront()
    front.reply = lambda head, _=None: [header(Kind.REPLY, 0, head.request), b"\x91" + NO_UTF8]  # type: ignore[method-assign]
    async with aconnect_with(front.link, "tcp://fake", "secret") as client:
        with pytest.raises(ProtocolError):
            await client.status()


def _nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize("levels", [90, 200, 300, 400, 450, 480, 500, 600, 900])
def test_no_depth_of_values_or_schemas_is_beyond_validation(levels: int) -> None:
    """The bound must come before Python's stack ends: between the two a deploy ended the coordinator."""
    for text in (
        b'{"workflow":"w","output":%s}',
        b'{"workflow":"w","params":{"n":{"default":%s}},"output":"${n}"}',
        b'{"workflow":"w","params":{"n":{"enum":[1,%s]}},"output":"${n}"}',
        b'{"workflow":"w","types":{"A":{"default":%s}},"output":1}',
        b'{"workflow":"w","nodes":[{"type":"signal","id":"a","signal":"s","timeout_ms":5,"default":%s}]}',
        b'{"workflow":"w","nodes":[{"type":"task","id":"a","task":"t","with_":{"x":%s}}]}',
    ):
        TARGETS["deploy"].run(text % _nested(levels))


@pytest.mark.parametrize("number", [b"1" + b"0" * 30, b"-" + b"9" * 19, b"1" + b"0" * 4_000])
def test_no_integer_that_a_payload_cannot_hold_reaches_a_shard(number: bytes) -> None:
    for text in (
        b'{"workflow":"w","version":%s,"output":1}',
        b'{"workflow":"w","output":%s}',
        b'{"workflow":"w","nodes":[{"type":"task","id":"a","task":"t","with_":{"x":%s}}]}',
        b'{"workflow":"w","nodes":[{"type":"task","id":"a","task":"t","task_version":%s}]}',
        b'{"workflow":"w","nodes":[{"type":"sleep","id":"a","duration_ms":%s}]}',
    ):
        TARGETS["deploy"].run(text % number)


@pytest.mark.parametrize("levels", [100, 400, 500, 700, 900])
def test_an_input_nested_deeply_costs_its_run_at_most(levels: int) -> None:
    flow = Definition("deep", params={"d": {}}, nodes=(Set(id="x", value="as text: ${d}"),), output="${x}")
    host = Host(flow)
    run_id = host.run_id()
    start = m.StartRun(run_id, Raw(b"\x91" * levels + b"\xc0"), watch=True)
    (outcome,) = host.ask(Kind.START, 0, [start], list[m.StartOutcome], workflow="deep")
    assert outcome.error is None
    assert run_id in host.outcomes
    assert host.shard.core.counters["runs_quarantined"] == 0


def test_a_defect_in_a_runs_first_turn_costs_that_run_and_not_the_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(turn: Any) -> None:
        raise ZeroDivisionError("planted")

    host = Host(FLOW)
    with monkeypatch.context() as patched:
        patched.setattr(decide, "advance", broken)
        started = host.start("flow", {"n": 1, "items": []})
    host.crash()
    host.settle()
    view = host.get(started.run_id)
    assert (view.status, [waiting.kind for waiting in view.waiting_for]) == ("paused", ["incident"])
    assert host.start("flow", {"n": 1, "items": []}).error is None


def test_several_tasks_that_are_said_to_be_alone_are_all_started() -> None:
    engine = worker_engine.Engine().join()
    body = m.Dispatch(1, [worker_engine.spec("a"), worker_engine.spec("b")], alone=True)
    engine.receive(0, Kind.DISPATCH, body)
    assert [spec.run_id for spec in engine.started] == ["a", "b"]
