"""Results of tasks and sub-workflows against the schemas of their nodes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from support.core_cases import define
from support.runs import RunDriver
from wfe.authoring.yaml_reader import read_definitions
from wfe.authoring.yaml_writer import write_yaml
from wfe.core import decide
from wfe.core.compile import compile_plan
from wfe.core.schemas import compile_schema
from wfe.core.validate import validate
from wfe.core.value_checks import ValueCheck, check_of
from wfe.model.definition import Catch, End, Http, Map, SubWorkflow, Task
from wfe.model.policy import RetryPolicy

ORDER = {"type": "object", "properties": {"items": {"type": "array", "items": {"$ref": "#/types/Item"}}}}
ITEM = {"type": "object", "properties": {"price": {"type": "number"}}, "required": ["price"]}
SAMPLES: list[Any] = [
    None, True, False, 0, 127, 128, -1, -32, -33, 2**63, -(2**40), 1.5, 2.0, "", "x" * 31, "y" * 40, "z" * 70_000,
    [], [1] * 15, [1] * 16, [0] * 70_000, {}, {"a": 1}, {str(i): i for i in range(20)},
]  # fmt: skip


def raw(value: Any) -> Raw:
    return Raw(msgspec.msgpack.encode(value))


def charge(returns: dict[str, Any] | None, retry: RetryPolicy | None = None) -> Task:
    return Task(id="charge", task="charge", returns=returns, retry=retry)


def run_charge(result: Any, returns: dict[str, Any] | None, retry: RetryPolicy | None = None) -> RunDriver:
    definition = define(charge(returns, retry), output="${charge}", types={"Item": ITEM, "Order": ORDER})
    return RunDriver(definition, None, {"charge": lambda: result}).finish()


@pytest.mark.parametrize("name", ["null", "boolean", "integer", "number", "string", "array", "object"])
def test_the_first_byte_tells_the_same_as_the_validator(name: str):
    check, validator = ValueCheck({"type": name}, {}), compile_schema({"type": name})
    for value in SAMPLES:
        assert (check.misfit(raw(value)) is None) == (validator.check(value) is None), (name, value)


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"type": ["integer", "null"], "description": "how many"},
        {"anyOf": [{"type": "integer"}, {"type": "string", "minLength": 1}]},
        {"type": "integer", "minimum": 0},
        {"anyOf": [{"type": "integer"}], "not": {"const": 0}},
    ],
)
def test_a_schema_that_says_more_than_types_is_looked_at_in_full(schema: dict[str, Any]):
    check, validator = ValueCheck(schema, {}), compile_schema(schema)
    for value in SAMPLES:
        assert (check.misfit(raw(value)) is None) == (validator.check(value) is None), value


def test_a_schema_that_allows_anything_is_no_check_at_all():
    assert check_of(None, {}) is None
    assert check_of({}, {}) is None
    assert check_of({"description": "whatever it gives"}, {}) is None
    assert compile_plan(define(charge({})), "h").nodes[0].returns is None


def test_a_result_that_fits_goes_on():
    assert run_charge("ch_1", {"type": "string"}).output == "ch_1"
    assert run_charge({"items": [{"price": 1}]}, {"$ref": "#/types/Order"}).output == {"items": [{"price": 1}]}


def test_a_result_that_does_not_fit_fails_with_its_place_in_the_value():
    run = run_charge({"items": [{"price": 1}, {"price": "free"}]}, {"$ref": "#/types/Order"}).run
    assert run.error is not None
    assert (run.status, run.error.type, run.error.node) == ("failed", "InvalidOutput", "charge")
    assert "$.items[1].price" in run.error.message


def test_a_wrong_result_is_not_retried_unless_the_policy_names_it():
    assert len(run_charge(1, {"type": "string"}, RetryPolicy(max_attempts=3)).executions) == 1
    named = RetryPolicy(max_attempts=3, on=("InvalidOutput",))
    run = run_charge(1, {"type": "string"}, named)
    assert (len(run.executions), run.run.status) == (3, "failed")


def test_a_catch_takes_a_wrong_result():
    block = Catch(id="caught", errors=("InvalidOutput",), do=(charge({"type": "string"}),))
    driver = RunDriver(define(block, output="${caught.type}"), None, {"charge": lambda: 7}).finish()
    assert driver.output == "InvalidOutput"
    assert driver.replayed() == driver.run


def test_what_msgpack_has_and_json_has_not_is_no_text():
    assert run_charge(b"bytes", {"type": "string"}).run.error.type == "InvalidOutput"  # type: ignore[union-attr]


def test_of_an_http_call_the_body_is_what_is_described():
    node = Http(id="call", method="GET", url="http://127.0.0.1/", returns={"type": "array"})
    for body, status in (([], "completed"), ({}, "failed")):
        driver = RunDriver(define(node), None, {})
        key = driver.ready.pop()
        driver.complete(key, {"status": 200, "headers": {}, "body": body})
        assert driver.run.status == status


def test_the_result_of_a_sub_workflow_is_checked_by_its_parent():
    node = SubWorkflow(id="sub", workflow="other", returns={"type": "integer"})
    for value, status in ((3, "completed"), ("3", "failed")):
        driver = RunDriver(define(node, output="${sub}"), None, {})
        key = driver.place("sub")
        child = driver.run.children[key]
        driver.command(lambda t, k=key, c=child, v=value: decide.child_ended(t, k, c, "completed", raw(v), None))
        assert driver.run.status == status
    assert driver.run.error is not None
    assert (driver.run.error.type, driver.run.error.node) == ("InvalidOutput", "sub")


# ---- arguments ------------------------------------------------------------------------------------------------------


def described(**params: Any) -> Task:
    given = {name: f"${{{name}}}" for name in params}
    return Task(id="charge", task="charge", with_=given, params=params)


def run_described(value: Any, **params: Any) -> RunDriver:
    types = {"Item": ITEM, "Order": ORDER}
    definition = define(described(**params), output="${charge}", params=tuple(params), types=types)
    return RunDriver(definition, value, {"charge": lambda **given: sorted(given)}).finish()


def test_arguments_that_fit_reach_the_task():
    value = {"order": {"items": [{"price": 1}]}, "n": 2}
    run = run_described(value, order={"$ref": "#/types/Order"}, n={"type": "integer"})
    assert run.output == ["n", "order"]
    assert run.replayed() == run.run


def test_an_argument_that_does_not_fit_fails_the_node_before_any_worker_has_it():
    value = {"order": {"items": [{"price": 1}, {}]}, "n": 2}
    run = run_described(value, order={"$ref": "#/types/Order"}, n={"type": "integer"})
    error = run.run.error
    assert error is not None
    assert (error.type, error.node, run.executions) == ("InvalidInput", "charge", [])
    assert "$.order.items[1]" in error.message


def test_constants_and_items_of_maps_are_looked_at_too():
    params = {"x": {"type": "integer"}, "y": {"type": "integer"}}
    node = Task(id="t", task="t", with_={"x": "${item}", "y": 1}, params=params)
    mapped = Map(id="m", items="n", do=(node,), tolerate_count=1)
    run = RunDriver(define(mapped, output="${m}"), [1, "two", 3], {"t": lambda x, y: x + y}).finish()
    assert run.output["values"] == [2, 4]
    assert [error["type"] for error in run.output["errors"]] == ["InvalidInput"]


def test_a_large_argument_is_looked_at_as_a_whole():
    fits, wrong = ["x" * 10_000] * 5, ["x" * 10_000] * 4 + [5]
    schema = {"type": "array", "items": {"type": "string"}}
    assert run_described({"doc": fits, "n": 1}, doc=schema, n={}).run.status == "completed"
    error = run_described({"doc": wrong, "n": 1}, doc=schema, n={}).run.error
    assert error is not None
    assert "$.doc[4]" in error.message


def test_validation_compares_what_is_given_with_what_is_wanted():
    wrong = Task(id="t", task="t", with_={"x": "text"}, params={"x": {"type": "integer"}, "z": {"type": "integer"}})
    findings = validate(define(wrong))
    texts = [finding.message for finding in findings]
    assert any("'x' does not fit" in text for text in texts)
    assert any("with does not give it" in text for text in texts)
    bad = Task(id="t", task="t", with_={"x": 1}, params={"x": {"type": "integr"}})
    assert any("params.x" in finding.where for finding in validate(define(bad)))


def test_the_yaml_form_says_params_of_tasks():
    text = """
workflow: w
params: {order: {type: object}}
nodes:
  - {task: charge, with: {order: "${order}"}, params: {order: {type: object, required: [id]}}, returns: string}
"""
    (definition,) = read_definitions(text, "w.yaml")
    (node,) = definition.nodes
    assert isinstance(node, Task)
    assert node.params == {"order": {"type": "object", "required": ["id"]}}
    assert read_definitions(write_yaml(definition), "w.yaml") == [definition]


# ---- the result of a run --------------------------------------------------------------------------------------------


def test_the_result_of_a_run_fits_what_the_workflow_declares():
    definition = define(output="${n}", returns={"$ref": "#/types/Order"}, types={"Item": ITEM, "Order": ORDER})
    assert RunDriver(definition, {"items": [{"price": 1}]}, {}).output == {"items": [{"price": 1}]}
    error = RunDriver(definition, {"items": [{"price": "x"}]}, {}).run.error
    assert error is not None
    assert (error.type, error.node) == ("InvalidOutput", "output")
    assert "$.items[0].price" in error.message


def test_a_value_that_a_run_is_ended_with_fits_or_is_a_fault_there():
    definition = define(End(id="e", value="${n}"), returns={"type": "integer"})
    assert RunDriver(definition, 3, {}).output == 3
    error = RunDriver(definition, "3", {}).run.error
    assert error is not None
    assert (error.type, error.node) == ("InvalidOutput", "e")
    caught = define(Catch(id="c", errors=("InvalidOutput",), do=(End(id="e", value="${n}"),)), returns={"type": "null"})
    assert RunDriver(caught, "3", {}).run.status == "completed"


def test_a_large_result_is_looked_at_as_a_whole():
    definition = define(output="${n}", returns={"type": "string", "minLength": 40_000})
    assert RunDriver(definition, "x" * 40_000, {}).run.status == "completed"
    assert RunDriver(definition, "x" * 39_999, {}).run.status == "failed"
