"""One case for each mistake: the place and the gist of the finding. And what must not be found."""

from __future__ import annotations

from typing import Any

import pytest

from wfe.core.compile import block_predecessors
from wfe.core.findings import FINDINGS_MAX, Finding
from wfe.core.flow import predecessors
from wfe.core.validate import validate
from wfe.limits import DEFINITION_DEPTH_MAX, DEFINITION_NODES_MAX
from wfe.model.definition import (
    Block,
    Branch,
    Catch,
    Definition,
    End,
    Fail,
    Map,
    Node,
    Parallel,
    Set,
    Sleep,
    SubWorkflow,
    Task,
    WaitSignal,
    When,
)
from wfe.model.policy import RetryPolicy

INT = {"type": "integer"}


def task(id_: str, *, after: tuple[str, ...] | None = None, if_: str | None = None, **with_: Any) -> Task:
    return Task(id=id_, task="do_it", after=after, if_=if_, with_=with_)


def typed(id_: str, returns: dict[str, Any]) -> Task:
    return Task(id=id_, task="do_it", returns=returns)


def when(cond: str, *do: Node) -> When:
    return When(id="choice", branches=(Branch(cond, do),))


def flow(*nodes: Node, **fields: Any) -> Definition:
    fields.setdefault("params", {"order": {"type": "object"}, "n": INT})
    return Definition(**{"workflow": "flow", "nodes": nodes, **fields})


def errors(definition: Definition) -> list[Finding]:
    return [finding for finding in validate(definition) if finding.severity == "error"]


CASES: dict[str, tuple[Definition, str, str]] = {
    # names
    "workflow name": (flow(task("a"), workflow="my flow"), "workflow", "is not a name"),
    "empty workflow name": (flow(task("a"), workflow=""), "workflow", "empty"),
    "version": (flow(task("a"), version=0), "version", "from 1 on"),
    "id is no identifier": (flow(task("a-b")), "nodes[0].id", "is not a name"),
    "id is a keyword": (flow(task("in")), "nodes[0].id", "expression language"),
    "id is reserved": (flow(task("run")), "nodes[0].id", "reserved"),
    "id is a parameter": (flow(task("order")), "nodes[0].id", "also a parameter"),
    "id is an item": (flow(Map(id="m", items="[1]", do=(task("item"),))), "nodes[0].do[0].id", "item name"),
    "id twice": (flow(task("a"), when("true", task("a"))), "nodes[1].branches[0].do[0].id", "already used at nodes[0]"),
    "item is a parameter": (
        flow(Map(id="m", items="[1]", as_="n", do=(task("a"),))),
        "nodes[0].as",
        "also a parameter",
    ),
    "parameter name": (flow(task("a"), params={"a b": {}}), "params.a b", "is not a name"),
    "task name": (flow(Task(id="a", task="x y")), "nodes[0].task", "is not a name"),
    "signal name": (flow(WaitSignal(id="a", signal="")), "nodes[0].signal", "empty"),
    # order
    "after nobody": (flow(task("a"), task("b", after=("aa",))), "nodes[1].after", "no such node"),
    "after itself": (flow(task("a", after=("a",))), "nodes[0].after", "itself"),
    "after another block": (flow(when("true", task("a")), task("b", after=("a",))), "nodes[1].after", "another block"),
    "circle by after": (
        flow(task("a", after=("b",)), task("b", after=("a",))),
        "nodes[0].after",
        "in a circle: a -> b -> a",
    ),
    "circle by order": (flow(task("a", after=("b",)), task("b")), "nodes[0].after", "in a circle"),
    "circle by data": (
        flow(Parallel(id="p", do=(task("a", x="${b}"), task("b", x="${a}")))),
        "nodes[0].do[0].after",
        "in a circle",
    ),
    "circle through a branch": (
        flow(Parallel(id="p", do=(task("a", x="${c}"), Block(id="b", do=(task("c"), task("d", x="${a}")))))),
        "nodes[0].do[0].after",
        "in a circle",
    ),
    "unreachable": (flow(End(id="e"), task("a"), task("b")), "nodes[1]", "can never run"),
    "unreachable behind a choice": (
        flow(
            When(id="w", branches=(Branch("n > 1", (End(id="e"),)), Branch(None, (Fail(id="f", error="E"),)))),
            task("a"),
        ),
        "nodes[1]",
        "'w' before it always ends",
    ),
    # names in expressions
    "unknown name": (flow(task("a", x="${ordr.id}")), "nodes[0].with.x", "unknown name 'ordr'"),
    "syntax": (flow(task("a", if_="n >")), "nodes[0].if", "found end of the expression"),
    "syntax in a list": (flow(task("a", x=["${n +}"])), "nodes[0].with.x", "in 'n +'"),
    "later value": (flow(task("a", x="${b}"), task("b")), "nodes[0].with.x", "not surely ended"),
    "concurrent value": (flow(task("a"), task("b", after=(), x="${a}")), "nodes[1].with.x", "not surely ended"),
    "own value": (flow(task("a", x="${a}")), "nodes[0].with.x", "its own value"),
    "value of the block around": (
        flow(Catch(id="c", errors=("E",), do=(task("a", x="${c}"),))),
        "nodes[0].do[0].with.x",
        "has not ended yet",
    ),
    "value out of a when": (flow(when("true", task("a")), output="${a}"), "output", "use merge(a, ...)"),
    "value out of a catch": (
        flow(Catch(id="c", errors=("E",), do=(task("a"),)), output={"x": "${a}"}),
        "output.x",
        "made inside the catch 'c'",
    ),
    "value out of a bypassed block": (
        flow(Parallel(id="p", if_="n > 1", do=(task("a"),)), output="${a}"),
        "output",
        "may not exist here",
    ),
    "value out of a map": (flow(Map(id="m", items="[1]", do=(task("a"),)), output="${a}"), "output", "use 'm'"),
    "merge cannot reach into a map": (
        flow(Map(id="m", items="[1]", do=(task("a"),)), output="${merge(a, 1)}"),
        "output",
        "use 'm'",
    ),
    "merge of what comes later": (flow(task("a", x="${merge(b, 1)}"), task("b")), "nodes[0].with.x", "not surely"),
    "item outside": (flow(Map(id="m", items="[1]", do=(task("a"),)), output="${item}"), "output", "item of the map"),
    "other branch": (
        flow(When(id="w", branches=(Branch("n > 1", (task("a"),)), Branch(None, (task("b", x="${a}"),))))),
        "nodes[0].branches[1].do[0].with.x",
        "another branch",
    ),
    "no value": (flow(Parallel(id="p", do=(task("a"),)), output="${p}"), "output", "has no value"),
    "tags know the input only": (flow(task("a"), tags={"x": "${a}"}), "tags.x", "not surely ended"),
    # blocks and numbers
    "nothing at all": (flow(), "nodes", "no nodes and no output"),
    "empty block": (flow(Parallel(id="p", do=())), "nodes[0].do", "empty"),
    "empty branch": (flow(when("true")), "nodes[0].branches[0].do", "empty"),
    "no branches": (flow(When(id="w", branches=())), "nodes[0]", "at least one branch"),
    "otherwise first": (
        flow(When(id="w", branches=(Branch(None, (task("a"),)),))),
        "nodes[0].branches[0]",
        "must follow",
    ),
    "otherwise in the middle": (
        flow(
            When(
                id="w",
                branches=(Branch("true", (task("a"),)), Branch(None, (task("b"),)), Branch("true", (task("c"),))),
            )
        ),
        "nodes[0].branches[1]",
        "nothing can follow",
    ),
    "attempts": (
        flow(Task(id="a", task="t", retry=RetryPolicy(max_attempts=0))),
        "nodes[0].retry.max_attempts",
        "range",
    ),
    "backoff": (flow(Task(id="a", task="t", retry=RetryPolicy(backoff=0.5))), "nodes[0].retry.backoff", "range"),
    "jitter": (flow(Task(id="a", task="t", retry=RetryPolicy(jitter=2.0))), "nodes[0].retry.jitter", "range"),
    "retry on nothing": (flow(Task(id="a", task="t", retry=RetryPolicy(on=()))), "nodes[0].retry.on", "ever retried"),
    "timeout": (flow(Task(id="a", task="t", timeout_ms=0)), "nodes[0].timeout", "longer than zero"),
    "run timeout": (flow(task("a"), timeout_ms=0), "timeout", "longer than zero"),
    "negative sleep": (flow(Sleep(id="s", duration_ms=-1)), "nodes[0].duration_ms", "out of range"),
    "two sleeps": (flow(Sleep(id="s", duration_ms=1, until="now()")), "nodes[0]", "exactly one"),
    "no sleep": (flow(Sleep(id="s")), "nodes[0]", "exactly one"),
    "parallel limit": (
        flow(Map(id="m", items="[1]", do=(task("a"),), max_parallel=0)),
        "nodes[0].max_parallel",
        "range",
    ),
    "tolerate count": (
        flow(Map(id="m", items="[1]", do=(task("a"),), tolerate_count=-1)),
        "nodes[0].tolerate",
        "range",
    ),
    "tolerate share": (
        flow(Map(id="m", items="[1]", do=(task("a"),), tolerate_percent=101.0)),
        "nodes[0].tolerate",
        "range",
    ),
    "catch nothing": (flow(Catch(id="c", errors=(), do=(task("a"),))), "nodes[0].errors", "names of the errors"),
    "fail without type": (flow(Fail(id="f", error="")), "nodes[0].error", "type of the error"),
    "too many tags": (flow(task("a"), tags={f"t{i}": i for i in range(21)}), "tags", "limit is 20"),
    # schemas and types
    "parameter schema": (flow(task("a"), params={"x": {"type": "text"}}), "params.x.type", "not valid"),
    "returns schema": (flow(Task(id="a", task="t", returns={"$ref": "#/types/X"})), "nodes[0].returns.$ref", "no type"),
    "recursive types": (flow(task("a"), types={"A": {"$ref": "#/types/A"}}), "types.A", "refers to itself"),
    "default": (flow(task("a"), params={"x": {**INT, "default": "3"}}), "params.x.default", "does not fit"),
    "condition": (flow(when("n + 1", task("a"))), "nodes[0].branches[0].cond", "must be true or false"),
    "if": (flow(typed("a", {"type": "string"}), task("b", if_="a")), "nodes[1].if", "must be true or false"),
    "items": (flow(Map(id="m", items="n > 1", do=(task("a"),))), "nodes[0].items", "needs a list"),
    "sleep type": (flow(Sleep(id="s", duration="[n]")), "nodes[0].duration", "a duration is text"),
    "operands": (flow(task("a", x="${n + 'x'}")), "nodes[0].with.x", ""),
    "item type": (flow(Map(id="m", items="['a']", do=(task("a", x="${item - 1}"),))), "nodes[0].do[0].with.x", ""),
    "field of a result": (
        flow(typed("a", {"type": "object", "properties": {"total": INT}}), task("b", x="${a.totl}")),
        "nodes[1].with.x",
        "no field 'totl'",
    ),
    "field of a caught error": (
        flow(Catch(id="c", errors=("E",), do=(task("a"),)), task("b", x="${c.mesage}")),
        "nodes[1].with.x",
        "no field 'mesage'",
    ),
    "result": (flow(typed("a", INT), output="${a}", returns={"type": "string"}), "output", "does not fit returns"),
    "early result": (
        flow(when("n > 1", End(id="e", value=3)), task("a"), output="x", returns={"type": "string"}),
        "nodes[0].branches[0].do[0].value",
        "does not fit returns",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_found_once_with_its_place(name: str):
    definition, where, gist = CASES[name]
    found = errors(definition)
    assert [finding.where for finding in found] == [where], [str(finding) for finding in found]
    assert gist in str(found[0])


SOUND: dict[str, Definition] = {
    "values in order": flow(task("a"), task("b", x="${a}"), output={"x": "${b}", "id": "${order.id}"}),
    "merge": flow(
        When(id="w", branches=(Branch("n > 1", (task("a"),)), Branch(None, (task("b"),)))), output="${merge(a, b)}"
    ),
    "has": flow(when("true", task("a")), task("b", if_="has(a)", x="${has(a) ? a.x : 0}", y="${has(a) && a.ok}")),
    "is_none": flow(when("true", task("a")), task("b", if_="is_none(a)")),
    "values out of parallel": flow(
        Parallel(id="p", do=(task("a"), Block(id="q", do=(task("b"), task("c", x="${a}"))))), task("d", x="${c}${b}")
    ),
    "a value before, from inside a map": flow(task("a"), Map(id="m", items="order.items", do=(task("b", x="${a}"),))),
    "the item in the map's output": flow(
        Map(id="m", items="[1]", do=(task("b"),), output={"i": "${item}", "b": "${b}"})
    ),
    "one item name in two maps": flow(
        Map(id="m", items="[1]", do=(task("a", x="${item}"),)), Map(id="k", items="m", do=(task("b", x="${item}"),))
    ),
    "after at the start": flow(task("a"), task("b", after=()), task("c", after=("a", "b"), x="${a}${b}")),
    "after a later line": flow(task("a", after=("b",), x="${b}"), task("b", after=())),
    "a bypassed node's value is null": flow(task("a", if_="n > 1"), task("b", x="${a}")),
    "a caught error": flow(Catch(id="c", errors=("E",), do=(task("a"),)), task("b", if_="c.failed", x="${c.message}")),
    "a comprehension's variable": flow(task("a", x="${order.items.map(i, i.price)}")),
    "fail is caught": flow(Catch(id="c", errors=("E",), do=(Fail(id="f", error="E"),)), task("a")),
    "a conditional end": flow(when("n > 1", End(id="e")), task("a")),
    "an end that may be bypassed": flow(End(id="e", if_="n > 1"), task("a")),
    "a workflow that calls itself": flow(SubWorkflow(id="again", workflow="flow", with_={"n": "${n - 1}"})),
    "unknown types are let pass": flow(task("a"), task("b", if_="a", x="${a.b.c + 1}")),
    "a required field need not be listed": flow(
        typed("a", {"type": "object", "properties": {"x": INT}, "required": ["y"]}), task("b", x="${a.y}")
    ),
    "a default of another type than the signal": flow(
        WaitSignal(id="s", signal="go", schema=INT, timeout_ms=5, default=None), task("b", x="${s}")
    ),
    "an output that is never reached": flow(End(id="e", value="done"), returns={"type": "string"}),
    "a secret": flow(task("a", key={"$wfe.secret": "API_KEY"})),
    "names in any script": flow(Task(id="a", task="größe.messen"), workflow="ablauf-1"),
    "facts of the run": flow(task("a", x="${run.id} ${run.key} ${run.scheduled_at}")),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_is_right_has_no_findings(name: str):
    assert [str(finding) for finding in errors(SOUND[name])] == []


def test_all_mistakes_are_reported_at_once():
    found = errors(flow(task("a", x="${b}"), task("a", y="${zz}"), Parallel(id="p", do=()), output="${nobody}"))
    assert {finding.where for finding in found} == {
        "nodes[0].with.x",
        "nodes[1].id",
        "nodes[1].with.y",
        "nodes[2].do",
        "output",
    }


def test_findings_suggest_what_was_meant():
    (found,) = errors(flow(task("a"), output="${ordr.id}"))
    assert found.suggestion == "did you mean 'order'?"
    (found,) = errors(flow(task("alpha"), task("b", after=("alpa",))))
    assert found.suggestion == "did you mean 'alpha'?"


def test_odd_but_possible_definitions_get_warnings():
    definition = flow(WaitSignal(id="s", signal="go", default=1))
    (found,) = validate(definition)
    assert (found.severity, found.where) == ("warning", "nodes[0].default")
    inner = Map(id="k", items="[item]", do=(task("a", x="${item}"),))
    (found,) = validate(flow(Map(id="m", items="[1]", do=(inner,))))
    assert (found.severity, found.where) == ("warning", "nodes[0].do[0].as")


def test_blocks_nested_too_deep_are_refused():
    node: Node = task("a")
    for index in range(DEFINITION_DEPTH_MAX):
        node = Block(id=f"b{index}", do=(node,))
    (found,) = errors(flow(node))
    assert "deeper" in found.message


def test_too_many_nodes_are_refused():
    (found,) = errors(flow(*(Set(id=f"s{index}", value=1) for index in range(DEFINITION_NODES_MAX + 1))))
    assert "more than" in found.message


def test_findings_without_end_are_cut_short():
    nodes = [task(f"n{index}", x="${nobody}", after=("nowhere",)) for index in range(2_000)]
    assert len(errors(flow(*nodes))) == FINDINGS_MAX


def test_values_that_json_does_not_have_are_refused():
    (found,) = errors(flow(task("a", x=object())))
    assert "JSON" in found.message


def test_validation_waits_for_the_same_nodes_as_the_engine():
    block = (
        task("a"),
        Block(id="b", do=(task("c", x="${a}"),)),
        task("d", x="${c}", after=("a",)),
        task("e", y="${c}"),
    )
    named = {"a": frozenset[str](), "b": frozenset({"a"}), "d": frozenset({"c"}), "e": frozenset({"c"})}
    for concurrent in (True, False):
        ours = {id_: tuple(before) for id_, before in predecessors(block, named, concurrent=concurrent).items()}
        assert ours == block_predecessors(block, concurrent)
