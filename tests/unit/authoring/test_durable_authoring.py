"""What a durable function becomes, what calls in it are, and which mistakes are told at their line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

import durable_to_write as app
import msgspec
import pytest
from msgspec import Raw

import wfe
from wfe.authoring.apps import app_of_module
from wfe.cli.sources import drawn
from wfe.core.validate import validate
from wfe.model.calling import CALLER, Call
from wfe.model.definition import DurableCall, SubWorkflow, walk
from wfe.model.durable import CALL_TASK, TASK_PREFIX, TaskBody
from wfe.model.needs import Needs

decode_body = msgspec.msgpack.Decoder(TaskBody).decode


class Recorder:
    """A caller that keeps what it is asked for; every call gives its kind."""

    run_id, run_key, now_ms = "run-1", "key-1", 1_700_000_000_000

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def _give(self, call: Call) -> int:
        return call.kind

    def call(self, call: Call) -> Coroutine[Any, Any, Any]:
        self.calls.append(call)
        return self._give(call)

    def tell(self, call: Call) -> None:
        self.calls.append(call)

    def version(self, change: str) -> bool:
        return change == "known"

    def random_bytes(self, count: int) -> bytes:
        return b"\xff" * count

    def continue_with(self, arguments: Callable[[], Raw]) -> Any:
        raise LookupError(msgspec.msgpack.decode(arguments()))


@pytest.fixture
def inside():
    """``inside(function)``: what it gives, called with a Durable whose calls `Recorder` keeps."""
    recorder = Recorder()

    def run(function: Callable[[Any], Any]) -> tuple[Any, list[Call]]:
        token = CALLER.set(recorder)  # type: ignore[arg-type]
        try:
            made = function(app.buy.__wfe_workflow__.face(recorder))  # type: ignore[misc, arg-type]
            return (asyncio.run(made) if asyncio.iscoroutine(made) else made), recorder.calls
        finally:
            CALLER.reset(token)

    return run


def test_it_is_a_workflow_of_one_node():
    definition = app.buy.definition()
    (node,) = definition.nodes
    assert isinstance(node, DurableCall)
    assert (node.function, node.version, node.with_) == ("buy", 3, {"order": "${order}", "most": "${most}"})
    assert (definition.version, definition.timeout_ms, definition.tags) == (3, 172_800_000, {"region": "${order.id}"})
    assert definition.params["most"] == {"type": "integer", "default": 5}
    assert definition.returns == {"type": "array", "items": {"type": "string"}}
    assert [finding for finding in validate(definition) if finding.severity == "error"] == []


def test_its_node_has_a_name_that_no_parameter_has():
    definition = app.untyped.definition()
    (node,) = definition.nodes
    assert isinstance(node, DurableCall)
    assert (definition.workflow, definition.version, node.id, node.version) == ("no-name", None, "function_", 1)
    assert [finding for finding in validate(definition) if finding.severity == "error"] == []


def test_workers_offer_it_beside_the_tasks():
    offered = app_of_module(app)
    assert set(offered.tasks) == {("price", 1), ("charge", 1), (f"{TASK_PREFIX}buy", 3), (f"{TASK_PREFIX}no-name", 1)}
    task = offered.tasks[f"{TASK_PREFIX}buy", 3]
    assert task.workflow is app.buy.__wfe_workflow__
    assert offered.missing_tasks() == []


def test_in_a_graph_it_is_a_sub_workflow():
    (found,) = (node for node in walk(app.outer.definition().nodes) if isinstance(node, SubWorkflow))
    assert found.workflow == "buy"


def test_outside_of_a_workflow_it_says_how_to_run_it():
    with pytest.raises(wfe.GraphError, match=r"client\.start\(buy, \.\.\.\)"):
        app.buy(app.Order("a", 1))


def test_a_task_outside_of_all_that_is_the_plain_function():
    assert app.charge(app.Order("a", 1), 2) == "a 2"


def test_a_call_takes_arguments_as_python_does(inside):
    _, (call,) = inside(lambda wf: wf.call(app.charge, app.Order("a", 1), amount=4))
    body = decode_body(call.body())
    assert (call.kind, call.name, msgspec.msgpack.decode(body.input)) == (
        CALL_TASK,
        "charge",
        {"order": {"id": "a", "total": 1}, "amount": 4},
    )


def test_options_of_a_call_go_with_it(inside):
    configured = app.charge.with_options(
        retry=wfe.Retry(max_attempts=9), timeout="3s", priority=4, labels=["gpu"], resources={"gpu": 1}
    )
    _, (call,) = inside(lambda wf: wf.call(configured, app.Order("a", 1)))
    body = decode_body(call.body())
    assert body.retry is not None
    assert (body.retry.max_attempts, call.timeout_ms, body.priority) == (9, 3_000, 4)
    assert body.needs == Needs(("gpu",), (("gpu", 1_000),))


def test_secrets_stay_names(inside):
    _, (call,) = inside(lambda wf: wf.call(app.charge, wfe.secret("TOKEN")))
    assert msgspec.msgpack.decode(decode_body(call.body()).input) == {"order": {"$wfe.secret": "TOKEN"}}


def test_what_is_the_same_on_every_re_run_comes_from_the_caller(inside):
    found, calls = inside(
        lambda wf: (wf.now().year, wf.random(), str(wf.uuid()), wf.version("known"), wf.run.id, wf.run.key)
    )
    assert found == (2023, 1 - 2**-53, "ffffffff-ffff-4fff-bfff-ffffffffffff", True, "run-1", "key-1")
    assert calls == []


def test_the_next_round_takes_the_functions_own_arguments(inside):
    with pytest.raises(LookupError) as raised:
        inside(lambda wf: wf.continue_with(app.Order("b", 2), most=1))
    assert raised.value.args[0] == {"order": {"id": "b", "total": 2}, "most": 1}
    with pytest.raises(TypeError, match=r"buy\(\) got an unexpected keyword argument 'least'"):
        inside(lambda wf: wf.continue_with(app.Order("b", 2), least=1))


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda wf: app.charge(app.Order("a", 1)), r"await wf\.call\(charge, \.\.\.\)"),
        (lambda wf: wf.call(print, 3), "a task or a workflow"),
        (lambda wf: wf.call(app.charge.with_options(id="x"), 3), "Python orders the calls"),
        (lambda wf: wf.start(app.charge, 3), "takes a workflow"),
        (lambda wf: wf.sleep(), "either a duration or until="),
        (lambda wf: wf.sleep("soon"), "not a duration"),
        (lambda wf: wf.sleep(until=datetime(2030, 1, 1)), "time zone"),
        (lambda wf: wf.wait_signal(""), "the signal's name as text"),
        (lambda wf: wf.wait_signal("x", default=3), "needs a timeout="),
        (lambda wf: wf.approval("x", on_timeout="approve"), "needs a timeout="),
        (lambda wf: wf.approval("x", on_reject="cry"), "on_reject="),
        (lambda wf: wf.http("get", "example.org"), "whole URL"),
        (lambda wf: wf.http("get", "https://example.org", hat=3), "no option 'hat'"),
        (lambda wf: wf.http("get", "https://example.org", json=1, body=2), "they are the same"),
        (lambda wf: wf.version(3), "the change's name as text"),
    ],
)
def test_a_mistake_is_told_at_its_line(inside, mistake, words):
    with pytest.raises(wfe.GraphError, match=words) as told:
        inside(mistake)
    assert (told.value.file, told.value.line) == (__file__, mistake.__code__.co_firstlineno)


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((1, 2, 3), {}, r"charge\(\) takes 2 arguments but 3 were given"),
        ((1,), {"order": 2}, "multiple values for argument 'order'"),
        ((), {}, "missing 1 required arguments: order"),
        ((1,), {"amont": 2}, "unexpected keyword argument 'amont'"),
    ],
)
def test_arguments_that_do_not_fit_are_pythons_error(inside, args, kwargs, words):
    with pytest.raises(TypeError, match=words):
        inside(lambda wf: wf.call(app.charge, *args, **kwargs))


@pytest.mark.parametrize("form", ["mermaid", "dot", "svg", "yaml"])
def test_it_has_a_picture_and_a_text(form):
    assert "buy" in drawn(app.buy.definition(), form)
