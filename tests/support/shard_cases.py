"""Small workflows and a shard with a worker, for tests of the shard."""

from __future__ import annotations

from support.shards import Host
from wfe.model.definition import Definition, Task, WaitSignal

TASKS = {"inc": lambda x: x + 1, "boom": lambda x: 1 / 0}


def chain(length: int = 3, workflow: str = "chain") -> Definition:
    nodes = tuple(
        Task(id=f"t{i}", task="inc", with_={"x": "${n}" if i == 0 else f"${{t{i - 1}}}"}) for i in range(length)
    )
    return Definition(workflow, params={"n": {"type": "integer"}}, nodes=nodes, output=f"${{t{length - 1}}}")


def waiting() -> Definition:
    return Definition("waiting", nodes=(WaitSignal(id="s", signal="go"),), output="${s}")


def host(*definitions: Definition, **rest: object) -> Host:
    """A shard with a worker that said hello and lent credit."""
    made = Host(*(definitions or (chain(), waiting())), tasks=TASKS, **rest)
    made.hello()
    return made
