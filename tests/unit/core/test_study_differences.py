"""What `differences` tells of two versions, and that it tells nothing when they mean the same."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings

from strategies import definitions
from wfe.authoring.yaml_reader import read_definitions
from wfe.core.canonical import canonical, decode, definition_hash
from wfe.core.study import differences
from wfe.model.definition import Definition

TEXT = """
workflow: flow
params: {n: {type: integer, default: 1}, order: Order}
types: {Order: {type: object, required: [id]}}
timeout: 1h
nodes:
  - {task: a, with: {x: "${n}"}, retry: {max_attempts: 4}}
  - {when: n > 1, id: w, do: [{task: b}]}
  - {otherwise: true, do: [{task: c}]}
  - {task: d}
output: "${d}"
"""


def read(text: str) -> Definition:
    return read_definitions(text, "flow.yaml")[0]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("max_attempts: 4", "max_attempts: 5", ["node a.retry.max_attempts: 4 -> 5"]),
        ("retry: {max_attempts: 4}", "timeout: 2s", ["node a.retry: removed", "node a.timeout_ms: added 2000"]),
        ('x: "${n}"', 'x: "${n + 1}", y: 2', ["node a.with.x: ${n} -> ${n + 1}", "node a.with.y: added 2"]),
        ("  - {task: d}", "  - {task: d2, id: d}", ["node d.task: d -> d2"]),
        ("  - {task: d}\n", "  - {task: e}\n  - {task: d}\n", ["node e: added task"]),
        ("{task: b}", "{task: b}, {task: b2}", ["node b2: added task"]),
        ("{task: c}", "{task: b9}", ["node c: removed task", "node b9: added task"]),
        ("when: n > 1", "when: n > 2", ["node w.branches[0].cond: n > 1 -> n > 2"]),
        ("{task: d}", "{sleep: 1s, id: d}", ["node d.kind: task -> sleep"]),
        ("default: 1", "default: 2", ["param n.default: 1 -> 2"]),
        ("required: [id]", "required: [id, total]", ['type Order.required: ["id"] -> ["id","total"]']),
        (
            "timeout: 1h",
            "timeout: 2h\ntags: {kind: x}",
            ["policy timeout_ms: 3600000 -> 7200000", "policy tags: added"],
        ),
        ('output: "${d}"', 'output: "${a}"', ["output output: ${d} -> ${a}"]),
    ],
)
def test_a_change_is_told_with_its_place_and_both_values(old: str, new: str, expected: list[str]) -> None:
    assert TEXT.count(old) == 1
    found = [str(each) for each in differences(read(TEXT), read(TEXT.replace(old, new))).differences]
    assert len([line for line in found if any(line.startswith(start) for start in expected)]) >= len(expected), found
    backwards = differences(read(TEXT.replace(old, new)), read(TEXT)).differences
    assert len(backwards) == len(found)


def test_nodes_that_stand_elsewhere_have_moved_and_others_have_not() -> None:
    lines = TEXT.splitlines()
    a, d = lines.index(next(x for x in lines if "task: a" in x)), lines.index("  - {task: d}")
    moved = "\n".join([*lines[:a], lines[d], lines[a], *lines[a + 1 : d], *lines[d + 1 :]])
    found = [str(each) for each in differences(read(TEXT), read(moved)).differences]
    assert "node d: moved after w -> first" in found
    inside = TEXT.replace("{task: b}", "{task: b}, {task: d}").replace("  - {task: d}\n", "").replace("${d}", "${n}")
    assert "node d: moved workflow -> w.branches[0]" in [
        str(each) for each in differences(read(TEXT), read(inside)).differences
    ]


def test_edges_of_a_net_are_told_by_their_ends() -> None:
    text = "workflow: flow\nnodes: [{task: a}, {task: b}, {task: c, join: or}]\nedges: [a -> b -> c]"
    new = text.replace("[a -> b -> c]", "[a -> b, {from: b, to: c, weight: 2}, {from: a, to: c, port: error}]")
    found = [str(each) for each in differences(read(text), read(new)).differences]
    assert found[0] == "node graph.edges[b -> c].weight: added 2"
    assert found[1].startswith("node graph.edges[a:error -> c]: added")


@settings(max_examples=30)
@given(definitions())
def test_a_definition_does_not_differ_from_itself_however_it_is_written(definition: Definition) -> None:
    again = msgspec.json.decode(msgspec.json.encode(definition), type=Definition)
    assert differences(definition, again).same
    assert differences(definition, msgspec.structs.replace(again, version=77)).same


@settings(max_examples=30)
@given(definitions(nodes_max=4), definitions(nodes_max=4))
def test_what_has_another_hash_has_differences(one: Definition, two: Definition) -> None:
    assert differences(one, two).same == (definition_hash(one) == definition_hash(two))


WRITTEN_OUT = """
workflow: m1
nodes:
  - {set: 1, id: write, split: and}
  - {set: 2, id: b, join: all}
  - {set: 3, id: c, join: {n: 1, rest: drain}}
edges: [write -> b, write -> c]
"""


def test_a_default_that_one_side_writes_out_is_no_difference() -> None:
    written = read(WRITTEN_OUT)
    registered = decode(canonical(written))
    assert differences(registered, written).differences == []
    assert differences(written, registered).differences == []
