"""Expressions against another implementation of CEL, wherever both define the result.

Left out is where it departs from CEL itself (it counts the bytes of text, not the characters) and where wfe does
(docs/expressions.md: mixed numbers, infinities, text of doubles).
"""

from __future__ import annotations

import json
import re
from typing import Any

import cel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfe.core.expressions import ExpressionError, compile_expression

VALUES = {"n": 7, "s": "abc", "t": True, "l": [3, 1, 2], "m": {"a": 1, "b": 2}, "o": {"name": "x", "tags": ["p"]}}
THEIR_FAULTS = (ValueError, TypeError, RuntimeError, ArithmeticError, LookupError)
DEPTH_MAX = 4

COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")

LEAVES = {
    "int": ["n", "l[0]", "m.a", 'm["b"]', "size(s)", *map(str, range(-20, 21))],
    "double": [str(number / 4) for number in range(-40, 41)],
    "string": ['"a"', '"bc"', '""', "s", "o.name", "o.tags[0]", r'"\n\x41"', r"r'\d'"],
    "bool": ["true", "false", "t", "has(m.a)", "has(m.z)"],
    "list": ["l", "[1, 2]", "[7]"],
}
FORMS = {
    "int": [f"(INT {operator} INT)" for operator in "+-*/%"]
    + ["-(INT)", "(BOOL ? INT : INT)", "size(STRING)", "LIST.size()", "int(DOUBLE)", "LIST[INT]"],
    "double": [f"(DOUBLE {operator} DOUBLE)" for operator in "+-*"] + ["double(INT)"],
    "string": ["(STRING + STRING)", "(BOOL ? STRING : STRING)", "string(INT)"],
    "bool": [
        f"({kind} {op} {kind})" for op in ("==", "!=", "<", "<=", ">", ">=") for kind in ("INT", "DOUBLE", "STRING")
    ]
    + ["!(BOOL)", "(BOOL && BOOL)", "(BOOL || BOOL)", "(LIST == LIST)", "(INT in LIST)", "(STRING in m)"]
    + ["STRING.contains(STRING)", "STRING.startsWith(STRING)", "STRING.endsWith(STRING)"]
    + ["LIST.all(v, v > INT)", "LIST.exists(v, v == INT)", "LIST.exists_one(v, v < INT)"],
    "list": [
        "(LIST + LIST)",
        "[INT, INT]",
        "LIST.map(v, v + INT)",
        "LIST.map(v, v > INT, v * 2)",
        "LIST.filter(v, v >= INT)",
    ],
}


@st.composite
def texts(draw: st.DrawFn, kind: str, depth: int = 0) -> str:
    if depth == DEPTH_MAX or draw(st.booleans()):
        return draw(st.sampled_from(LEAVES[kind]))
    form = draw(st.sampled_from(FORMS[kind]))
    return re.sub(r"\b[A-Z]+\b", lambda hole: draw(texts(hole[0].lower(), depth + 1)), form)


@settings(max_examples=500)
@given(st.sampled_from(sorted(FORMS)).flatmap(texts))
def test_results_and_faults_agree_with_another_implementation_of_cel(text):
    try:
        ours: Any = compile_expression(text).evaluate(VALUES.__getitem__)
    except ExpressionError:
        with pytest.raises(THEIR_FAULTS):
            cel.evaluate(text, dict(VALUES))
        return
    theirs = cel.evaluate(text, dict(VALUES))
    assert theirs == ours
    assert json.dumps(theirs) == json.dumps(ours)
