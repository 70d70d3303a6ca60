"""Workers of a shard: credit, leases, fences; what is lost is given out again."""

from __future__ import annotations

from msgspec import Raw

from support.shard_cases import TASKS, chain, host
from support.shards import Host, decode, encode
from wfe.limits import CREDIT_TASKS_MAX, LEASE_MS
from wfe.model.definition import Definition, Map, Task
from wfe.wire import messages as m
from wfe.wire.frames import Kind, decode_header, header


def gone(worker: str) -> list[bytes]:
    return [header(Kind.WORKERS), encode(m.KnownWorkers([], [worker]))]


def test_credit_bounds_what_a_worker_gets():
    shard = Host(chain(), tasks=TASKS)
    shard.hello(credit=2)
    for _ in range(5):
        shard.start("chain", 1)
    assert len(shard.dispatched()) == 2
    shard.worker_frame(Kind.CREDIT, m.Credit(1, 1 << 20))
    shard.turn()
    assert len(shard.dispatched()) == 1
    assert Kind.LOAD in shard.worker_kinds()


def test_unused_credit_can_be_recalled():
    shard = Host(chain(), tasks=TASKS)
    shard.hello(credit=7)
    shard.worker_frame(Kind.RECALL, None)
    returned = [decode(parts[1], type=m.Credit) for _, parts in shard.workers if parts[0] == header(Kind.RETURNED)]
    assert returned == [m.Credit(7, 1 << 30)]
    shard.start("chain", 1)
    assert not shard.dispatched()


def test_credit_that_is_told_again_and_again_is_no_more_than_a_worker_can_lend():
    shard = Host(chain(), tasks=TASKS)
    shard.hello(credit=CREDIT_TASKS_MAX - 1)
    for _ in range(5):
        shard.worker_frame(Kind.CREDIT, m.Credit(CREDIT_TASKS_MAX - 1, 1))
    shard.worker_frame(Kind.RECALL, None)
    returned = [decode(parts[1], type=m.Credit) for _, parts in shard.workers if parts[0] == header(Kind.RETURNED)]
    assert [credit.tasks for credit in returned] == [CREDIT_TASKS_MAX]


def test_a_worker_gets_only_tasks_that_it_knows():
    shard = Host(chain(), tasks={"other": lambda x: x})
    shard.hello()
    run_id = shard.start("chain", 1).run_id
    assert not shard.dispatched()
    assert [w.kind for w in shard.get(run_id).waiting_for] == ["worker"]


def test_strangers_wrong_tokens_and_garbage_are_answered():
    shard = host()
    shard.workers.clear()
    shard.worker_frame(Kind.CREDIT, m.Credit(1, 1), b"stranger")
    assert shard.worker_kinds() == [Kind.REJECT]
    shard.workers.clear()
    shard.hello(b"w2", token="wrong", credit=0)
    welcome = decode(shard.workers[0][1][1], type=m.WorkerWelcome)
    assert welcome.error.code == "unauthorized"
    for parts in ([b"\xc1", b""], [header(Kind.RESULTS), b"\xc1"], [header(Kind.START), encode(1)], [b"x"]):
        shard.workers.clear()
        shard.shard.on_worker(b"w1", parts, shard.now_ms)
        assert shard.worker_kinds() == [Kind.ERROR]


def test_a_result_counts_once_and_only_for_the_open_attempt():
    shard = host()
    run_id = shard.start("chain", 1).run_id
    (spec,) = shard.dispatched()
    result = shard.execute(spec)
    shard.results([result, result])
    shard.results([result])
    shard.settle()
    assert shard.output(run_id) == 4
    assert shard.shard.core.counters["results_stale"] == 2
    assert shard.shard.core.counters["tasks_done"] == 3


def test_a_result_for_a_node_that_does_not_exist_changes_nothing():
    shard = host()
    run_id = shard.start("chain", 1).run_id
    shard.results([m.TaskResult(run_id, 99, 0, 1, 0), m.TaskResult("no such run", 0, 0, 1, 0)])
    shard.settle()
    assert shard.output(run_id) == 4


def test_a_gap_in_the_numbers_of_results_asks_for_a_new_hello():
    shard = host()
    shard.start("chain", 1)
    result = shard.execute(shard.dispatched()[0])
    shard.results_seq = 5
    shard.results([result])
    assert Kind.REJECT in shard.worker_kinds()


def test_results_are_acknowledged_with_the_next_tasks_and_in_a_frame_of_their_own_when_there_are_none():
    shard = host()
    shard.start("chain", 1)
    told = []
    while specs := shard.dispatched():
        shard.workers.clear()
        shard.results([shard.execute(spec) for spec in specs])
        shard.turn()
        ((_, (head, body)),) = shard.workers
        with_tasks = decode_header(head).kind == Kind.DISPATCH
        told.append(decode(body, type=m.Dispatch).acked if with_tasks else decode(body, type=m.Ack).seq)
    assert told == list(range(1, len(told) + 1))
    assert shard.worker_kinds() == [Kind.RESULTS_ACK]


def test_a_lost_worker_is_replaced_under_a_new_attempt_number():
    shard = host()
    run_id = shard.start("chain", 1).run_id
    (first,) = shard.dispatched()
    shard.shard.on_back(gone("w1"), shard.now_ms)
    shard.hello(b"w2")
    shard.turn()
    (second,) = shard.dispatched()
    assert (first.attempt, second.attempt) == (1, 2)
    shard.results([shard.execute(first), shard.execute(second)], b"w2")
    shard.turn()
    for _ in range(4):
        shard.work(b"w2")
        shard.turn()
    assert shard.output(run_id) == 4


def lose_twice(shard: Host, runs: int) -> list[m.TaskSpec]:
    """Tasks that two workers have died of, as a third one is given them; fresh ones come along."""
    for _ in range(runs):
        shard.start("chain", 1)
    for worker in (b"w1", b"w2"):
        assert len(shard.dispatched()) == runs
        shard.shard.on_back(gone(worker.decode()), shard.now_ms)
        shard.hello(b"w%d" % (int(worker[1:]) + 1), credit=1000 if worker == b"w1" else 0)
        shard.turn()
    for _ in range(2):
        shard.start("chain", 1)
    shard.worker_frame(Kind.CREDIT, m.Credit(100, 1 << 30), b"w3")
    shard.turn()
    return shard.dispatched()


def lend(shard: Host, peer: bytes) -> None:
    shard.worker_frame(Kind.CREDIT, m.Credit(100, 1 << 30), peer)
    shard.turn()


def test_a_task_that_workers_died_of_comes_in_a_frame_of_its_own_that_asks_for_it_to_be_run_alone():
    shard = host()
    for _ in range(2):
        shard.start("chain", 1)
    for worker in (b"w1", b"w2"):
        shard.dispatched()
        shard.shard.on_back(gone(worker.decode()), shard.now_ms)
        shard.hello(b"w%d" % (int(worker[1:]) + 1))
        shard.turn()
    frames = [decode(p[1], type=m.Dispatch) for _, p in shard.workers if decode_header(p[0]).kind == Kind.DISPATCH]
    assert [(len(frame.tasks), frame.alone) for frame in frames] == [(1, True)]


def test_of_tasks_that_workers_died_of_a_worker_holds_one_and_fresh_ones_pass_the_others():
    shard = host()
    (suspect,) = lose_twice(shard, 3)
    assert suspect.attempt == 3
    shard.turn()
    assert shard.dispatched() == [], "it is alone: the credit is void"
    lend(shard, b"w3")
    assert [spec.attempt for spec in shard.dispatched()] == [1, 1], "the worker takes others after all, but no suspect"
    shard.results([shard.execute(suspect)], b"w3")
    shard.turn()
    attempts = [spec.attempt for spec in shard.dispatched() if spec.run_id != suspect.run_id]
    assert attempts == [3]
    shard.hello(b"w4")
    shard.turn()
    assert [spec.attempt for spec in shard.dispatched()] == [3]


def test_a_task_that_kills_its_worker_is_poison_and_those_beside_it_are_not():
    shard = host()
    specs = lose_twice(shard, 3)
    killers = {min(shard.shard.core.partitions[0].entries)}
    worker = 3
    for _ in range(20):
        if any(spec.run_id in killers for spec in specs):
            shard.shard.on_back(gone(f"w{worker}"), shard.now_ms)
            worker += 1
            shard.hello(b"w%d" % worker)
        elif specs:
            shard.results([shard.execute(spec) for spec in specs], b"w%d" % worker)
        lend(shard, b"w%d" % worker)
        specs = shard.dispatched()
    failed = {run_id for run_id, outcome in shard.outcomes.items() if outcome.status == "failed"}
    assert failed == killers
    assert len(shard.outcomes) == 5


def test_a_worker_is_not_told_of_tasks_that_it_may_not_have():
    shard = host()
    lose_twice(shard, 3)
    lend(shard, b"w3")
    shard.workers.clear()
    shard.worker_frame(Kind.HEARTBEAT, m.WorkerHeartbeat(2, 3, []), b"w3")
    shard.turn()
    loads = [
        decode(parts[1], type=m.ShardLoad) for _, parts in shard.workers if decode_header(parts[0]).kind == Kind.LOAD
    ]
    assert [load.ready for load in loads] == [0]


def test_silence_for_longer_than_the_lease_loses_the_tasks():
    shard = host()
    shard.start("chain", 1)
    shard.dispatched()
    shard.now_ms += LEASE_MS + 1
    shard.turn()
    shard.hello(b"w2")
    shard.turn()
    assert [spec.attempt for spec in shard.dispatched()] == [2]


def test_an_attempt_that_had_used_up_its_time_counts_as_timed_out_not_as_lost():
    definition = Definition("slow", nodes=(Task(id="t", task="inc", with_={"x": 1}, timeout_ms=500),))
    shard = host(definition)
    run_id = shard.start("slow").run_id
    shard.dispatched()
    shard.now_ms += 1_000
    shard.shard.on_back(gone("w1"), shard.now_ms)
    shard.settle()
    assert shard.outcomes[run_id].error.type == "TimedOut"


def test_a_new_hello_keeps_what_is_held_and_gives_out_the_rest_again():
    shard = host()
    for _ in range(3):
        shard.start("chain", 1)
    specs = shard.dispatched()
    ref = specs[0]
    shard.hello(held=[m.TaskRef(ref.run_id, ref.node, ref.activation, ref.attempt)])
    shard.turn()
    again = shard.dispatched()
    assert {spec.run_id for spec in again} == {spec.run_id for spec in specs[1:]}
    assert all(spec.attempt == 2 for spec in again)
    shard.results([shard.execute(ref)])
    shard.turn()
    assert [spec.node_id for spec in shard.dispatched()] == ["t1"]


def test_results_presented_after_a_hello_count_before_anything_is_given_out_again():
    shard = host()
    run_id = shard.start("chain", 1).run_id
    result = shard.execute(shard.dispatched()[0])
    shard.hello(credit=0)
    shard.results([result])
    shard.worker_frame(Kind.CREDIT, m.Credit(10, 1 << 20))
    shard.settle()
    assert shard.output(run_id) == 4
    assert len(shard.executions) == 3


def test_cancelled_runs_tell_their_workers():
    shard = host()
    run_id = shard.start("chain", 1).run_id
    (spec,) = shard.dispatched()
    shard.ask(Kind.CONTROL, 0, m.ControlRun(run_id, "cancel", "c1"))
    cancels = [decode(p[1], type=list[m.TaskRef]) for _, p in shard.workers if p[0] == header(Kind.CANCEL_TASKS)]
    assert cancels == [[m.TaskRef(run_id, spec.node, 0, 1)]]


def test_higher_priority_goes_first():
    shard = Host(chain(), tasks=TASKS)
    ids = [shard.start("chain", 1, priority=priority).run_id for priority in (0, 5, 1)]
    shard.hello(credit=2)
    shard.turn()
    assert [spec.run_id for spec in shard.dispatched()] == [ids[1], ids[2]]


def test_a_paused_run_dispatches_nothing_until_it_is_resumed():
    shard = host()
    run_id = shard.start("chain", 1).run_id
    result = shard.execute(shard.dispatched()[0])
    shard.ask(Kind.CONTROL, 0, m.ControlRun(run_id, "pause", "c1"))
    shard.results([result])
    shard.settle()
    assert len(shard.executions) == 1
    shard.ask(Kind.CONTROL, 0, m.ControlRun(run_id, "resume", "c2"))
    shard.settle()
    assert shard.output(run_id) == 4


def test_a_reference_to_a_node_that_does_not_exist_never_means_a_node_of_the_next_activation():
    item = Task(id="i", task="inc", with_={"x": "${item}"})
    shard = host(Definition("many", nodes=(Map(id="m", items="[1, 2, 3]", do=(item,)),)))
    shard.start("many")
    specs = shard.dispatched()
    stride = 3
    aliases = [m.TaskRef(s.run_id, s.node + stride, s.activation - 1, s.attempt) for s in specs]
    aliases += [m.TaskRef(s.run_id, s.node - stride, s.activation + 1, s.attempt) for s in specs]
    shard.hello(held=[m.TaskRef(s.run_id, s.node, s.activation, s.attempt) for s in specs])
    beats = [m.TaskBeat(ref, Raw(encode("left by another"))) for ref in aliases]
    shard.worker_frame(Kind.HEARTBEAT, m.WorkerHeartbeat(1, 3, beats))
    shard.results([m.TaskResult(ref.run_id, ref.node, ref.activation, ref.attempt, 0) for ref in aliases])
    shard.turn()
    assert shard.shard.core.counters["results_stale"] == len(aliases)
    entry = shard.shard.core.partition_for(specs[0].run_id).entries[specs[0].run_id]
    assert [lease.previous for lease in entry.leases.values()] == [None, None, None]
    shard.hello(b"w2", held=aliases)
    shard.turn()
    assert shard.shard.core.counters["claims_stale"] == len(aliases)
    assert Kind.CANCEL_TASKS in shard.worker_kinds()
