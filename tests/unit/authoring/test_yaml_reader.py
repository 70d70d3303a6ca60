"""Reading and writing YAML: what a text means. Mistakes have a file of their own."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from yaml_meanings import BLOCKS, NETS, SEVERAL, STEPS

from wfe.authoring.yaml_kinds import KINDS
from wfe.authoring.yaml_reader import read_definitions
from wfe.authoring.yaml_writer import to_plain, write_many, write_yaml
from wfe.model.definition import (
    Block,
    Branch,
    Catch,
    Definition,
    End,
    Fail,
    Map,
    Node,
    Parallel,
    Set,
    Sleep,
    StartWorkflow,
    SubWorkflow,
    Task,
    WaitSignal,
    When,
)
from wfe.model.policy import RetryPolicy


def nodes_of(text: str, params: str = "{order: object, n: integer}") -> tuple[Node, ...]:
    (definition,) = read_definitions(f"workflow: flow\nparams: {params}\nnodes:\n{text}", "flow.yaml")
    return definition.nodes


MEANINGS: list[tuple[str, Node]] = [
    ("- {task: charge}", Task(id="charge", task="charge")),
    (
        "- {task: charge@2, id: c, with: {a: '${order.id}', b: [1, {c: null}]}, timeout: 1h30m, priority: -3}",
        Task(
            id="c",
            task="charge",
            task_version=2,
            with_={"a": "${order.id}", "b": [1, {"c": None}]},
            timeout_ms=5_400_000,
            priority=-3,
        ),
    ),
    (
        "- {task: a, heartbeat: 5s, redeliver: false, returns: {type: string}, if: n > 1, after: []}",
        Task(id="a", task="a", heartbeat_ms=5_000, redeliver=False, returns={"type": "string"}, if_="n > 1", after=()),
    ),
    (
        "- {task: a, labels: [zone=eu, gpu], resources: {gpu: 0.5, memory: 2GB, cpu: 2}}",
        Task(
            id="a",
            task="a",
            labels=("gpu", "zone=eu"),
            resources={"cpu": 2, "gpu": 0.5, "memory": 2_000_000_000},
        ),
    ),
    ("- {task: a-b.c}", Task(id="a_b_c", task="a-b.c")),
    ("- {task: order}", Task(id="order_2", task="order")),
    (
        "- task: a\n"
        "  retry: {max_attempts: null, initial_delay: 5ms, backoff: 3, max_delay: 1m, jitter: 0, on: E, never: [F]}",
        Task(
            id="a",
            task="a",
            retry=RetryPolicy(
                max_attempts=None,
                initial_delay_ms=5,
                backoff=3.0,
                max_delay_ms=60_000,
                jitter=0.0,
                on=("E",),
                never=("F",),
            ),
        ),
    ),
    ("- {sleep: 2d}", Sleep(id="sleep", duration_ms=172_800_000)),
    ("- {sleep: '${n + 1}'}", Sleep(id="sleep", duration="n + 1")),
    ("- {sleep_until: order.when}", Sleep(id="sleep", until="order.when")),
    ("- {signal: go}", WaitSignal(id="signal", signal="go")),
    (
        "- {signal: go, timeout: 0s, default: null, schema: boolean}",
        WaitSignal(id="signal", signal="go", timeout_ms=0, default=None, schema={"type": "boolean"}),
    ),
    (
        "- {workflow: ship, version: 3, with: {x: 1}}",
        SubWorkflow(id="ship", workflow="ship", version=3, with_={"x": 1}),
    ),
    ("- {workflow: ship@3}", SubWorkflow(id="ship", workflow="ship", version=3)),
    ("- {start: mail, key: 'k-${n}'}", StartWorkflow(id="start", workflow="mail", key="k-${n}")),
    ("- {set: [1, '${n}']}", Set(id="set", value=[1, "${n}"])),
    ("- {end: }", End(id="end", value=None)),
    ("- {fail: Oops, message: 'no ${n}'}", Fail(id="fail", error="Oops", message="no ${n}")),
    (
        "- {catch: Oops, do: [{task: a}]}",
        Catch(id="catch", errors=("Oops",), do=(Task(id="a", task="a"),)),
    ),
    (
        "- {parallel: [{task: a}, {branch: [{task: b}, {task: b}]}]}",
        Parallel(
            id="parallel",
            do=(
                Task(id="a", task="a"),
                Block(id="branch", do=(Task(id="b", task="b"), Task(id="b_2", task="b"))),
            ),
        ),
    ),
    ("- {parallel: {do: [{task: a}]}}", Parallel(id="parallel", do=(Task(id="a", task="a"),))),
    (
        "- {map: order.items, as: x, max_parallel: 5, tolerate: 3, do: [{task: a}], output: '${x}'}",
        Map(
            id="map",
            items="order.items",
            as_="x",
            max_parallel=5,
            tolerate_count=3,
            do=(Task(id="a", task="a"),),
            output="${x}",
        ),
    ),
    (
        "- {map: order.items, tolerate: 2.5%, do: [{task: a}]}",
        Map(id="map", items="order.items", tolerate_percent=2.5, do=(Task(id="a", task="a"),)),
    ),
    (
        "- {when: n > 1, do: [{task: a}]}\n- {otherwise: n > 0, do: [{task: b}]}\n- {otherwise: true, do: [{task: c}]}",
        When(
            id="when",
            branches=(
                Branch("n > 1", (Task(id="a", task="a"),)),
                Branch("n > 0", (Task(id="b", task="b"),)),
                Branch(None, (Task(id="c", task="c"),)),
            ),
        ),
    ),
]


ALL_MEANINGS: list[tuple[str, tuple[Node, ...]]] = [
    *((text, (node,)) for text, node in (*MEANINGS, *BLOCKS, *NETS, *STEPS)),
    *SEVERAL,
]


@pytest.mark.parametrize(("text", "nodes"), ALL_MEANINGS)
def test_a_text_means(text: str, nodes: tuple[Node, ...]):
    assert nodes_of(text) == nodes


@pytest.mark.parametrize("nodes", [nodes for _, nodes in ALL_MEANINGS])
def test_what_is_written_means_the_same(nodes: tuple[Node, ...]):
    definition = Definition(
        workflow="flow", params={"order": {"type": "object"}, "n": {"type": "integer"}}, nodes=nodes
    )
    assert read_definitions(write_yaml(definition), "again.yaml") == [definition]


def test_every_kind_of_node_has_a_form_and_an_example_here():
    assert {kind.struct for kind in KINDS.values()} == set(get_args(Node))
    shown = {key for text, _ in ALL_MEANINGS for key in KINDS if f"{key}:" in text}
    assert shown == set(KINDS)


def test_ids_are_chosen_in_the_order_of_the_lines_around_those_that_are_given():
    found = nodes_of(
        "- {task: a}\n- {when: n > 1, do: [{task: a}]}\n- {task: a, id: a_2}\n- {when: n > 2, do: [{task: a}]}"
    )
    ids = [node.id for node in found] + [
        branch.do[0].id for node in found if isinstance(node, When) for branch in node.branches
    ]
    assert ids == ["a", "when", "a_2", "when_2", "a_3", "a_4"]


def test_yaml_1_1_booleans_are_text():
    (node,) = nodes_of("- {set: {on: yes, no: off, t: true, f: False, n: ~, s: 'true'}}")
    assert isinstance(node, Set)
    assert node.value == {"on": "yes", "no": "off", "t": True, "f": False, "n": None, "s": "true"}


def test_types_have_a_short_form():
    text = """
workflow: flow
params: {a: Order, b: string, c: {type: array, items: {$ref: "#/types/Order"}}}
types: {Order: {type: object}, Id: string, Alias: Order}
returns: Id
nodes: [{task: a, id: x}]
output: ${x}
"""
    (definition,) = read_definitions(text, "f.yaml")
    order = {"$ref": "#/types/Order"}
    assert definition.params == {"a": order, "b": {"type": "string"}, "c": {"type": "array", "items": order}}
    assert definition.types == {"Order": {"type": "object"}, "Id": {"type": "string"}, "Alias": order}
    assert definition.returns == {"$ref": "#/types/Id"}


def test_a_text_may_hold_several_documents():
    text = "workflow: a\nnodes: [{task: t}]\n---\n---\nworkflow: b\nnodes: [{task: t}]\n"
    found = read_definitions(text, "f.yaml")
    assert [definition.workflow for definition in found] == ["a", "b"]
    assert read_definitions(write_many(found), "g.yaml") == found


def test_json_is_read_with_its_own_escapes_and_layout():
    (definition,) = read_definitions(
        '{\n\t"workflow": "flow",\n\t"nodes": [{"set": "\\ud83d\\ude00 \\/ \\\\ud83d \\u00e9"}]\n}', "flow.json"
    )
    assert definition.nodes == (Set(id="set", value="😀 / \\ud83d é"),)


def test_json_of_the_plain_form_reads_back():
    definition = Definition(workflow="flow", nodes=(Set(id="x", value={"a": ["é😀", 1.5]}), End(id="end", value=None)))
    assert read_definitions(json.dumps(to_plain(definition)), "flow.json") == [definition]


# ---- writing --------------------------------------------------------------------------------------------------------


def test_text_that_looks_like_something_else_is_quoted():
    values = ["yes", "true", "012", "1e3", "0x1F", "null", "~", "", "a: b", "# c", "<<", "é", "\u2028", "two\nlines\n"]
    definition = Definition(workflow="flow", nodes=(Set(id="set", value=values),))
    assert read_definitions(write_yaml(definition), "f.yaml") == [definition]


def test_ids_that_the_reader_would_choose_are_left_out():
    nodes = (Task(id="a", task="a"), Task(id="a_2", task="a"), Task(id="other", task="a"), Task(id="a_3", task="a"))
    plain = to_plain(Definition(workflow="flow", nodes=nodes))
    assert plain["nodes"] == [{"task": "a"}, {"task": "a"}, {"task": "a", "id": "other"}, {"task": "a"}]


def test_a_condition_that_is_just_true_differs_from_otherwise():
    branches = (Branch("true", (Set(id="a", value=1),)), Branch("true", (Set(id="b", value=1),)))
    definition = Definition(workflow="flow", nodes=(When(id="when", branches=branches),))
    assert read_definitions(write_yaml(definition), "f.yaml") == [definition]


@pytest.mark.parametrize("char", ["\x7f", "\x85", "\u2028", "\ufffe", "\U0001f600", "é"])
def test_json_may_hold_characters_that_yaml_does_not(char: str) -> None:
    text = json.dumps({"workflow": "flow", "nodes": [{"set": f"a{char}b"}]}, ensure_ascii=False)
    [found] = read_definitions(text, "flow.json")
    assert found.nodes == (Set(id="set", value=f"a{char}b"),)
