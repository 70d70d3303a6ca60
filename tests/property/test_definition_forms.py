"""Random valid definitions: validation accepts them, and every form of them means the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import jsonschema_rs
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies import definitions
from wfe.authoring.drawing import to_dot, to_mermaid, to_svg
from wfe.authoring.drawing.layout import place_group
from wfe.authoring.drawing.sketch import sketch
from wfe.authoring.json_schema import definition_schema
from wfe.authoring.yaml_reader import read_definitions, read_text
from wfe.authoring.yaml_writer import to_plain, write_yaml
from wfe.core.canonical import canonical, decode, definition_hash
from wfe.core.compile import compile_plan
from wfe.core.study import processed_graph
from wfe.core.validate import validate
from wfe.model.definition import Definition, walk

SCHEMA = jsonschema_rs.validator_for(definition_schema())


@settings(max_examples=50)
@given(definitions())
def test_random_definitions_are_valid(definition: Definition) -> None:
    assert [str(finding) for finding in validate(definition) if finding.severity == "error"] == []


@settings(max_examples=50)
@given(definitions())
def test_yaml_read_back_gives_an_equal_definition(definition: Definition) -> None:
    assert read_definitions(write_yaml(definition), "flow.yaml") == [definition]


@settings(max_examples=50)
@given(definitions(nodes_max=6), st.integers(1, 99))
def test_an_export_in_json_read_back_gives_equal_definitions(definition: Definition, version: int) -> None:
    numbered = msgspec.structs.replace(definition, version=version)
    text = msgspec.json.format(msgspec.json.encode([to_plain(numbered)]), indent=2).decode()
    assert read_definitions(text, "all.json") == [numbered]


@settings(max_examples=50)
@given(definitions(nodes_max=6))
def test_every_definition_has_a_processed_graph(definition: Definition) -> None:
    """Every node is there once, on a level behind those that lead to it, and in some path."""
    graph = processed_graph(definition, paths_max=10_000)
    ids = [node.id for node in graph.nodes if node.kind != "end" or "." not in node.id]
    assert ids == [node.id for node in walk(definition.nodes)]
    level = {node.id: node.level for node in graph.nodes}
    circular = {spot for circle in graph.circles for spot in circle}
    for arc in graph.arcs:
        if arc.kind != "back" and arc.source not in circular:
            assert level[arc.source] < level[arc.target], arc
    assert sorted(spot for spots in graph.levels for spot in spots) == sorted(level)
    if isinstance(graph.path_count, int) and graph.path_count <= 10_000:
        assert len(graph.paths) == graph.path_count


@settings(max_examples=50)
@given(definitions())
def test_json_read_back_gives_the_same_hash(definition: Definition) -> None:
    again = decode(msgspec.json.encode(definition))
    assert definition_hash(again) == definition_hash(definition)
    assert canonical(decode(canonical(definition))) == canonical(definition)


@settings(max_examples=50)
@given(definitions())
def test_the_engine_can_compile_what_validation_accepts(definition: Definition) -> None:
    plan = compile_plan(definition, definition_hash(definition))
    assert len(plan.nodes) == len(list(walk(definition.nodes)))


@settings(max_examples=50)
@given(definitions())
def test_the_schema_for_editors_accepts_what_the_writer_writes(definition: Definition) -> None:
    assert [error.message for error in SCHEMA.iter_errors(to_plain(definition))] == []


@settings(max_examples=50)
@given(definitions(), st.data())
def test_the_schema_for_editors_refuses_the_shapes_that_the_reader_refuses(
    definition: Definition, data: st.DataObject
) -> None:
    plain = json.loads(json.dumps(to_plain(definition)))
    place = data.draw(st.sampled_from(list(mappings(plain))))
    change = data.draw(st.sampled_from(["unknown key", "remove", "list", "mapping"]))
    key = data.draw(st.sampled_from(sorted(place)))
    if change == "unknown key":
        place["no_such_key"] = 1
    elif change == "remove":
        del place[key]
    elif key not in ("set", "end", "default", "output", "message", "key", "with", "types", "params", "tags"):
        place[key] = [[1]] if change == "list" else {"no_such_key": {}}
    reading = read_text(json.dumps(plain), "flow.json")
    misshapen = any(not finding.where and finding.severity == "error" for finding in reading.findings)
    # Only the reader knows which `when` an `otherwise` belongs to, and which names types has.
    known = ("otherwise must follow", "unknown type")
    for_reader_only = all(any(text in finding.message for text in known) for finding in reading.findings)
    assert SCHEMA.is_valid(plain) == (not misshapen) or (for_reader_only and SCHEMA.is_valid(plain))


@settings(max_examples=50)
@given(definitions())
def test_every_picture_shows_every_node(definition: Definition) -> None:
    svg = ElementTree.fromstring(to_svg(definition))
    ids = [node.id for node in walk(definition.nodes)]
    shown = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    mermaid, dot = to_mermaid(definition), to_dot(definition)
    for id_ in ids:
        assert id_ in shown
        assert f"<b>{id_}</b>" in mermaid
        assert f'"{id_}' in dot


@settings(max_examples=50)
@given(definitions())
def test_no_boxes_of_a_block_overlap(definition: Definition) -> None:
    todo = [place_group(sketch(definition))]
    while todo:
        group = todo.pop()
        for index, box in enumerate(group.boxes):
            assert box.x >= -0.01
            assert box.x + box.width <= group.width + 0.01
            for other in group.boxes[:index]:
                apart = box.x >= other.x + other.width or other.x >= box.x + box.width
                assert apart or box.y >= other.y + other.height or other.y >= box.y + box.height
            todo += box.blocks


@settings(max_examples=150)
@given(st.text(st.sampled_from("workflownds:{}[]-,\n '\"&*!#|>%@`\t?01.~$\\é\x00\u2028"), max_size=40))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    for prefix in ("", "workflow: a\nnodes:\n- task: t\n  with: "):
        for finding in read_text(prefix + text, "f.yaml").findings:
            assert finding.line >= 1
            assert finding.column >= 1


def mappings(plain: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The mappings of a document whose keys have a meaning: itself and its nodes."""
    yield plain
    todo = list(plain["nodes"])
    while todo:
        node = todo.pop()
        yield node
        for key in ("do", "parallel", "branch"):
            todo += node.get(key, [])
