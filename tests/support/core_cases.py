"""Short forms for definitions in tests of core."""

from __future__ import annotations

from support.runs import RunDriver
from wfe.model.definition import Definition, Task


def task(id: str, name: str, **arguments: object) -> Task:
    return Task(id=id, task=name, with_=arguments)


def boom(**_: object) -> None:
    raise ValueError("boom")


TASKS = {"inc": lambda x: x + 1, "add": lambda a, b: a + b, "boom": boom, "echo": lambda x: x}


def define(*nodes: object, output: object = None, params: tuple[str, ...] = ("n",), **rest: object) -> Definition:
    return Definition("w", params={p: {} for p in params}, nodes=nodes, output=output, **rest)  # type: ignore[arg-type]


def drive(definition: Definition, value: object = None) -> RunDriver:
    return RunDriver(definition, value, TASKS).finish()
