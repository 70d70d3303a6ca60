"""Turns that workers ran ahead, at a shard: only the run's home is believed, and it hears what did not count."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from support.durable import Function, ScriptedWorker, decode, durable, encode, raw, task
from support.shards import Host
from wfe.core.durable.places import state_of
from wfe.model.durable import SUSPENDED, TASK_PREFIX, DurableCommand, DurableTurn, TurnAhead
from wfe.model.ids import partition_of
from wfe.wire import messages as m
from wfe.wire.frames import Kind, decode_header, header


def three(order: int) -> Function:
    first = yield [task(0, "add", x=order, y=1)]
    second = yield [task(1, "add", x=decode(first.value), y=10)]
    return decode(second.value)


class AheadHost(Host):
    def __init__(self) -> None:
        self.scripted = ScriptedWorker({"three": three})
        tasks: dict[str, Any] = {"add": lambda x, y: x + y, TASK_PREFIX + "three": None}
        super().__init__(durable("order", name="three"), tasks=tasks)

    def execute(self, spec: m.TaskSpec) -> m.TaskResult:
        return self.scripted.run(spec) if spec.durable else super().execute(spec)

    def begin(self) -> tuple[str, m.TaskSpec]:
        """A run whose first turn was w1's, and the task that it called, with w1."""
        self.hello(b"w1")
        run_id = self.start("three", 1).run_id
        self.turn()
        self.work()
        self.turn()
        (spec,) = self.dispatched()
        assert spec.task == "add"
        return run_id, spec

    def ahead(self, spec: m.TaskSpec, *commands: DurableCommand, **told: Any) -> m.TaskResult:
        state = state_of(self.entry(spec.run_id).run)
        fields: dict[str, Any] = {"attempt": state.attempt, "made": len(state.calls), "at_ms": self.now_ms}
        fields |= {"status": SUSPENDED, "turn": DurableTurn(list(commands), len(state.completions) + 1)}
        return structs.replace(self.execute(spec), turn=raw(TurnAhead(**{**fields, **told})))

    def entry(self, run_id: str) -> Any:
        return self.shard.core.partitions[partition_of(run_id)].entries[run_id]

    def forgotten(self) -> list[str]:
        """Runs whose functions workers may let go."""
        found = []
        for _, parts in self.workers:
            if decode_header(parts[0]).kind == Kind.CANCEL_TASKS:
                found += [ref.run_id for ref in decode(parts[1], type=list[m.TaskRef]) if not ref.attempt]
        return found


@pytest.fixture
def host() -> AheadHost:
    return AheadHost()


def test_a_step_takes_one_message_and_one_commit(host: AheadHost) -> None:
    run_id, spec = host.begin()
    commits = host.shard.core.counters["commits"]
    host.results([host.ahead(spec, task(1, "add", x=2, y=10))])
    host.turn()
    (second,) = host.dispatched()
    assert (second.task, second.activation) == ("add", 2)
    assert host.shard.core.counters["commits"] == commits + 1
    host.results([host.ahead(second, status=0, value=raw(12))])
    host.settle()
    assert host.output(run_id) == 12
    assert host.forgotten() == []
    assert host.disk_is_sound()


def test_what_did_not_count_is_told_to_its_worker_and_the_function_goes_on_from_the_whole_record(
    host: AheadHost,
) -> None:
    run_id, spec = host.begin()
    host.results([host.ahead(spec, task(1, "add", x=2, y=10), made=7)])
    host.turn()
    assert host.forgotten() == [run_id]
    assert host.shard.core.counters["turns_ahead_dropped"] == 1
    (turn,) = host.dispatched()
    assert (turn.durable, decode(turn.recorded)[8]) == (1, False)
    host.results([host.scripted.run(turn)])
    host.settle()
    assert host.output(run_id) == 12


def test_only_the_worker_of_the_last_turn_is_believed(host: AheadHost) -> None:
    run_id, spec = host.begin()
    result = host.ahead(spec, task(1, "add", x=2, y=10))
    host.entry(run_id).home = ""
    host.results([result])
    host.turn()
    (turn,) = host.dispatched()
    assert turn.durable == 1
    assert host.forgotten() == []


def test_a_turn_ahead_that_is_presented_again_changes_nothing(host: AheadHost) -> None:
    run_id, spec = host.begin()
    result = host.ahead(spec, task(1, "add", x=2, y=10))
    host.results([result])
    host.turn()
    (second,) = host.dispatched()
    seq = host.entry(run_id).run.seq
    host.hello(b"w1", held=[m.TaskRef(run_id, second.node, second.activation, second.attempt)])
    host.results([result])
    host.turn()
    assert host.entry(run_id).run.seq == seq
    assert host.entry(run_id).home == "w1"
    host.results([host.ahead(second, status=0, value=raw(12))])
    host.settle()
    assert host.output(run_id) == 12


def test_after_a_crash_a_turn_ahead_that_was_not_recorded_is_not_believed(host: AheadHost) -> None:
    run_id, spec = host.begin()
    result = host.ahead(spec, task(1, "add", x=2, y=10))
    host.crash()
    host.hello(b"w1", held=[])
    host.results([result])
    host.now_ms += 1_100
    host.settle()
    assert decode(host.get(run_id).output) == 12
    assert host.disk_is_sound()


def test_the_worker_of_a_run_that_ends_otherwise_may_let_its_function_go(host: AheadHost) -> None:
    run_id, _ = host.begin()
    host.ask(Kind.CONTROL, partition_of(run_id), m.ControlRun(run_id, "cancel", "c1"))
    host.now_ms += 61_000
    host.worker_frame(Kind.HEARTBEAT, m.WorkerHeartbeat(0, 0))
    host.turn()
    host.turn()
    assert host.get(run_id).status == "cancelled"
    assert run_id in host.forgotten()


def test_a_next_round_needs_no_coroutine(host: AheadHost) -> None:
    _, spec = host.begin()
    body = raw({"order": 5})
    host.results([host.ahead(spec, DurableCommand(10, 1, body=body))])
    host.turn()
    (turn,) = host.dispatched()
    assert decode(turn.recorded)[8] is False
    assert encode(decode(turn.recorded)[4]) == encode({"order": 5})


def _peers(host: AheadHost, kind: str) -> list[bytes]:
    """Who was given tasks of this name."""
    found = []
    for peer, parts in host.workers:
        if decode_header(parts[0]).kind == Kind.DISPATCH:
            found += [peer for spec in decode(parts[1], type=m.Dispatch).tasks if spec.task == kind]
    return found


@pytest.mark.parametrize(("credit", "taker"), [(10, b"w9"), (1, b"w1")], ids=["room", "no room"])
def test_a_called_task_goes_to_the_home_of_its_run_if_that_has_room_now(
    host: AheadHost, credit: int, taker: bytes
) -> None:
    host.hello(b"w9", credit=credit)
    host.start("three", 1)
    host.turn()
    host.hello(b"w1")
    host.results_seq = 0
    (turn,) = host.dispatched()
    host.results([host.scripted.run(turn)], b"w9")
    host.turn()
    assert _peers(host, "add") == [taker]


def test_a_task_that_waits_for_a_home_that_is_gone_goes_to_another_worker(host: AheadHost) -> None:
    run_id = host.start("three", 1).run_id
    host.hello(b"w9")
    host.turn()
    (turn,) = host.dispatched()
    host.hello(b"w1")
    host.results_seq = 0
    host.results([host.scripted.run(turn)], b"w9")
    host.shard.on_back([header(Kind.WORKERS), encode(m.KnownWorkers([], ["w9"]))], host.now_ms)
    host.turn()
    assert _peers(host, "add") == [b"w1"]
    assert host.entry(run_id).run.open
