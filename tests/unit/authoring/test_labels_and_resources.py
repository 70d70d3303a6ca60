"""What tasks ask of their workers, as authors write it: decorator, with_options, compensations, mistakes."""

from __future__ import annotations

from typing import Any

import pytest

import wfe
from wfe.model.definition import CompensateWith, Task


@wfe.task(labels=["gpu", "zone=eu"], resources={"memory": "2GB", "gpu": 0.5})
def train(x: int) -> int:
    return x


@wfe.task
def plain(x: int) -> int:
    return x


def nodes(function: Any) -> tuple[Any, ...]:
    return wfe.workflow(function).definition().nodes  # type: ignore[no-any-return]


def test_a_node_has_what_its_task_asks_for() -> None:
    def flow(wf: wfe.Graph, n: int) -> None:
        wf.compensate_with(train, n)
        train(n)
        plain(n)

    undo, asking, free = nodes(flow)
    assert isinstance(undo, CompensateWith)
    assert isinstance(asking, Task)
    for node in (undo, asking):
        assert node.labels == ("gpu", "zone=eu")
        assert node.resources == {"gpu": 0.5, "memory": 2_000_000_000}
    assert (free.labels, free.resources) == ((), {})


def test_a_node_may_ask_for_something_else() -> None:
    def flow(wf: wfe.Graph, n: int) -> None:
        train.with_options(labels=[])(n)
        train.with_options(resources={"gpu": 2})(n)
        plain.with_options(labels=["cheap"], resources={"tape": 1})(n)

    anywhere, two, cheap = nodes(flow)
    assert (anywhere.labels, anywhere.resources) == ((), {"gpu": 0.5, "memory": 2_000_000_000})
    assert (two.labels, two.resources) == (("gpu", "zone=eu"), {"gpu": 2})
    assert (cheap.labels, cheap.resources) == (("cheap",), {"tape": 1})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": "gpu"}, r"a list of labels, as in labels=\[\"gpu\"\]"),
        ({"labels": ["a b"]}, "is no label"),
        ({"labels": 3}, "a list of labels"),
        ({"resources": ["gpu"]}, "amounts by name"),
        ({"resources": {"gpu": 0}}, "more than 0"),
        ({"resources": {"gpu": True}}, "an amount is a number"),
        ({"resources": {"memory": 8}}, "hardly any"),
        ({"labels": [f"l{number}" for number in range(21)]}, "at most 20 labels"),
    ],
)
def test_mistakes_are_refused_at_their_line(options: dict[str, Any], words: str) -> None:
    with pytest.raises(wfe.GraphError, match=words) as caught:
        wfe.task(**options)
    assert "test_labels_and_resources.py" in str(caught.value)
    with pytest.raises(wfe.GraphError, match=words):
        plain.with_options(**options)


def test_a_definition_that_asks_for_nonsense_is_refused() -> None:
    from wfe.core.validate import validate
    from wfe.model.definition import Definition

    found = validate(Definition("d", nodes=(Task(id="a", task="t", resources={"gpu": -1}),)))
    assert [finding.where for finding in found if finding.severity == "error"] == ["nodes[0].resources"]
