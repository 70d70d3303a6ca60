"""Verdicts on random runs at every step: what means the same carries them, what has none of their nodes does not."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from support.programs import SIGNALS, programs, tasks
from support.runs import RunDriver
from wfe.core.compile import compile_plan
from wfe.core.nets.wiring import is_net
from wfe.core.study.carry import Carrier
from wfe.core.study.standing import open_places
from wfe.errors import RunClosed
from wfe.model.definition import Definition, Graph, Map, Node, Set, When, children
from wfe.model.state import ENDED

EMPTY = Carrier(compile_plan(Definition("flow", params={"n": {}}, nodes=(Set(id="nothing", value=1),)), "empty"))


def carriers(definition: Definition) -> tuple[Carrier, Carrier]:
    """The same in other words, and the same with one more step at its end."""
    same = msgspec.structs.replace(definition, description="in other words")
    longer = msgspec.structs.replace(definition, nodes=(*definition.nodes, Set(id="one_more_step", value=1)))
    return Carrier(compile_plan(same, "same")), Carrier(compile_plan(longer, "longer"))


@settings(deadline=None)
@given(programs(), st.lists(st.integers(0, 9), max_size=30))
def test_what_means_the_same_could_carry_a_run_at_every_step(definition: Definition, script: list[int]) -> None:
    same, longer = carriers(definition)
    run = RunDriver(definition, 3, tasks())
    for number in script:
        if run.run.status in ENDED:
            return
        assert same.reasons(run.run, run.plan) == []
        assert longer.reasons(run.run, run.plan) == []
        if open_places(run.run, run.plan):
            assert EMPTY.reasons(run.run, run.plan) != []
        try:
            if number < 7:
                run.step()
            elif number < 9:
                run.signal(SIGNALS[number % 2], number, f"event-{number}")
            else:
                run.control("pause", "pause")
        except RunClosed:
            return


@settings(deadline=None)
@given(programs(), programs(), st.integers(0, 12))
def test_any_two_versions_give_a_verdict(one: Definition, two: Definition, steps: int) -> None:
    """Whatever the two look like: each reason names a node of the run, or the run as such, and says why in words."""
    run = RunDriver(one, 3, tasks())
    for _ in range(steps):
        run.step()
    if run.run.status in ENDED:
        return
    for node, reason in Carrier(compile_plan(two, "two")).reasons(run.run, run.plan):
        assert not node or node in run.plan.by_id or node in {each.id for each in compile_plan(two, "two").nodes}
        assert len(reason) > 10


def with_one_more(nodes: tuple[Node, ...], holder: Node | None, where: list[int]) -> tuple[Node, ...]:
    """The tree with one more node, at the place that counting down ``where[0]`` over all places leads to."""
    found: list[Node] = []
    single = isinstance(holder, Map) and len(nodes) == 1
    for node in (*nodes, None):
        if where[0] == 0 and not single and not is_net(nodes) and not isinstance(holder, Graph):
            found.append(Set(id="one_more_step", value=1))
        where[0] -= 1
        if node is None:
            continue
        if isinstance(node, When):
            arms = tuple(msgspec.structs.replace(arm, do=with_one_more(arm.do, node, where)) for arm in node.branches)
            found.append(msgspec.structs.replace(node, branches=arms))
        elif children(node):
            found.append(msgspec.structs.replace(node, do=with_one_more(children(node)[0], node, where)))
        else:
            found.append(node)
    return tuple(found)


@settings(deadline=None)
@given(programs(), st.integers(0, 40), st.integers(0, 12))
def test_a_node_that_nothing_needs_may_be_put_in_anywhere(definition: Definition, where: int, steps: int) -> None:
    nodes = with_one_more(definition.nodes, None, [where])
    longer = Carrier(compile_plan(msgspec.structs.replace(definition, nodes=nodes), "longer"))
    run = RunDriver(definition, 3, tasks())
    for _ in range(steps):
        run.step()
    if run.run.status not in ENDED:
        assert longer.reasons(run.run, run.plan) == []
