from __future__ import annotations

import pytest

from wfe import limits
from wfe.core.expressions import ExpressionError, compile_expression, constant, literal, parse, quote_string, unparse
from wfe.core.expressions import nodes as ast
from wfe.core.expressions.compiler import NOW
from wfe.core.expressions.functions import IMPLEMENTATIONS
from wfe.core.expressions.parser import MACROS
from wfe.core.expressions.rewrite import free_names, substitute
from wfe.core.expressions.signatures import SIGNATURES


def value_of(text):
    def lookup(name):
        raise AssertionError(f"{text!r} looked up {name!r}")

    return compile_expression(text).evaluate(lookup)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0x1F", 31),
        ("42u", 42),
        ("-9223372036854775808", -(2**63)),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.5e-3", 0.0015),
        (r"'\n\t\"\'\\\x41\u00e9\U0001F600\101'", "\n\t\"'\\A\u00e9\U0001f600A"),
        (r"r'\d+'", r"\d+"),
        ("'''a\n'b' ''c'''", "a\n'b' ''c"),
        ('"""a\n"b" ""c"""', 'a\n"b" ""c'),
        ('r"""a\\n"""', "a\\n"),
        (r"size(b'\xff\377é')", 4),
        ("size(rb'\\x')", 2),
        ("'a' // comment\n + 'b'", "ab"),
        ("[1, 2,]", [1, 2]),
        ("{'a': 1,}", {"a": 1}),
        ("{}", {}),
        ("--1", 1),
        ("!!true", True),
        ("-(2)", -2),
        ("1 - -1", 2),
        ("1-1", 0),
        ("2 - 3 - 4", -5),
        ("2 * 3 % 4", 2),
        ("true ? (false ? 1 : 2) : 3", 2),
        ("false ? 1 : true ? 2 : 3", 2),
        ("1 < 2 == true", True),
        ("true || true && false", True),
        ("(true || true) && false", False),
        ("{'in': 1}.in", 1),
        ("{'true': {'null': 2}}.true.null", 2),
    ],
)
def test_what_is_written_is_read(text, value):
    got = value_of(text)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("text", "message", "position"),
    [
        ("", "empty", 0),
        ("  ", "empty", 2),
        ("1 +", "found end", 3),
        ("1 2", "unexpected '2'", 2),
        ("a ? b", "expected ':'", 5),
        ("(1", r"expected '\)'", 2),
        ("[1, 2", "expected '\\]'", 5),
        ("{1 2}", "expected ':'", 3),
        ("f(1,)", "a comma", 4),
        ("a.", "expected 'name'", 2),
        ("a.1", "unexpected|found", 1),
        ("a # b", "unexpected character '#'", 2),
        ("a = b", "unexpected character '='", 2),
        ("a & b", "unexpected character '&'", 2),
        ("é", "unexpected character", 0),
        ("'abc", "closing quote", 0),
        ("'a\nb'", "closing quote", 0),
        (r"'\q'", r"unknown escape '\\\\q'", 1),
        (r"'\ud800'", "no Unicode character", 1),
        (r"b'\u0041'", "unknown escape", 2),
        ("rr'a'", "prefix", 0),
        ("12abc", "runs into a name", 2),
        ("1e999", "range of a double", 0),
        ("9223372036854775808", "64 bits", 0),
        ("1" * 5000, "64 bits", 0),
        ("0xFFFFFFFFFFFFFFFFF", "64 bits", 0),
        ("in", "found|reserved", 0),
        ("}", "expected a value", 0),
        ("sizes(x)", "did you mean 'size'", 0),
        ("__import__('os')", "unknown function", 0),
        ("x.lover()", "did you mean 'lower'", 2),
        ("lower(x)", r"x.lower\(", 0),
        ("x.abs()", r"abs\(x\)", 2),
        ("size()", "takes 1 argument, not 0", 0),
        ("x.split()", "takes 1 or 2 arguments, not 0", 2),
        ("merge()", "at least 1 argument", 0),
        ("now(1)", "takes 0 arguments", 0),
        ("has(1)", "one path", 0),
        ("has(a, b)", "one path", 0),
        ("x.all(1, true)", "a variable and an expression", 2),
        ("x.all(i)", "a variable", 2),
        ("x.filter(i, i, i)", "a variable", 2),
        ("all(x, i, i)", "unknown function", 0),
    ],
)
def test_a_mistake_is_an_error_with_its_position(text, message, position):
    with pytest.raises(ExpressionError, match=message) as caught:
        compile_expression(text)
    assert caught.value.position == position


@pytest.mark.parametrize(
    "text",
    [
        "(" * 101 + "1" + ")" * 101,
        "-" * 5000 + "x",
        "x" + ".a" * 101,
        "x" + " + 1" * 101,
        "[" * 101 + "]" * 101,
        "true ? 1 : " * 101 + "1",
        "a.map(b, b.map(c, c.map(d, d.map(e, e.map(f, f)))))",
        "x" * (limits.EXPRESSION_CHARS_MAX + 1),
    ],
)
def test_what_is_too_long_or_too_deep_is_refused(text):
    with pytest.raises(ExpressionError, match=r"deeper|at most") as caught:
        compile_expression(text)
    assert len(str(caught.value)) < 3 * limits.EXPRESSION_CHARS_MAX


def test_long_chains_of_conditions_are_not_deep():
    text = " || ".join(f"x == {number}" for number in range(700))
    assert compile_expression(text).evaluate(lambda name: 699) is True


def test_comprehensions_one_after_the_other_are_not_nested():
    assert value_of("[1, 2]" + ".map(i, i + 1)" * 20) == [21, 22]


def test_names_and_paths_are_known_before_anything_runs():
    made = compile_expression("order.items.map(i, i.price * rate[order['kind']].x) + [size(extra), now()]")
    assert made.names == {"order", "rate", "extra"}
    assert set(made.paths) == {("order", "items"), ("rate",), ("order", "kind"), ("extra",)}
    assert made.sole_name is None
    assert compile_expression("order").sole_name == "order"
    assert compile_expression(" order.id ").sole_path == ("order", "id")


def test_a_variable_hides_a_name_only_inside_its_comprehension():
    made = compile_expression("x.map(x, x + y) == [x]")
    assert made.names == {"x", "y"}
    assert made.evaluate({"x": [1], "y": 1}.__getitem__) is False


def test_compiling_the_same_text_again_gives_the_same_object():
    assert compile_expression("a + b.c") is compile_expression("a + b.c")


def test_every_function_in_the_table_is_implemented():
    assert set(SIGNATURES) - set(IMPLEMENTATIONS) == {"merge", "is_none", "now", "active", "done"}
    assert set(IMPLEMENTATIONS) <= set(SIGNATURES)
    assert not MACROS & set(SIGNATURES)
    assert NOW == "now()"


@pytest.mark.parametrize(
    "text",
    [
        "a.b.c[0][x].d",
        "-(1)",
        "--1",
        "-x.y",
        "(-x).y",
        "(-1).y",
        "(1).size()",
        "a - (b - c)",
        "a - b - c",
        "(a || b) && c",
        "a || b && c",
        "(a && b) && c",
        "(a ? b : c) ? d : e ? f : g",
        "a ? b : c ? d : e",
        "a ? (b ? c : d) : e",
        "(a < b) == (c in d)",
        "!(a == b)",
        "!a",
        '[a, {b: c, "d": [e]}]',
        'x.map(i, i.y > 0, i.y).filter(j, j != "a\\n\\"\\\\")',
        "has(a.b) ? a.b : merge(a.c, null)",
        "has(a[0])",
        'b"a\\xff\\x22"',
        "1e+16",
        "(a + b) * c % d / (e * f)",
        "(a ? b : c).d",
        "(a + b).size()",
        "{}.size()",
        '"a".upper()',
        "a in b",
    ],
)
def test_text_in_its_shortest_form_comes_back_unchanged(text):
    assert unparse(parse(text)) == text


def test_brackets_that_change_nothing_go_away():
    assert unparse(parse("((a) + ((b * c)))")) == "a + b * c"


def test_trees_are_compared_strictly_but_without_positions():
    assert parse("a + 1") == parse("  a+1")
    assert len({parse("1"), parse("1.0"), parse("true"), parse("0.0"), parse("-0.0")}) == 5


@pytest.mark.parametrize("value", [None, True, 0, -5, 1.5, 'a"b\\c\n\u2028é\x00', [1, [2.0]], {"a b": {"c": [None]}}])
def test_json_values_have_literals(value):
    assert value_of(literal(value)) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**63, object(), {"a": {1, 2}}])
def test_other_values_have_none(value):
    with pytest.raises(ExpressionError, match="no literal"):
        literal(value)


def test_a_quoted_string_fits_into_a_template():
    assert quote_string('say "}"') == '"say \\"}\\""'


def test_names_are_substituted_where_they_are_free():
    tree = parse("x + y.map(x, x * z) + [x]")
    got = substitute(tree, {"x": parse("a.b"), "z": parse("1 + 2")})
    assert unparse(got) == "a.b + y.map(x, x * (1 + 2)) + [a.b]"


def test_a_variable_that_would_capture_a_name_is_renamed():
    got = substitute(
        parse("items.filter(i, i > limit && i != i_2)"), {"limit": parse("i.max"), "items": parse("i.all")}
    )
    assert unparse(got) == "i.all.filter(i_3, i_3 > i.max && i_3 != i_2)"
    assert free_names(got) == {"i", "i_2"}


def test_has_of_a_computed_value_asks_whether_it_is_null():
    assert unparse(substitute(parse("has(x)"), {"x": parse("a + b")})) == "!is_none(a + b)"
    assert unparse(substitute(parse("has(x.y)"), {"x": parse("first(a)")})) == "has(first(a).y)"


@pytest.mark.parametrize(
    "text",
    ["a", "a.b", "a[b]", "f.first()", "size(a)", "has(a.b)", "!a", "-a", "a + b", "a && b", "a ? b : c", "[a]",
     "{a: b}", "a.map(i, b)", "a.map(i, b, c)"],
)  # fmt: skip
def test_substitution_reaches_every_part_of_a_tree(text):
    tree = parse(text)
    renamed = substitute(tree, {name: ast.Name("z") for name in free_names(tree)})
    assert free_names(renamed) == {"z"}


def test_a_constant_tree_has_no_names():
    assert free_names(constant({"a": [1, "b"]})) == frozenset()
