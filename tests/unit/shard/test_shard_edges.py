"""What once stopped a shard, lost a wakeup, lied about a run, or grew for ever: values at the edge, and awkward moments."""

from __future__ import annotations

import math

import pytest
from msgspec import Raw

from support.shard_cases import chain, host, waiting
from support.shards import Host, encode
from wfe.model.definition import Definition, Sleep, SubWorkflow, Task, WaitSignal
from wfe.model.ids import partition_of
from wfe.model.policy import ErrorInfo, RetryPolicy
from wfe.wire import messages as m
from wfe.wire.frames import Kind


def control(shard: Host, run_id: str, action: str) -> None:
    shard.ask(Kind.CONTROL, partition_of(run_id), m.ControlRun(run_id, action, f"{action} {run_id}"))
    shard.settle()


class TestTimes:
    @pytest.mark.parametrize("value", [1e300, -1e300, 1e19, math.inf, math.nan])
    @pytest.mark.parametrize("field", ["until", "duration"])
    def test_a_time_that_is_none_is_the_fault_of_its_run(self, field: str, value: float):
        shard = host(Definition("nap", params={"n": {}}, nodes=(Sleep(id="z", **{field: "n"}),)))
        run_id = shard.start("nap", value).run_id
        shard.settle()
        assert shard.outcomes[run_id].error.type == "expression"

    def test_a_task_cannot_ask_for_a_retry_after_the_end_of_time(self):
        nodes = (Task(id="t", task="inc", with_={"x": 1}, retry=RetryPolicy(max_attempts=3)),)
        shard = host(Definition("once", nodes=nodes))
        run_id = shard.start("once").run_id
        (spec,) = shard.dispatched()
        error = ErrorInfo("Late", "", types=("Late", "Exception"), retry_after_ms=(1 << 64) - 1)
        shard.results([m.TaskResult(run_id, spec.node, spec.activation, spec.attempt, 1, m.NULL, error)])
        shard.settle()
        assert [w.kind for w in shard.get(run_id).waiting_for] == ["retry"]

    def test_a_limit_that_passed_during_a_pause_is_void_once_the_child_has_ended(self):
        nodes = (
            SubWorkflow(id="sub", workflow="waiting", with_={}, timeout_ms=1_000),
            WaitSignal(id="then", signal="then"),
        )
        shard = host(Definition("parent", nodes=nodes), waiting())
        run_id = shard.start("parent").run_id
        shard.settle()
        (child,) = (w.detail for w in shard.get(run_id).waiting_for)
        control(shard, run_id, "pause")
        control(shard, child, "resume")
        shard.now_ms += 2_000
        shard.settle()
        shard.ask(Kind.SIGNAL, partition_of(child), m.SignalRun(child, "go", Raw(encode(1)), "event"))
        shard.settle()
        control(shard, run_id, "resume")
        shard.now_ms += 2_000
        shard.settle()
        assert shard.get(run_id).status == "waiting"
        assert [w.kind for w in shard.get(run_id).waiting_for] == ["signal"]
