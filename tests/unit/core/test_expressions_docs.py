"""docs/expressions.md is the contract: every row of its tables is evaluated here."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from wfe.core.expressions import Absent, ExpressionError, compile_expression, compile_template
from wfe.core.expressions.signatures import SIGNATURES

PAGE = (Path(__file__).parents[3] / "docs" / "expressions.md").read_text(encoding="utf-8")
NOW_MS = 1_769_947_200_000  # 2026-02-01T12:00:00Z
ROW = re.compile(r"^\| `(?P<text>.+)` \| (?:`(?P<value>.+)`|(?P<fault>fault)) \|$")


def tables(heading: str) -> list[tuple[str, str | None]]:
    rows: list[tuple[str, str | None]] = []
    inside = False
    for line in PAGE.splitlines():
        if line.startswith("| ") and line.endswith("| value |"):
            inside = line == f"| {heading} | value |"
        elif not line.startswith("|"):
            inside = False
        elif inside and not line.startswith("|---"):
            match = ROW.match(line)
            assert match, f"a row that is no example: {line}"
            rows.append((match["text"].replace("\\|", "|"), match["value"]))
    return rows


EXPRESSIONS, TEMPLATES = tables("expression"), tables("template")
VALUES = {"order": json.loads(re.search(r"```json\n(.*?)```", PAGE, re.S)[1]), "now()": NOW_MS}


def lookup(name):
    if name in VALUES:
        return VALUES[name]
    raise Absent(f"{name} has no value")


def exactly(got, wanted):
    assert got == wanted
    assert json.dumps(got) == json.dumps(wanted), "an int where a double is shown, or the other way round"


def test_the_page_has_examples():
    assert len(EXPRESSIONS) > 80
    assert len(TEMPLATES) > 5


@pytest.mark.parametrize(("text", "value"), EXPRESSIONS)
def test_an_expression_gives_what_the_page_says(text, value):
    if value is None:
        with pytest.raises(ExpressionError):
            compile_expression(text).evaluate(lookup)
    else:
        exactly(compile_expression(text).evaluate(lookup), json.loads(value))


@pytest.mark.parametrize(("text", "value"), TEMPLATES)
def test_a_template_gives_what_the_page_says(text, value):
    exactly(compile_template(text).evaluate(lookup), json.loads(value))


def test_the_page_names_every_function():
    words = set(re.findall(r"\w+", PAGE))
    assert set(SIGNATURES) <= words
