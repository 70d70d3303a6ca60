"""docs/yaml.md is true: its examples are read, drawn and written again, and it names every kind and key."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema_rs
import pytest

from wfe.authoring.drawing import to_dot, to_mermaid, to_svg
from wfe.authoring.json_schema import definition_schema
from wfe.authoring.yaml_kinds import COMMON, KINDS, OTHERWISE, TOP
from wfe.authoring.yaml_reader import read_definitions
from wfe.authoring.yaml_tree import read_documents, to_value
from wfe.authoring.yaml_writer import write_yaml

PAGE = (Path(__file__).parents[3] / "docs" / "yaml.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_of_the_page_is_valid_in_every_form(text: str):
    schema = jsonschema_rs.validator_for(definition_schema())
    for tree in read_documents(text):
        assert [error.message for error in schema.iter_errors(to_value(tree))] == []
    for definition in read_definitions(text, "docs/yaml.md"):
        assert read_definitions(write_yaml(definition), "again.yaml") == [definition]
        assert all(draw(definition) for draw in (to_svg, to_dot, to_mermaid))


def test_the_page_names_every_kind_and_key():
    keys = {*KINDS, *COMMON, *OTHERWISE, *TOP, *(key for kind in KINDS.values() for key in kind.keys)}
    assert sorted(key for key in keys if not re.search(rf"\b{key}\b", PAGE)) == []
