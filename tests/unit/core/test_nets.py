"""Nets: each rule by an example. Random nets are compared with a reference in tests/property/test_nets_reference.py."""

from __future__ import annotations

import pytest

from support.runs import RunDriver, decode, encode
from wfe.model.definition import (
    Boundary,
    Catch,
    Decision,
    Definition,
    Edge,
    Graph,
    Join,
    Map,
    Node,
    Parallel,
    Set,
    Sleep,
    Task,
    WaitSignal,
)
from wfe.model.event import EventChunk
from wfe.model.policy import ErrorInfo
from wfe.partition.views import history_events, waiting_for


def task(id_: str, **options: object) -> Task:
    return Task(id=id_, task="t", **options)  # type: ignore[arg-type]


def net(*nodes: Node, edges: tuple[Edge, ...], **options: object) -> Graph:
    return Graph(id="net", do=nodes, edges=edges, **options)  # type: ignore[arg-type]


def run_of(*nodes: Node, output: object = None, restart: bool = True) -> RunDriver:
    return RunDriver(Definition(workflow="w", nodes=nodes, output=output), None, restart=restart)


def firings(run: RunDriver) -> list[str]:
    return [run.plan.nodes[index].id for marking in run.run.nets.values() for index in marking.firings.values()]


def end(run: RunDriver, id_: str, value: object = None) -> None:
    """The oldest open task of this node ends."""
    run.complete(open_place(run, id_), value)


def open_place(run: RunDriver, id_: str) -> int:
    return min(key for key in run.run.open if run.plan.nodes[key % run.plan.stride].id == id_)


def boom(run: RunDriver, id_: str, kind: str = "Boom") -> None:
    run.fail(open_place(run, id_), ErrorInfo(kind, "on purpose", id_, types=(kind,)))


def check(run: RunDriver) -> None:
    assert encode(run.replayed()) == encode(run.run)


def test_a_list_with_a_join_is_a_net_and_runs_in_the_order_of_after():
    run = run_of(task("a"), task("b", after=()), task("c", after=("a", "b"), join=Join("xor")))
    assert firings(run) == ["a", "b"]
    end(run, "a")
    assert firings(run) == ["b", "c"]
    end(run, "b")
    assert firings(run) == ["c", "c"]
    end(run, "c")
    end(run, "c")
    assert run.run.status == "completed"
    check(run)


def test_siblings_see_the_firing_that_ended_last():
    nodes = (task("a"), task("b", join=Join("xor")))
    run = run_of(net(*nodes, edges=(Edge("a", "b", weight=2),)), output="${b}")
    end(run, "a")
    end(run, "b", "first")
    end(run, "b", "second")
    assert run.output == "second"


def test_a_node_sees_its_own_value_of_the_firing_before():
    count = Set(id="n", value="${merge(n, 0) + 1}", split="xor", join=Join("xor"))
    pause = Sleep(id="s", duration_ms=1)
    edges = (Edge("n", "s", when="n < 3"), Edge("n", "done", default=True), Edge("s", "n"))
    run = run_of(net(count, pause, task("done"), edges=edges, entry=("n",)), output="${n}")
    for _ in range(2):
        run.fire_next_timer()
    end(run, "done")
    assert run.output == 3
    check(run)


def test_a_value_that_the_last_firing_did_not_make_is_gone():
    inner = Parallel(id="p", do=(task("x"), task("y", if_="run.id != ''")))
    run = run_of(net(inner, task("z"), edges=(Edge("p", "z"),)), output="${[x, y]}")
    end(run, "x", 1)
    end(run, "y", 2)
    end(run, "z")
    assert run.output == [1, 2]


def test_a_decision_is_left_by_the_name_of_its_case():
    route = Decision(id="d", cases={"big": "run.id == 'none'", "small": None})
    run = run_of(net(route, task("b"), task("s"), edges=(Edge("d", "b", port="big"), Edge("d", "s", port="small"))))
    assert firings(run) == ["s"]


def test_a_split_without_a_true_edge_is_a_fault_that_an_error_edge_may_take():
    edges = (Edge("a", "b", when="a > 1"), Edge("a", "c", port="error", errors=("NoBranch",)))
    run = run_of(net(task("a", split="xor"), task("b"), task("c"), edges=edges), output="${a.type}")
    end(run, "a", 1)
    assert firings(run) == ["c"]
    end(run, "c")
    assert run.output == "NoBranch"
    check(run)


def test_a_fault_that_no_edge_takes_climbs_to_the_catch_around_the_net():
    inner = (task("a"), task("b", after=(), join=Join("xor")))
    run = run_of(Catch(id="c", errors=("Boom",), do=inner), task("after"), output="${c.type}")
    boom(run, "a")
    assert run.run.nets == {}
    end(run, "after")
    assert run.output == "Boom"
    check(run)


def test_a_stuck_net_says_which_tokens_wait_where():
    graph = net(task("a", split="xor"), task("b"), task("d"), edges=(
        Edge("a", "b", when="a == 1"), Edge("a", "d", default=True), Edge("b", "d"),
    ))  # fmt: skip
    run = run_of(graph)
    end(run, "a", 0)
    assert run.run.status == "failed"
    assert run.run.error is not None
    assert run.run.error.type == "stuck"
    assert "d waits: join and, 1 token from a, none from b" in run.run.error.message
    assert run.run.incident == run.run.error.message
    check(run)


def test_a_catch_around_a_net_takes_that_it_is_stuck():
    inner = net(task("a", cancels=("b",)), task("b"), task("c"), edges=(Edge("a", "c"), Edge("b", "c")))
    run = run_of(Catch(id="c1", errors=("stuck",), do=(inner,)), output="${c1.type}")
    end(run, "a")
    assert run.output == "stuck"
    check(run)


def test_a_net_that_is_a_whole_map_item_can_fail_tolerated():
    body = (task("a"), task("b", after=(), join=Join("xor")))
    run = run_of(Map(id="m", items="[1, 2]", do=body, tolerate_count=1), output="${m.indexes}")
    boom(run, "a")
    assert len(run.withdrawn) == 1
    end(run, "a")
    end(run, "b", 7)
    assert run.output == [1]
    check(run)


def test_a_nested_net_is_one_firing_of_the_net_around_it():
    inner = Graph(id="inner", do=(task("x"), task("y")), edges=(Edge("x", "y", weight=2),))
    run = run_of(net(inner, task("z"), edges=(Edge("inner", "z"),)), output="${y}")
    end(run, "x")
    assert sorted(firings(run)) == ["inner", "y", "y"]
    end(run, "y", 1)
    end(run, "y", 2)
    assert firings(run) == ["z"]
    end(run, "z")
    assert run.output == 2
    check(run)


@pytest.mark.parametrize("interrupting", [True, False])
def test_a_boundary_timer_leaves_by_its_port(interrupting: bool):
    late = Boundary("late", after_ms=1_000, interrupting=interrupting)
    graph = net(task("a", boundary=(late,)), task("b"), task("c"), edges=(Edge("a", "b"), Edge("a", "c", port="late")))
    run = run_of(graph)
    run.fire_next_timer()
    assert sorted(firings(run)) == (["c"] if interrupting else ["a", "c"])
    assert len(run.withdrawn) == (1 if interrupting else 0)
    assert not run.run.timers
    check(run)


def test_a_firings_timers_count_from_its_start():
    marks = tuple(Boundary(f"p{after}", after_ms=after, interrupting=False) for after in (3_000, 1_000))
    edges = (Edge("a", "b", port="p1000"), Edge("a", "c", port="p3000"))
    run = run_of(net(task("a", boundary=marks), task("b"), task("c"), edges=edges))
    start = run.now_ms
    run.fire_next_timer()
    assert run.now_ms == start + 1_000
    run.fire_next_timer()
    assert run.now_ms == start + 3_000
    assert sorted(firings(run)) == ["a", "b", "c"]
    check(run)


def test_a_boundary_signal_withdraws_what_the_node_does():
    stop = Boundary("stopped", signal="stop")
    wait = WaitSignal(id="w", signal="go", boundary=(stop,))
    run = run_of(net(wait, task("c"), edges=(Edge("w", "c", port="stopped"),)), output="${w}")
    run.signal("stop", "enough", "e1")
    assert firings(run) == ["c"]
    assert not run.run.waits
    end(run, "c")
    assert run.output == "enough"
    check(run)


def test_a_signal_that_came_early_meets_the_boundary_when_the_node_begins():
    ring = Boundary("rung", signal="ring", interrupting=False)
    nodes = (task("a"), task("b", boundary=(ring,)), task("c", join=Join("xor")))
    run = run_of(net(*nodes, edges=(Edge("a", "b"), Edge("b", "c", port="rung"))))
    run.signal("ring", 1, "e1")
    run.signal("ring", 2, "e2")
    end(run, "a")
    assert firings(run) == ["b", "c", "c"]
    assert not run.run.signals
    check(run)


def test_a_deferred_choice_is_decided_by_the_first_to_end():
    graph = net(
        task("a", split="deferred"), WaitSignal(id="w", signal="go"), Sleep(id="s", duration_ms=50),
        task("x", join=Join("xor")),
        edges=(Edge("a", "w"), Edge("a", "s"), Edge("w", "x"), Edge("s", "x")),
    )  # fmt: skip
    run = run_of(graph)
    end(run, "a")
    assert firings(run) == ["w", "s"]
    run.signal("go", None, "e")
    assert not run.run.timers
    assert firings(run) == ["x"]
    end(run, "x")
    assert run.run.status == "completed"
    check(run)


def test_cancelled_tasks_and_tokens_are_gone_in_the_same_transition():
    nodes = (task("a", cancels=("zone",)), task("b"), task("c"), task("d"), task("e"))
    edges = (Edge("b", "d"), Edge("c", "d"), Edge("b", "e", port="cancelled"), Edge("c", "e", port="cancelled"))
    graph = net(nodes[0], *nodes[1:4], task("e", join=Join("xor")), edges=edges, regions={"zone": ("b", "c", "d")})
    run = run_of(graph)
    end(run, "b")
    end(run, "a")
    assert firings(run) == ["e"]
    assert len(run.withdrawn) == 1
    end(run, "e")
    assert run.run.status == "completed"
    check(run)


def test_what_a_block_orders_after_a_cancelled_node_goes_on_unless_it_is_cancelled_too():
    nodes = (
        task("b"),
        task("c", after=("b",)),
        task("d", after=("c",)),
        task("a", after=(), cancels=("b", "c")),
        task("f"),
        task("g", after=("f",)),
        task("e", after=(), cancels=("f",)),
    )
    run = run_of(Parallel(id="p", do=nodes))
    end(run, "a")
    assert firings(run) == ["f", "e"]
    end(run, "e")
    assert firings(run) == ["g"]
    end(run, "g")
    assert run.run.status == "completed"
    check(run)


def test_a_run_may_cancel_itself():
    run = run_of(net(task("a", cancels=("run",)), task("b"), edges=()))
    end(run, "a")
    assert run.run.status == "cancelled"


def test_nothing_opens_while_the_run_is_paused():
    run = run_of(net(task("a"), task("b"), task("c", join=Join("or")), edges=(Edge("a", "c"), Edge("b", "c"))))
    run.control("pause", "p")
    end(run, "a")
    end(run, "b")
    assert firings(run) == ["a", "b"]
    check(run)
    run.control("resume", "r")
    assert firings(run) == ["c"]
    check(run)


def test_a_map_that_leaves_early_holds_its_frame_until_its_items_have_ended():
    many = Map(id="m", items="[1, 2, 3]", do=(task("i", with_={"x": "${item}"}),), complete_after=1, rest="continue")
    run = run_of(many, task("z"), output="${m}")
    end(run, "i", 10)
    assert firings(run) == ["z"]
    end(run, "z")
    assert run.run.status == "running"
    end(run, "i", 20)
    end(run, "i", 30)
    assert run.output == [10]
    check(run)


def test_a_net_that_never_waits_is_a_fault():
    graph = net(Set(id="a", value=1, join=Join("xor")), edges=(Edge("a", "a"),), entry=("a",))
    run = run_of(graph, restart=False)
    assert run.run.error is not None
    assert run.run.error.type == "LoopLimit"


def test_a_token_that_can_not_pass_a_missed_node_is_one_fault():
    nodes = (task("a"), task("b", enabled_while='active("a")', on_missed="skip", split="xor"), task("c"))
    run = run_of(net(*nodes, edges=(Edge("a", "b"), Edge("b", "c", when="b > 1"))))
    end(run, "a")
    assert run.run.error is not None
    assert run.run.error.type == "expression"
    assert sum(type(event).__name__ == "FaultRaised" for event in run.events) == 1


def test_views_name_what_a_net_waits_for_and_its_history():
    run = run_of(task("a"), task("b", after=()), task("c", after=("a", "b"), join=Join("or")), restart=False)
    end(run, "a")
    joins = [(found.node, found.detail) for found in waiting_for(run.run, run.plan, {}) if found.kind == "join"]
    assert joins == [("c", "join or, 1 token from a, none from b")]
    history = history_events(run.plan, 1, EventChunk(0, run.events))
    opened = next(found for found in history if found.type == "FiringsOpened")
    assert opened.node == ""
    assert decode(opened.data)["members"] == ["a", "b"]
