"""Starts and requests of clients: idempotent, answered after the commit; bad ones cost nobody else anything."""

from __future__ import annotations

import pytest

from support.shard_cases import chain, host
from support.shards import decode, encode
from wfe.core import decide
from wfe.model.definition import Definition
from wfe.model.ids import partition_of
from wfe.sim.disk import SimCrashed
from wfe.wire import messages as m
from wfe.wire.frames import Kind, header


class TestStarts:
    def test_a_run_goes_through_and_its_end_is_told_to_who_started_it(self):
        shard = host()
        started = shard.start("chain", 1)
        shard.settle()
        assert started.created
        assert shard.output(started.run_id) == 4

    def test_nothing_leaves_before_its_cause_is_durable(self):
        shard = host()
        shard.disk.plan("log", "crash_before")
        with pytest.raises(SimCrashed):
            shard.start("chain", 1)
        assert not [parts for _, parts in shard.back if len(parts) == 3]
        assert not shard.dispatched()

    def test_a_repeated_start_names_the_same_run_also_after_its_end_and_after_a_restart(self):
        shard = host()
        run_id = shard.start("chain", 1).run_id
        assert not shard.start("chain", 1, run_id=run_id).created
        shard.settle()
        assert not shard.start("chain", 1, run_id=run_id).created
        shard.checkpoint()
        assert not shard.start("chain", 1, run_id=run_id).created
        shard.now_ms += 60_000
        assert not shard.start("chain", 1, run_id=run_id, resent=True).created
        shard.crash()
        assert not shard.start("chain", 1, run_id=run_id).created
        assert len({execution[0] for execution in shard.executions}) == 1

    def test_a_key_names_one_run_and_another_input_is_a_conflict(self):
        shard = host()
        first = shard.start("chain", 1, key="k")
        assert shard.start("chain", 1, key="k").run_id == first.run_id
        assert shard.start("chain", 2, key="k").error.code == "key_conflict"
        shard.settle()
        shard.checkpoint()
        shard.crash()
        again = shard.start("chain", 1, key="k")
        assert (again.run_id, again.created) == (first.run_id, False)
        assert shard.start("chain", 2, key="k").error.code == "key_conflict"

    @pytest.mark.parametrize("ended", [False, True])
    def test_where_no_new_runs_are_taken_those_that_are_there_are_answered(self, ended):
        shard = host()
        known = shard.start("chain", 1).run_id
        if ended:
            shard.settle()
            shard.checkpoint()
        wanted = [m.StartRun(run_id, m.Raw(encode(1)), resent=True) for run_id in (known, shard.run_id())]
        number = shard.request(Kind.START, 0, wanted, workflow="chain", refusal="no more")
        shard.settle()
        first, second = shard.reply(number, list[m.StartOutcome])
        assert (first.run_id, first.error) == (known, None)
        assert (second.error.code, second.error.message) == ("deprecated", "no more")
        assert shard.get(second.run_id).code == "unknown_run"

    def test_two_starts_of_one_key_that_both_wait_for_the_store_make_one_run(self):
        shard = host()
        partition = partition_of(shard.start("chain", 1, key="k").run_id)
        shard.checkpoint()
        shard.crash()
        starts = [m.StartRun(shard.run_id(partition), m.Raw(encode(1)), key="k") for _ in range(2)]
        found = shard.ask(Kind.START, partition, starts, list[m.StartOutcome], workflow="chain")
        assert len({outcome.run_id for outcome in found}) == 1

    @pytest.mark.parametrize(
        ("value", "rest"),
        [
            ("text", {}),
            (1, {"run_id": "nonsense"}),
            (1, {"tags": {str(i): "x" for i in range(100)}}),
            (1, {"key": "x" * 1000}),
        ],
    )
    def test_bad_starts_are_refused_one_by_one(self, value: object, rest: dict):
        shard = host()
        wanted = m.StartRun(rest.get("run_id", shard.run_id()), m.Raw(encode(value)))
        wanted.tags, wanted.key = rest.get("tags", {}), rest.get("key", "")
        good = m.StartRun(shard.run_id(), m.Raw(encode(1)))
        found = shard.ask(Kind.START, 0, [wanted, good], list[m.StartOutcome], workflow="chain")
        assert [outcome.error.code if outcome.error else None for outcome in found] == ["invalid_input", None]

    def test_tags_of_the_definition_are_computed_from_the_input_and_survive_a_restart(self):
        tagged = chain()
        tagged = Definition(
            tagged.workflow, params=tagged.params, nodes=tagged.nodes, tags={"size": "${n}", "bad": "${x}"}
        )
        shard = host(tagged)
        run_id = shard.start("chain", 7, tags={"team": "a"}).run_id
        assert shard.get(run_id).tags == {"size": "7", "team": "a"}
        shard.crash()
        assert shard.get(run_id).tags == {"size": "7", "team": "a"}

    def test_a_nearly_full_disk_admits_nothing_but_finishes_what_runs(self):
        shard = host()
        run_id = shard.start("chain", 1).run_id
        shard.shard.core.disk_full = True
        assert shard.start("chain", 1).error.code == "busy"
        shard.settle()
        assert shard.output(run_id) == 4

    def test_an_unknown_definition_is_an_error(self):
        assert host().ask(Kind.START, 0, [], workflow="nothing").code == "unknown_workflow"

    def test_a_draining_shard_admits_nothing_but_finishes_what_runs(self):
        shard = host()
        run_id = shard.start("chain", 1).run_id
        shard.shard.on_back([header(Kind.DRAIN), encode(None)], shard.now_ms)
        assert shard.start("chain", 1).error.code == "busy"
        shard.settle()
        assert shard.output(run_id) == 4


class TestRequests:
    def test_a_run_is_shown_from_memory_and_from_the_store(self):
        shard = host()
        run_id = shard.start("waiting").run_id
        view = shard.get(run_id)
        assert (view.status, [w.kind for w in view.waiting_for]) == ("waiting", ["signal"])
        shard.ask(Kind.SIGNAL, 0, m.SignalRun(run_id, "go", m.Raw(encode(5)), "e1"))
        shard.settle()
        shard.checkpoint()
        assert run_id not in shard.shard.core.partitions[0].entries
        view = shard.get(run_id)
        assert (view.status, decode(view.output)) == ("completed", 5)

    def test_unknown_and_ended_runs_get_typed_errors(self):
        shard = host()
        run_id = shard.start("chain", 1).run_id
        shard.settle()
        assert shard.get(shard.run_id()).code == "unknown_run"
        signal = m.SignalRun(run_id, "go", m.Raw(encode(1)), "e1")
        assert shard.ask(Kind.SIGNAL, 0, signal).code == "run_closed"
        shard.checkpoint()
        assert shard.ask(Kind.SIGNAL, 0, signal).code == "run_closed"
        assert shard.ask(Kind.CONTROL, 0, m.ControlRun(run_id, "pause", "c1")).code == "run_closed"

    @pytest.mark.parametrize(
        ("kind", "partition"), [(Kind.GET, 99), (Kind.DEPLOY, 0), (Kind.GET, 0), (Kind.START, 0), (Kind.LIST, 0)]
    )
    def test_frames_that_make_no_sense_are_answered_and_change_nothing(self, kind: Kind, partition: int):
        shard = host()
        assert shard.ask(kind, partition, "garbage").code == "protocol"
        assert shard.start("chain", 1).created

    def test_history_is_complete_in_order_and_pages_over_memory_and_store(self):
        shard = host()
        run_id = shard.start("waiting").run_id
        shard.settle()
        shard.checkpoint()
        shard.ask(Kind.SIGNAL, 0, m.SignalRun(run_id, "go", m.Raw(encode(5)), "e1"))
        shard.settle()
        page = shard.ask(Kind.HISTORY, 0, m.HistoryQuery(run_id), m.HistoryPage)
        assert [e.seq for e in page.events] == list(range(1, len(page.events) + 1))
        assert (page.events[0].type, page.events[-1].type, page.ended) == ("RunStarted", "RunEnded", True)
        second = shard.ask(Kind.HISTORY, 0, m.HistoryQuery(run_id, after=1, limit=2), m.HistoryPage)
        assert [e.seq for e in second.events] == [2, 3]
        shard.checkpoint()
        again = shard.ask(Kind.HISTORY, 0, m.HistoryQuery(run_id), m.HistoryPage)
        assert [(e.seq, e.type) for e in again.events] == [(e.seq, e.type) for e in page.events]

    def test_who_follows_a_history_is_answered_when_something_happens(self):
        shard = host()
        run_id = shard.start("waiting").run_id
        seen = shard.ask(Kind.HISTORY, 0, m.HistoryQuery(run_id), m.HistoryPage).events[-1].seq
        number = shard.request(Kind.HISTORY, 0, m.HistoryQuery(run_id, after=seen, wait=True))
        shard.settle()
        assert shard.reply(number) is None
        shard.ask(Kind.SIGNAL, 0, m.SignalRun(run_id, "go", m.Raw(encode(5)), "e1"))
        shard.settle()
        assert shard.reply(number, m.HistoryPage).events[0].seq == seen + 1

    def test_lists_merge_memory_over_the_store_newest_first(self):
        shard = host()
        ids = []
        for number in range(6):
            shard.now_ms += 10
            ids.append(shard.start("chain", number, tags={"odd": str(number % 2)}).run_id)
            shard.settle()
            if number == 2:
                shard.checkpoint()
        shard.now_ms += 10
        waits = shard.start("waiting").run_id
        page = shard.ask(Kind.LIST, 0, m.ListRuns(limit=4), m.RunPage)
        assert ([run.id for run in page.runs], page.more) == ([waits, *reversed(ids)][:4], True)
        rest = shard.ask(Kind.LIST, 0, m.ListRuns(after=page.runs[-1].id), m.RunPage)
        assert ([run.id for run in rest.runs], rest.more) == ([*reversed(ids)][3:], False)
        odd = shard.ask(Kind.LIST, 0, m.ListRuns(tags={"odd": "1"}, status="completed"), m.RunPage)
        assert [run.id for run in odd.runs] == [ids[5], ids[3], ids[1]]

    def test_a_run_that_moves_to_the_store_while_a_list_reads_it_is_listed(self):
        shard = host()
        run_id = shard.start("chain", 1).run_id
        shard.settle()
        number = shard.request(Kind.LIST, 0, m.ListRuns())
        shard.shard.turn(shard.now_ms)
        shard.reader.step()
        completions, shard.completions[:] = list(shard.completions), []
        shard.checkpoint()
        shard.completions += completions
        shard.turn()
        shard.turn()
        assert [run.id for run in shard.reply(number, m.RunPage).runs] == [run_id]

    def test_runs_that_wait_are_listed_as_waiting_also_when_only_the_store_has_them(self):
        shard = host()
        shard.shard.core.settings.live_runs_max = 0
        run_id = shard.start("waiting").run_id
        shard.settle()
        shard.checkpoint()
        page = shard.ask(Kind.LIST, 0, m.ListRuns(status="waiting"), m.RunPage)
        assert run_id not in shard.shard.core.partitions[0].entries
        assert [(run.id, run.status) for run in page.runs] == [(run_id, "waiting")]

    def test_rows_of_the_store_that_memory_overrules_do_not_end_a_list_early(self):
        shard = host()
        ids = []
        for _ in range(4):
            shard.now_ms += 10
            ids.append(shard.start("waiting").run_id)
        shard.settle()
        shard.checkpoint()
        shard.writer.step = lambda: False  # what happens from here on stays in memory
        for run_id in ids[2:]:
            shard.ask(Kind.SIGNAL, 0, m.SignalRun(run_id, "go", m.Raw(encode(5)), "e1"))
        page = shard.ask(Kind.LIST, 0, m.ListRuns(status="waiting", limit=1), m.RunPage)
        assert ([run.id for run in page.runs], page.more) == ([ids[1]], True)

    def test_awaiting_a_run_that_has_ended_is_answered_from_the_store(self):
        shard = host()
        run_id = shard.start("chain", 1).run_id
        shard.settle()
        shard.checkpoint()
        shard.outcomes.clear()
        shard.request(Kind.AWAIT, 0, [run_id])
        shard.settle()
        assert shard.output(run_id) == 4

    def test_a_defect_in_decide_costs_one_run_and_not_the_shard(self, monkeypatch: pytest.MonkeyPatch):
        shard = host()
        run_id, other = shard.start("waiting").run_id, shard.start("waiting").run_id
        shard.checkpoint()
        real = decide.signal

        def broken(turn: object, name: str, *rest: object) -> None:
            if turn.run.id == run_id:  # type: ignore[attr-defined]
                turn.run.status = "nonsense"  # type: ignore[attr-defined]
                raise IndexError("a defect")
            real(turn, name, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(decide, "signal", broken)
        for wanted in (run_id, other):
            shard.ask(Kind.SIGNAL, 0, m.SignalRun(wanted, "go", m.Raw(encode(5)), f"e-{wanted}"))
        shard.settle()
        assert shard.output(other) == 5
        view = shard.get(run_id)
        assert (view.status, view.waiting_for[0].kind) == ("paused", "incident")
        page = shard.ask(Kind.HISTORY, 0, m.HistoryQuery(run_id), m.HistoryPage)
        assert [e.seq for e in page.events] == list(range(1, view.events + 1))
        shard.crash()
        assert shard.get(run_id).status == "paused"
        monkeypatch.undo()
        shard.ask(Kind.CONTROL, 0, m.ControlRun(run_id, "resume", "c1"))
        view = shard.get(run_id)
        assert (view.status, decode(view.output)) == ("completed", 5)
