"""Durable functions at a shard: who gets a turn and with what, crashes, lost coroutines, pauses, sub-workflows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support.durable import (
    Function,
    ScriptedWorker,
    child,
    decode,
    durable,
    encode,
    publish,
    raw,
    signal,
    sleep,
    task,
)
from support.shards import Host
from wfe.model.definition import Definition, SubWorkflow, Task
from wfe.model.durable import TASK_PREFIX, DurableRecord
from wfe.model.ids import mint_run_id, partition_of
from wfe.wire import messages as m
from wfe.wire.frames import Kind, header
from wfe.wire.rounds import Change, ForkRun, RetryRun, RunPast, StateQuery


def agent(order: int) -> Function:
    first = yield [task(0, "add", x=order, y=1)]
    second = yield [task(1, "add", x=decode(first.value), y=10), sleep(2, 1_000)]
    third = yield []
    total = decode(second.value) if second.seq == 1 else decode(third.value)
    yield [publish(3, total), signal(4, "go")]
    return total


def failing(order: int) -> Function:
    ended = yield [task(0, "fail")]
    raise ValueError(ended.error.message)


def caller(order: int) -> Function:
    ended = yield [child(0, "plain", x=order)]
    return decode(ended.value) * 2


def add(x: int, y: int) -> int:
    return x + y


def fail() -> None:
    raise KeyError("no")


PLAIN = Definition(
    workflow="plain",
    params={"x": {}},
    nodes=(Task(id="add", task="add", with_={"x": "${x}", "y": 5}),),
    output="${add}",
)
OUTER = Definition(
    workflow="outer",
    params={"x": {}},
    nodes=(SubWorkflow(id="inner", workflow="caller", with_={"order": "${x}"}),),
    output="${inner}",
)
FUNCTIONS: dict[str, Callable[..., Function]] = {"agent": agent, "failing": failing, "caller": caller}


class DurableHost(Host):
    """A host whose worker runs scripted functions, too. Further workers are peers of other names."""

    def __init__(self, **functions: Callable[..., Function]) -> None:
        functions |= FUNCTIONS
        self.scripted = ScriptedWorker(functions)
        tasks: dict[str, Any] = {"add": add, "fail": fail, **{TASK_PREFIX + name: None for name in functions}}
        super().__init__(*(durable("order", name=name) for name in functions), PLAIN, OUTER, tasks=tasks)

    def execute(self, spec: m.TaskSpec) -> m.TaskResult:
        return self.scripted.run(spec) if spec.durable else super().execute(spec)

    def signal_go(self, run_id: str) -> None:
        self.ask(Kind.SIGNAL, partition_of(run_id), m.SignalRun(run_id, "go", raw(None), f"go {run_id}"))

    def control(self, run_id: str, action: str) -> None:
        self.ask(Kind.CONTROL, partition_of(run_id), m.ControlRun(run_id, action, f"{action} {run_id}"))

    def worker_gone(self, worker: str) -> None:
        self.shard.on_back([header(Kind.WORKERS), encode(m.KnownWorkers([], [worker]))], self.now_ms)

    def pass_time(self, delay_ms: int) -> None:
        self.now_ms += delay_ms
        self.worker_frame(Kind.HEARTBEAT, m.WorkerHeartbeat(0, 0))
        self.settle()


@pytest.fixture
def host() -> DurableHost:
    return DurableHost()


def test_a_function_runs_turn_by_turn_and_its_worker_gets_only_what_is_new(host: DurableHost) -> None:
    host.hello()
    run_id = host.start("agent", 1).run_id
    host.settle()
    host.pass_time(1_000)
    host.signal_go(run_id)
    host.settle()
    assert host.output(run_id) == 12
    assert [partial for _, partial in host.scripted.turns] == [False, True, True, True, True]
    assert host.disk_is_sound()


def test_a_worker_that_lost_the_coroutine_gets_everything(host: DurableHost) -> None:
    host.hello()
    run_id = host.start("agent", 1).run_id
    host.settle()
    host.scripted.forget()
    host.pass_time(1_000)
    host.scripted.forget()
    host.signal_go(run_id)
    host.settle()
    assert host.output(run_id) == 12
    assert [partial for _, partial in host.scripted.turns] == [False, True, True, True, False, True, False]


@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_function_goes_on_after_a_crash_with_what_is_recorded(host: DurableHost, checkpointed: bool) -> None:
    host.hello()
    run_id = host.start("agent", 1).run_id
    host.settle()
    if checkpointed:
        host.checkpoint()
    host.crash()
    host.scripted.forget()
    host.hello()
    host.pass_time(1_100)
    host.settle()
    host.signal_go(run_id)
    host.pass_time(1_100)
    assert decode(host.get(run_id).output) == 12
    assert sum(name == "add" for _, name, _ in host.executions) == 2
    assert host.disk_is_sound()


def test_a_turn_waits_for_its_worker_and_goes_to_another_one_when_that_is_gone(host: DurableHost) -> None:
    host.hello(b"w1")
    run_id = host.start("agent", 1).run_id
    host.settle()
    host.hello(b"w2")
    host.signal_go(run_id)
    host.now_ms += 999
    host.worker_frame(Kind.HEARTBEAT, m.WorkerHeartbeat(0, 0), b"w2")
    host.worker_gone("w1")
    host.now_ms += 1
    host.turn()
    specs = host.dispatched()
    assert [spec.recorded != m.NULL and decode(spec.recorded)[8] for spec in specs] == [False]
    host.results_seq = 0
    host.results([host.scripted.run(spec) for spec in specs], b"w2")
    host.turn()
    host.work(b"w2")
    host.turn()
    assert host.output(run_id) == 12


def test_a_turn_whose_worker_has_no_room_for_long_goes_to_another_one(host: DurableHost) -> None:
    host.hello(b"w1", credit=2)  # the first turn and its task
    run_id = host.start("agent", 1).run_id
    host.settle()
    host.hello(b"w2")
    for _ in range(2):
        host.now_ms += 300
        for peer in (b"w1", b"w2"):
            host.worker_frame(Kind.HEARTBEAT, m.WorkerHeartbeat(0, 0), peer)
        host.turn()
    specs = host.dispatched()
    assert [(spec.run_id, decode(spec.recorded)[8]) for spec in specs] == [(run_id, False)]


def test_a_function_that_raises_fails_its_run(host: DurableHost) -> None:
    host.hello()
    run_id = host.start("failing", 1).run_id
    host.settle()
    outcome = host.outcomes[run_id]
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == ("ValueError", "'no'")


def test_graphs_call_functions_and_functions_graphs(host: DurableHost) -> None:
    host.hello()
    run_id = host.start("outer", 4).run_id
    host.settle()
    assert host.output(run_id) == 18


def test_a_paused_function_goes_on_when_it_is_resumed(host: DurableHost) -> None:
    host.hello()
    run_id = host.start("agent", 1).run_id
    host.settle()
    host.control(run_id, "pause")
    host.pass_time(1_000)
    host.signal_go(run_id)
    host.settle()
    assert host.get(run_id).status == "paused"
    host.control(run_id, "resume")
    host.settle()
    assert host.output(run_id) == 12


def shaky(order: int) -> Function:
    first = yield [task(0, "add", x=order, y=1)]
    second = yield [task(1, "shaky", x=decode(first.value))]
    if second.error is not None:
        raise ShakyError(second.error.message)
    return decode(second.value)


class ShakyError(Exception):
    """The error of the task `shaky`, as a function raises it again."""


class Shaky:
    works = False

    def __call__(self, x: int) -> int:
        if not self.works:
            raise ShakyError("down")
        return x * 10


@pytest.mark.parametrize("restarted", [False, True], ids=["in memory", "after a restart"])
def test_a_failed_function_is_retried_from_the_call_that_failed(restarted: bool) -> None:
    host = DurableHost(shaky=shaky)
    host.tasks["shaky"] = doing = Shaky()
    host.hello()
    run_id = host.start("shaky", 3).run_id
    host.settle()
    assert host.outcomes[run_id].status == "failed"
    if restarted:
        host.now_ms += 60_000
        host.checkpoint()
        host.crash()
        host.scripted.forget()
        host.hello()
    doing.works = True
    host.ask(Kind.RETRY, partition_of(run_id), RetryRun(run_id, "c1"))
    host.settle()
    assert decode(host.get(run_id).output) == 40
    assert [name for _, name, _ in host.executions] == ["add", "shaky", "shaky"]
    assert host.disk_is_sound()


def test_a_fork_of_a_function_goes_its_own_way_from_a_call(host: DurableHost) -> None:
    host.hello()
    run_id = host.start("agent", 1).run_id
    host.settle()
    fork = mint_run_id(partition_of(run_id), host.now_ms, 77)
    changes = [Change("add", raw(100))]
    host.ask(Kind.FORK, partition_of(run_id), ForkRun(run_id, fork, "sleep", 0, changes), m.StartOutcome)
    host.settle()
    host.pass_time(1_000)
    host.signal_go(fork)
    host.settle()
    assert decode(host.get(fork).output) == 110
    assert host.get(run_id).status == "waiting"


def test_a_cancelled_function_says_that_it_cleans_up(host: DurableHost) -> None:
    host.hello(credit=4)  # the first turn, its task, the second turn and its task: the third waits for room
    run_id = host.start("agent", 1).run_id
    host.settle()
    host.control(run_id, "cancel")
    found = host.get(run_id)
    assert found.waiting_for[0].kind == "cancellation"


def test_a_worker_that_says_again_that_it_needs_all_takes_no_turn_from_another_one(host: DurableHost) -> None:
    host.hello(b"w1")
    run_id = host.start("agent", 1).run_id
    host.turn()
    (spec,) = host.dispatched()
    need_all = m.TaskResult(spec.run_id, spec.node, spec.activation, spec.attempt, 5)
    host.hello(b"w2")
    host.worker_frame(Kind.RECALL, None, b"w1")
    host.results([need_all], b"w1")
    host.turn()
    (again,) = host.dispatched()
    assert (again.attempt, again.run_id) == (spec.attempt, run_id)
    host.hello(b"w1")
    host.results([need_all], b"w1")  # it did not hear the acknowledgement
    host.turn()
    assert host.dispatched() == []
    host.results_seq = 0
    host.results([host.scripted.run(again)], b"w2")
    host.settle()
    assert host.get(run_id).status == "waiting"


def test_a_record_that_fits_into_no_frame_ends_its_run_and_holds_up_nobody(
    host: DurableHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.hello()
    large = host.start("agent", 1).run_id
    host.settle()
    host.pass_time(1_000)
    monkeypatch.setattr("wfe.shard.dispatch.TASK_INPUT_BYTES_MAX", 20)
    host.signal_go(large)
    host.settle()
    assert host.outcomes[large].status == "failed"
    assert host.outcomes[large].error.type == "PayloadTooLarge"  # type: ignore[union-attr]
    plain = host.start("plain", 1).run_id
    host.settle()
    assert host.output(plain) == 6


def recorded(host: DurableHost, run_id: str) -> tuple[DurableRecord, int, str]:
    past = host.ask(Kind.STATE, partition_of(run_id), StateQuery(run_id, recorded=True), RunPast)
    assert past.nodes == []
    return decode(past.record, type=DurableRecord), past.had, past.status


@pytest.mark.parametrize("ended", [False, True], ids=["open", "ended"])
def test_what_a_function_would_be_re_run_with_is_told_of_forked_and_retried_runs_too(ended: bool) -> None:
    host = DurableHost(shaky=shaky)
    host.tasks["shaky"] = doing = Shaky()
    host.hello()
    run_id = host.start("shaky", 3).run_id
    host.settle()
    record, had, status = recorded(host, run_id)
    assert ([call.name for call in record.calls], had, status) == (["add", "shaky"], 2, "failed")
    fork = mint_run_id(partition_of(run_id), host.now_ms, 77)
    host.ask(Kind.FORK, partition_of(run_id), ForkRun(run_id, fork, "shaky"), m.StartOutcome)
    host.ask(Kind.RETRY, partition_of(run_id), RetryRun(run_id, "c1"))
    if ended:
        doing.works = True
        host.settle()
    for each in (run_id, fork):
        record, had, _ = recorded(host, each)
        assert decode(record.input) == {"order": 3}
        assert had <= len(record.completions) <= len(record.calls)
        assert [call.name for call in record.calls][:had] == ["add", "shaky"][:had]
        assert not ended or (had, decode(record.completions[-1].value)) == (2, 40)


def test_a_graph_has_no_record(host: DurableHost) -> None:
    host.hello()
    run_id = host.start("plain", 1).run_id
    host.settle()
    assert host.ask(Kind.STATE, partition_of(run_id), StateQuery(run_id, recorded=True), RunPast).record == b""
