"""A definition: a workflow as data, in the shape of its YAML form. Immutable once registered, addressed by its hash.

Nodes form a tree of blocks; within a block they run in the order of the lines unless ``after`` says otherwise
(``after=()`` means: at the block's start), and within `Parallel` only data and ``after`` order them. A node's
*position* is its index in the depth-first order of the tree (a block before its children): events and snapshots name
nodes by it.

Values: ``with_`` and friends are JSON values in which a string may hold ``${expression}``; a string that is nothing
else keeps the expression's type; ``$${`` is a literal ``${``. Conditions, items and keys are bare expressions (the CEL
profile of docs/expressions.md). Names in expressions: the workflow's parameters, node ids (= their value), ``run``, and
inside a map body the name of the item. Durations are integer milliseconds.

Kinds that later stages add (loop, race, approval, http, ...) are new members of the `Node` union.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from msgspec import UNSET, Struct, UnsetType

from wfe.model.policy import RetryPolicy

Template: TypeAlias = Any
"""A JSON value whose strings may hold ``${expression}``."""
Schema: TypeAlias = dict[str, Any]
"""A JSON Schema (2020-12); ``{"$ref": "#/types/Order"}`` names an entry of the definition's ``types``."""


class NodeBase(Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """What every node has. ``if_`` false: the node is bypassed, its value is null and its successors run."""

    id: str
    after: tuple[str, ...] | None = None
    if_: str | None = None


class Task(NodeBase, frozen=True, kw_only=True, tag="task"):
    """Calls a registered task. None means: what the task's own registration says."""

    task: str
    task_version: int = 1
    with_: dict[str, Template] = {}
    retry: RetryPolicy | None = None
    timeout_ms: int | None = None
    heartbeat_ms: int | None = None
    redeliver: bool = True
    priority: int = 0
    returns: Schema | None = None


class When(NodeBase, frozen=True, kw_only=True, tag="when"):
    """An exclusive choice: the first branch whose condition holds is done. ``cond`` None: always (otherwise)."""

    branches: tuple[Branch, ...]


class Branch(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One arm of a `When`."""

    cond: str | None
    do: tuple[Node, ...]


class Parallel(NodeBase, frozen=True, kw_only=True, tag="parallel"):
    """Its nodes are ordered by data and ``after`` only. The first failure cancels the others; ends when all have."""

    do: tuple[Node, ...]


class Block(NodeBase, frozen=True, kw_only=True, tag="block"):
    """Several nodes as one, in order: a ``with wf.branch():`` inside `Parallel`."""

    do: tuple[Node, ...]


class Catch(NodeBase, frozen=True, kw_only=True, tag="catch"):
    """Nodes whose failure, if it is of one of these types, ends the block instead of the run.

    Its value is ``{failed, type, message, node, attempts}``; ``failed`` is false when nothing was caught.
    """

    errors: tuple[str, ...]
    do: tuple[Node, ...]


class Map(NodeBase, frozen=True, kw_only=True, tag="map"):
    """One activation of the body per item, at most ``max_parallel`` at once; the value is the results in item order.

    ``output`` gives an item's result (None: the value of the body's last node). With ``tolerate_count`` or
    ``tolerate_percent`` the value is ``{values, indexes, errors}`` and more failures than that are a fault.
    """

    items: str
    as_: str = "item"
    do: tuple[Node, ...]
    output: Template | UnsetType = UNSET
    max_parallel: int = 100
    tolerate_count: int | None = None
    tolerate_percent: float | None = None


class Sleep(NodeBase, frozen=True, kw_only=True, tag="sleep"):
    """Waits. Exactly one of ``duration_ms``, ``duration`` (an expression: text such as "2d" or seconds), ``until``
    (time)."""

    duration_ms: int | None = None
    duration: str | None = None
    until: str | None = None


class WaitSignal(NodeBase, frozen=True, kw_only=True, tag="signal"):
    """Waits for an outside message; one that came early is queued. The value is its payload.

    Late: the ``default`` if there is one, else a fault of type ``TimedOut``. ``timeout_ms=0`` polls.
    """

    signal: str
    schema: Schema | None = None
    timeout_ms: int | None = None
    default: Template | UnsetType = UNSET


class SubWorkflow(NodeBase, frozen=True, kw_only=True, tag="workflow"):
    """Runs another definition (or this one) and awaits it. ``version`` None: the current one when it starts."""

    workflow: str
    version: int | None = None
    with_: dict[str, Template] = {}
    timeout_ms: int | None = None
    returns: Schema | None = None


class StartWorkflow(NodeBase, frozen=True, kw_only=True, tag="start"):
    """Starts another run and does not wait; the value is its run id. ``key`` is a template."""

    workflow: str
    version: int | None = None
    with_: dict[str, Template] = {}
    key: Template | None = None


class Set(NodeBase, frozen=True, kw_only=True, tag="set"):
    """A transformation: its value is a template, computed without a worker."""

    value: Template


class End(NodeBase, frozen=True, kw_only=True, tag="end"):
    """Ends the run as completed with this value; whatever else runs is withdrawn."""

    value: Template = None


class Fail(NodeBase, frozen=True, kw_only=True, tag="fail"):
    """Fails with a typed error, which a catch block may take."""

    error: str
    message: Template = ""


Node: TypeAlias = (
    Task | When | Parallel | Block | Catch | Map | Sleep | WaitSignal | SubWorkflow | StartWorkflow | Set | End | Fail
)


class Definition(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A workflow as data.

    ``params``: name -> JSON Schema, in order. One parameter: the run's input is its value; several: an object by
    name; none: null. ``version`` None: the server counts up when the graph differs.
    """

    workflow: str
    version: int | None = None
    params: dict[str, Schema] = {}
    types: dict[str, Schema] = {}
    nodes: tuple[Node, ...] = ()
    output: Template = None
    returns: Schema | None = None
    timeout_ms: int | None = None
    tags: dict[str, Template] = {}
    description: str = ""


def children(node: Node) -> tuple[tuple[Node, ...], ...]:
    """The blocks directly inside a node: one tuple of nodes per arm."""
    if isinstance(node, When):
        return tuple(branch.do for branch in node.branches)
    if isinstance(node, (Parallel, Block, Catch, Map)):
        return (node.do,)
    return ()


def walk(nodes: tuple[Node, ...]) -> Iterator[Node]:
    """Every node in depth-first order, a block before its children: the order that gives nodes their positions."""
    for node in nodes:
        yield node
        for block in children(node):
            yield from walk(block)
