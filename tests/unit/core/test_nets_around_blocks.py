"""Where nets and the structured kinds meet: whatever a node of a net is, it is withdrawn as a whole.

And it fails by an edge, and what it did is undone.
"""

from __future__ import annotations

from typing import Any

import pytest

from support.runs import RunDriver, error_of
from wfe.authoring.yaml_reader import read_definitions
from wfe.model.mail import ChildControl, LockReleased

HEAD = "workflow: w\nlocks: {desk: 1}\nnodes:\n"
KINDS = {
    "task": "{task: t, id: work}",
    "sleep": "{sleep: 1h, id: work}",
    "signal": "{signal: go, timeout: 1h, id: work}",
    "approval": "{approval: boss, timeout: 1h, escalate: [{after: 1m, to: bob}], id: work}",
    "sub-workflow": "{workflow: other, timeout: 1h, id: work}",
    "map": "{map: 3, id: work, max_parallel: 2, do: [{task: t}]}",
    "map of several": "{map: 3, id: work, do: [{sleep: 1h}, {task: t}]}",
    "map that grows": "{map: 0, grow: more, id: work, do: [{task: t}]}",
    "loop": "{loop: true, id: work, do: [{sleep: 1h}, {break_if: 'false'}]}",
    "race": "{race: [{signal: go}, {sleep: 1h}, {task: t}], id: work}",
    "lock": "{lock: desk, id: work, do: [{task: t}]}",
    "shared lock": "{lock: printer, id: work, do: [{task: t}]}",
    "parallel": "{parallel: [{task: t}, {sleep: 1h}, {branch: [{signal: go}, {task: t}]}], id: work}",
    "when": "{when: 'true', id: work, do: [{task: t}, {sleep: 1h}]}",
    "catch": "{catch: [Exception], id: work, do: [{workflow: other}]}",
    "net": "{graph: [{task: t, id: p}, {signal: go, id: q}, {task: t, id: r}], edges: [p -> r, q -> r], id: work}",
    "net in a loop": "{loop: true, id: work, do: [{graph: [{signal: go, id: p}, {task: t, id: r}], edges: [p -> r]}]}",
}
EACH = pytest.mark.parametrize("work", KINDS.values(), ids=KINDS)


def run_of(nodes: list[str], edges: list[str]) -> RunDriver:
    wired = "".join(f"\n  - {edge}" for edge in edges) or " []"
    text = HEAD + "".join(f"  - {node}\n" for node in nodes) + f"edges:{wired}\n"
    (definition,) = read_definitions(text, "w.yaml")
    return RunDriver(definition, None, restart=True)


def end(run: RunDriver, id_: str, value: Any = None) -> None:
    key = min(key for key in run.run.open if run.plan.nodes[key % run.plan.stride].id == id_)
    run.complete(key, value)
    assert run.replayed() == run.run


def active(run: RunDriver) -> list[str]:
    """The nodes of the outermost net that are active now."""
    (marking, *_) = run.run.nets.values()
    return sorted(run.plan.nodes[index].id for index in marking.firings.values())


def nothing_left_but(run: RunDriver, *ids: str) -> None:
    state, stride = run.run, run.plan.stride
    tables = (state.open, state.waits, state.children, state.groups, state.loops, state.approvals, state.locks)
    left = [run.plan.nodes[key % stride].id for table in tables for key in table]
    assert sorted(left) == sorted(ids)
    assert not state.timers
    assert not state.shared_locks
    assert len(state.frames) == 1 + len(active(run))


@EACH
def test_a_cancelled_node_is_gone_with_everything_inside_it(work: str) -> None:
    run = run_of([work, "{task: stop, cancels: [work]}", "{task: after}", "{task: instead}"],
                 ["work -> after", "{from: work, to: instead, port: cancelled}"])  # fmt: skip
    children = list(run.run.children.values())
    shared = list(run.run.shared_locks.values())
    end(run, "stop")
    assert active(run) == ["instead"]
    nothing_left_but(run, "instead")
    told = [body for _, body in run.mail if isinstance(body, ChildControl) and body.action == "cancel"]
    assert len(told) == len(children)
    assert len([body for _, body in run.mail if isinstance(body, LockReleased)]) == len(shared)
    end(run, "instead")
    assert run.run.status == "completed"


@EACH
def test_an_event_at_its_boundary_withdraws_everything_inside_it(work: str) -> None:
    node = work[:-1] + ", boundary: [{timer: 1ms, port: late}, {signal: halt, port: halted}]}"
    edges = ["work -> after", "{from: work, to: late, port: late}", "{from: work, to: halted, port: halted}"]
    nodes = [node, "{task: after}", "{task: late}", "{task: halted}"]
    run = run_of(nodes, edges)
    run.signal("halt", None, "e")
    assert active(run) == ["halted"]
    nothing_left_but(run, "halted")
    end(run, "halted")
    assert run.run.status == "completed"
    run = run_of(nodes, edges)
    run.fire_next_timer()
    assert active(run) == ["late"]
    nothing_left_but(run, "late")
    assert run.replayed() == run.run


@EACH
def test_who_loses_a_deferred_choice_is_gone_with_everything_inside_it(work: str) -> None:
    run = run_of(["{task: a, split: deferred}", work, "{task: rival}", "{task: after}", "{task: then}"],
                 ["a -> work -> after", "a -> rival -> then"])  # fmt: skip
    end(run, "a")
    assert active(run) == ["rival", "work"]
    end(run, "rival")
    assert active(run) == ["then"]
    nothing_left_but(run, "then")
    end(run, "then")
    assert run.run.status == "completed"


@pytest.mark.parametrize("kind", ["task", "map", "lock", "parallel", "when"])
def test_a_failure_inside_leaves_by_an_edge_and_withdraws_the_rest_of_the_node(kind: str) -> None:
    run = run_of(
        [KINDS[kind], "{task: after}", "{task: repair}"], ["work -> after", "{from: work, to: repair, port: error}"]
    )
    key = min(key for key in run.run.open if run.plan.nodes[key % run.plan.stride].node.id.startswith(("t", "work")))
    run.fail(key, error_of(ValueError("no")))
    assert active(run) == ["repair"]
    nothing_left_but(run, "repair")
    end(run, "repair")
    assert run.run.status == "completed"


def test_who_waits_for_a_lock_gets_it_when_the_holder_is_cancelled() -> None:
    run = run_of(["{lock: desk, id: work, do: [{signal: x}]}", "{lock: desk, id: next, do: [{signal: y}]}",
                  "{task: stop, cancels: [work]}"], [])  # fmt: skip
    assert list(run.run.waits.values()) == ["x"]
    end(run, "stop")
    assert list(run.run.waits.values()) == ["y"]
    run.signal("y", None, "e")
    assert run.run.status == "completed"


def test_an_error_goes_to_the_first_edge_that_takes_it_by_a_base_class_too() -> None:
    run = run_of(["{task: t, id: work}", "{task: a}", "{task: b}", "{task: c}"],
                 ["{from: work, to: a, port: error, errors: [KeyError]}",
                  "{from: work, to: b, port: error, errors: [OSError]}",
                  "{from: work, to: c, port: error}"])  # fmt: skip
    run.fail(next(iter(run.run.open)), error_of(ConnectionError("down")))
    assert active(run) == ["b", "c"]


def test_a_time_limit_goes_to_its_own_edge() -> None:
    run = run_of(["{signal: go, timeout: 1s, id: work}", "{task: late}", "{task: failed}"],
                 ["{from: work, to: late, port: timeout}", "{from: work, to: failed, port: error}"])  # fmt: skip
    run.fire_next_timer()
    assert active(run) == ["late"]


def test_a_task_is_retried_before_its_failure_leaves_by_an_edge() -> None:
    run = run_of(["{task: t, id: work, retry: {max_attempts: 2, initial_delay: 1s}}", "{task: repair}"],
                 ["{from: work, to: repair, port: error}"])  # fmt: skip
    (key,) = run.run.open
    run.fail(key, error_of(ValueError("no")))
    assert active(run) == ["work"]
    run.fire_next_timer()
    run.fail(key, error_of(ValueError("no")))
    assert active(run) == ["repair"]


def test_what_a_firing_did_is_undone_when_the_run_fails_later() -> None:
    branch = "{branch: [{task: a}, {compensate_with: undo}], id: first, join: each}"
    run = run_of(["{set: 1, id: start}", branch, "{fail: Broken, join: {thread: 2}}"],
                 ["{from: start, to: first, weight: 2}", "first -> fail"])  # fmt: skip
    end(run, "a")
    end(run, "a")
    assert run.run.compensating is not None
    for _ in range(2):
        end(run, "compensate_with")
    assert run.run.status == "failed"
    assert run.run.error is not None
    assert run.run.error.type == "Broken"


def test_break_if_in_a_net_ends_the_loop_around_it() -> None:
    run = run_of(["{loop: true, id: work, do: [{graph: [{task: p}, {break_if: p}, {task: q}], "
                  "edges: [p -> break_if -> q]}]}", "{task: after}"], ["work -> after"])  # fmt: skip
    end(run, "p", False)
    end(run, "q")
    end(run, "p", True)
    assert active(run) == ["after"]
    nothing_left_but(run, "after")


def test_end_in_a_net_ends_the_run_with_its_value() -> None:
    run = run_of(["{task: a}", "{end: '${a}'}", "{sleep: 1h}", "{workflow: other}"], ["a -> end"])
    end(run, "a", 5)
    assert run.output == 5
    assert not run.run.frames
    assert not run.run.timers


def test_a_bypassed_node_of_a_net_lets_its_tokens_pass() -> None:
    run = run_of(["{task: a}", "{task: b, if: a}", "{task: c}"], ["a -> b -> c"])
    end(run, "a", False)
    assert active(run) == ["c"]
