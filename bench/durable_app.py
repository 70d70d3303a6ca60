"""W1 in both forms: a chain of ten tasks as a graph and as a durable function."""

from __future__ import annotations

import wfe


@wfe.task
async def step(number: int) -> int:
    return number + 1


@wfe.workflow
def chain_graph(wf: wfe.Graph, number: int) -> int:
    for _ in range(10):
        number = step(number)  # type: ignore[assignment]
    return number


@wfe.workflow
async def chain_function(wf: wfe.Durable, number: int) -> int:
    for _ in range(10):
        number = await step(number)
    return number
