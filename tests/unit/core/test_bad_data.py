"""Expressions, values and loops that go wrong at run time: always the fault of their run, typed, never the engine's."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from support.core_cases import define, task
from support.runs import RunDriver, encode
from wfe.core import decide
from wfe.errors import InvalidInput
from wfe.limits import EXPRESSION_DEPTH_MAX, EXPRESSION_STEPS_MAX, PAYLOAD_BYTES_MAX, SUBFLOW_DEPTH_MAX
from wfe.model.definition import (
    Approval,
    Assign,
    Branch,
    BreakIf,
    Catch,
    CompensateWith,
    Decision,
    Emit,
    End,
    Fail,
    Loop,
    Map,
    Set,
    Sleep,
    StartWorkflow,
    State,
    SubWorkflow,
    Transform,
    WaitSignal,
    When,
)
from wfe.model.definition import Task as TaskNode
from wfe.wire.payload import decode_any

TASKS = {"echo": lambda x: x, "deep": lambda: deep(50_000), "undo": lambda x: x}
LARGE_NUMBER = 9_223_372_036_854_775_807
BAD = {
    "overflow": "n * 2",
    "division": "1 / (n - n)",
    "no such field": "order.nothing",
    "no such key": "order['nothing']",
    "no such element": "list[7]",
    "not a number": "n + 'text'",
}


def deep(levels: int) -> Raw:
    """A list inside a list, and so on."""
    return Raw(b"\x91" * levels + b"\xc0")


def sites(bad: str) -> dict[str, Any]:
    """The same expression in every place where a node may have one."""
    value = f"${{{bad}}}"
    inner = task("t", "echo", x="1")
    return {
        "if": TaskNode(id="t", task="echo", with_={"x": 1}, if_=f"({bad}) == 1"),
        "argument": task("t", "echo", x=value),
        "text": task("t", "echo", x=f"before {value} after"),
        "set": Set(id="s", value={"a": [value]}),
        "when": When(id="w", branches=(Branch(cond=f"({bad}) == 1", do=(inner,)),)),
        "decision": Decision(id="d", cases={"yes": f"({bad}) == 1", "no": None}),
        "items": Map(id="m", items=bad, do=(inner,)),
        "item result": Map(id="m", items="[1]", do=(inner,), output=value),
        "complete_when": Map(id="m", items="[1]", do=(inner,), complete_when=f"({bad}) == 1"),
        "while": Loop(id="l", while_=f"({bad}) == 1", do=(inner,)),
        "until": Loop(id="l", until=f"({bad}) == 1", do=(inner,)),
        "loop items": Loop(id="l", items=bad, do=(inner,)),
        "break": Loop(id="l", do=(BreakIf(id="b", cond=f"({bad}) == 1"),)),
        "sleep": Sleep(id="z", duration=bad),
        "sleep until": Sleep(id="z", until=bad),
        "default": WaitSignal(id="s", signal="go", timeout_ms=5, default=value),
        "correlation": WaitSignal(id="s", signal="go", correlate=value),
        "approver": Approval(id="a", approval="a", to=value),
        "child": SubWorkflow(id="c", workflow="child", with_={"x": value}),
        "key": StartWorkflow(id="c", workflow="child", key=value),
        "compensation": CompensateWith(id="u", task="undo", with_={"x": value}),
        "event": Emit(id="e", emit="done", data=value),
        "end": End(id="e", value=value),
        "fail": Fail(id="f", error="Mine", message=value),
        "transform": Transform(id="t", items="[1]", map=bad),
        "state": State(id="v", value=value),
        "assign": Set(id="s", value=1),
    }


def run_of(node: Any, *, output: Any = None, value: Any = None) -> RunDriver:
    given = {"n": LARGE_NUMBER, "order": {"id": 1}, "list": [1, 2]} if value is None else value
    nodes = node if isinstance(node, tuple) else (node,)
    definition = define(*nodes, output=output, params=("n", "order", "list"))
    return RunDriver(definition, given, TASKS).finish()


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("site", sorted(set(sites("n")) - {"assign"}))
def test_an_expression_that_has_no_value_is_the_fault_of_its_node(site: str, bad: str):
    run = run_of(sites(bad)[site])
    error = run.run.error
    assert run.run.status == "failed", (site, run.run.status)
    assert error is not None
    assert error.type == "expression"
    assert error.node in run.plan.by_id
    assert not run.run.incident
    assert run.replayed() == run.run


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_catch_takes_it_and_a_state_keeps_its_value(bad: str):
    body = (Assign(id="a", state="v", value=f"${{{bad}}}"),)
    nodes = (State(id="v", value=1), Catch(id="c", errors=("expression",), do=body))
    assert run_of(nodes, output="${[v, c.type]}").output == [1, "expression"]


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_result_that_has_no_value_fails_the_run(bad: str):
    run = run_of(Set(id="s", value=1), output=f"${{{bad}}}").run
    assert (run.status, run.error and run.error.type) == ("failed", "expression")


@pytest.mark.parametrize(
    "text",
    [
        "list.map(a, list.map(b, list.map(c, list.map(d, a + b + c + d))))",
        "list.map(a, list + list + list)",
        "list.map(a, list.map(b, order))",
    ],
)
def test_an_expression_that_would_take_for_ever_or_all_memory_is_stopped(text: str):
    many = {"n": 1, "order": {"text": "x" * 1_000}, "list": list(range(3_000))}
    error = run_of(Set(id="s", value=f"${{{text}}}"), value=many).run.error
    assert error is not None
    assert error.type == "expression"
    assert (
        str(EXPRESSION_STEPS_MAX) in error.message
        or str(PAYLOAD_BYTES_MAX) in error.message
        or "steps" in error.message
    )


@pytest.mark.parametrize("levels", [EXPRESSION_DEPTH_MAX + 1, 900])
def test_values_nested_too_deeply_are_handed_on_and_no_expression_looks_inside(levels: int):
    nodes = (TaskNode(id="d", task="deep"), task("t", "echo", x="${d}"))
    driver = RunDriver(define(*nodes, output="${size(d)}"), None, TASKS)
    key = driver.ready.pop()
    driver.command(lambda t: decide.task_result(t, key, 1, 0, deep(levels), None))
    (key,) = driver.ready
    driver.command(lambda t: decide.task_result(t, key, 1, 0, Raw(b"\x01"), None))
    assert driver.run.status in ("completed", "failed")
    if driver.run.error is not None:
        assert driver.run.error.type == "expression"
    assert driver.replayed() == driver.run


def test_a_deep_input_is_refused_where_it_comes_in():
    with pytest.raises(InvalidInput):
        decode_any(deep(50_000))


def test_a_deep_result_that_is_described_does_not_fit():
    node = TaskNode(id="d", task="deep", returns={"type": "object"})
    driver = RunDriver(define(node), None, TASKS)
    key = driver.ready.pop()
    driver.command(lambda t: decide.task_result(t, key, 1, 0, deep(50_000), None))
    assert driver.run.error is not None
    assert driver.run.error.type == "InvalidOutput"


def test_a_loop_that_never_ends_meets_its_bound_and_is_an_incident():
    run = run_of(Loop(id="forever", while_="true", do=(Set(id="s", value=1),), max_iterations=500))
    error = run.run.error
    assert error is not None
    assert (run.run.status, error.type, error.node) == ("failed", "LoopLimit", "forever")
    assert run.run.incident == error.message
    assert run.replayed() == run.run


def test_a_loop_without_a_bound_lets_other_runs_have_their_turn():
    driver = RunDriver(
        define(Loop(id="l", while_="true", do=(Set(id="s", value=1),), max_iterations=None)), None, TASKS
    )
    for _ in range(3):
        before = len(driver.events)
        driver.fire_next_timer()
        assert 500 < len(driver.events) - before < 5_000
    driver.control("cancel")
    assert driver.run.status == "cancelled"


def test_a_workflow_that_calls_itself_for_ever_is_stopped_at_a_depth():
    driver = RunDriver(define(SubWorkflow(id="again", workflow="w", with_={"n": "${n}"}), params=("n",)), 1, TASKS)
    driver.run.depth = SUBFLOW_DEPTH_MAX
    (start,) = [body for _, body in driver.mail]
    assert start.depth == 1
    nested = RunDriver(define(Sleep(id="z", duration_ms=1), SubWorkflow(id="again", workflow="w")), 1, TASKS)
    nested.run.depth = SUBFLOW_DEPTH_MAX
    nested.finish()
    assert nested.run.error is not None
    assert (nested.run.error.type, nested.run.error.node) == ("LoopLimit", "again")


@pytest.mark.parametrize("webhook", [False, True])
def test_a_message_that_does_not_fit_its_schema_is_refused_with_its_place(webhook: bool):
    schema = {"type": "object", "properties": {"lines": {"type": "array", "items": {"$ref": "#/types/Line"}}}}
    types = {"Line": {"type": "object", "properties": {"price": {"type": "number"}}, "required": ["price"]}}
    node = WaitSignal(id="s", signal="paid", schema=schema, webhook=webhook)
    driver = RunDriver(define(node, output="${s.lines[0].price}", types=types), None, TASKS)
    with pytest.raises(InvalidInput) as caught:
        driver.signal("paid", {"lines": [{"price": 1}, {"price": "two"}]}, "e1")
    assert caught.value.path == "$.lines[1].price"
    assert driver.run.status == "running"
    driver.signal("paid", {"lines": [{"price": 3}]}, "e2")
    assert driver.output == 3


def test_a_message_that_comes_early_is_checked_when_it_comes():
    nodes = (Sleep(id="z", duration_ms=5), WaitSignal(id="s", signal="paid", schema={"type": "integer"}))
    driver = RunDriver(define(*nodes, output="${s}"), None, TASKS)
    with pytest.raises(InvalidInput):
        driver.signal("paid", "x", "e1")
    driver.signal("paid", 4, "e2")
    assert driver.finish().output == 4


def test_encoded_bytes_that_are_none_are_the_fault_of_the_expression_that_reads_them():
    driver = RunDriver(define(task("t", "echo", x="1"), output="${t.a}"), None, TASKS)
    key = driver.ready.pop()
    driver.command(lambda t: decide.task_result(t, key, 1, 0, Raw(encode({"a": 1})[:-1]), None))
    assert driver.run.error is not None
    assert driver.run.error.type == "expression"
