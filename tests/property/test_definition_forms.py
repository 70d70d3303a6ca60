"""Random valid definitions: validation accepts them, and every form of them means the same."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings

from strategies import definitions
from wfe.authoring.yaml_reader import read_definitions
from wfe.authoring.yaml_writer import write_yaml
from wfe.core.canonical import canonical, decode, definition_hash
from wfe.core.validate import validate
from wfe.model.definition import Definition


@settings(max_examples=150, deadline=None)
@given(definitions())
def test_random_definitions_are_valid(definition: Definition) -> None:
    assert [str(finding) for finding in validate(definition) if finding.severity == "error"] == []


@settings(max_examples=150, deadline=None)
@given(definitions())
def test_yaml_read_back_gives_an_equal_definition(definition: Definition) -> None:
    assert read_definitions(write_yaml(definition), "flow.yaml") == [definition]


@settings(max_examples=100, deadline=None)
@given(definitions())
def test_json_read_back_gives_the_same_hash(definition: Definition) -> None:
    again = decode(msgspec.json.encode(definition))
    assert definition_hash(again) == definition_hash(definition)
    assert canonical(decode(canonical(definition))) == canonical(definition)
