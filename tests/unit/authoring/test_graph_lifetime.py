"""When and how often a workflow is drawn, and how long its Refs live."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from drawing_kit import Order, charge, drawn, send_mail, text

import wfe
from wfe.model.definition import Definition


def test_an_async_workflow_is_drawn_by_awaiting_its_refs() -> None:
    async def helper(wf: wfe.Graph, order: Order) -> str:
        await send_mail(order.id)
        return await text(order.id)  # type: ignore[no-any-return, misc]

    @wfe.workflow
    async def flow(wf: wfe.Graph, order: Order) -> str:
        return await helper(wf, order)

    definition = flow.definition()
    assert [node.id for node in definition.nodes] == ["send_mail", "text"]
    assert definition.output == "${text}"


def test_a_helper_that_takes_the_graph_draws_on_it() -> None:
    def helper(wf: wfe.Graph, order: Order) -> str:
        with wf.when(order.paid):
            done = text(order.id)
        return wf.merge(done, "")

    def flow(wf: wfe.Graph, order: Order) -> Any:
        return [helper(wf, order), helper(wf, order)]

    assert drawn(flow).output == ['${merge(text, "")}', '${merge(text_2, "")}']


def test_plain_python_decides_while_drawing() -> None:
    def flow(wf: wfe.Graph, order: Order) -> Any:
        made = [text(region) for region in ("eu", "us")]
        if len(made) > 1:
            text(made[1])
        return made

    assert [node.id for node in drawn(flow).nodes] == ["text", "text_2", "text_3"]


def test_a_docstring_does_not_change_the_graph() -> None:
    def flow(wf: wfe.Graph, order: Order) -> None:
        """Says one thing."""
        charge(order)

    first = drawn(flow)
    flow.__doc__ = "Says another."
    assert drawn(flow) == first


def test_a_workflow_is_drawn_once_even_by_many_threads() -> None:
    calls = []
    start = threading.Barrier(8)

    @wfe.workflow
    def flow(wf: wfe.Graph, order: Order) -> None:
        calls.append(1)
        charge(order)

    found: list[Definition] = []

    def draw() -> None:
        start.wait()
        found.append(flow.definition())

    threads = [threading.Thread(target=draw) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert all(definition is found[0] for definition in found)


def test_a_failed_drawing_is_tried_again() -> None:
    broken = [True]

    @wfe.workflow
    def flow(wf: wfe.Graph, order: Order) -> None:
        charge(order)
        if broken:
            raise KeyError("x")

    with pytest.raises(wfe.GraphError, match="KeyError"):
        flow.definition()
    broken.clear()
    assert flow.definition().workflow == "flow"


def test_refs_die_with_their_drawing_and_stay_in_it() -> None:
    leaked: list[Any] = []

    @wfe.workflow
    def first(wf: wfe.Graph, order: Order) -> None:
        charge(order)
        leaked.extend((order.id, wf))

    @wfe.workflow
    def second(wf: wfe.Graph, order: Order) -> None:
        text(leaked[0])

    @wfe.workflow
    def third(wf: wfe.Graph, order: Order) -> None:
        leaked[1].when(order.paid)

    first.definition()
    with pytest.raises(wfe.GraphError, match="belongs to the workflow 'first'"):
        second.definition()
    with pytest.raises(wfe.GraphError, match="belongs to the drawing of 'first'"):
        third.definition()
    with pytest.raises(wfe.GraphError, match="a drawing that has ended"):
        leaked[0] + "x"
