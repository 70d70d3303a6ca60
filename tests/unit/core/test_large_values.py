"""Large values inside one run: kept once, handed on by reference, seen whole by expressions, the same in a replay."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from support.core_cases import boom, define, task
from support.runs import RunDriver, decode, encode
from wfe.core import decide
from wfe.core.compile import compile_plan
from wfe.core.turn import Turn
from wfe.core.values import splice
from wfe.limits import BLOB_BYTES_MIN, PAYLOAD_BYTES_MAX
from wfe.model.blob import expand, name_of, ref_to
from wfe.model.definition import Approval, CompensateWith, Loop, Map, Parallel, Set, State, SubWorkflow, WaitSignal
from wfe.model.event import RunStarted, TaskDone, TaskOpenedWith
from wfe.model.ids import mint_run_id
from wfe.model.mail import ChildEnded, ChildStart

DOC = "d" * (BLOB_BYTES_MIN + 1)
LIST = [f"{n:08d}" * 10 for n in range(1_000)]
TASKS = {
    "size": lambda doc, **_: len(doc),
    "label": lambda doc, n: f"{n}:{len(doc)}",
    "echo": lambda doc: doc,
    "make": lambda n: str(n) * BLOB_BYTES_MIN,
}


class Driver(RunDriver):
    """Gives tasks their inputs as workers do, and checks at the end that a replay comes to the same state."""

    def input_of(self, key: int) -> dict[str, Any]:
        act, index = divmod(key, self.plan.stride)
        made = self.run.inputs.get(key)
        if made is None:
            node = self.plan.nodes[index]
            made = splice(self.run, self.plan, node.scope, act, node.input)
        found: dict[str, Any] = decode(expand(made, self.run.blobs))
        return found

    @property
    def output(self) -> Any:
        assert self.run.status == "completed", (self.run.status, self.run.error)
        assert self.replayed() == self.run
        return decode(expand(self.run.output, self.run.blobs))

    @property
    def event_bytes(self) -> int:
        return sum(len(encode(event)) for event in self.events)


def drive(definition: Any, value: Any = None, *, restart: bool = False) -> Driver:
    driver = Driver(definition, value, TASKS, restart=restart)
    driver.finish()
    return driver


@pytest.mark.parametrize("restart", [False, True])
def test_many_tasks_with_one_large_value_cost_it_once(restart: bool):
    body = (task("t", "label", doc="${doc}", n="${item + 1}"),)
    nodes = (Map(id="m", items="n", do=body, max_parallel=50),)
    run = drive(
        define(*nodes, output="${m}", params=("doc", "n")), {"doc": DOC, "n": list(range(100))}, restart=restart
    )
    assert run.output == [f"{n + 1}:{len(DOC)}" for n in range(100)]
    assert run.event_bytes < 2 * len(DOC)
    assert len(run.run.blobs) == 1


def test_a_task_of_expressions_gets_large_arguments_by_reference():
    run = drive(
        define(task("t", "label", doc="${doc}", n="${n + 1}"), output="${t}", params=("doc", "n")), {"doc": DOC, "n": 1}
    )
    opened = next(event for event in run.events if isinstance(event, TaskOpenedWith))
    assert len(opened.input) < 100
    assert run.output == f"2:{len(DOC)}"


def test_a_result_that_the_run_has_already_is_recorded_by_reference():
    nodes = [task("a", "echo", doc="${n}"), task("b", "echo", doc="${a}"), task("c", "echo", doc="${b}")]
    run = drive(define(*nodes, output={"c": "${c}", "first": "${a}"}), DOC)
    assert all(len(event.value) < 100 for event in run.events if isinstance(event, TaskDone))
    assert run.output == {"c": DOC, "first": DOC}
    assert run.event_bytes < len(DOC) + 1_000


def test_expressions_see_large_values_whole():
    nodes = [
        Set(id="both", value={"doc": "${n}", "size": "${size(n)}"}),
        Set(id="nested", value={"list": ["${both.doc}", "${both}"]}),
    ]
    output = {"a": "${both.size}", "b": "${size(nested.list[1].doc)}", "same": "${nested.list[0] == n}"}
    run = drive(define(*nodes, output=output), DOC)
    assert run.output == {"a": len(DOC), "b": len(DOC), "same": True}


def test_an_input_of_several_parameters_may_be_one_large_object():
    value = {"x": {str(n): "v" * 20 for n in range(2_000)}, **{"y": 5}}
    run = drive(define(Set(id="s", value="${x['7'] + string(y)}"), output="${s}", params=("x", "y")), value)
    assert run.output == "v" * 20 + "5"


def test_maps_and_loops_go_over_large_lists_and_over_large_items():
    run = drive(define(Map(id="m", items="n", do=(task("t", "size", doc="${item}"),)), output="${m}"), LIST)
    assert run.output == [80] * len(LIST)
    run = drive(define(Map(id="m", items="n", do=(task("t", "echo", doc="${item}"),)), output="${m}"), [DOC, DOC, "s"])
    assert run.output == [DOC, DOC, "s"]
    assert run.event_bytes < 3 * len(DOC)
    total = State(id="total", value=0)
    loop = Loop(id="l", items="n", do=(task("t", "size", doc="${item}"),))
    assert drive(define(total, loop, output="${size(n)}"), [DOC, DOC, *LIST]).output == len(LIST) + 2


def test_the_size_of_a_value_is_that_of_its_content():
    """A map of references is small, what it stands for is not: the limit counts what a client would get."""
    count = PAYLOAD_BYTES_MAX // len(DOC) + 1
    run = drive(define(Map(id="m", items=f"{count}", do=(task("t", "echo", doc="${n}"),)), output="${m}"), DOC).run
    assert (run.status, run.error and run.error.type) == ("failed", "PayloadTooLarge")
    names = {f"k{n}": "${n}" for n in range(count)}
    run = drive(define(Set(id="s", value=names), output="${s}"), DOC).run
    assert (run.status, run.error and run.error.type) == ("failed", "expression")


def test_signals_and_decisions_may_be_large():
    nodes = (WaitSignal(id="s", signal="go"), Approval(id="ok", approval="ok"))
    driver = Driver(define(*nodes, output={"s": "${s}", "data": "${ok.data}"}), None, TASKS)
    driver.signal("go", {"doc": DOC}, "1")
    driver.signal("ok", {"approved": True, "data": DOC}, "2")
    assert driver.finish().output == {"s": {"doc": DOC}, "data": DOC}


def test_a_growing_map_takes_large_lists_from_its_signal():
    node = Map(id="m", items="[1]", grow="more", do=(task("t", "echo", doc="${item}"),))
    driver = Driver(define(node, output="${m}"), None, TASKS)
    driver.signal("more", LIST, "1")
    driver.signal("more", None, "2")
    assert driver.finish().output == [1, *LIST]


def test_other_runs_get_values_and_no_references():
    node = SubWorkflow(id="sub", workflow="other", with_={"doc": "${n}"})
    driver = Driver(define(node, output="${sub.doc}"), DOC, TASKS)
    (_, start) = driver.mail.pop()
    assert isinstance(start, ChildStart)
    assert decode(start.input) == {"doc": DOC}
    key = driver.place("sub")
    child = driver.run.children[key]
    driver.command(lambda t: decide.child_ended(t, key, child, "completed", Raw(encode({"doc": DOC})), None))
    assert driver.output == DOC


def test_compensation_gets_its_large_input():
    seen: list[Any] = []
    nodes = (CompensateWith(id="undo", task="undo", with_={"doc": "${n}"}), task("t", "boom"))
    driver = Driver(define(*nodes), DOC, {"undo": lambda **given: seen.append(given["doc"]), "boom": boom}).finish()
    assert (driver.run.status, seen) == ("failed", [DOC])


def test_concurrent_results_of_one_content_are_one_blob():
    nodes = Parallel(id="p", do=(task("a", "make", n="${n}"), task("b", "make", n="${n}")))
    run = drive(define(nodes, output="${a == b}"), 7)
    assert run.output is True
    assert len(run.run.blobs) == 1


def test_a_parent_is_told_a_large_result_in_full():
    plan = compile_plan(define(output="${n}"), "h")
    parent = mint_run_id(1, 5, 6)
    started = RunStarted(mint_run_id(2, 5, 7), "w", 1, "h", Raw(encode(DOC)), 5, parent=parent)
    turn = Turn(decide.start(plan, started), plan, 5, 32, lambda: 0.5, [])
    decide.begin(turn, started)
    ((receiver, told),) = turn.mail
    assert isinstance(told, ChildEnded)
    assert (receiver, decode(told.output)) == (parent, DOC)


def test_a_value_is_decoded_once_however_often_expressions_name_it(monkeypatch: pytest.MonkeyPatch):
    decoded: list[int] = []

    def counting(data: Raw) -> Any:
        decoded.append(len(data))
        return decode(data)

    monkeypatch.setattr("wfe.core.values.decode", counting)
    document = {"title": "t", "pages": [DOC]}
    small = Set(id="s", value="${list.map(a, small.x + a)}")
    definition = define(small, output="${size(s)}", params=("small", "list"))
    assert drive(definition, {"small": {"x": 1}, "list": list(range(500))}).output == 500
    assert len(decoded) < 10
    decoded.clear()
    body = (task("t", "echo", doc="${doc.title + string(item)}"),)
    definition = define(Map(id="m", items="100", do=body), output="${m}", params=("doc", "n"))
    assert drive(definition, {"doc": document, "n": 1}).output == [f"t{n}" for n in range(100)]
    assert len([size for size in decoded if size > len(DOC)]) == 1


def test_references_to_what_a_run_does_not_have_are_nothing_to_other_runs():
    """A forged reference to a content of another run must neither show it nor hide it."""
    forged = bytes(ref_to(name_of(encode(DOC))))
    thief = Driver(define(Set(id="s", value="${n}"), Set(id="t", value="${type(n)}"), output="${t}"), None, TASKS)
    assert thief.run.status == "completed"
    plan = thief.plan
    started = RunStarted(mint_run_id(2, 5, 8), "w", 1, "h", Raw(forged), 5)
    turn = Turn(decide.start(plan, started), plan, 5, 32, lambda: 0.5, [])
    decide.begin(turn, started)
    assert DOC.encode() not in encode(turn.run)
    assert drive(define(Set(id="s", value="${size(n)}"), output="${s}"), DOC).output == len(DOC)
