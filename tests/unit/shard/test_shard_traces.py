"""Traces at a shard: who gets a context, what goes along with tasks and sub-workflows, the ends of traced runs."""

from __future__ import annotations

from support.shard_cases import chain, host, waiting
from support.shards import Host, encode
from wfe.limits import TRACES_KEPT_MAX
from wfe.model.definition import Definition, SubWorkflow, Task
from wfe.model.trace import of_child, own_trace, parent_span, run_span, trace_id
from wfe.shard.traces import Traces
from wfe.wire.frames import Kind, header
from wfe.wire.messages import KnownWorkers
from wfe.wire.traces import TracesPage, TracesQuery

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PARENT = Definition("parent", nodes=(SubWorkflow(id="c", workflow="chain", with_={"n": 1}),), output="${c}")


def traced(share: float, *definitions: Definition) -> Host:
    made = host(*definitions)
    made.shard.core.traces = Traces(share)
    return made


def ended(shard: Host, page: TracesPage | None = None) -> TracesPage:
    query = TracesQuery() if page is None else TracesQuery(page.cursor, page.epoch)
    found: TracesPage = shard.ask(Kind.TRACES, 0, query, TracesPage)
    return found


def test_a_server_without_traces_gives_no_context_and_keeps_no_ends() -> None:
    shard = host()
    run_id = shard.start("chain", 1).run_id
    assert [spec.trace for spec in shard.dispatched()] == [None]
    assert shard.get(run_id).trace == ""
    shard = host()
    shard.start("chain", 1)
    shard.settle()
    assert not shard.shard.core.traces.ended


def test_a_caller_s_context_goes_along_with_every_task_even_where_nothing_is_exported() -> None:
    shard = host()
    run_id = shard.start("chain", 1, trace=CALLER).run_id
    [spec] = shard.dispatched()
    assert spec.trace is not None
    assert spec.trace.context == CALLER
    assert shard.get(run_id).trace == CALLER
    shard.results([shard.execute(spec)])
    shard.settle()
    assert shard.outcomes[run_id].status == "completed"
    assert not shard.shard.core.traces.ended


def test_a_malformed_context_of_a_caller_is_ignored() -> None:
    shard = traced(1.0)
    run_id = shard.start("chain", 1, trace="00-nonsense").run_id
    assert shard.get(run_id).trace == own_trace(run_id, 1.0)


def test_the_context_survives_a_crash_and_a_checkpoint() -> None:
    shard = traced(1.0)
    run_id = shard.start("waiting", trace=CALLER).run_id
    shard.crash()
    assert shard.get(run_id).trace == CALLER
    shard.checkpoint()
    shard.crash()
    assert shard.get(run_id).trace == CALLER


def test_a_task_says_how_long_it_was_ready_before_it_left() -> None:
    shard = Host(chain(), waiting(), tasks={"inc": lambda x: x + 1})
    shard.shard.core.traces = Traces(1.0)
    shard.start("chain", 1)
    shard.now_ms += 250
    shard.hello()
    shard.turn()
    [spec] = shard.dispatched()
    assert spec.trace is not None
    assert spec.trace.queued_ms == 250


def test_what_a_run_starts_is_in_its_trace_below_it() -> None:
    shard = traced(1.0, chain(), PARENT)
    parent = shard.start("parent").run_id
    shard.settle()
    page = ended(shard)
    by_workflow = {run.workflow: run for run in page.runs}
    child, top = by_workflow["chain"], by_workflow["parent"]
    assert child.context == of_child(top.context, parent)
    assert trace_id(child.context) == trace_id(top.context)
    assert parent_span(child.context, child.run_id) == run_span(parent)


def test_a_run_below_one_that_is_not_sampled_is_not_sampled_either() -> None:
    shard = traced(0.0, chain(), PARENT)
    parent = shard.start("parent").run_id
    shard.shard.core.traces = Traces(1.0)  # whatever its own id would say
    shard.settle()
    assert shard.outcomes[parent].status == "completed"
    assert not shard.shard.core.traces.ended


def test_an_end_is_given_until_its_reader_asks_for_what_is_behind_it() -> None:
    shard = traced(1.0)
    first = shard.start("chain", 1).run_id
    shard.settle()
    page = ended(shard)
    assert [run.run_id for run in page.runs] == [first]
    assert page.runs[0].status == "completed"
    assert ended(shard).runs == page.runs, "a reader that came anew gets it, too"
    number = shard.request(Kind.TRACES, 0, TracesQuery(page.cursor, page.epoch))
    shard.turn()
    assert shard.reply(number, TracesPage) is None, "it waits until there is something"
    second = shard.start("chain", 5).run_id
    shard.settle()
    assert [run.run_id for run in shard.reply(number, TracesPage).runs] == [second]


def test_a_failure_is_told_with_its_error() -> None:
    failing = Definition("failing", nodes=(Task(id="b", task="boom", with_={"x": 1}),))
    shard = traced(1.0, failing)
    shard.start("failing")
    shard.settle()
    [run] = ended(shard).runs
    assert run.status == "failed"
    assert run.error is not None
    assert run.error.type == "ZeroDivisionError"
    assert run.ended_ms >= run.started_ms > 0


def test_ends_that_nobody_takes_are_bounded_and_what_is_lost_is_said() -> None:
    shard = traced(1.0)
    run_id = shard.start("chain", 1).run_id
    shard.settle()
    traces = shard.shard.core.traces
    entry = traces.ended[0]
    traces.ended.extend([entry] * (TRACES_KEPT_MAX - 1))
    traces.number += TRACES_KEPT_MAX - 1
    shard.start("chain", 1)
    shard.settle()
    assert len(traces.ended) == TRACES_KEPT_MAX
    page = ended(shard)
    assert page.missed == 1
    assert page.runs[0].run_id == run_id
    assert ended(shard, page).missed == 0


def test_a_cursor_of_an_earlier_start_of_the_shard_lets_go_of_nothing() -> None:
    shard = traced(1.0)
    shard.start("chain", 1)
    shard.settle()
    stale = TracesPage(0, shard.epoch - 1, 10**9)
    assert len(ended(shard, stale).runs) == 1


def test_an_attempt_that_was_lost_with_its_worker_is_told_of_by_the_shard() -> None:
    shard = traced(1.0)
    run_id = shard.start("chain", 1).run_id
    [spec] = shard.dispatched()
    shard.now_ms += 100
    known = KnownWorkers([], ["w1"])
    shard.shard.on_back([header(Kind.WORKERS), encode(known)], shard.now_ms)
    shard.turn()
    page = ended(shard)
    [lost] = page.lost
    assert (lost.run_id, lost.attempt, lost.task, lost.node_id, lost.worker) == (run_id, 1, "inc", "t0", "w1")
    assert (lost.node, lost.activation, lost.context) == (spec.node, spec.activation, own_trace(run_id, 1.0))
    assert lost.lost_ms - lost.dispatched_ms == 100
    shard.hello(b"w2")
    shard.turn()
    [again] = shard.dispatched()
    assert (again.attempt, again.trace is not None) == (2, True)
    assert not shard.shard.core.traces.lost, "it is told once"
