from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from wfe import limits
from wfe.core.expressions import Absent, ExpressionError, compile_expression

VALUES = {
    "n": 5,
    "x": 2.5,
    "s": "text",
    "items": [1, 2, 3],
    "m": {"a": 1, "b": None, "c": {"d": [{"e": 1}]}},
    "none": None,
    "yes": True,
    "raw": b"\xff\x00",
    "when": datetime(2026, 1, 31, 8, tzinfo=UTC),
    "thing": object(),
    "lone": "\ud800",
    "now()": 1_769_947_200_123,
}


def lookup(name):
    try:
        return VALUES[name]
    except KeyError:
        raise Absent(f"{name} has no value here") from None


def evaluate(text, find=lookup):
    return compile_expression(text).evaluate(find)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s + n", "string and int; convert with string"),
        ("s - s", "string and string"),
        ("s * 2", "string and int"),
        ("s / 2", "string and int"),
        ("x % 2", "double and int"),
        ("yes + 1", "bool and int"),
        ("-s", "negate a string"),
        ("-yes", "negate a bool"),
        ("!n", "not an int"),
        ("n ? 1 : 2", "not an int"),
        ("none && true", "not a null"),
        ("s < n", "string and int"),
        ("none < 1", "null and int"),
        ("items < items", "list and list"),
        ("when < '2026-01-01T00:00:00Z'", r"timestamp\(\)"),
        ("n in s", r"use contains\(\)"),
        ("1 in n", "int and int"),
        ("n.a", "int has no fields"),
        ("thing.__class__", "an unknown has no fields"),
        ("s.upper.x", "string has no fields"),
        ("none.a", "null has no fields"),
        ("n[0]", "cannot be indexed"),
        ("s[0]", "cannot be indexed"),
        ("items['a']", "not by a string"),
        ("items[yes]", "not by a bool"),
        ("items[1.5]", "not by a double"),
        ("m[yes]", "cannot have a bool"),
        ("n.map(i, i)", "not over an int"),
        ("s.all(c, true)", "not over a string"),
        ("items.all(i, i)", "not an int"),
        ("items.filter(i, 1)", "not an int"),
        ("items.map(i, 1, i)", "not an int"),
        ("items.exists_one(i, i)", "not an int"),
        ("{true: 1}", "not a bool"),
        ("{s: 1, 'text': 2}", "twice"),
        ("1 / 0", "division by zero"),
        ("1.0 / 0", "division by zero"),
        ("div(1, 0)", "division by zero"),
        ("1 % 0", "modulus by zero"),
        ("1e308 * 10", "finite"),
        ("9223372036854775807 * 2", "overflow"),
        ("-9223372036854775808 / -1", "overflow"),
        ("-(-9223372036854775808)", "overflow"),
        ("abs(-9223372036854775808)", "overflow"),
        ("int(1e300)", "overflow"),
        ("int('1.5')", "not an integer"),
        ("int('٣')", "not an integer"),
        ("int(yes)", "cannot take a bool"),
        ("double('nan')", "not a number"),
        ("double('1e999')", "finite"),
        ("bool('yes')", "neither"),
        ("uint(-1)", "negative"),
        ("string(raw)", "UTF-8"),
        ("string(thing)", "unknown"),
        ("size(n)", "cannot take an int"),
        ("s.contains(n)", "cannot take an int"),
        ("s.matches('(')", "not a regular expression"),
        ("lone.matches('a')", "lone surrogates"),
        ("s.matches('(?=a)')", "look-around"),
        (f"s.matches('{'a' * 1001}')", "1000 characters"),
        ("items.join(',')", "cannot take an int"),
        ("s.substring(3, 9)", "outside"),
        ("s.substring(3, 1)", "outside"),
        ("sum(['a'])", "cannot take a string"),
        ("sum([1, 'a'])", "int and string"),
        ("max([1, 'a'])", "string and int"),
        ("max([m, m])", "map and map"),
        ("abs(s)", "cannot take a string"),
        ("round(s)", "cannot take a string"),
        ("round(1.5, 20)", "0 to 15"),
        ("floor(s)", "cannot take a string"),
        ("format('{}')", "1 places for 0"),
        ("format('{} {}', 1)", "2 places for 1"),
        ("format('a', 1)", "0 places for 1"),
        ("format('{a}', 1)", "only {}"),
        ("timestamp('2026-13-01T00:00:00Z')", "not a time"),
        ("timestamp('yesterday')", "not a time"),
        ("timestamp(99999999999999)", "years 1 to 9999"),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1h')", "years 1 to 9999"),
        ("when.getHours('Europe/Berlin')", "UTC offset"),
        ("s.getHours()", r"convert text with timestamp\(\)"),
        ("duration('1 hour')", "not a duration"),
        ("duration('9999999999999h')", "too long"),
    ],
)
def test_what_does_not_fit_is_a_fault_that_says_so(text, message):
    with pytest.raises(ExpressionError, match=message) as caught:
        evaluate(text)
    assert caught.value.text == text
    assert not isinstance(caught.value, Absent)


@pytest.mark.parametrize("text", ["gone", "m.z", "m['z']", "m.c.d[1]", "items[3]", "items[-1]", "first([])", "max([])"])
def test_what_does_not_exist_is_absent(text):
    with pytest.raises(Absent) as caught:
        evaluate(text)
    assert caught.value.text == text
    assert evaluate(f"merge({text}, 7)") == 7
    assert evaluate(f"is_none({text})") is True


def test_merge_hides_no_other_fault():
    with pytest.raises(ExpressionError, match="division"):
        evaluate("merge(1 / 0, 1)")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("n == 5.0", True),
        ("yes == 1", False),
        ("[yes] == [1]", False),
        ("m == {'a': 1, 'b': null, 'c': {'d': [{'e': 1}]}}", True),
        ("m == {'a': true, 'b': null, 'c': {'d': [{'e': 1}]}}", False),
        ("[1, 2] == [1]", False),
        ("m != null", True),
        ("thing == thing", True),
        ("1 in [true]", False),
        ("1.0 in items", True),
        ("[1] in [[1.0]]", True),
        ("{1: 'a'}[1.0]", "a"),
        ("items[1.0]", 2),
        ("false < true", True),
        ("b'a' < b'b'", True),
        ("n > 2.5 && x <= 2.5", True),
        ("items.all(i, i / 0 > 1 || true)", True),
        ("items.exists(i, i == 3 || 1 / 0 > 0)", True),
        ("items.all(i, i == 3 && 1 / 0 > 0)", False),
        ("[].all(i, false)", True),
        ("[].exists(i, true)", False),
        ("m.map(k, k)", ["a", "b", "c"]),
        ("items.map(i, items.filter(j, j < i).map(k, k + i))", [[], [3], [4, 5]]),
        ("items.map(n, n) + [n]", [1, 2, 3, 5]),
        ("''.split('')", []),
        ("'abc'.split('', 2)", ["a", "bc"]),
        ("'a,b'.split(',', 0)", []),
        ("'a,b'.split(',', 1)", ["a,b"]),
        ("'a,b'.split(',', -1)", ["a", "b"]),
        ("'aaa'.replace('', '-')", "-a-a-a-"),
        ("'aaa'.replace('a', 'b', 0)", "aaa"),
        ("round(-2.5)", -3),
        ("round(2.675, 2)", 2.68),
        ("round(0.5)", 1),
        ("round(7)", 7),
        ("sum([])", 0),
        ("sum([duration('1s'), duration('2s')])", "PT3S"),
        ("min(when, timestamp('2027-01-01T00:00:00Z'))", "2026-01-31T08:00:00Z"),
        ("has(m.b) && !has(m.b.c) && !has(m.z.y) && has(m.c.d[0].e) && !has(m.c.d[1])", True),
        ("is_none(m.b) && !is_none(m.a)", True),
        ("string(m)", '{"a": 1, "b": null, "c": {"d": [{"e": 1}]}}'),
        ("string(when)", "2026-01-31T08:00:00Z"),
        ("string(2.0) + string(null)", "2.0null"),
        ("type(when) + type(raw) + type(null) + type(duration('1s'))", "timestampbytesnullduration"),
        ("timestamp('2026-01-31T08:00:00.123456789Z')", "2026-01-31T08:00:00.123456Z"),
        ("timestamp('2026-01-31T08:00:00.5Z') - when", "PT0.5S"),
        ("when - duration('-1.5s')", "2026-01-31T08:00:01.5Z"),
        ("-duration('1h')", "-PT3600S"),
        ("duration('0s')", "P0D"),
        ("duration('49h') + duration('-P1DT1H')", "P1D"),
        (
            "[duration('PT90M'), duration('p1w'), duration('-PT1.5S'), duration('P1Y1D')]",
            ["PT5400S", "P7D", "-PT1.5S", "P366D"],
        ),
        ("string(duration('P1DT0.5S'))", "86400.5s"),
        ("duration('1us') + duration('1000ns')", "PT0.000002S"),
        ("[duration('-3.25s').getSeconds(), duration('-3.25s').getMilliseconds()]", [-3, -250]),
        ("int(when)", 1769846400),
        ("timestamp(when) == when", True),
        ("when.getDayOfWeek()", 6),
        ("when.getDayOfYear('-09:00')", 29),
        ("when.getDayOfMonth() + when.getDate()", 61),
        ("when.getMonth() + when.getMinutes() + when.getSeconds() + when.getMilliseconds()", 0),
        ("now()", "2026-02-01T12:00:00.123Z"),
        ("{'t': [now()], 1: bytes('a')}", {"t": ["2026-02-01T12:00:00.123Z"], "1": "YQ=="}),
        ("raw", b"\xff\x00"),
        ("when", datetime(2026, 1, 31, 8, tzinfo=UTC)),
    ],
)
def test_values_combine_as_documented(text, value):
    got = evaluate(text)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    "now", [1_769_947_200_000, 1_769_947_200_000.0, "2026-02-01T13:00:00+01:00", datetime(2026, 2, 1, 12, tzinfo=UTC)]
)
def test_the_lookup_gives_the_time_as_milliseconds_text_or_datetime(now):
    assert evaluate("now()", lambda name: now) == "2026-02-01T12:00:00Z"


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ExpressionError, match="time zone"):
        evaluate("now()", lambda name: datetime(2026, 2, 1, 12))


@pytest.mark.parametrize("text", ["P", "PT", "P1DT", "P1M", "PT-1S", "P1H", "P1D2H", "T1H", "P99999999999D", "1P1D"])
def test_text_that_only_looks_like_a_duration_of_json_is_refused(text):
    with pytest.raises(ExpressionError, match="duration"):
        evaluate("duration(text)", lambda name: text)


def test_a_duration_that_came_as_a_value_is_one():
    assert evaluate("d + duration('1s') == duration('61s')", lambda name: timedelta(minutes=1)) is True


def test_a_name_is_looked_up_once_and_only_if_it_is_needed():
    asked = []

    def find(name):
        asked.append(name)
        return {"a": 1}

    assert evaluate("order.a == 1 || other.a == order.a", find) is True
    assert evaluate("order.a + order.a + [1, 2].map(i, order.a).sum()", find) == 4
    assert asked == ["order", "order"]


def test_an_error_of_the_lookup_that_is_none_of_ours_passes_through():
    with pytest.raises(KeyError):
        evaluate("order || true", {}.__getitem__)


def test_evaluations_do_not_see_each_other():
    made = compile_expression("a.map(i, i + b).sum() + b")
    assert made.evaluate({"a": [1, 2], "b": 1}.__getitem__) == 6
    assert made.evaluate({"a": [1], "b": 10}.__getitem__) == 21


@pytest.mark.parametrize(
    "text",
    [
        "big.all(a, big.all(b, big.all(c, c >= 0)))",
        "big.filter(a, a in big)",
        "big.map(a, long + 'x')",
        "big.map(a, string(big))",
        "big.map(a, big == [a])",
        "big.filter(a, long.matches('a'))",
        "big.map(a, big.flatten())",
        "big.exists(a, long.contains('b'))",
    ],
)
def test_an_expression_that_would_take_minutes_is_stopped(text):
    values = {"big": list(range(100_000)), "long": "a" * 1_000_000}
    with pytest.raises(ExpressionError, match=str(limits.EXPRESSION_STEPS_MAX)):
        evaluate(text, values.__getitem__)


@pytest.mark.parametrize(
    "text",
    [
        "big.map(a, long)",
        "[long, long, long]",
        "{'a': long, 'b': long, 'c': [long]}",
        "long + long + long",
        "[long, long].join(long)",
        "long.replace('', long)",
        "format('{}{}{}', long, long, long)",
        "string([long, long, long])",
        "[[long], [long, long]].flatten()",
    ],
)
def test_a_value_larger_than_a_payload_is_stopped(text):
    values = {"big": list(range(100_000)), "long": "a" * (limits.PAYLOAD_BYTES_MAX // 2 - 100)}
    with pytest.raises(ExpressionError, match="larger than"):
        evaluate(text, values.__getitem__)


def test_ordinary_work_on_large_lists_is_not_stopped():
    orders = [{"id": f"order-{number}", "price": number} for number in range(10_000)]
    wanted = [f"order-{number}" for number in range(0, 10_000, 10)]
    values = {"orders": orders, "wanted": wanted}.__getitem__
    assert evaluate("orders.filter(o, o.id in wanted).map(o, o.price * 2).sum()", values) == 9_990_000


def test_a_regular_expression_takes_linear_time():
    assert evaluate("('a' + long).matches('^(a+)+$')", lambda name: "a" * 10_000 + "b") is False


def test_values_nested_too_deeply_are_a_fault():
    deep: list[object] = []
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(ExpressionError, match="too deeply"):
        evaluate("a == b", {"a": deep, "b": _copy(deep)}.__getitem__)


def _copy(deep):
    copy: list[object] = []
    while deep:
        deep, copy = deep[0], [copy]
    return copy
