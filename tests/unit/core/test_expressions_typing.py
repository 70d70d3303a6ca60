from __future__ import annotations

import pytest

from wfe.core.expressions import parse
from wfe.core.expressions.typing import fits, infer

TEXT, INTEGER, NUMBER, BOOLEAN = ({"type": name} for name in ("string", "integer", "number", "boolean"))
ITEM = {
    "type": "object",
    "properties": {"sku": TEXT, "price": NUMBER, "count": INTEGER, "parent": {"$ref": "#/types/Item"}},
    "required": ["sku", "price", "count"],
}
ORDER = {
    "type": "object",
    "properties": {
        "id": TEXT,
        "total": NUMBER,
        "paid": BOOLEAN,
        "note": {"anyOf": [TEXT, {"type": "null"}]},
        "status": {"enum": ["open", "closed"]},
        "due": {"type": "string", "format": "date-time"},
        "items": {"type": "array", "items": {"$ref": "#/types/Item"}},
        "rates": {"type": "object", "additionalProperties": NUMBER},
        "extra": {},
        "pair": {"type": "array", "prefixItems": [TEXT, INTEGER], "items": False, "minItems": 2, "maxItems": 2},
        "either": {"anyOf": [{"$ref": "#/types/Item"}, {"type": "object", "properties": {"name": TEXT}}]},
    },
    "required": ["id", "total", "paid", "items"],
}
DEFS = {"Order": ORDER, "Item": ITEM}
ROOTS = {
    "order": {"$ref": "#/types/Order"},
    "open": {"type": "object", "properties": {"a": TEXT}, "additionalProperties": True},
    "count": INTEGER,
    "many": {"type": ["integer", "string"]},
    "lost": {"$ref": "#/types/Gone"},
    "none": {"type": "null"},
}


def inferred(text):
    return infer(parse(text), ROOTS.get, DEFS)


def types_of(schema):
    if schema is None:
        return None
    if "anyOf" in schema:
        found = sorted({types_of(part) for part in schema["anyOf"]})
        return found if len(found) > 1 else found[0]
    return schema.get("type") or schema["$ref"]


@pytest.mark.parametrize(
    ("text", "message", "position", "suggestion"),
    [
        ("order.totl", "no field 'totl'", 6, "did you mean 'total'?"),
        ("order['totl']", "no field 'totl'", 5, "did you mean 'total'?"),
        ("has(order.zzz)", "no field 'zzz'", 10, None),
        ("order.id.x", "string has no field 'x'", 9, None),
        ("none.x", "null has no field 'x'", 5, None),
        ("order.either.colour", "no field 'colour'", 13, None),
        ("order.items.map(i, i.prise)", "no field 'prise'", 21, "did you mean 'price'?"),
        ("order.items[0].parent.parent.prise", "no field 'prise'", 29, "did you mean 'price'?"),
        ("{'a': 1}.b", "no field 'b'", 9, None),
        ("order.id[0]", "string cannot be indexed", 8, None),
        ("order.items['a']", "indexed by integer, not by string", 11, None),
        ("order.items[-1]", "no index -1", 11, r"last(x) is the last element"),
        ("order.pair[2]", "outside the list", 10, None),
        ("[1, 2][2]", "outside the list", 6, None),
        ("order.total + order.id", "'+' cannot combine number and string", 12, "convert with string()"),
        ("order.id - 1", "'-' cannot combine string and integer", 9, None),
        ("order.id * 2", "cannot combine", 9, None),
        ("order.paid + 1", "boolean and integer", 11, None),
        ("order.items < 3", "array and integer", 12, None),
        ("order.total < 'a'", "number and string", 12, None),
        ("-order.id", "cannot negate string", 0, None),
        ("!order.total", "needs true or false, not number", 0, None),
        ("order.total && true", "not number", 6, None),
        ("order.id ? 1 : 2", "not string", 6, None),
        ("order.items.filter(i, i.price)", "not number", 24, None),
        ("order.items.map(i, i.price, i)", "not number", 21, None),
        ("order.total.map(i, i)", "not over number", 12, None),
        ("order.id in 'abc'", "needs a list or a map, not string", 9, "use contains() for text"),
        ("order.id == 1", "string == integer is always false", 9, None),
        ("order.id != 1", "always true", 9, None),
        ("order.status == 'opne'", "'opne' is not one of 'open', 'closed': always false", 13, "did you mean 'open'?"),
        ("'opne' != order.status", "'opne' is not one of 'open', 'closed': always true", 7, "did you mean 'open'?"),
        ("size(order.total)", "size() cannot take number", 0, None),
        ("order.total.startsWith('a')", "cannot take number", 12, None),
        ("order.id.startsWith(1)", "cannot take integer", 9, None),
        ("merge(order.id, 1).foo", "string or integer has no field", 19, None),
        ("[order.totl]", "no field", 7, "did you mean 'total'?"),
        ("{'a': order.totl}", "no field", 12, "did you mean 'total'?"),
    ],
)
def test_a_certain_mistake_is_found(text, message, position, suggestion):
    _, findings = inferred(text)
    assert len(findings) == 1
    assert message in findings[0].message
    assert findings[0].position == position
    assert findings[0].suggestion == suggestion


@pytest.mark.parametrize(
    "text",
    [
        "unknown.a.b + 1 > 'x' && unknown",
        "lost.anything + 1",
        "order.extra.a[0] + 'x'",
        "open.b.c",
        "order.note + 'x'",
        "order.note == null",
        "order.due < now()",
        "order.due == 5",
        "order.due.getHours()",
        "order.rates.eur + order.rates['usd']",
        "order.rates.map(k, order.rates[k]).sum() + 1",
        "order.either.name + order.either.sku",
        "order.total % 2",
        "order.items[order.total]",
        "many + 1",
        "many + 'a'",
        "many == 'a' || many == 1",
        "order.pair[1] + 1",
        "order.pair[0] + 'a'",
        "timestamp(order.due) - now() > duration('1h')",
        "(order.paid ? 1 : 'a') == 1",
        "merge(order.note, 0) == 0",
        "order.status == 'open'",
        "order.items.map(order, order.sku)",
        "{'a': 1}[order.id]",
        "order.items == []",
        "count == 1.0",
        "first(order.items).price > 1",
        "b'a' == bytes('a')",
        "has(order.note)",
        "dyn(order).foo",
        "[1, 'a'][count] + 'b'",
    ],
)
def test_what_may_be_right_is_never_reported(text):
    assert inferred(text)[1] == []


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("1", "integer"),
        ("1.5", "number"),
        ("null", "null"),
        ("b'a'", None),
        ("unknown", None),
        ("lost", "#/types/Gone"),
        ("order.items", "array"),
        ("order.items[0]", "#/types/Item"),
        ("order.items[0].price", "number"),
        ("order.total > 1", "boolean"),
        ("1 + 1", "integer"),
        ("1 + 1.5", "number"),
        ("count / 2", "integer"),
        ("div(count, 2)", "number"),
        ("'a' + 'b'", "string"),
        ("order.note + 'b'", "string"),
        ("-count", "integer"),
        ("order.paid ? 1 : 'a'", ["integer", "string"]),
        ("order.paid ? 1 : unknown", None),
        ("merge(order.id, count)", ["integer", "string"]),
        ("first(order.items).sku", "string"),
        ("order.items.map(i, i.price)[0]", "number"),
        ("order.items.filter(i, true)[0]", "#/types/Item"),
        ("order.items.exists(i, true)", "boolean"),
        ("order.rates.map(k, k)[0]", "string"),
        ("order.items.map(i, i.count).sum()", "integer"),
        ("max(1, 2.5)", ["integer", "number"]),
        ("max([1, 2])", "integer"),
        ("abs(-1)", "integer"),
        ("round(1.5)", "integer"),
        ("round(1.5, 1)", "number"),
        ("'a'.split(',')[0]", "string"),
        ("([1] + [2])[0]", "integer"),
        ("{'a': {'b': count}}.a.b", "integer"),
        ("{1: 'x'}", "object"),
        ("now()", "string"),
        ("duration('1s')", "string"),
        ("now() - now()", None),
        ("order.pair[1]", "integer"),
        ("has(order.id)", "boolean"),
        ("is_none(order.id)", "boolean"),
        ("size(order.id)", "integer"),
        ("type(order)", "string"),
    ],
)
def test_the_type_of_a_result_is_inferred(text, types):
    result, findings = inferred(text)
    assert types_of(result) == types
    assert findings == []


def array(items=None, **more):
    return {"type": "array", **({} if items is None else {"items": items}), **more}


def record(required=(), closed=False, **properties):
    made = {"type": "object", "properties": properties, "required": list(required)}
    return made | ({"additionalProperties": False} if closed else {})


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        (INTEGER, TEXT, "integer does not fit string"),
        ({"type": ["integer", "null"]}, TEXT, "integer or null does not fit string"),
        ({"const": None}, TEXT, "null does not fit string"),
        ({"const": "x"}, {"enum": ["y", "z"]}, "'x' is not one of 'y', 'z'"),
        ({"enum": ["a", "b"]}, {"enum": ["y", "z"]}, "'a', 'b' is not one of"),
        ({"const": 1.5}, INTEGER, "1.5 is not an integer"),
        (array(TEXT), array(INTEGER), "its elements: string does not fit integer"),
        (array(prefixItems=[TEXT], items=False), array(INTEGER), "element 0: string does not fit integer"),
        (array(prefixItems=[TEXT, TEXT], items=False), array(prefixItems=[TEXT], items=False), "more than 1"),
        (array(prefixItems=[TEXT], items=False), array(TEXT, minItems=2), "only 1 of at least 2"),
        (record(a=TEXT), record(["a", "b"]), "the field 'b' is missing"),
        (record(["a"], a=TEXT), record(["a"], a=INTEGER), "field 'a': string does not fit integer"),
        (record(["a"], a=TEXT), record(a=INTEGER), "field 'a': string does not fit integer"),
        (record(["a"], a=TEXT), record(closed=True, b=TEXT), "the field 'a' is not allowed"),
        (
            record(["a"], a=TEXT),
            {"type": "object", "additionalProperties": INTEGER},
            "field 'a': string does not fit integer",
        ),
        ({"$ref": "#/types/Order"}, {"$ref": "#/types/Item"}, "the field 'sku' is missing"),
        ({"anyOf": [INTEGER, BOOLEAN]}, {"anyOf": [TEXT, {"type": "null"}]}, "does not fit string or null"),
        ({"$ref": "#/types/Item"}, array(), "object does not fit array"),
        ({"allOf": [{"$ref": "#/types/Item"}]}, TEXT, "object does not fit string"),
    ],
)
def test_a_value_that_cannot_fit_is_told_why(source, target, reason):
    assert reason in fits(source, target, DEFS)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (None, TEXT),
        (TEXT, None),
        ({}, TEXT),
        (TEXT, {}),
        (TEXT, {"minLength": 3}),
        (INTEGER, NUMBER),
        (NUMBER, INTEGER),
        ({"const": 2.0}, INTEGER),
        ({"type": ["integer", "null"]}, INTEGER),
        (TEXT, {"enum": ["a"]}),
        ({"type": "string", "format": "date-time"}, TEXT),
        (array(), array(INTEGER)),
        (array(prefixItems=[{}], items=False), array(INTEGER)),
        ({"type": "object"}, record(["a"], a=TEXT)),
        (record(a=TEXT), record(a=INTEGER)),
        (record(["a", "b"], a=TEXT, b=TEXT), record(["a"], a=TEXT)),
        ({"$ref": "#/types/Item"}, {"$ref": "#/types/Item"}),
        ({"$ref": "#/types/Gone"}, TEXT),
        ({"$ref": "#/types/Loop"}, TEXT),
        ({"anyOf": [INTEGER, {}]}, TEXT),
        ({"not": TEXT}, TEXT),
        ({"type": "object", "additionalProperties": TEXT}, record(["a"], a=TEXT)),
    ],
)
def test_a_value_that_may_fit_is_let_through(source, target):
    assert fits(source, target, {**DEFS, "Loop": {"$ref": "#/types/Loop"}}) is None
