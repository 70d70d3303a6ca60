"""The catalogue is complete, and its cases can fail."""

from __future__ import annotations

from dataclasses import replace

import jsonschema_rs
import pytest
import yaml

from patterns.pattern_catalogue import FAMILIES, PATTERNS
from patterns.pattern_model import Case, Pattern, ends, send, waits
from patterns.pattern_page import PAGE, page
from patterns.pattern_playing import Play
from patterns.patterns_branching import BLOCKING_DISCRIMINATOR, DISCRIMINATOR, MULTI_MERGE, STRUCTURED_MERGE
from patterns.patterns_joins import GENERAL_AND_JOIN, THREAD_MERGE
from patterns.patterns_states import CRITICAL_SECTION, MILESTONE
from wfe.authoring.json_schema import definition_schema
from wfe.authoring.yaml_reader import read_definitions
from wfe.authoring.yaml_writer import write_yaml
from wfe.core.validate import validate

YAML_ONLY = {10, 18, 28, 31, 33, 37, 38, 41, 42}
"""Circles of any shape, milestones, and what counts threads: Python has the structured forms."""


def test_all_43_are_there_once() -> None:
    assert [pattern.number for pattern in PATTERNS] == list(range(1, 44))
    assert sum(len(family) for family in FAMILIES.values()) == 43


def test_every_structured_one_is_drawn_in_python_too() -> None:
    assert {pattern.number for pattern in PATTERNS if pattern.python is None} == YAML_ONLY


def test_names_tell_them_apart() -> None:
    names = [Play(pattern, language, pattern.cases[0]).workflow for pattern in PATTERNS for language in pattern.forms()]
    assert len(set(names)) == len(names)
    assert all(len(pattern.sentence) > 20 and pattern.sentence.endswith(".") for pattern in PATTERNS)


@pytest.mark.parametrize(
    ("pattern", "this", "other"),
    [
        (DISCRIMINATOR, "join: any", "join: each"),
        (BLOCKING_DISCRIMINATOR, "rest: block", "rest: drain"),
        (STRUCTURED_MERGE, "join: or", "join: each"),
        (MULTI_MERGE, "join: each", "join: any"),
        (GENERAL_AND_JOIN, "{task: d}", "{task: d, join: any}"),
        (THREAD_MERGE, "{thread: 2}", "{thread: 4}"),
        (MILESTONE, ', enabled_while: active("opened")', ""),
        (CRITICAL_SECTION, "desk: 1", "desk: 2"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"WCP-{value.number}",
)
def test_a_neighbouring_pattern_is_told_from_it(pattern, this: str, other: str) -> None:
    assert this in pattern.yaml
    changed = replace(pattern, yaml=pattern.yaml.replace(this, other), python=None)
    with pytest.raises(AssertionError, match=r"ended since|waits for"):
        assert [Play(changed, "yaml", case).in_env() for case in changed.cases]


@pytest.mark.parametrize(
    "steps",
    [
        (waits("y"),),
        (waits("x, y", ran="d"),),
        (waits("x, y"), send("x"), ends()),
        (waits("x, y"), send("x"), send("y"), ends(ran="d")),
        (waits("x, y"), send("x"), send("y"), ends(ran="d, d", status="failed")),
        (waits("x, y"), send("x"), send("y"), ends(ran="d, d", output="d")),
    ],
    ids=["other waits", "other tasks", "no end", "too few", "other status", "other output"],
)
def test_a_case_that_demands_something_else_fails(steps) -> None:
    with pytest.raises(AssertionError):
        Play(MULTI_MERGE, "yaml", Case("wrong", steps)).in_env()


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: f"WCP-{pattern.number}")
def test_no_form_gives_a_finding_and_all_come_back_from_yaml_the_same(pattern: Pattern) -> None:
    for language, (form, _) in pattern.forms().items():
        definition = form if language == "yaml" else form.definition()
        assert validate(definition) == []
        assert read_definitions(write_yaml(definition), "again.yaml") == [definition]


def test_editors_accept_what_the_reader_does() -> None:
    schema = jsonschema_rs.validator_for(definition_schema())
    for pattern in PATTERNS:
        schema.validate(yaml.safe_load(pattern.yaml))


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "make patterns writes it"
