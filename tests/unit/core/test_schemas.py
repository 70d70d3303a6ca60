from __future__ import annotations

from typing import Any

import pytest

from wfe.core.schemas import (
    apply_defaults,
    check_input,
    compile_schema,
    input_schema,
    reference_cycle,
    schema_problems,
)
from wfe.model.definition import Definition

ORDER = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "items": {"type": "array", "items": {"$ref": "#/types/Item"}}},
    "required": ["id"],
}
TYPES: dict[str, Any] = {"Order": ORDER, "Item": {"type": "object", "properties": {"price": {"type": "number"}}}}


def flow(**params: Any) -> Definition:
    return Definition(workflow="flow", params=params, types=TYPES)


def test_a_misfit_names_its_place_in_the_value():
    check = compile_schema({"$ref": "#/types/Order"}, TYPES).check
    assert check({"id": "a", "items": [{"price": 1}]}) is None
    path, message = check({"id": "a", "items": [{"price": 1}, {"price": "x"}]}) or ("", "")
    assert path == "$.items[1].price"
    assert message == '"x" is not of type "number"'
    assert check({})[0] == "$"  # type: ignore[index]


def test_values_that_json_does_not_have_are_misfits():
    assert compile_schema({}).check(b"bytes") is not None


def test_messages_stay_short_whatever_the_value():
    found = compile_schema({"type": "integer"}).check("x" * 100_000)
    assert found is not None
    assert len(found[1]) <= 500


def test_compiled_schemas_are_shared_by_content():
    assert compile_schema({"type": "integer", "minimum": 1}) is compile_schema({"minimum": 1, "type": "integer"})


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "strin"}, "type"),
        ({"properties": {"a": 3}}, "properties.a"),
        ({"properties": {"a": {"minimum": "x"}}}, "properties.a.minimum"),
        ({"$ref": "#/types/Nobody"}, "$ref"),
        ({"items": {"$ref": "http://127.0.0.1:1/schema"}}, "items.$ref"),
        ({"items": {"$ref": "file:///etc/passwd"}}, "items.$ref"),
        ({"anyOf": [{"$id": "http://x"}]}, "anyOf[0].$id"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "$schema"),
        ({"pattern": "("}, "pattern"),
        ({"pattern": "(?=a)b"}, "pattern"),
        ([], ""),
        (None, ""),
    ],
)
def test_what_is_no_schema_is_found_with_its_place(schema: Any, path: str):
    problems = schema_problems(schema, TYPES)
    assert [place for place, _ in problems] == [path]


def test_schemas_nested_without_end_are_refused_before_they_are_compiled():
    schema: dict[str, Any] = {}
    for _ in range(5_000):
        schema = {"not": schema}
    assert "deeper" in schema_problems(schema, {})[0][1]


def test_a_sound_schema_has_no_problems():
    assert schema_problems(ORDER, TYPES) == []
    assert schema_problems({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "string"}, {}) == []


def test_types_that_refer_to_themselves_in_place_are_found_but_recursive_ones_are_fine():
    assert reference_cycle({"A": {"anyOf": [{"$ref": "#/types/B"}]}, "B": {"$ref": "#/types/A"}}) == ["A", "B"]
    tree = {"Tree": {"properties": {"left": {"$ref": "#/types/Tree"}}}}
    assert reference_cycle(tree) is None
    assert compile_schema({"$ref": "#/types/Tree"}, tree).check({"left": {"left": {"left": 3}}}) is None


def test_the_input_of_a_workflow_without_parameters_is_null():
    assert input_schema(flow()) == {"type": "null"}
    assert check_input(flow(), None) is None
    assert check_input(flow(), 1) is not None


def test_one_parameter_is_the_input_itself():
    definition = flow(order={"$ref": "#/types/Order"})
    assert check_input(definition, {"id": "a"}) is None
    assert check_input(definition, {"order": {"id": "a"}}) is not None


def test_several_parameters_are_a_closed_object_by_name():
    definition = flow(order={"$ref": "#/types/Order"}, n={"type": "integer", "default": 3})
    assert check_input(definition, {"order": {"id": "a"}}) is None
    assert check_input(definition, {"n": 1}) == ("$", '"order" is a required property')
    assert check_input(definition, {"order": {"id": "a"}, "m": 1}) is not None


def test_defaults_fill_in_for_what_is_missing_only():
    several = flow(a={"type": "integer", "default": 1}, b={"type": "integer"})
    assert apply_defaults(several, {"b": 2}) == {"a": 1, "b": 2}
    assert apply_defaults(several, {"a": None, "b": 2}) == {"a": None, "b": 2}
    assert apply_defaults(flow(a={"default": 1}, b={"default": 2}), None) == {"a": 1, "b": 2}
    assert apply_defaults(several, [1]) == [1]


def test_the_default_of_a_single_parameter_stands_in_for_null_where_null_does_not_fit():
    assert apply_defaults(flow(n={"type": "integer", "default": 3}), None) == 3
    assert apply_defaults(flow(n={"type": "integer", "default": 3}), 4) == 4
    assert apply_defaults(flow(n={"type": ["integer", "null"], "default": 3}), None) is None
    assert apply_defaults(flow(n={"type": ["integer", "null"], "default": 3})) == 3
    assert apply_defaults(flow()) is None
