"""`wf.merge` of values that were computed in a block: they exist only if the run takes the block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import wfe
from wfe.model import definition as model
from wfe.model.definition import Definition, walk


@wfe.task
def greet(name: str) -> str:
    return name


@dataclass
class Receipt:
    label: str
    n: int


def drawn(function: Callable[..., Any]) -> Definition:
    return wfe.workflow(function).definition()


def sets(definition: Definition) -> dict[str, Any]:
    return {node.id: node.value for node in walk(definition.nodes) if isinstance(node, model.Set)}


def test_an_expression_becomes_a_node_where_it_was_written() -> None:
    def flow(wf: wfe.Graph, n: int) -> str:
        with wf.when(n > 3):
            big = wf.format("big {}", n)
            greet("after")
        with wf.otherwise():
            small = wf.format("small")
        return wf.merge(big, small)

    definition = drawn(flow)
    assert definition.output == "${merge(value, value_2)}"
    (when,) = definition.nodes
    assert isinstance(when, model.When)
    assert [[node.id for node in branch.do] for branch in when.branches] == [["value", "greet"], ["value_2"]]
    assert sets(definition) == {"value": '${format("big {}", n)}', "value_2": '${format("small")}'}


def test_what_needs_a_node_of_the_block_needs_no_other() -> None:
    def flow(wf: wfe.Graph, n: int) -> str:
        with wf.when(n > 3):
            big = wf.format("big {}", greet("x"))
        return wf.merge(big, "small")

    definition = drawn(flow)
    assert sets(definition) == {}
    assert definition.output == '${merge(format("big {}", greet), "small")}'


def test_a_value_of_several_refs_is_kept_as_a_whole_and_once() -> None:
    def flow(wf: wfe.Graph, n: int, label: str) -> list[Any]:
        with wf.when(n > 3):
            made = Receipt(label, n + 1)
        return [wf.merge(made, None), wf.merge(made, 5).n]

    definition = drawn(flow)
    assert definition.output == ["${merge(value, null)}", "${merge(value, 5).n}"]
    assert sets(definition) == {"value": {"label": "${label}", "n": "${n + 1}"}}


def test_an_object_of_refs_may_be_the_default() -> None:
    def flow(wf: wfe.Graph, n: int, label: str) -> Any:
        with wf.when(n > 3):
            found = greet("x")
        return wf.merge(found, Receipt(label, n))

    definition = drawn(flow)
    assert definition.output == "${merge(greet, value)}"
    assert [node.id for node in definition.nodes] == ["when", "value"]


def test_blocks_in_blocks_keep_a_value_in_the_innermost() -> None:
    def flow(wf: wfe.Graph, n: int) -> int:
        with wf.when(n > 1):
            outer = greet("outer")
            with wf.catch(ValueError), wf.parallel():
                inner = n * 2
                greet("inner")
            both = wf.merge(inner, 0)
        return wf.merge(both, wf.size(wf.merge(outer, "")))

    definition = drawn(flow)
    assert definition.output == '${merge(value_2, size(merge(greet, "")))}'
    assert sets(definition) == {"value": "${n * 2}", "value_2": "${merge(value, 0)}"}
    (parallel,) = (node for node in walk(definition.nodes) if isinstance(node, model.Parallel))
    assert [node.id for node in parallel.do] == ["value", "greet_2"]


def unmerged(wf: wfe.Graph, n: int) -> list[int]:  # MISTAKE: wf.merge
    made = []
    with wf.when(n > 3):
        made.append(n + 1)
        greet("x")
    return made


def constant_in_a_block(wf: wfe.Graph, n: int) -> str:
    with wf.when(n > 3):
        greet("x")
        label = "big"
    with wf.otherwise():
        other = greet("small")
    return wf.merge(label, other)  # MISTAKE: label is bound to what exists before


def alias_in_a_block(wf: wfe.Graph, n: int) -> int:
    with wf.when(n > 3):
        greet("x")
        alias = [n, -1]
        again = alias
    return wf.merge(again, 0)  # MISTAKE: again is bound to what exists before


def only_unused_values(wf: wfe.Graph, n: int) -> int:
    with wf.when(n > 3):  # MISTAKE: is empty
        _more = n + 1
    return n


@pytest.mark.parametrize("function", [unmerged, constant_in_a_block, alias_in_a_block, only_unused_values])
def test_mistakes_are_found_at_their_line(function: Callable[..., Any]) -> None:
    with pytest.raises(wfe.GraphError) as caught:
        drawn(function)
    assert caught.value.line is not None
    with open(__file__) as source:
        line = source.read().splitlines()[caught.value.line - 1]
    _, marked, expected = line.partition("# MISTAKE: ")
    assert marked, line
    assert expected in caught.value.message


def test_an_alias_of_a_value_of_the_block_is_that_value() -> None:
    def flow(wf: wfe.Graph, n: int) -> str:
        with wf.when(n > 3):
            first = greet("x")
            alias = first
        return wf.merge(alias, "none")

    assert drawn(flow).output == '${merge(greet, "none")}'
