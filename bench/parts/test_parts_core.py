"""What the core costs: one task of a chain, one item of a map, a replay, a plan, a condition.

``extra_info`` names what one round holds, so that a median can be read per event or task: `bench/run.py` does.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from wfe.client.bench import definitions
from wfe.core import decide
from wfe.core.canonical import definition_hash
from wfe.core.compile import compile_plan
from wfe.core.evolve import replay
from wfe.core.expressions import compile_expression
from wfe.core.plan import Plan
from wfe.core.turn import Turn
from wfe.model.definition import Branch, Definition, Task, When
from wfe.model.event import RunEvent, RunStarted
from wfe.model.ids import mint_run_id
from wfe.model.state import NULL, RunState

NOW_MS = 1_700_000_000_000
DONE = 0


def half() -> float:
    return 0.5


def started(plan: Plan, given: object) -> tuple[RunState, list[RunEvent], list[int]]:
    """A new run, its first events, and the tasks that are ready."""
    event = RunStarted(
        mint_run_id(0, NOW_MS, 1), plan.definition.workflow, 1, plan.hash, Raw(msgspec.msgpack.encode(given)), NOW_MS
    )
    run = decide.start(plan, event)
    turn = Turn(run, plan, NOW_MS, 32, half)
    decide.begin(turn, event)
    return run, turn.events, turn.ready


def run_to_end(plan: Plan, given: object) -> tuple[RunState, list[RunEvent]]:
    """Every task gives null, one result per turn."""
    run, events, ready = started(plan, given)
    while ready:
        following: list[int] = []
        for key in ready:
            turn = Turn(run, plan, NOW_MS, 32, half)
            decide.task_result(turn, key, 1, DONE, NULL, None)
            events += turn.events
            following += turn.ready
        ready = following
    assert run.status == "completed"
    return run, events


def plan_of(definition: Definition) -> Plan:
    return compile_plan(definition, definition_hash(definition))


CHAIN = plan_of(definitions.chain(10))
FANOUT = plan_of(definitions.fanout(100))


@pytest.mark.parametrize(
    ("plan", "given"), [(CHAIN, None), (FANOUT, list(range(100)))], ids=["chain-of-10", "fanout-of-100"]
)
def test_decide_and_evolve_a_whole_run(benchmark: Any, plan: Plan, given: object) -> None:
    _, events = benchmark(run_to_end, plan, given)
    benchmark.extra_info.update(per="event", units=len(events))


@pytest.mark.parametrize(
    ("plan", "given"), [(CHAIN, None), (FANOUT, list(range(100)))], ids=["chain-of-10", "fanout-of-100"]
)
def test_evolve_replays_a_whole_run(benchmark: Any, plan: Plan, given: object) -> None:
    run, events = run_to_end(plan, given)
    replayed = benchmark(replay, None, plan, events)
    assert replayed.status == run.status
    benchmark.extra_info.update(per="event", units=len(events))


@pytest.mark.parametrize("length", [10, 1_000])
def test_a_definition_becomes_a_plan(benchmark: Any, length: int) -> None:
    definition = definitions.chain(length)
    digest = definition_hash(definition)
    plan = benchmark(compile_plan, definition, digest)
    assert len(plan.nodes) >= length
    benchmark.extra_info.update(per="node", units=length)


def test_a_condition_over_a_nested_value(benchmark: Any) -> None:
    check = Task(id="check", task="bench_noop")
    wanted = "order.total > 1000 && order.customer.region == 'EU'"
    condition = When(id="large", branches=(Branch(wanted, (check,)),))
    order = {"type": "object"}
    plan = plan_of(Definition("conditional", params={"order": order}, nodes=(condition,)))
    given = {"total": 1200, "customer": {"region": "EU", "name": "x" * 200}, "items": list(range(100))}
    run, _, ready = benchmark(started, plan, given)
    assert len(ready) == 1
    assert run.status != "failed"
    benchmark.extra_info.update(per="evaluation", units=1)


def test_an_expression_alone(benchmark: Any) -> None:
    expression = compile_expression("price * amount + 3 > 100 || name.startsWith('x')")
    values = {"price": 7, "amount": 20, "name": "abc"}
    assert benchmark(expression.evaluate, values.__getitem__) is True
    benchmark.extra_info.update(per="evaluation", units=1)
