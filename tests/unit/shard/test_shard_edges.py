"""What once stopped a shard, lost a wakeup, lied about a run, or grew for ever: values at the edge, awkward moments."""

from __future__ import annotations

import math

import pytest
from msgspec import Raw

from support.shard_cases import TASKS, chain, host, waiting
from support.shards import Host, encode
from wfe.core import decide
from wfe.errors import DataCorrupt
from wfe.journal.log import Chunk
from wfe.limits import ADMIT_READY_MAX, FRAME_BYTES_MAX, MIB, PAYLOAD_BYTES_MAX
from wfe.model.definition import Definition, Map, Set, Sleep, SubWorkflow, Task, WaitSignal
from wfe.model.event import MailTaken, PartitionChunk
from wfe.model.ids import partition_of
from wfe.model.policy import ErrorInfo, RetryPolicy
from wfe.partition import ready, timers
from wfe.partition.timers import TimerHeap
from wfe.wire import messages as m
from wfe.wire.frames import Kind, header


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

    @pytest.mark.parametrize(("in_time", "status"), [(True, "waiting"), (False, "failed")])
    def test_a_limit_that_passes_during_a_pause_is_void_only_if_the_child_had_ended(self, in_time: bool, status: str):
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
        shard.now_ms += 0 if in_time else 2_000
        shard.settle()
        shard.ask(Kind.SIGNAL, partition_of(child), m.SignalRun(child, "go", Raw(encode(1)), "event"))
        shard.settle()
        shard.now_ms += 2_000
        shard.settle()
        control(shard, run_id, "resume")
        shard.now_ms += 2_000
        shard.settle()
        assert shard.get(run_id).status == status
        assert [w.kind for w in shard.get(run_id).waiting_for] == (["signal"] if in_time else [])

    def test_a_timer_that_met_a_defect_counts_again_after_the_resume(self, monkeypatch: pytest.MonkeyPatch):
        shard = host(Definition("nap", nodes=(Sleep(id="z", duration_ms=1_000),), output=1))
        run_id = shard.start("nap").run_id

        def broken(turn: object) -> None:
            raise RuntimeError("a defect")

        with monkeypatch.context() as patched:
            patched.setattr(decide, "advance", broken)
            shard.now_ms += 1_000
            shard.settle()
        assert shard.get(run_id).waiting_for[0].kind == "incident"
        control(shard, run_id, "resume")
        shard.settle()
        assert shard.output(run_id) == 1

    def test_timers_that_mean_nothing_any_more_are_forgotten_and_the_others_are_kept(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(timers, "COMPACT_MIN", 10)
        heap = TimerHeap()
        for number in range(10):
            heap.arm(number % 4, "live" if number % 2 else "gone", 0)
        heap._compact_at = 10
        heap.compact(lambda due_ms, run_id, timer: run_id == "live")
        assert heap.take_due(9, 99) == [("live", 0), ("live", 0)]  # due at 1 and at 3, each once

    def test_limits_of_runs_that_have_ended_do_not_pile_up(self):
        shard = host(Definition("quick", nodes=(Set(id="s", value=1),), timeout_ms=86_400_000))
        shard.shard.core.timers._compact_at = 5
        nap = Definition("nap", nodes=(Sleep(id="z", duration_ms=5_000),), output=2)
        shard.definitions["nap"] = nap
        sleeper = shard.start("nap").run_id
        for _ in range(10):
            shard.start("quick")
        shard.now_ms += 2_000
        shard.turn()
        assert len(shard.shard.core.timers) == 1
        shard.now_ms += 5_000
        shard.settle()
        assert shard.output(sleeper) == 2


class TestQueues:
    def test_tasks_that_nobody_takes_leave_the_queue_once_they_are_withdrawn(self):
        shard = Host(chain(), tasks=TASKS)
        shard.shard.core.ready._compact_at = 5
        for priority in range(10):
            run_id = shard.start("chain", 1, priority=priority).run_id
            control(shard, run_id, "cancel")
        kept = shard.start("chain", 1, priority=99).run_id
        shard.now_ms += 2_000
        shard.turn()
        assert shard.shard.core.ready.size == 1
        shard.hello()
        shard.settle()
        assert shard.output(kept) == 4

    def test_the_queue_is_looked_through_before_admission_counts_it_as_full(self):
        queue = ready.ReadyQueue()
        for size in (0, ADMIT_READY_MAX - 100_000, ADMIT_READY_MAX - 10):
            queue.size, queue._compact_at = size, 0
            queue._levels = {0: {("a", 1): [(object(), n) for n in range(size)]}}  # type: ignore[dict-item]
            queue.compact(lambda entry, key: True)
            assert size < queue._compact_at <= ADMIT_READY_MAX

    def test_what_a_worker_leaves_behind_is_dropped_with_it(self):
        shard = host()
        workers = shard.shard.workers
        assert workers.hellos == {"w1"}
        shard.worker_frame(Kind.BYE, None)
        assert not workers.hellos

    def test_another_worker_under_the_same_identity_takes_the_place_of_the_first_whose_tasks_are_given_out_again(self):
        shard = host()
        shard.start("chain", 1)
        (spec,) = shard.dispatched()
        hello = m.WorkerHello("token", "other", [("inc", 1)], 16, [])
        shard.shard.on_worker(b"w1", [header(Kind.WORKER_HELLO), encode(hello)], shard.now_ms)
        shard.worker_frame(Kind.CREDIT, m.Credit(10, 1 << 20))
        shard.turn()
        shard.turn()
        (again,) = shard.dispatched()
        assert (again.run_id, again.attempt) == (spec.run_id, spec.attempt + 1)


class TestMemory:
    def small(self, *definitions: Definition) -> Host:
        shard = host(*definitions)
        shard.shard.core.settings.live_runs_max = 0
        return shard

    def begin(self, shard: Host) -> m.StartRun:
        wanted = m.StartRun(shard.run_id(0), Raw(encode(None)))
        shard.ask(Kind.START, 0, [wanted], workflow="waiting")
        self.rest(shard)
        assert not shard.shard.core.partitions[0].entries
        return wanted

    def rest(self, shard: Host) -> None:
        for _ in range(30):
            shard.now_ms += 100
            shard.turn()

    def test_the_repeated_start_of_a_run_that_left_memory_finds_it(self):
        shard = self.small()
        wanted = self.begin(shard)
        (outcome,) = shard.ask(Kind.START, 0, [wanted], list[m.StartOutcome], workflow="waiting")
        assert not outcome.created

    def test_a_run_that_was_only_looked_at_leaves_memory_again(self):
        shard = self.small()
        wanted = self.begin(shard)
        assert shard.get(wanted.run_id).status == "waiting"
        assert shard.shard.core.partitions[0].entries
        self.rest(shard)
        assert not shard.shard.core.partitions[0].entries
        assert shard.shard.core.live_runs == 0


class TestAnswers:
    def test_a_history_that_is_followed_does_not_end_before_its_last_events(self):
        shard = host()
        run_id = shard.start("waiting").run_id
        seen = shard.get(run_id).events
        shard.request(Kind.SIGNAL, 0, m.SignalRun(run_id, "go", Raw(encode(1)), "event"))
        number = shard.request(Kind.HISTORY, 0, m.HistoryQuery(run_id, seen, 100, True))
        shard.settle()
        page = shard.reply(number, m.HistoryPage)
        assert page.ended
        assert page.events[-1].type == "RunEnded"

    def test_a_signal_that_is_repeated_after_it_ended_its_run_is_answered_as_before(self):
        shard = host()
        run_id = shard.start("waiting").run_id
        signal = m.SignalRun(run_id, "go", Raw(encode(1)), "event")
        assert shard.ask(Kind.SIGNAL, 0, signal) is None
        shard.checkpoint()
        assert shard.ask(Kind.SIGNAL, 0, signal) is None
        other = m.SignalRun(run_id, "go", Raw(encode(1)), "another")
        assert shard.ask(Kind.SIGNAL, 0, other).code == "run_closed"

    def test_no_answer_is_larger_than_a_frame(self):
        text = "y" * (PAYLOAD_BYTES_MAX - 100)
        nodes = (Set(id="a", value="${x + 'a'}"), Set(id="b", value="${x + 'b'}"))
        shard = host(Definition("large", params={"x": {"type": "string"}}, nodes=nodes, output="${b}"))
        run_id = shard.start("large", text).run_id
        shard.settle()
        assert shard.get(run_id).status == "completed"
        after, pages = 0, 0
        while True:
            page = shard.ask(Kind.HISTORY, 0, m.HistoryQuery(run_id, after, 100), m.HistoryPage)
            after, pages = page.events[-1].seq, pages + 1
            if page.ended:
                break
            assert page.more
        assert after == shard.get(run_id).events
        assert pages > 1
        assert max(len(body) for _, (_, body) in shard.replies) < FRAME_BYTES_MAX

    def test_no_mail_is_larger_than_a_frame(self):
        child = Definition("child", params={"x": {}}, nodes=(WaitSignal(id="s", signal="go"),))
        body = SubWorkflow(id="sub", workflow="child", with_={"x": "${x}"})
        nodes = (Map(id="m", items="[1,2,3,4,5,6,7,8,9,10,11,12]", do=(body,)),)
        parent = Definition("parent", params={"x": {"type": "string"}}, nodes=nodes)
        shard = Host(parent, child, tasks=TASKS, partitions=[0])
        shard.start("parent", "y" * (4 * MIB))
        shard.settle()
        sizes = [len(parts[1]) for parts in shard.mail]
        assert sum(sizes) > FRAME_BYTES_MAX
        assert max(sizes) < FRAME_BYTES_MAX

    def test_a_map_whose_values_are_too_large_together_is_a_fault(self):
        task = Task(id="t", task="text", with_={"size": "${n}"})
        nodes = (Map(id="m", items="[1, 2, 3]", do=(task,)),)
        shard = Host(
            Definition("wide", params={"n": {"type": "integer"}}, nodes=nodes, output="${m}"),
            tasks={"text": lambda size: "y" * size},
        )
        shard.hello()
        run_id = shard.start("wide", PAYLOAD_BYTES_MAX // 2).run_id
        shard.settle()
        assert shard.outcomes[run_id].error.type == "PayloadTooLarge"

    @pytest.mark.parametrize(("arguments", "end"), [(2, "completed"), (3, "failed")])
    def test_a_task_whose_arguments_fit_into_no_frame_fails_and_others_get_frames_that_fit(
        self, arguments: int, end: str
    ):
        make = tuple(Task(id=f"t{i}", task="text", with_={"size": "${n}"}) for i in range(3))
        take = Task(id="u", task="take", with_={f"a{i}": f"${{t{i}}}" for i in range(arguments)})
        nodes = (*make, Map(id="m", items="[1, 2]", do=(take,)))
        shard = Host(
            Definition("wide", params={"n": {"type": "integer"}}, nodes=nodes),
            tasks={"text": lambda size: "y" * size, "take": lambda **values: len(values)},
        )
        shard.hello()
        run_id = shard.start("wide", 6 * MIB).run_id
        sizes = [0]
        for _ in range(20):
            shard.turn()
            sizes += [len(parts[1]) for _, parts in shard.workers]
            shard.work()
        assert shard.outcomes[run_id].status == end
        assert max(sizes) < FRAME_BYTES_MAX
        if end == "failed":
            assert shard.outcomes[run_id].error.type == "PayloadTooLarge"

    def test_tags_are_short(self):
        shard = host()
        assert shard.start("waiting", tags={"a": "x" * 401}).error.code == "invalid_input"


class TestRecoveredRecord:
    @pytest.mark.parametrize(("first", "found"), [(2, "ahead of the log"), (5, "are missing")])
    def test_events_of_a_partition_are_never_passed_over_in_silence(self, first: int, found: str):
        shard = host()
        record = shard.shard.core.partitions[0].record
        record.seq = 3
        events = encode(PartitionChunk(1, [MailTaken(1, 1), MailTaken(1, 2), MailTaken(1, 3)]))
        with pytest.raises(DataCorrupt, match=found):
            shard.shard.recovery.tail._take(Chunk(0, shard.epoch, "", first, 3, events), 1)
        shard.shard.recovery.tail._take(Chunk(0, shard.epoch, "", 1, 3, events), 1)
        assert record.seq == 3
