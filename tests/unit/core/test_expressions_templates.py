from __future__ import annotations

import pytest

from wfe.core.expressions import Absent, ExpressionError, compile_template, escape

VALUES = {"order": {"id": "o-1", "total": 1.5, "tags": ["é", None]}, "name": "Ann"}


def lookup(name):
    try:
        return VALUES[name]
    except KeyError:
        raise Absent(f"{name} has no value") from None


def value_of(template):
    return compile_template(template).evaluate(lookup)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("plain", "plain"),
        ("", ""),
        ("${order}", VALUES["order"]),
        ("${ order.total }", 1.5),
        ("${order.total} ", "1.5 "),
        ("${name}${name}", "AnnAnn"),
        ("Hello ${name}!", "Hello Ann!"),
        ("tags: ${order.tags}", 'tags: ["é", null]'),
        ("$${name}", "${name}"),
        ("a $${b} ${name} $${c}", "a ${b} Ann ${c}"),
        ("$$${name}", "$${name}"),
        ("$", "$"),
        ("$5 {x} }", "$5 {x} }"),
        ("${'}' + \"}\"}", "}}"),
        ("${'${'}", "${"),
        ("${{'a': {'b': name}}.a.b}", "Ann"),
        ("${[name, '''}\n{''']}", ["Ann", "}\n{"]),
        ("${name // } a comment\n}", "Ann"),
        ({"a": "${name}", "b": [1, "${order.id}", {"c": None}]}, {"a": "Ann", "b": [1, "o-1", {"c": None}]}),
        ({"${name}": 1}, {"${name}": 1}),
        (("${name}", 2), ["Ann", 2]),
        (None, None),
        (True, True),
        (1.5, 1.5),
    ],
)
def test_a_template_gives_its_value(template, value):
    got = value_of(template)
    assert got == value
    assert type(got) is (list if isinstance(template, tuple) else type(value))


@pytest.mark.parametrize(
    ("template", "message", "position"),
    [
        ("a ${", "without its '}'", 2),
        ("a ${name", "without its '}'", 2),
        ("${'}", "closing quote", 2),
        ("${}", "empty", 2),
        ("ab ${ name + }", "found end", 12),
        ("ab ${  sizes(name)}", "did you mean 'size'", 7),
        ({"x": ["${a b}"]}, "unexpected 'b'", 4),
    ],
)
def test_a_mistake_is_placed_in_the_text_of_the_template(template, message, position):
    with pytest.raises(ExpressionError, match=message) as caught:
        compile_template(template)
    assert caught.value.position == position


def test_a_missing_value_inside_text_is_absent():
    with pytest.raises(Absent, match=r"order\.coupon"):
        value_of("code ${order.coupon}")


def test_what_a_template_needs_is_known_before_it_runs():
    made = compile_template({"a": "${order}", "b": "x ${name} ${other.x}", "c": 1})
    assert made.names == {"order", "name", "other"}
    assert not made.constant
    assert [expression.text for expression in made.expressions] == ["order", "name", "other.x"]
    assert made.sole_name is None


def test_the_members_of_a_map_are_templates_of_their_own():
    made = compile_template({"a": "${order}", "b": "x ${name}", "c": 1, "d": {"e": "${name}"}})
    assert {name: part.sole_name for name, part in made.entries.items()} == {
        "a": "order",
        "b": None,
        "c": None,
        "d": None,
    }
    assert made.entries["c"].constant
    assert made.entries["d"].entries["e"].sole_name == "name"
    assert compile_template("${order}").entries is None
    assert compile_template({}).entries == {}


@pytest.mark.parametrize("template", ["${order.id}", "${(order)}x", "${order} ", "$${order}", "order"])
def test_only_a_bare_name_is_a_sole_name(template):
    assert compile_template(template).sole_name is None
    assert compile_template("${ order }").sole_name == "order"


def test_a_template_without_expressions_is_constant():
    made = compile_template({"a": ["x", "$${y}"]})
    assert made.constant
    assert made.names == frozenset()
    assert made.evaluate(lookup) == {"a": ["x", "${y}"]}


@pytest.mark.parametrize("text", ["", "$", "${", "$${", "$$${a}", "a ${b} $${c} ${", "${${"])
def test_escaped_text_means_itself(text):
    made = compile_template(escape(text))
    assert made.constant
    assert made.evaluate(lookup) == text


def test_a_template_nested_too_deeply_is_refused():
    deep: object = "x"
    for _ in range(200):
        deep = [deep]
    with pytest.raises(ExpressionError, match="deeper"):
        compile_template(deep)


def test_text_larger_than_a_payload_is_stopped():
    with pytest.raises(ExpressionError, match="larger"):
        compile_template("${a} ${a} ${a}").evaluate(lambda name: "x" * 4_000_000)
