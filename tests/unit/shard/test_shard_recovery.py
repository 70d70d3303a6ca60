"""Mail between partitions, and recovery at any point."""

from __future__ import annotations

import pytest

from support.shard_cases import TASKS, chain, host, waiting
from support.shards import Host, encode
from wfe.limits import RECOVERY_GRACE_MS
from wfe.model.definition import Definition, Map, Sleep, StartWorkflow, SubWorkflow, Task
from wfe.sim.disk import SimCrashed
from wfe.wire import messages as m
from wfe.wire.frames import Kind, header


class TestMail:
    def parents(self) -> tuple[Definition, Definition]:
        body = SubWorkflow(id="sub", workflow="chain", with_={"n": "${item}"})
        return Definition(
            "parent", params={"n": {}}, nodes=(Map(id="m", items="n", do=(body,)),), output="${m}"
        ), chain()

    def test_children_on_other_partitions_answer_their_parent(self):
        shard = host(*self.parents())
        run_id = shard.start("parent", list(range(20))).run_id
        shard.settle()
        assert shard.output(run_id) == [n + 3 for n in range(20)]
        assert not any(box.letters for p in shard.shard.core.partitions.values() for box in p.record.outboxes.values())

    def test_a_child_that_cannot_start_is_a_fault_of_its_parent(self):
        shard = host(Definition("parent", nodes=(SubWorkflow(id="sub", workflow="nothing"),)))
        run_id = shard.start("parent").run_id
        shard.settle()
        assert shard.outcomes[run_id].error.type == "UnknownWorkflow"

    def test_a_cancelled_parent_cancels_its_children(self):
        shard = host(Definition("parent", nodes=(SubWorkflow(id="sub", workflow="waiting"),)), waiting())
        run_id = shard.start("parent").run_id
        shard.settle()
        child = shard.get(run_id).waiting_for[0].detail
        assert shard.get(child).status == "waiting"
        shard.ask(Kind.CONTROL, 0, m.ControlRun(run_id, "cancel", "c1"))
        shard.settle()
        assert shard.get(child).status == "cancelled"

    def test_a_detached_run_goes_on_without_its_starter(self):
        parent = Definition("parent", nodes=(StartWorkflow(id="s", workflow="chain", with_={"n": 1}),), output="${s}")
        shard = host(parent, chain())
        run_id = shard.start("parent").run_id
        shard.settle()
        assert shard.get(shard.output(run_id)).status == "completed"

    def test_a_detached_start_by_a_known_key_names_the_run_that_is_there(self):
        start = StartWorkflow(id="s", workflow="chain", with_={"n": 1}, key="k")
        shard = host(Definition("parent", nodes=(start,), output="${s}"), chain())
        known = shard.start("chain", 1, key="k").run_id
        run_id = shard.start("parent").run_id
        shard.settle()
        assert shard.output(run_id) == known

    def test_a_detached_start_that_is_refused_fails_its_starter(self):
        start = StartWorkflow(id="s", workflow="chain", with_={"n": "no number"})
        shard = host(Definition("parent", nodes=(start,), output="${s}"), chain())
        run_id = shard.start("parent").run_id
        shard.settle()
        assert shard.outcomes[run_id].error.type == "InvalidInput"

    def test_mail_between_shards_survives_loss_repetition_and_disorder(self):
        left, right = (host(*self.parents(), partitions=owned) for owned in ([0, 1], [2, 3]))
        run_id = left.start("parent", list(range(12))).run_id
        for turn in range(400):
            for one, other in ((left, right), (right, left)):
                one.now_ms += 300
                one.settle(3)
                letters, one.mail = one.mail, []
                for number, parts in enumerate(reversed(letters)):
                    if (turn + number) % 3:
                        other.shard.on_back(parts, other.now_ms)
                    if (turn + number) % 5 == 0:
                        other.shard.on_back(parts, other.now_ms)
            if run_id in left.outcomes:
                break
        assert left.output(run_id) == [n + 3 for n in range(12)]
        assert left.shard.core.counters["runs_started"] + right.shard.core.counters["runs_started"] == 13


class TestRecovery:
    @pytest.mark.parametrize("when", ["crash_before", "crash_after"])
    def test_a_crash_at_any_write_changes_no_result(self, when: str):
        nodes = (
            Map(id="m", items="n", do=(SubWorkflow(id="sub", workflow="chain", with_={"n": "${item}"}),)),
            Sleep(id="nap", duration_ms=50),
            Task(id="last", task="inc", with_={"x": "${m[0]}"}),
        )
        parent = Definition("parent", params={"n": {}}, nodes=nodes, output=["${m}", "${last}"])
        crashes = 0
        for writes in range(400):
            shard = host(parent, chain(2))
            run_id = shard.run_id(1)
            shard.disk.plan_after(writes, when)  # type: ignore[arg-type]
            crashed = self.finish(shard, run_id)
            crashes += crashed
            assert shard.output(run_id) == [[2, 3, 4], 3]
            assert shard.get(run_id).status == "completed"
            assert len(set(shard.executions)) == 7
            assert crashed or shard.shard.core.counters["tasks_done"] == 7
            if not crashed:
                break
        else:
            raise AssertionError("there are always further writes")
        assert crashes > 8

    def finish(self, shard: Host, run_id: str) -> bool:
        """Run to the end, restarting after the crash; whether there was one."""
        crashed = False
        for _ in range(200):
            try:
                if run_id not in shard.outcomes:
                    shard.start("parent", [0, 1, 2], run_id=run_id, resent=crashed)
                shard.settle(40)
                shard.now_ms += 100
                if run_id in shard.outcomes:
                    shard.checkpoint()
                    return crashed
            except SimCrashed:
                crashed = True
                shard.crash()
                shard.hello()
                shard.now_ms += RECOVERY_GRACE_MS
        raise AssertionError("the run never ended")

    def test_workers_present_what_they_hold_and_nothing_runs_twice(self):
        shard = host()
        run_id = shard.start("chain", 1).run_id
        (spec,) = shard.dispatched()
        shard.crash()
        shard.hello(held=[m.TaskRef(spec.run_id, spec.node, spec.activation, spec.attempt)])
        shard.now_ms += RECOVERY_GRACE_MS
        shard.turn()
        assert not shard.dispatched()
        shard.results([shard.execute(spec)])
        shard.request(Kind.AWAIT, 0, [run_id])
        shard.settle()
        assert shard.output(run_id) == 4
        assert len(shard.executions) == 3

    def test_dispatch_of_recovered_tasks_waits_for_known_workers_or_the_grace(self):
        shard = host()
        shard.start("chain", 1)
        shard.dispatched()
        shard.crash()
        shard.shard.on_back([header(Kind.WORKERS), encode(m.KnownWorkers(["w1", "w2"]))], shard.now_ms)
        shard.hello(b"w1")
        shard.turn()
        assert not shard.dispatched()
        shard.hello(b"w2")
        shard.turn()
        shard.turn()
        assert [spec.attempt for spec in shard.dispatched()] == [2]

    def test_runs_come_back_from_stores_whose_log_was_trimmed(self):
        shard = host()
        open_runs = [shard.start("waiting").run_id for _ in range(5)]
        busy = Host(chain(), waiting(), tasks=TASKS)
        busy.start("chain", 1)
        for one in (shard, busy):
            one.checkpoint()
            one.crash()
            one.hello()
            one.now_ms += RECOVERY_GRACE_MS
            one.settle()
        assert [shard.get(run_id).status for run_id in open_runs] == ["waiting"] * 5
        assert busy.shard.core.counters["tasks_done"] == 3

    def test_runs_that_only_wait_leave_memory_and_come_back(self):
        sleeper = Definition("sleeper", nodes=(Sleep(id="s", duration_ms=100_000),), output=1)
        shard = host(sleeper, waiting())
        shard.shard.core.settings.live_runs_max = 0
        first = shard.start("sleeper").run_id
        second = shard.start("waiting").run_id
        shard.checkpoint()
        assert not shard.shard.core.partitions[0].entries
        shard.ask(Kind.SIGNAL, 0, m.SignalRun(second, "go", m.Raw(encode(2)), "e"))
        shard.settle()
        assert shard.get(second).status == "completed"
        shard.now_ms += 100_000
        shard.settle()
        assert shard.get(first).status == "completed"


def test_runs_that_only_wait_count_as_open_wherever_they_are():
    shard = host()
    shard.shard.core.settings.live_runs_max = 0
    waits = shard.start("waiting").run_id
    shard.start("waiting")
    shard.checkpoint()
    assert not shard.shard.core.partitions[0].entries
    assert shard.shard.core.open_runs == 2
    shard.crash()
    assert shard.shard.core.open_runs == 2
    shard.ask(Kind.CONTROL, 0, m.ControlRun(waits, "cancel", "c"))
    assert shard.shard.core.open_runs == 1
