"""Expressions under random trees, random texts and random data."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wfe import limits
from wfe.core.expressions import (
    Absent,
    ExpressionError,
    compile_expression,
    compile_template,
    constant,
    escape,
    literal,
    parse,
    substitute,
    unparse,
)
from wfe.core.expressions import nodes as ast
from wfe.core.expressions.compiler import marking_name, name_counts
from wfe.core.expressions.lexer import INT_MAX, INT_MIN
from wfe.core.expressions.parser import MACROS, PRECEDENCE
from wfe.core.expressions.signatures import LITERAL_ONLY, MARKING, SIGNATURES
from wfe.core.expressions.typing import fits, infer
from wfe.core.sites import calls_of

NAMES = st.sampled_from(["a", "b", "order", "i", "size", "map"])
FIELDS = NAMES | st.sampled_from(["in", "true", "x y", "é", '"', ""])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(INT_MIN, INT_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=5)
)
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def calls(inner: st.SearchStrategy[ast.Node]) -> st.SearchStrategy[ast.Node]:
    @st.composite
    def call(draw: st.DrawFn) -> ast.Node:
        name = draw(st.sampled_from(sorted(SIGNATURES)))
        signature = SIGNATURES[name]
        forms = [form for form in ("function", "method") if getattr(signature, form) is not None]
        form = draw(st.sampled_from(forms))
        least, most = getattr(signature, form)
        if name in LITERAL_ONLY:
            return ast.Call(name, (ast.Literal(draw(FIELDS)),))
        arguments = tuple(draw(inner) for _ in range(draw(st.integers(least, min(most, least + 2)))))
        return ast.Call(name, arguments, draw(inner) if form == "method" else None)

    return call()


def paths(inner: st.SearchStrategy[ast.Node]) -> st.SearchStrategy[Any]:
    plain = st.sampled_from(["a", "b", "in", "true", "size"])
    return (
        st.builds(ast.Name, NAMES) | st.builds(ast.Field, inner, plain) | st.builds(ast.Index, inner, inner | TEXT_KEYS)
    )


TEXT_KEYS = st.builds(ast.Literal, FIELDS)


def comprehensions(inner: st.SearchStrategy[ast.Node]) -> st.SearchStrategy[ast.Node]:
    quantifiers = st.builds(ast.Comprehension, st.sampled_from(sorted(MACROS - {"map"})), inner, NAMES, inner)
    maps = st.builds(ast.Comprehension, st.just("map"), inner, NAMES, inner, st.none() | inner)
    return quantifiers | maps


def extend(inner: st.SearchStrategy[ast.Node]) -> st.SearchStrategy[ast.Node]:
    operators = sorted(set(PRECEDENCE) - {"&&", "||"})
    return st.one_of(
        paths(inner),
        calls(inner),
        comprehensions(inner),
        st.builds(ast.Has, paths(inner)),
        st.builds(ast.Unary, st.sampled_from(["!", "-"]), inner),
        st.builds(ast.Binary, st.sampled_from(operators), inner, inner),
        st.builds(ast.Logic, st.sampled_from(["&&", "||"]), st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(ast.Conditional, inner, inner, inner),
        st.builds(ast.ListExpr, st.lists(inner, max_size=3).map(tuple)),
        st.builds(ast.MapExpr, st.lists(st.tuples(inner, inner), max_size=2).map(tuple)),
    )


TREES: st.SearchStrategy[ast.Node] = st.recursive(
    st.builds(ast.Literal, SCALARS | st.binary(max_size=3)) | st.builds(ast.Name, NAMES), extend, max_leaves=12
)


def nesting(node: ast.Node) -> int:
    deepest = max((nesting(part) for part in ast.children(node)), default=0)
    return deepest + isinstance(node, ast.Comprehension)


@given(TREES)
def test_a_tree_written_as_text_is_read_back_unchanged(tree):
    assume(nesting(tree) <= limits.COMPREHENSION_DEPTH_MAX)
    assert parse(unparse(tree)) == tree


@given(JSON)
def test_a_json_value_written_as_text_is_the_same_value(value):
    got = compile_expression(literal(value)).evaluate(lambda name: None)
    assert json.dumps(got) == json.dumps(value)
    assert parse(literal(value)) == constant(value)


@given(JSON)
def test_a_template_of_escaped_text_is_the_same_value(value):
    def escaped(part: Any) -> Any:
        if isinstance(part, str):
            return escape(part)
        if isinstance(part, list):
            return [escaped(item) for item in part]
        return {key: escaped(item) for key, item in part.items()} if isinstance(part, dict) else part

    made = compile_template(escaped(value))
    assert made.constant
    assert made.evaluate(lambda name: None) == value


@given(JSON)
def test_a_value_put_into_a_template_keeps_its_type(value):
    assert compile_template("${" + literal(value) + "}").evaluate(lambda name: None) == value


def lookup_in(values: dict[str, Any]) -> Any:
    def lookup(name: str) -> Any:
        if name not in values:
            raise Absent(f"{name} has no value")
        return values[name]

    return lookup


VALUES = st.dictionaries(NAMES, JSON).map(lambda values: {**values, "now()": 1_769_947_200_000})


def outcome(evaluate: Any, lookup: Any) -> Any:
    try:
        return json.dumps(evaluate(lookup), sort_keys=True)
    except ExpressionError as error:
        return type(error)


@settings(max_examples=300)
@given(TREES, VALUES)
def test_any_tree_over_any_data_gives_json_or_a_fault(tree, values):
    assume(nesting(tree) <= limits.COMPREHENSION_DEPTH_MAX)
    made = compile_expression(unparse(tree))
    asked: set[str] = set()
    before = json.dumps(values)
    find = lookup_in(values)

    def lookup(name: str) -> Any:
        asked.add(name)
        return find(name)

    outcome(made.evaluate, lookup)
    markings = {marking_name(call) for call in calls_of(tree, MARKING)}
    assert asked <= made.names | {"now()"} | markings
    assert {path[0] for path in made.paths} == made.names
    assert json.dumps(values) == before, "an evaluation must not change what it reads"


@given(TREES, VALUES)
def test_putting_values_in_place_of_names_changes_no_result(tree, values):
    assume(nesting(tree) <= limits.COMPREHENSION_DEPTH_MAX)
    values = {name: value for name, value in values.items() if name != "now()"}
    assume(not any(isinstance(node, ast.Has) and isinstance(node.operand, ast.Name) for node in walk(tree)))
    replaced = substitute(tree, {name: constant(value) for name, value in values.items()})
    assert not name_counts(replaced).keys() & (values.keys() - variables(tree))
    whole = {**values, "now()": 0}
    assert outcome(compile_expression(unparse(tree)).evaluate, lookup_in(whole)) == outcome(
        compile_expression(unparse(replaced)).evaluate, lookup_in({"now()": 0})
    )


def walk(node: ast.Node) -> list[ast.Node]:
    return [node, *(inner for part in ast.children(node) for inner in walk(part))]


def variables(tree: ast.Node) -> set[str]:
    return {node.variable for node in walk(tree) if isinstance(node, ast.Comprehension)}


SYMBOLS = [*"+-*/%<>!?:.,()[]{}'\"\\ \n$&|=", "&&", "||", "==", "${", "}", "//", "'x'", "r'", "b'", "'''", "\\u00e9"]
WORDS = ["in", "has(", "a", "a.b", ".map(i, ", ".size()", "1", "2.5", "true", "merge(", "now()", "0x", "9" * 30]
TOKENS = st.sampled_from(SYMBOLS + WORDS)


def check_position(error: ExpressionError, text: str) -> None:
    assert error.position is None or 0 <= error.position <= len(text)


@settings(max_examples=500)
@given(st.lists(TOKENS, max_size=30).map("".join) | st.text(max_size=60))
def test_any_text_is_an_expression_or_refused(text):
    try:
        made = compile_expression(text)
    except ExpressionError as error:
        check_position(error, text)
        return
    assert parse(unparse(made.ast)) == made.ast
    outcome(made.evaluate, lookup_in({"a": {"b": [1, "x"]}, "now()": 0}))


@given(st.lists(TOKENS, max_size=20).map("".join))
def test_any_text_is_a_template_or_refused(text):
    try:
        made = compile_template(text)
    except ExpressionError as error:
        check_position(error, text)
        return
    outcome(made.evaluate, lookup_in({"a": {"b": 1}, "now()": 0}))


# ---- types -----------------------------------------------------------------------------------------------------------


def schema_of(value: Any) -> dict[str, Any]:
    """The narrowest schema that an author might declare for a value."""
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    if isinstance(value, list):
        return {"type": "array", "prefixItems": [schema_of(item) for item in value], "items": False}
    if isinstance(value, dict):
        members = {key: schema_of(item) for key, item in value.items()}
        return {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}
    return {"type": kinds[type(value)]}


@settings(max_examples=300)
@given(TREES, VALUES)
def test_an_expression_that_works_has_a_result_of_the_inferred_type(tree, values):
    assume(nesting(tree) <= limits.COMPREHENSION_DEPTH_MAX)
    schemas = {name: schema_of(value) for name, value in values.items()}
    result, _ = infer(tree, schemas.get, {})
    try:
        got = compile_expression(unparse(tree)).evaluate(lookup_in(values))
    except ExpressionError:
        return
    assert fits(schema_of(got), result, {}) is None


@given(JSON, JSON)
def test_a_value_fits_its_own_type_and_a_misfit_works_both_ways(one, other):
    assert fits(schema_of(one), schema_of(one), {}) is None
    assert fits({"const": one}, schema_of(one), {}) is None
    if type(one) in (str, bool, type(None)) and type(other) in (int, float, list, dict):
        assert fits(schema_of(one), schema_of(other), {}) is not None
